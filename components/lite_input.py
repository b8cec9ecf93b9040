"""Integer scaling of images: what makes an int8 model fast from its first operation on.

TFLite has no integer kernel that scales an image channel by channel as `keras.layers.Rescaling`
says it: it casts every level to a float, multiplies, adds and quantises, which costs a small
network more than half of its time. The same scaling as a 1x1 convolution runs in integers.
"""

import keras
import numpy as np
from numpy.typing import NDArray

from components.prune.keras_graph import calls, functional, inputs, leaves
from components.prune.surgery import copy_weights


def with_integer_scaling(model: keras.Model) -> keras.Model | None:
    """Return a network that answers alike, and scales its images by a 1x1 convolution.

    It takes levels 0 to 255 as ``float32``, for TFLite to quantise to exactly themselves.

    Returns:
        None where the network has no such form: its input is not ``uint8[N, H, W, C]``, or is
        read by something else than one ``Rescaling``.
    """
    found = inputs(model)
    if len(found) != 1 or found[0].dtype != "uint8" or len(found[0].shape) != 4:
        return None
    readers = [one for one in calls(model) if found[0] in one.inputs]
    channels = found[0].shape[-1]
    if channels is None or len(readers) != 1:
        return None
    scaling = readers[0].operation
    if not isinstance(scaling, keras.layers.Rescaling):
        return None

    def renewed(layer: keras.Layer) -> keras.Layer:
        if layer is scaling:
            return keras.layers.Conv2D(channels, 1, name=layer.name)
        return type(layer).from_config(layer.get_config())

    graph = functional(model)
    levels = keras.tree.map_structure(
        lambda one: keras.Input(one.shape[1:], name=one.name), graph.input
    )
    wide = keras.models.clone_model(graph, input_tensors=levels, clone_function=renewed)
    kernel = np.zeros((1, 1, channels, channels), np.float32)
    kernel[0, 0] = np.diag(np.broadcast_to(np.float32(scaling.scale), channels))
    offset = np.broadcast_to(np.float32(scaling.offset), channels)
    path = next(name for name, layer in leaves(model) if layer is scaling)
    copy_weights(model, wide, lambda one, own: [kernel, offset] if one == path else own)
    return wide


def levels_of(calibration: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images to calibrate with in which both level 0 and level 255 occur.

    The range that is seen becomes the range of the input; anything else than 0 to 255 would have
    the model misread every level. Two values of the last image are set where they are needed.
    """
    levels = calibration.astype(np.float32)
    levels[-1].flat[0], levels[-1].flat[-1] = 0, 255
    return levels
