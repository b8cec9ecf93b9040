"""Expected calibration error: how far confidence is from accuracy.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3: the predictions are
put into equal bins of their confidence; the error is the mean over the examples of the distance
between accuracy and mean confidence in their bin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from components.acceptance.resampling import REPLICATES, Floats, resamples

BINS = 15


def calibration_error(correct: ArrayLike, confidence: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error, 0 to 1.

    Args:
        correct: ``bool[N]``: whether the predicted class is the label.
        confidence: ``float[N]``: probability of the predicted class. A bin holds its upper end.
        bins: How many equal bins there are between 0 and 1.
    """
    table = _gaps(correct, confidence, bins)
    return float(np.abs(table.sum(axis=0)).sum() / len(table))


def replicated_errors(
    correct: ArrayLike,
    confidence: ArrayLike,
    *,
    bins: int = BINS,
    replicates: int = REPLICATES,
) -> Floats:
    """Return the calibration errors ``float64[replicates]`` of bootstrap samples.

    The samples depend on the number of examples alone: two models on the same examples are
    resampled alike, so that the differences of their errors are a paired bootstrap.

    Args:
        correct: ``bool[N]``, one per independent example.
        confidence: ``float[N]``.
        bins: As in `calibration_error`.
        replicates: Number of samples.
    """
    table = _gaps(correct, confidence, bins)
    drawn = [block @ table for block in resamples(len(table), replicates=replicates)]
    return np.asarray(np.abs(np.concatenate(drawn)).sum(axis=1) / len(table))


def _gaps(correct: ArrayLike, confidence: ArrayLike, bins: int) -> Floats:
    """Return ``float64[N, bins]``: right (1 or 0) minus confidence, in the bin of each example."""
    sure = np.asarray(confidence, np.float64)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    table = np.zeros((len(sure), bins))
    table[np.arange(len(sure)), place] = np.asarray(correct, np.float64) - sure
    return table
