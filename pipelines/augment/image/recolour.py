"""Linear colour maps in fixed point: the same bytes on every CPU."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Maps = NDArray[np.float64]

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights of red, green and blue."""

_BITS = 10
_LARGEST_COEFFICIENT = 31.0
_LARGEST_OFFSET = 8000.0


def compose(first: Maps, second: Maps) -> Maps:
    """Return the map that applies ``first``, then ``second``; all ``float64[N, 3, 4]``.

    Products are written out, as in ``warp.compose``. Nothing saturates in between.
    """
    composed = (
        second[:, :, 0:1] * first[:, 0:1, :]
        + second[:, :, 1:2] * first[:, 1:2, :]
        + second[:, :, 2:3] * first[:, 2:3, :]
    )
    composed[:, :, 3] += second[:, :, 3]
    return composed


def recolour(images: Images, maps: Maps) -> Images:
    """Return ``images`` with each pixel mapped by its image's own linear map, then saturated.

    Coefficients are rounded to multiples of 2/1024 and offsets to odd multiples of 1/1024. No
    sum then lies half-way between two grey levels, and all are exact in ``float32``: whichever
    of its paths OpenCV takes (integer, float, diagonal), the bytes are the same. A grey image is
    mapped as an RGB image of equal channels and the luma of the result kept.

    Args:
        images: ``uint8[N, H, W, C]``, C of 1 or 3, contiguous.
        maps: ``float64[N, 3, 4]``, of (R, G, B, 1).
    """
    if images.shape[3] == 1:
        return _recolour_grey(images, maps)
    matrices = _fixed_point(maps) / (1 << _BITS)
    recoloured = np.empty_like(images, order="C")
    for image, matrix, out in zip(images, matrices, recoloured, strict=True):
        cv2.transform(image, matrix, dst=out)
    return recoloured


def _recolour_grey(images: Images, maps: Maps) -> Images:
    rows = maps[:, 0] * LUMA[0] + maps[:, 1] * LUMA[1] + maps[:, 2] * LUMA[2]
    gains = rows[:, 0] + rows[:, 1] + rows[:, 2]
    fixed = _fixed_point(np.stack([gains, rows[:, 3]], axis=1)).astype(np.int32)
    gain, offset = fixed[:, 0, None, None, None], fixed[:, 1, None, None, None]
    levels: NDArray[np.int32] = (images * gain + (offset + (1 << (_BITS - 1)))) >> _BITS
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8)


def _fixed_point(maps: Maps) -> Maps:
    """Return whole numbers of 1/1024 for maps whose last column is the offset."""
    fixed = np.rint(maps * (1 << (_BITS - 1)))
    largest = _LARGEST_COEFFICIENT * (1 << (_BITS - 1))
    largest_offset = _LARGEST_OFFSET * (1 << (_BITS - 1))
    fixed[..., :-1] = np.clip(fixed[..., :-1], -largest, largest)
    fixed[..., -1] = np.clip(fixed[..., -1], -largest_offset, largest_offset)
    fixed *= 2
    fixed[..., -1] += 1
    return fixed
