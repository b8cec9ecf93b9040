"""One step of image registration: how well does one window explain another?

B. D. Lucas and T. Kanade, "An Iterative Image Registration Technique with an Application to Stereo
Vision", 1981: what a small movement does to an image is linear in its derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_UNIT = 8  # band-passed levels are in eighths


@dataclass(frozen=True)
class Fit:
    """How references explain queries.

    Attributes:
        share: Explained share of the query's energy (adjusted R squared).
        gain: Contrast of the query, reference = 1.
        moves: Cells moved, [M, 2].
        growth: Magnification less 1.
        detail: Energy of the Laplacian of the smoother of the two, their own = 1: below 1 for what
            was enlarged, 2 to 4 for photographs of 32x32.
        stripes: Energy of the second derivative down or right, whichever has less, likewise: below
            0.2 for little more than stripes (a ship on the horizon).
    """

    share: Array
    gain: Array
    moves: Array
    growth: Array
    detail: Array
    stripes: Array


def correlation(query: Array, reference: Array) -> Array:
    """Return float64[M]: the cosine of the angle between band-passed windows."""
    a, b = _flat(query), _flat(reference)
    squares = (a * a).sum(1) * (b * b).sum(1)
    cosine: Array = (a * b).sum(1) / np.sqrt(np.maximum(squares, 1.0))
    return cosine


def energy(windows: Array) -> Array:
    """Return float64[M]: mean square of band-passed windows, grey levels squared."""
    values = _flat(windows)
    mean: Array = (values * values).mean(1) / _UNIT**2
    return mean


def fit(query: Array, reference: Array) -> Fit:
    """Fit band-passed windows int32[M, K, K] by the reference's and what small changes add.

    These are its two derivatives (movement), growth, and two second derivatives (blur, and what a
    movement by half a cell does to fine detail). All sums are of integers below 2**53, and the
    elimination goes element by element.
    """
    inner = query.shape[1] - 2
    target, seen = query[:, 1:-1, 1:-1], reference
    middle = seen[:, 1:-1, 1:-1]
    down = seen[:, 2:, 1:-1] - seen[:, :-2, 1:-1]  # twice the derivatives
    right = seen[:, 1:-1, 2:] - seen[:, 1:-1, :-2]
    centred = 2 * np.arange(inner) - (inner - 1)  # twice the distance
    growth = down * centred[:, None] + right * centred
    curved_down, curved_right = _curvatures(seen)
    blur = curved_down + curved_right
    twist = seen[:, 2:, 2:] + seen[:, :-2, :-2] - seen[:, 2:, :-2] - seen[:, :-2, 2:]
    planes = np.stack([middle, down, right, growth, blur, twist, target], 1)
    planes = planes.reshape(len(query), 7, -1).astype(np.float64)
    sums = planes @ planes.transpose(0, 2, 1)
    solved = _solved(sums[:, :6].copy())
    explained = sum(solved[:, i] * sums[:, i, 6] for i in range(6))
    total = sums[:, 6, 6]
    # Adjusted R squared. The energy may lie in a few cells (a plane in the sky), which six
    # regressors fit by chance: cells count by their share of it (participation ratio).
    squares = planes[:, 6] * planes[:, 6]
    cells = total**2 / np.maximum((squares * squares).sum(1), 1.0)
    unexplained = np.clip(1 - explained / np.maximum(total, 1.0), 0, 1)
    unexplained *= cells / np.maximum(cells - 6, 1)
    detail, seen_detail = _details(query), _details(reference)
    gain = solved[:, 0]
    unit = np.where(gain == 0, 1e-9, gain)
    return Fit(
        share=np.round(1 - unexplained, 4),
        gain=gain,
        moves=2 * solved[:, 1:3] / unit[:, None],
        growth=4 * solved[:, 3] / unit,
        detail=np.minimum(detail[0], seen_detail[0]),
        stripes=np.minimum(detail[1], seen_detail[1]),
    )


def _curvatures(windows: Array) -> tuple[Array, Array]:
    """Return the second derivatives down and right of all but the outermost cells."""
    twice = 2 * windows[:, 1:-1, 1:-1]
    down: Array = windows[:, :-2, 1:-1] + windows[:, 2:, 1:-1] - twice
    right: Array = windows[:, 1:-1, :-2] + windows[:, 1:-1, 2:] - twice
    return down, right


def _details(windows: Array) -> tuple[Array, Array]:
    """Return the energy of the Laplacian and of the lesser curvature, the windows' own = 1."""
    across, along = _curvatures(windows)
    down, right = _squared(across), _squared(along)
    whole = np.maximum(_squared(windows[:, 1:-1, 1:-1]), 1.0)
    return _squared(across + along) / whole, np.minimum(down, right) / whole


def _squared(values: Array) -> Array:
    """Return the sum of squares float64[M] of int32[M, ...]."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    total: Array = (flat * flat).sum(1)
    return total


def _solved(system: Array) -> Array:
    """Solve normal equations float64[M, K, K + 1], right-hand side last; changes its argument."""
    size = system.shape[1]
    solved = np.zeros(system.shape[:2])
    for i in range(size):
        system[:, i, i] += 1e-3
        for j in range(i + 1, size):
            factor = system[:, j, i] / system[:, i, i]
            system[:, j, i:] -= factor[:, None] * system[:, i, i:]
    for i in reversed(range(size)):
        rest = system[:, i, size].copy()
        for j in range(i + 1, size):
            rest -= system[:, i, j] * solved[:, j]
        solved[:, i] = rest / system[:, i, i]
    return solved


def _flat(windows: Array) -> Array:
    """Return float64[M, .] of int32[M, K, K] without the outermost ring, as `fit` compares them."""
    size = (windows.shape[1] - 2) * (windows.shape[2] - 2)  # -1 fails where there are no rows
    return windows[:, 1:-1, 1:-1].reshape(len(windows), size).astype(np.float64)


def band_passed(windows: Array) -> Array:
    """Return int32[M, K, K] of uint8[M, K, K], in eighths of a grey level.

    Smoothed by [1 2 1] / 4 each way, less the mean of 5x5.
    """
    width = windows.shape[1]
    padded = np.pad(windows.astype(np.int32), ((0, 0), (2, 2), (2, 2)), mode="edge")
    inner = padded[:, 1:-1, 1:-1]
    smooth = inner[:, :-2] + 2 * inner[:, 1:-1] + inner[:, 2:]
    smooth = smooth[:, :, :-2] + 2 * smooth[:, :, 1:-1] + smooth[:, :, 2:]
    mean: Array = padded[:, :width].copy()
    for i in range(1, 5):
        mean += padded[:, i : i + width]
    padded, mean = mean, mean[:, :, :width].copy()
    for i in range(1, 5):
        mean += padded[:, :, i : i + width]
    band: Array = (25 * smooth - 16 * mean) * _UNIT // 400
    return band
