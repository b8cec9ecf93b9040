"""Expected calibration error: how far confidence is from accuracy, and its exact upper bound.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3: the predictions are
put into equal bins of their confidence; the error is the mean over the examples of the distance
between accuracy and mean confidence in their bin.

So it is the mean of ``sign * gap``, where an example's gap is 1 or 0 (right or wrong) minus its
confidence, and the sign is that of the true mean gap of its bin. For known signs the bound of
`components.acceptance.betting` would hold. They are not known, so that of all signs counts whose
bets make the least: whichever are the true ones, theirs make no less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from components.acceptance.betting import (
    ORDERS,
    Floats,
    limited_stakes,
    orders,
    plug_in_stakes,
    smallest_won,
)

BINS = 15

Places = NDArray[np.int64]


def calibration_error(correct: ArrayLike, confidence: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error, 0 to 1.

    Args:
        correct: ``bool[N]``: whether the predicted class is the label.
        confidence: ``float[N]``: probability of the predicted class. A bin holds its upper end.
        bins: How many equal bins there are between 0 and 1.
    """
    gaps, places = _gaps(correct, confidence, bins)
    return float(np.abs(np.bincount(places, weights=gaps)).sum() / len(gaps))


def error_upper_bound(
    correct: ArrayLike, confidence: ArrayLike, alpha: float, *, bins: int = BINS
) -> float:
    """Return the upper bound of the calibration error that holds with confidence ``1 - alpha``.

    Args:
        correct: ``bool[N]``, one per independent example, at least one.
        confidence: ``float[N]``.
        alpha: Most probability of a bound below the truth.
        bins: As in `calibration_error`.

    Returns:
        The bound, from the measured error to 1.
    """
    gaps, places = _gaps(correct, confidence, bins)
    order = orders(len(gaps))
    gaps, places = gaps[order], places[order]
    measured = calibration_error(correct, confidence, bins)
    return _bound(gaps, places, np.zeros_like(gaps), measured, 1.0, alpha, bins)


def difference_upper_bound(
    correct: ArrayLike,
    confidence: ArrayLike,
    other_correct: ArrayLike,
    other_confidence: ArrayLike,
    alpha: float,
    *,
    bins: int = BINS,
) -> float:
    """Return the upper bound of a calibration error minus that of another model, paired.

    Any signs, if fixed before an example is seen, give the other model a mean that is no larger
    than its error: those of the examples before are taken.

    Args:
        correct: Of the one model, as in `error_upper_bound`.
        confidence: Of the one model.
        other_correct: Of the other model on the same examples.
        other_confidence: Of the other model.
        alpha: Most probability of a bound below the truth.
        bins: As in `calibration_error`.

    Returns:
        The bound, from the measured difference to 2.
    """
    gaps, places = _gaps(correct, confidence, bins)
    others, theirs = _gaps(other_correct, other_confidence, bins)
    order = orders(len(gaps))
    gaps, places, others, theirs = gaps[order], places[order], others[order], theirs[order]
    measured = calibration_error(correct, confidence, bins)
    measured -= calibration_error(other_correct, other_confidence, bins)
    others = _signs_before(others, theirs, bins) * others
    return _bound(gaps, places, others, measured, 2.0, alpha, bins)


def _bound(
    gaps: Floats,
    places: Places,
    others: Floats,
    measured: float,
    largest: float,
    alpha: float,
    bins: int,
) -> float:
    """Return the bound of the mean of ``sign * gap - other``; arrays are ``[ORDERS, N]``."""
    # The signs that make the least may agree with those guessed so far, or be independent of the
    # other model's. Both variances are allowed for: half of what the models have in common counts.
    shared = _signs_before(gaps, places, bins) * gaps * others
    stakes = plug_in_stakes(gaps**2 + others**2 - shared, largest, alpha)
    cells = (places + bins * np.arange(ORDERS)[:, None]).ravel()

    def made(values: Floats) -> Floats:
        sums = np.bincount(cells, weights=np.log1p(values).ravel(), minlength=ORDERS * bins)
        return sums.reshape(ORDERS, bins)

    def capitals(mean: float) -> Floats:
        limited = limited_stakes(stakes, mean, largest)
        above, below = (made(limited * (mean + others - sign * gaps)) for sign in (1, -1))
        return np.asarray(np.minimum(above, below).sum(axis=1))

    return smallest_won(capitals, measured, largest, alpha)


def _signs_before(gaps: Floats, places: Places, bins: int) -> Floats:
    """Return the sign of the sum of the gaps before each one in its bin; 0 for the first."""
    signs = np.zeros_like(gaps)
    for place in range(bins):
        here = places == place
        before = np.cumsum(np.where(here, gaps, 0.0), axis=1) - gaps
        signs[here] = np.sign(before[here])
    return signs


def _gaps(correct: ArrayLike, confidence: ArrayLike, bins: int) -> tuple[Floats, Places]:
    """Return per example right (1 or 0) minus confidence, ``float64[N]``, and its bin."""
    sure = np.asarray(confidence, np.float64)
    places = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    return np.asarray(correct, np.float64) - sure, places
