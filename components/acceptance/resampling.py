"""Bootstrap bounds of a figure that has no exact test: the calibration error.

Random numbers are raw words of PCG64, which NumPy promises never to change, so a bound can be
recomputed years later. The seed is fixed: a bound is a function of the predictions alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

REPLICATES = 1_000
SEED = 5
LEAST = 200
"""Fewest independent examples that a bootstrap bound is given for: it is an approximation."""
_WORDS = 1 << 18  # drawn at a time

Floats = NDArray[np.float64]


def resamples(examples: int, *, replicates: int = REPLICATES, seed: int = SEED) -> Iterator[Floats]:
    """Yield blocks ``float64[B, N]``: how often each example is drawn, per replicate.

    Args:
        examples: N, at least 1 and below 2**32; so many are drawn with replacement.
        replicates: Rows of all blocks together.
        seed: Decides the draws.
    """
    bits = np.random.PCG64(seed)
    rows = max(1, _WORDS // examples)
    for start in range(0, replicates, rows):
        block = min(rows, replicates - start)
        drawn = bits.random_raw(block * examples)
        drawn >>= np.uint64(32)
        drawn *= np.uint64(examples)
        drawn >>= np.uint64(32)
        rowwise = drawn.view(np.int64).reshape(block, examples)
        rowwise += np.arange(block)[:, None] * examples
        counts = np.bincount(rowwise.ravel(), minlength=block * examples)
        yield counts.reshape(block, examples).astype(np.float64)


def upper_bound(estimate: float, replicated: Floats, alpha: float) -> float:
    """Return the larger of the percentile and the basic bootstrap bound, at least the estimate.

    A calibration error is biased upwards in a sample and again in a resample. Of a single one the
    percentile bound errs to the high side, of a difference the basic bound may be the higher one.
    """
    high = -float(_low_quantile(-replicated, alpha))
    low = float(_low_quantile(replicated, alpha))
    return max(estimate, high, 2 * estimate - low)


def _low_quantile(values: Floats, alpha: float) -> Floats:
    """Return, along the first axis, the order statistic that errs to the low side.

    Davison and Hinkley, "Bootstrap Methods and their Application" (1997), p. 18.
    """
    rank = max(math.floor(alpha * (len(values) + 1)), 1)
    return np.asarray(np.partition(values, rank - 1, axis=0)[rank - 1])
