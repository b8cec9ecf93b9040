"""Architectures of ``keras.applications`` as networks for the dataset's own images.

What each expects of its inputs is done inside, so that serving needs no preprocessing: size,
colours, range.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from components.data import Data
from components.models.image import PREPROCESSING
from schemas.applications import APPLICATIONS, IMAGENET
from schemas.errors import InputError


def build(
    name: str, data: Data, *, weights: str | None = None, size: int | None = None
) -> keras.Model:
    """Return the architecture for ``uint8[N, H, W, C]`` images: features ``float32[N, D]``.

    Args:
        name: Key of `schemas.applications.APPLICATIONS`.
        data: The dataset; its images may have any size, and 1 or 3 channels.
        weights: A weights file of the architecture, with or without its classifier; ``imagenet``;
            None for random ones.
        size: Pixels a side that images are brought to; None leaves them as they are.

    Raises:
        InputError: no images, too small ones, or weights that cannot be had or do not fit.
    """
    if data.schema.modality != "image":
        raise InputError(f"applications/{name} takes images, not text", path=("from",))
    shape = tuple(data.schema.image_shape)
    taken = (*((size, size) if size else shape[:2]), 3)
    network = _with_weights(name, taken, weights)
    inputs = x = keras.Input(shape, dtype="uint8", name="images")
    if taken[:2] != shape[:2]:
        # Of floats: integers would be rounded. No Resizing layer: once it is called without
        # `training`, Keras 3.15 takes the layers behind it to be training.
        x = layers.Rescaling(1.0, name="as_floats")(x)
        x = keras.ops.image.resize(x, taken[:2])
    if shape[-1] == 1:
        x = layers.Concatenate(name="grey_as_colours")([x, x, x])
    x = _prepared(name, x)
    body = _constructor(name)(include_top=False, weights=None, input_tensor=x)
    body.set_weights(network.get_weights())
    features = body.outputs[0]
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.Model(inputs, features, name=name.lower())


def _constructor(name: str):
    return getattr(keras.applications, name)


def _with_weights(name: str, shape: tuple[int, ...], weights: str | None) -> keras.Model:
    """Return the architecture as Keras makes it, without classifier, its weights loaded."""
    if weights == IMAGENET:
        _made(name, shape)  # a size that does not fit is no matter of the download
        try:
            return _constructor(name)(include_top=False, weights=IMAGENET, input_shape=shape)
        except Exception as error:  # noqa: BLE001 - Keras raises a bare one where a download fails
            raise InputError(
                f"weights: {IMAGENET} must be downloaded, which failed ({error}). Fix: on a "
                f"machine with network, run keras.applications.{name}(include_top=False)"
                f'.save_weights("{name}.weights.h5"), bring the file here and set weights: '
                f"{name}.weights.h5",
                path=("weights",),
            ) from error
    network = _made(name, shape)
    if weights is None:
        return network
    problems = []
    for include_top in (False, True):
        try:
            whole = _constructor(name)(include_top=True, weights=None) if include_top else network
            whole.load_weights(Path(weights))
        except (ValueError, OSError, KeyError) as error:
            problems.append(str(error))
            continue
        if include_top:  # the classifier's weights come last
            network.set_weights(whole.get_weights()[: len(network.weights)])
        return network
    raise InputError(
        f"{weights}: holds no weights of {name}, with or without its classifier: {problems[0]}",
        path=("weights",),
    )


def _made(name: str, shape: tuple[int, ...]) -> keras.Model:
    try:
        return _constructor(name)(include_top=False, weights=None, input_shape=shape)
    except ValueError as error:
        raise InputError(
            f"{name} does not take images of {shape[0]}x{shape[1]} ({error}): set size, "
            "the pixels a side that they are brought to",
            path=("size",),
        ) from error


def _prepared(name: str, x):
    """Bring channels to the range and order of the architecture: a linear map, found by probing."""
    own = getattr(keras.applications, APPLICATIONS[name]).preprocess_input
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)
    answers = np.asarray(own(probes[:, None, None, :].copy()), np.float64)[:, 0, 0, :]
    offsets, slopes = answers[0], (answers[1:] - answers[0]) / 255
    order = np.abs(slopes).argmax(axis=0)  # which channel of ours each of its own is
    scale = slopes[order, range(3)]
    ours = np.argsort(order)
    x = layers.Rescaling(
        [float(one) for one in scale[ours]],
        [float(one) for one in offsets[ours]],
        name=PREPROCESSING,
    )(x)
    return x if list(order) == [0, 1, 2] else keras.ops.flip(x, axis=-1)
