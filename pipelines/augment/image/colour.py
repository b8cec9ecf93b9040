"""Colour: linear maps of RGB in grey levels 0 to 255, fused by the policy into one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.image.recolour import LUMA
from pipelines.augment.params import Symmetric
from pipelines.augment.registry import image_op

Values = NDArray[np.float64]
_MID_GREY = 128.0


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


def _scaled_identity(gain: Values, offset: Values) -> Values:
    maps = np.zeros((len(gain), 3, 4))
    for channel in range(3):
        maps[:, channel, channel] = gain
        maps[:, channel, 3] = offset
    return maps
