"""How far two samples of counts lie apart, and how far equal data would by chance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Counts ``[..., bins]`` of two samples to their distances ``[...]``, 0 to 1."""

PERMUTATIONS = 1_999
_FALSE_ALARMS = 2


def l_infinity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the largest difference of a bin's share."""
    return np.abs(_shares(a) - _shares(b)).max(-1)


def jensen_shannon(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence, in bits (Lin, IEEE Trans. Inf. Theory 37, 1991).

    Both samples weigh the same, whatever their sizes.
    """
    from scipy.spatial.distance import jensenshannon

    distance = jensenshannon(_shares(a), _shares(b), base=2, axis=-1)
    # SciPy returns the root, and of equal distributions a NaN where rounding went below 0.
    return np.clip(np.nan_to_num(np.square(distance), nan=0.0), 0.0, 1.0)


def by_chance(a: np.ndarray, b: np.ndarray, distance: Distance) -> float:
    """Return a distance that samples of these sizes seldom exceed when they come from one source.

    A permutation test: the examples of both are thrown together and dealt out again, which gives
    hypergeometric counts. Of 1,999 deals the second largest distance is returned, so that two
    samples of one source exceed it with probability 2 / 2,000 at most, whatever their sizes
    (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010). The random numbers are fixed: equal
    counts give an equal result.

    Args:
        a: Counts of one sample, ``int64[bins]``.
        b: Counts of the other.
        distance: The distance.
    """
    both = a + b
    generator = np.random.Generator(np.random.PCG64(0))
    dealt = generator.multivariate_hypergeometric(
        both, int(a.sum()), PERMUTATIONS, method="marginals"
    )
    found = np.sort(distance(dealt, both - dealt))
    return float(found[-_FALSE_ALARMS])


def _shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return counts / counts.sum(-1, keepdims=True)
