"""A small residual network that a CPU can afford.

The 4x4 stride-2 stem leaves the residual stages a quarter of the pixels: full-resolution
convolutions are what makes ResNets slow on a CPU. Blocks are pre-addition basic blocks of
He et al., "Deep Residual Learning for Image Recognition" (2015).
"""

import keras
from keras import layers

from components.data import Data
from schemas.errors import InputError
from schemas.refresh import ImageModel


def build(options: ImageModel, data: Data) -> keras.Model:
    """Build the network for ``uint8[N, H, W, C]`` images of any size.

    Channels are normalised inside by the training split's mean and deviation of the survey, so
    that serving needs no preprocessing of its own.
    """
    shape = tuple(data.schema.image_shape)
    means, deviations = data.survey["channel_mean"], data.survey["channel_std"]
    if len(means) != shape[-1] or len(deviations) != shape[-1]:
        raise InputError(
            f"survey.json must hold one channel_mean and channel_std per channel ({shape[-1]}), "
            f"not {means} and {deviations}: materialize the dataset again"
        )
    deviations = [max(one, 1.0) for one in deviations]
    inputs = keras.Input(shape, dtype="uint8", name="images")
    x = layers.Rescaling(
        [1 / one for one in deviations],
        [-mean / one for mean, one in zip(means, deviations, strict=True)],
        name="normalize",
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
