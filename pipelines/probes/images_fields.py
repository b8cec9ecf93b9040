"""What the corruptions of images are made of: scales, random fields, exact filters, blends.

All in integers, or in floating point where every intermediate value is a whole number that it holds
exactly, so the bytes are the same on every machine. Sines and cosines, which libraries may round
differently in the last of 53 bits, decide places that are rounded to 1/16 or 1/64 of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.image.noise import normal_field
from pipelines.augment.params import Seed

Images = NDArray[np.uint8]
Whole = NDArray[np.int64]
Values = NDArray[np.float64]

REFERENCE_SIDE = 32
"""Parameters of all families are those of images of this side."""

ONE = 256
"""Weights of blends are whole parts of this."""

_LEAST_DETAIL_SCALE = math.sqrt(0.5)
_LARGEST_PIXEL_SCALE = 3.0
_PLACES = 64
_WEIGHT_BITS = 10
_CHUNK_PIXELS = 1 << 17


def side_scale(images: Images) -> float:
    """Return how much longer the shorter side is than ``REFERENCE_SIDE``.

    Flakes, feathers and drops grow with it.
    """
    shorter: int = min(images.shape[1:3])
    return shorter / REFERENCE_SIDE


def detail_scale(images: Images) -> float:
    """Return the root of ``side_scale``; lengths of blurs and coarse grids grow with it.

    In a larger image a detail has more pixels, but there are smaller details as well. Below 16
    pixels it shrinks no further: a blur would end inside of a pixel.
    """
    return max(math.sqrt(side_scale(images)), _LEAST_DETAIL_SCALE)


def pixel_scale(images: Images) -> float:
    """Return ``detail_scale`` or 3, what is less; noise and quantisation steps grow with it.

    A model averages over more pixels in a larger image; beyond 3 there would be nothing but noise.
    """
    return min(detail_scale(images), _LARGEST_PIXEL_SCALE)


def seeds(draws: Draws, name: str = "seed") -> Whole:
    """Return ``int64[N]`` seeds for kernels that take one."""
    return Seed().sample(draws.stream(name), 1.0)


def chunks(images: Images) -> Iterator[slice]:
    """Yield slices of the batch whose fields take a few megabytes."""
    size = images.shape[1] * images.shape[2]
    step = max(1, _CHUNK_PIXELS // size)
    for start in range(0, len(images), step):
        yield slice(start, start + step)


def plasma(draws: Draws, height: int, width: int, *, roughness: float) -> Whole:
    """Return ``int64[N, height, width]`` plasma fractals on a torus, each from 0 to 1024.

    Midpoint displacement by diamonds and squares (Fournier, Fussell and Carpenter, "Computer
    rendering of stochastic models", CACM 1982): from step to half the step the displacement shrinks
    by ``roughness``, 0 (a smooth hill) to 1 (noise).
    """
    side = 1 << (max(height, width) - 1).bit_length()
    field: Whole = np.zeros((len(draws), side, side), np.int64)
    step, reach, level = side, float(1 << 20), 0
    while step > 1:
        half = step // 2
        corners = field[:, ::step, ::step]
        moved = _displacements(draws.stream(f"level {level}"), 3 * (side // step) ** 2, reach)
        middles, above, left = np.split(moved.reshape(-1, 3, *corners.shape[1:]), 3, axis=1)
        right, below = np.roll(corners, -1, 2), np.roll(corners, -1, 1)
        centres = (corners + right + below + np.roll(below, -1, 2)) >> 2
        centres += middles[:, 0]
        across = (corners + right + centres + np.roll(centres, 1, 1)) >> 2
        down = (corners + below + centres + np.roll(centres, 1, 2)) >> 2
        field[:, half::step, half::step] = centres
        field[:, ::step, half::step] = across + above[:, 0]
        field[:, half::step, ::step] = down + left[:, 0]
        step, reach, level = half, reach * roughness, level + 1
    return stretched(field[:, :height, :width])


def _displacements(draws: Draws, count: int, reach: float) -> Whole:
    bits = (draws.bits(count) >> np.uint64(40)).astype(np.int64)
    return ((bits - (1 << 23)) * round(reach)) >> 23


def blobs(draws: Draws, height: int, width: int, *, cell: float) -> Whole:
    """Return ``int64[N, height, width]`` smooth fields with hills about ``cell`` pixels wide.

    Cubic B-splines with normal coefficients on a square lattice, all in whole numbers.
    """
    down, across = _splines(height, cell), _splines(width, cell).T
    nodes = (down.shape[1], across.shape[0])
    normal = normal_field(draws, nodes[0] * nodes[1]).astype(np.float64).reshape(-1, *nodes)
    return (down @ normal @ across).astype(np.int64) >> _WEIGHT_BITS


@lru_cache(maxsize=64)
def _splines(side: int, cell: float) -> Values:
    """Return ``float64[side, nodes]``: whole numbers, the weight of every node at every pixel."""
    position = (np.arange(side) + 0.5) / cell
    first = np.floor(position).astype(np.intp)
    nodes = np.arange(int(first[-1]) + 4)
    away = np.abs(position[:, None] + 1.0 - nodes)
    near = 4.0 - 6.0 * away * away + 3.0 * away * away * away
    far = np.maximum(2.0 - away, 0.0)
    weights: Values = np.where(away < 1.0, near, far * far * far)
    weights = np.rint(weights * ((1 << _WEIGHT_BITS) / 6.0))
    weights.flags.writeable = False
    return weights


def stretched(field: Whole, top: int = 1024) -> Whole:
    """Return every field stretched to the range 0 to ``top``; a flat one becomes 0."""
    low = field.min(axis=(1, 2), keepdims=True)
    range_ = field.max(axis=(1, 2), keepdims=True) - low
    levels: Whole = (field - low) * top // np.maximum(range_, 1)
    return levels


def blended(images: Images, other: Whole | Images, share: Whole) -> Images:
    """Return ``images`` with ``share`` parts of ``ONE`` replaced by ``other``, rounded.

    Args:
        images: ``uint8[N, H, W, C]``.
        other: Levels 0 to 255; broadcast to ``images``.
        share: 0 to ``ONE``; likewise.
    """
    kept = images.astype(np.int64)
    kept += (share * (other - kept) + ONE // 2) // ONE
    return kept.astype(np.uint8)


def painted(colour: tuple[int, int, int], channels: int) -> Whole:
    """Return a colour as ``int64[channels]``: its luma where there is one channel."""
    if channels == 3:
        return np.array(colour, np.int64)
    red, green, blue = colour
    return np.array([(299 * red + 587 * green + 114 * blue + 500) // 1000], np.int64)


def splat(x: NDArray[np.floating], y: NDArray[np.floating]) -> Whole:
    """Return the kernel ``int64[K, K]`` of points about its middle, each shared by four pixels."""
    places = np.rint(np.stack([x, y]) * _PLACES).astype(np.int64)
    middle = int(np.abs(places).max(initial=0)) // _PLACES + 1
    side = 2 * middle + 1
    (column, row), (right, below) = np.divmod(places + middle * _PLACES, _PLACES)
    kernel: Whole = np.zeros(side * side, np.int64)
    for down, high in enumerate((_PLACES - below, below)):
        for along, wide in enumerate((_PLACES - right, right)):
            inside = high * wide > 0
            place = (row + down) * side + column + along
            np.add.at(kernel, place[inside], (high * wide)[inside])
    return kernel.reshape(side, side)


def filtered(image: NDArray[np.uint8], kernel: Whole) -> NDArray[np.uint8]:
    """Return ``uint8[H, W, C]`` averaged with the weights of ``kernel``, edges replicated.

    OpenCV filters large kernels by Fourier transform. In double precision its sums of whole numbers
    err by far less than a half, so rounding restores them.
    """
    given, weights = image.astype(np.float64), kernel.astype(np.float64)
    sums = cv2.filter2D(given, cv2.CV_64F, weights, borderType=cv2.BORDER_REPLICATE)
    whole = np.rint(sums).astype(np.int64).reshape(image.shape)
    total = int(kernel.sum())
    return ((2 * whole + total) // (2 * total)).astype(np.uint8)
