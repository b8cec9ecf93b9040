"""A small residual network that a CPU can afford.

The 4x4 stride-2 stem leaves the residual stages a quarter of the pixels: full-resolution
convolutions are what makes ResNets slow on a CPU. Blocks are pre-addition basic blocks of
He et al., "Deep Residual Learning for Image Recognition" (2015).
"""

from typing import Any

import keras
from keras import layers

from components.data import Data
from schemas.errors import InputError
from schemas.fitting import ImageModel

PREPROCESSING = "normalize"
"""Name of the layer that scales the channels, whichever way."""


def build(options: ImageModel, data: Data) -> keras.Model:
    """Build the network for ``uint8[N, H, W, C]`` images of any size.

    Channels are scaled inside (`ImageModel.preprocessing`), so that serving needs no
    preprocessing of its own.

    Raises:
        InputError: the survey does not hold the statistics of every channel.
    """
    shape = tuple(data.schema.image_shape)
    means, deviations = _scaling(options, data)
    inputs = keras.Input(shape, dtype="uint8", name="images")
    x = layers.Rescaling(
        [1 / one for one in deviations],
        [-mean / one for mean, one in zip(means, deviations, strict=True)],
        name=PREPROCESSING,
    )(inputs)
    x = _convolution(x, options.width, "stem", kernel=4, strides=2)
    x = layers.ReLU(name="stem_relu")(x)
    for stage in range(3):
        width = options.width * 2**stage
        for block in range(options.blocks):
            x = _block(x, width, f"stage{stage}_block{block}", halve=stage > 0 and block == 0)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(len(data.schema.label_names), name="logits")(x)
    return keras.Model(inputs, logits, name=options.family)


def preprocessing(model: keras.Model) -> dict[str, Any] | None:
    """Return what a network does to each channel first: ``(x - channel_mean) / channel_std``.

    Read from the network itself, so that it holds for one that was trained on another dataset.
    None for a network that does nothing of the kind.
    """
    layer = next((one for one in model.layers if one.name == PREPROCESSING), None)
    if layer is None:
        return None
    pairs = list(zip(layer.scale, layer.offset, strict=True))
    return {
        "channel_mean": [round(-offset / scale, 6) + 0.0 for scale, offset in pairs],
        "channel_std": [round(1 / scale, 6) for scale, _ in pairs],
    }


def _scaling(options: ImageModel, data: Data) -> tuple[list[float], list[float]]:
    """Return what is subtracted from each channel, and what it is divided by."""
    channels = data.schema.image_shape[-1]
    if options.preprocessing == "normalize":
        return [0.0] * channels, [255.0] * channels
    means, deviations = data.survey["channel_mean"], data.survey["channel_std"]
    if len(means) != channels or len(deviations) != channels:
        raise InputError(
            f"survey.json must hold one channel_mean and channel_std per channel ({channels}), "
            f"not {means} and {deviations}: materialize the dataset again"
        )
    return means, [max(one, 1.0) for one in deviations]


def _convolution(x, width: int, name: str, *, kernel: int = 3, strides: int = 1):
    x = layers.Conv2D(
        width,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _block(x, width: int, name: str, *, halve: bool):
    strides = 2 if halve else 1
    skip = x
    if halve or x.shape[-1] != width:
        skip = _convolution(x, width, f"{name}_skip", kernel=1, strides=strides)
    y = _convolution(x, width, f"{name}_a", strides=strides)
    y = layers.ReLU(name=f"{name}_a_relu")(y)
    y = _convolution(y, width, f"{name}_b")
    y = layers.Add(name=f"{name}_add")([skip, y])
    return layers.ReLU(name=f"{name}_relu")(y)
