"""Affine resampling in fixed point: the same bytes on every CPU.

Matrices become integers once, after fusion; from there on every step is integer arithmetic.
The images of a chunk are stacked into one tall image, with borders resolved in the coordinates,
so that a single ``cv2.remap`` (its fixed-point path: 5 fractional bits) serves the whole chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError

Images = NDArray[np.uint8]
Matrices = NDArray[np.float64]
Coordinates = NDArray[np.int32] | NDArray[np.int64]

LARGEST_SIDE = 32_000
"""Coordinates are int16 inside OpenCV."""

_BITS = 14
_SUBPIXEL_BITS = 5
SUBPIXELS = 1 << _SUBPIXEL_BITS
"""Into so many parts a pixel is divided."""

_LARGEST_COEFFICIENT = 1 << 10
_LARGEST_OFFSET = 1 << 20
_CHUNK_PIXELS = 1 << 17
_MOVED_PIXELS = 1 << 12
"""From this size on, images that are mirrored or moved by whole pixels are copied one by one."""

_MIRRORS = {(False, False): None, (True, False): 1, (False, True): 0, (True, True): -1}
"""Whether x and y run backwards, to OpenCV's code of the flip."""


def compose(first: Matrices, second: Matrices) -> Matrices:
    """Return the map that warps by ``first``, then by ``second``; all ``float64[N, 2, 3]``.

    Both map output to input pixels. Products are written out: BLAS may fuse multiply and add,
    which rounds differently from CPU to CPU.
    """
    composed = first[:, :, 0:1] * second[:, 0:1, :] + first[:, :, 1:2] * second[:, 1:2, :]
    composed[:, :, 2] += first[:, :, 2]
    return composed


def warp(images: Images, matrices: Matrices, *, fill: str, fill_value: int = 0) -> Images:
    """Return ``images`` resampled bilinearly, each by its own matrix.

    Args:
        images: ``uint8[N, H, W, C]``, C of 1 or 3, contiguous.
        matrices: ``float64[N, 2, 3]``, output to input pixels, from the image centre
            ``((W - 1) / 2, (H - 1) / 2)``; x first.
        fill: What lies outside: ``nearest`` (aaa|abc|ccc), ``constant`` (``fill_value``),
            ``reflect`` (cba|abc|cba) or ``wrap`` (abc|abc|abc).
        fill_value: Grey level for ``constant``.

    Raises:
        InputError: If a side is longer than ``LARGEST_SIDE``.
    """
    height, width = images.shape[1:3]
    _check_sides(height, width)
    coefficients = _fixed_point(matrices, height, width)
    moves = _whole_moves(coefficients, height, width, fill)
    if not moves:
        return _interpolate(images, coefficients, fill, fill_value)
    warped = np.empty_like(images, order="C")
    rest = np.ones(len(images), dtype=np.bool_)
    rest[list(moves)] = False
    if rest.any():
        warped[rest] = _interpolate(images[rest], coefficients[rest], fill, fill_value)
    for row, (flip, right, down) in moves.items():
        _move(images[row], warped[row], flip, right, down, fill, fill_value)
    return warped


def resample(
    images: Images,
    coordinates: Callable[[slice], tuple[Coordinates, Coordinates]],
    *,
    fill: str,
    fill_value: int = 0,
) -> Images:
    """Return ``images`` resampled bilinearly at any coordinates.

    Args:
        images: ``uint8[N, H, W, C]``, C of 1 or 3, contiguous.
        coordinates: Returns, for some consecutive images, the x and the y of the input pixel of
            every output pixel: new ``int32[n, H, W]`` or ``int64``, or what broadcasts to it, in
            units of ``1 / SUBPIXELS`` of a pixel, ``(0, 0)`` the middle of the first pixel.
        fill: What lies outside, as in ``warp``.
        fill_value: Grey level for ``constant``.

    Raises:
        InputError: If a side is longer than ``LARGEST_SIDE``.
    """
    count, height, width = images.shape[:3]
    _check_sides(height, width)
    padded = _pad(images, fill, fill_value)
    rows, columns = padded.shape[1:3]
    warped = np.empty_like(images, order="C")
    chunk = max(1, min(_CHUNK_PIXELS // (height * width), (1 << 15) // rows - 1))
    for start in range(0, count, chunk):
        part = slice(start, min(start + chunk, count))
        shape = (part.stop - start, height, width)
        x, y = coordinates(part)
        x, y = _inside(x, width, fill), _inside(y, height, fill)
        line = y >> _SUBPIXEL_BITS
        line += np.arange(0, shape[0] * rows, rows, dtype=y.dtype)[:, None, None]
        line <<= 16
        pixel = np.empty(shape, "<i4")  # x and y as a pair of int16, written at once
        np.bitwise_or(line, x >> _SUBPIXEL_BITS, out=pixel, casting="unsafe")
        x &= SUBPIXELS - 1
        y &= SUBPIXELS - 1
        between = bool(x.any() or y.any())
        fraction = np.empty(shape if between else 0, np.uint16)
        if between:
            y <<= _SUBPIXEL_BITS
            np.bitwise_or(x, y, out=fraction, casting="unsafe")
        cv2.remap(
            padded[part].reshape(-1, columns, images.shape[3]),
            pixel.view("<i2").reshape(-1, width, 2),
            fraction.reshape(-1, width) if between else fraction,
            cv2.INTER_LINEAR if between else cv2.INTER_NEAREST,
            dst=warped[part].reshape(-1, width, images.shape[3]),
        )
    return warped


def _check_sides(height: int, width: int) -> None:
    if max(height, width) > LARGEST_SIDE:
        raise InputError(
            f"images of up to {LARGEST_SIDE} pixels a side can be warped, got {width}x{height}: "
            "shrink them first"
        )


def _interpolate(
    images: Images, coefficients: NDArray[np.int64], fill: str, fill_value: int
) -> Images:
    height, width = images.shape[1:3]

    def affine(part: slice) -> tuple[Coordinates, Coordinates]:
        x, y = (_coordinates(coefficients[part, axis], height, width) for axis in (0, 1))
        return x, y

    return resample(images, affine, fill=fill, fill_value=fill_value)


def _whole_moves(
    coefficients: NDArray[np.int64], height: int, width: int, fill: str
) -> dict[int, tuple[int | None, int, int]]:
    """Return row -> (how to mirror, pixels right, pixels down) of what needs no interpolation.

    Those are images mirrored, moved by whole pixels, or both. What a move brings into view must be
    of one colour or the border's, as ``cv2.copyMakeBorder`` makes it.
    """
    linear = coefficients[:, :, :2]
    steps = linear[:, (0, 1), (0, 1)]
    unit = (np.abs(steps) == 1 << _BITS).all(axis=1)
    unit &= (linear[:, (0, 1), (1, 0)] == 0).all(axis=1)
    if height * width < _MOVED_PIXELS or not unit.any():
        return {}
    origin = coefficients[:, :, 2] >> (_BITS - _SUBPIXEL_BITS)
    unit &= (origin % SUBPIXELS == 0).all(axis=1)
    sides = np.array([width, height])
    first = origin >> _SUBPIXEL_BITS
    moves = np.where(steps > 0, -first, first - (sides - 1))
    farthest = sides if fill in ("constant", "nearest") else 1
    unit &= (np.abs(moves) < farthest).all(axis=1)
    return {
        row: (
            _MIRRORS[steps[row, 0] < 0, steps[row, 1] < 0],
            int(moves[row, 0]),
            int(moves[row, 1]),
        )
        for row in np.flatnonzero(unit).tolist()
    }


def _move(
    image: NDArray[np.uint8],
    moved: NDArray[np.uint8],
    flip: int | None,
    right: int,
    down: int,
    fill: str,
    fill_value: int,
) -> None:
    """Write ``image``, mirrored, then moved, into ``moved``."""
    if not right and not down:
        if flip is None:
            moved[:] = image
        else:
            cv2.flip(image, flip, dst=moved)
        return
    mirrored = image if flip is None else cv2.flip(image, flip)
    height, width = image.shape[:2]
    cv2.copyMakeBorder(
        mirrored[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)],
        max(0, down),
        max(0, -down),
        max(0, right),
        max(0, -right),
        (cv2.BORDER_CONSTANT if fill == "constant" else cv2.BORDER_REPLICATE) | cv2.BORDER_ISOLATED,
        dst=moved,
        value=[fill_value] * 4,
    )


def _fixed_point(matrices: Matrices, height: int, width: int) -> NDArray[np.int64]:
    """Return integer coefficients over pixel indices, with ``_BITS`` fractional bits.

    The centre is half-integral: ``(W - 1) / 2``. A bit more of scale keeps that exact.
    """
    last = np.array([width - 1, height - 1], dtype=np.int64)
    scaled = np.empty(matrices.shape, dtype=np.int64)
    linear = np.clip(matrices[:, :, :2], -_LARGEST_COEFFICIENT, _LARGEST_COEFFICIENT)
    offset = np.clip(matrices[:, :, 2], -_LARGEST_OFFSET, _LARGEST_OFFSET)
    scaled[:, :, :2] = np.rint(linear * (1 << _BITS))
    twice = 2 * np.rint(offset * (1 << _BITS)).astype(np.int64) + (last << _BITS)
    twice -= scaled[:, :, 0] * last[0] + scaled[:, :, 1] * last[1]
    half_a_subpixel = 1 << (_BITS - _SUBPIXEL_BITS - 1)
    scaled[:, :, 2] = (twice >> 1) + half_a_subpixel
    return scaled


def _coordinates(coefficients: NDArray[np.int64], height: int, width: int) -> Coordinates:
    """Return one source coordinate of every output pixel in subpixels: ``int[N, H, W]``.

    Where it depends on the row or on the column alone, W or H is 1.
    """
    reach = np.abs(coefficients) @ np.array([width, height, 1], dtype=np.int64)
    fits = reach.max(initial=0) < 2**31
    integer: Any = np.int32 if fits else np.int64
    per_x, per_y, origin = (coefficients[:, i, None].astype(integer) for i in range(3))
    width, height = width if per_x.any() else 1, height if per_y.any() else 1
    along_x = per_x * np.arange(width, dtype=integer) + origin
    along_y = per_y * np.arange(height, dtype=integer)
    coordinates: Coordinates = along_y[:, :, None] + along_x[:, None, :]
    coordinates >>= _BITS - _SUBPIXEL_BITS
    return coordinates


def _inside(coordinates: Coordinates, side: int, fill: str) -> Coordinates:
    """Move coordinates (in subpixels, changed in place) into the image that ``_pad`` made."""
    if fill == "wrap":
        coordinates %= side * SUBPIXELS
        return coordinates
    if fill == "constant":
        coordinates += SUBPIXELS
        return np.clip(coordinates, 0, (side + 1) * SUBPIXELS, out=coordinates)
    if fill == "reflect":
        half = SUBPIXELS // 2
        period = 2 * side * SUBPIXELS
        coordinates += half
        if -period < coordinates.min() and coordinates.max() < period:
            np.abs(coordinates, out=coordinates)  # the reflected coordinate is even and periodic
        else:
            coordinates %= period
        np.minimum(coordinates, period - coordinates, out=coordinates)
        coordinates -= half
    return np.clip(coordinates, 0, (side - 1) * SUBPIXELS, out=coordinates)


def _pad(images: Images, fill: str, fill_value: int) -> Images:
    """Add the pixels that interpolation across the border needs."""
    if fill == "wrap":
        return np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="wrap")
    if fill == "constant":
        ring = ((0, 0), (1, 1), (1, 1), (0, 0))
        return np.pad(images, ring, mode="constant", constant_values=fill_value)
    return images
