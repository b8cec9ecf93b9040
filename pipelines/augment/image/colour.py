"""Colour: linear maps of RGB in grey levels 0 to 255, fused by the policy into one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.image.recolour import LUMA
from pipelines.augment.params import Flag, Integers, Symmetric
from pipelines.augment.registry import image_op

Values = NDArray[np.float64]
Integral = NDArray[np.int64]
_MID_GREY = 128.0
_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))

# What a quarter turn of the hue adds to grey: the inverse of RGB -> YIQ (NTSC: I = 0.5959 R -
# 0.2746 G - 0.3213 B, Q = 0.2115 R - 0.5227 G + 0.3112 B) times the turn times RGB -> YIQ. Every
# row sums to 0 (grey stays), and so does every column weighted by luma (luma stays).
_QUARTER_TURN = (
    (-0.16770325, -0.32926814, 0.49697139),
    (0.32813081, -0.03552092, -0.29260989),
    (-1.24973261, 1.04650843, 0.20322418),
)


@image_op(
    "brightness",
    family="colour",
    kind="colour",
    version=1,
    params={"factor": Symmetric(0.2, centre=1.0, limit=1.0)},
)
def brightness(*, factor: Values) -> Values:
    """Multiply all channels by ``factor``."""
    return _scaled_identity(factor, np.zeros_like(factor))


@image_op(
    "contrast",
    family="colour",
    kind="colour",
    version=1,
    params={"factor": Symmetric(0.2, centre=1.0, limit=1.0)},
)
def contrast(*, factor: Values) -> Values:
    """Multiply each channel's distance from mid-grey (128) by ``factor``."""
    return _scaled_identity(factor, _MID_GREY - _MID_GREY * factor)


@image_op(
    "saturation",
    family="colour",
    kind="colour",
    version=1,
    params={"factor": Symmetric(0.3, centre=1.0, limit=1.0)},
)
def saturation(*, factor: Values) -> Values:
    """Multiply each pixel's distance from its own luma by ``factor``; 0 leaves grey."""
    maps = _scaled_identity(factor, np.zeros_like(factor))
    maps[:, :, :3] += (1.0 - factor)[:, None, None] * np.array(LUMA)
    return maps


@image_op(
    "hue",
    family="colour",
    kind="colour",
    version=1,
    params={"degrees": Symmetric(18.0)},
)
def hue(*, degrees: Values) -> Values:
    """Turn the hue about the grey axis of YIQ, luma unchanged; positive takes red to yellow."""
    radians = (degrees * (np.pi / 180.0))[:, None, None]
    luma = np.broadcast_to(LUMA, (3, 3))
    coloured = np.cos(radians) * (np.eye(3) - luma) + np.sin(radians) * np.array(_QUARTER_TURN)
    maps = np.zeros((len(degrees), 3, 4))
    maps[:, :, :3] = luma + coloured
    return maps


@image_op("greyscale", family="colour", kind="colour", version=1, params={"on": Flag(1.0)})
def greyscale(*, on: Integral) -> Values:
    """Replace all three channels by the luma."""
    maps: Values = saturation(factor=1.0 - on)
    return maps


@image_op("invert", family="colour", kind="colour", version=1, params={"on": Flag(1.0)})
def invert(*, on: Integral) -> Values:
    """Make a negative: every level becomes 255 minus itself."""
    negative = on.astype(np.float64)
    return _scaled_identity(1.0 - 2.0 * negative, 255.0 * negative)


@image_op(
    "channel_shuffle",
    family="colour",
    kind="colour",
    version=1,
    params={"order": Integers(0, 5, identity=0, limits=(0, 5))},
)
def channel_shuffle(*, order: Integral) -> Values:
    """Exchange the channels: RGB, RBG, GRB, GBR, BRG or BGR, by ``order`` 0 to 5."""
    maps = np.zeros((len(order), 3, 4))
    maps[:, :, :3] = np.eye(3)[np.array(_ORDERS)[order]]
    return maps


def _scaled_identity(gain: Values, offset: Values) -> Values:
    maps = np.zeros((len(gain), 3, 4))
    for channel in range(3):
        maps[:, channel, channel] = gain
        maps[:, channel, 3] = offset
    return maps
