"""Bring images of any size to one size, the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from schemas.errors import InputError, unknown_name

FITS = ("stretch", "crop", "pad")

_BITS = 12
_KEPT_BITS = 4


def fit_image(
    image: np.ndarray, size: Sequence[int], *, mode: str = "crop", fill_value: int = 0
) -> np.ndarray:
    """Return ``image`` at ``size``.

    Args:
        image: ``uint8[H, W, C]``.
        size: Height and width to return.
        mode: ``stretch`` changes the aspect; ``crop`` takes the largest middle part of the right
            aspect; ``pad`` shows all of the image, with bars of ``fill_value`` on two sides.
        fill_value: Grey level of the bars.

    Returns:
        ``uint8[*size, C]``; the image itself where it has that size already.

    Raises:
        InputError: If the mode is unknown, the size not two positive integers, or the image none.
    """
    if mode not in FITS:
        raise InputError(unknown_name("fit", mode, FITS))
    sides = list(size) if isinstance(size, Sequence) else []
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise InputError(f"size must be [height, width] in pixels from 1, got {size!r}")
    if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise InputError(f"an image must be uint8[H, W, C], got {image.dtype}{image.shape}")
    height, width = sides
    if mode == "crop":
        image = _middle(image, height, width)
    if mode == "stretch" or mode == "crop":
        return resize(image, height, width)
    rows, columns, channels = image.shape
    if columns * height > rows * width:
        shown = resize(image, max(1, _rounded(width * rows, columns)), width)
    else:
        shown = resize(image, height, max(1, _rounded(height * columns, rows)))
    padded = np.full((height, width, channels), fill_value, dtype=np.uint8)
    top, left = (height - shown.shape[0]) // 2, (width - shown.shape[1]) // 2
    padded[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return padded


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``image`` (``uint8[H, W, C]``) resampled to ``height`` by ``width``.

    Bilinear, and where it shrinks with the filter widened by as much, so that every pixel counts:
    what PIL calls BILINEAR. Weights are whole parts of 4096 and one sixteenth of a grey level is
    kept in between: all sums are integers below 2**24, hence exact in ``float32`` in whatever order
    a matrix library adds them up.
    """
    rows, columns, channels = image.shape
    if (rows, columns) == (height, width):
        return image
    levels = image.astype(np.float32).reshape(rows, columns * channels)
    down = _halves_up(_weights(rows, height) @ levels, _BITS - _KEPT_BITS)
    across = down.reshape(height, columns, channels).transpose(1, 0, 2).reshape(columns, -1)
    made = _halves_up(_weights(columns, width) @ across, _BITS + _KEPT_BITS)
    return made.astype(np.uint8).reshape(width, height, channels).transpose(1, 0, 2).copy()


@lru_cache(maxsize=256)
def _weights(length: int, made: int) -> np.ndarray:
    """Return ``float32[made, length]``: what each pixel adds to each new one, whole numbers."""
    step = length / made
    reach = max(step, 1.0)
    centres = (np.arange(made) + 0.5) * step
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None])
    shares = np.cumsum(np.maximum(reach - distance, 0.0), axis=1)
    limits = np.rint(shares / shares[:, -1:] * (1 << _BITS))
    weights = np.diff(limits, axis=1, prepend=0.0).astype(np.float32)
    weights.flags.writeable = False
    return weights


def _halves_up(values: np.ndarray, bits: int) -> np.ndarray:
    """Return whole numbers divided by ``2 ** bits``, rounded, in place."""
    values += 2.0 ** (bits - 1)
    values *= 2.0**-bits
    return np.floor(values, out=values)


def _middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the largest part about the middle with the aspect of ``height`` by ``width``."""
    rows, columns = image.shape[:2]
    if columns * height > rows * width:
        wide = max(1, _rounded(rows * width, height))
        left = (columns - wide) // 2
        return image[:, left : left + wide]
    high = max(1, _rounded(columns * height, width))
    top = (rows - high) // 2
    return image[top : top + high]


def _rounded(dividend: int, divisor: int) -> int:
    return (2 * dividend + divisor) // (2 * divisor)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return ``uint8[H, W, C]`` as grey (1) or RGB (3): luma of ITU-R BT.601 in whole numbers."""
    have = image.shape[2]
    if have == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    parts = image.astype(np.int32) @ np.array([299, 587, 114], np.int32)
    return ((parts + 500) // 1000).astype(np.uint8)[..., None]
