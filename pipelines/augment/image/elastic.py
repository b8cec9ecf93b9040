"""Elastic deformation: a smooth random field of displacements, resampled as ``warp`` does."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.image import warp
from pipelines.augment.image.noise import NORMAL_BITS, normal_field
from pipelines.augment.params import Seed, Setting, Uniform
from pipelines.augment.registry import FILL_SETTINGS, image_op

Values = NDArray[np.float64]

_WEIGHT_BITS = 10
_FINER_BITS = 4
_SMOOTHING = 315 / 151
"""Over the standard deviation of a sum of cubic B-splines with normal coefficients, in 2 D."""


@image_op(
    "elastic",
    family="geometry",
    kind="pixel",
    version=1,
    params={"amount": Uniform(0.0, 0.04, identity=0.0, limits=(0.0, 0.25)), "seed": Seed()},
    settings={"cells": Setting(4, limits=(1, 64))} | FILL_SETTINGS,
)
def elastic(
    images: NDArray[np.uint8],
    *,
    amount: Values,
    seed: NDArray[np.int64],
    cells: int,
    fill: str,
    fill_value: int,
) -> NDArray[np.uint8]:
    """Move pixels along a smooth random field, by ``amount`` of the shorter side on average.

    ``amount`` is the standard deviation of either component. The field is a sum of cubic B-splines
    on a lattice of ``cells`` by ``cells`` with normal coefficients, as smooth as the blurred noise
    of Simard, Steinkraus and Platt (ICDAR 2003); a coarse lattice is the choice of Ronneberger,
    Fischer and Brox (U-Net, MICCAI 2015).
    """
    height, width = images.shape[1:3]
    lattice = _lattice(amount * min(height, width), seed, cells + 3)
    down, across = _splines(height, cells), _splines(width, cells).T
    y, x = warp.SUBPIXELS * np.indices((height, width), dtype=np.int32)
    finer = 2.0 ** -(2 * _WEIGHT_BITS + _FINER_BITS)

    def coordinates(part: slice) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        # Whole numbers below 2**53: exact in whatever order a matrix library adds them up.
        moved = down @ lattice[part] @ across
        moved *= finer
        offsets = np.rint(moved, out=moved).astype(np.int32)
        return x + offsets[:, 0], y + offsets[:, 1]

    return warp.resample(images, coordinates, fill=fill, fill_value=fill_value)


def _lattice(spread: Values, seed: NDArray[np.int64], nodes: int) -> Values:
    """Return ``float64[N, 2, nodes, nodes]`` coefficients: whole parts of a subpixel."""
    normal = normal_field(Draws.from_seeds(seed), 2 * nodes * nodes)
    unit = _SMOOTHING * (warp.SUBPIXELS << _FINER_BITS) * 2.0**-NORMAL_BITS
    coefficients: Values = np.rint(normal * (spread * unit)[:, None])
    return coefficients.reshape(-1, 2, nodes, nodes)


@lru_cache(maxsize=64)
def _splines(side: int, cells: int) -> Values:
    """Return ``float64[side, cells + 3]``: the weight of each node at each pixel, whole numbers."""
    position = (np.arange(side) + 0.5) / side * cells
    cell = np.floor(position).astype(np.intp)
    t = position - cell
    rest = 1.0 - t
    weights = np.zeros((side, cells + 3))
    pixel = np.arange(side)
    weights[pixel, cell] = rest * rest * rest
    weights[pixel, cell + 1] = 3.0 * t * t * t - 6.0 * t * t + 4.0
    weights[pixel, cell + 2] = 3.0 * rest * rest * rest - 6.0 * rest * rest + 4.0
    weights[pixel, cell + 3] = t * t * t
    weights = np.rint(weights * ((1 << _WEIGHT_BITS) / 6.0))
    weights.flags.writeable = False
    return weights
