"""Labels of mixed examples, from the trace that says what was mixed with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PARTNER = ".partner"


def soft_labels(
    trace: Mapping[str, NDArray[Any]],
    keys: Sequence[str],
    labels: NDArray[np.int64],
    classes: int,
) -> NDArray[np.float32]:
    """Return the share of each class in each row, ``float32[N, classes]``; rows sum to 1.

    Every mixing op keeps ``1 - weight`` of what a row's label was and gives ``weight`` to the label
    of its partner, an original of the same batch.

    Args:
        trace: What ``Policy.apply`` returned.
        keys: The keys it was given.
        labels: Class index of each row.
        classes: Number of classes.
    """
    identity = np.eye(classes)
    soft = identity[labels]
    row_of = {key: row for row, key in enumerate(keys)}
    mixing = [name.removesuffix(_PARTNER) for name in trace if name.endswith(_PARTNER)]
    for name in sorted(mixing, key=lambda name: int(name.split(".")[0].removeprefix("slot"))):
        partners = trace[name + _PARTNER]
        rows = np.flatnonzero(partners != "")
        weight = np.ma.filled(trace[name + ".weight"][rows], 0).astype(np.float64)[:, None]
        of_partner = labels[[row_of[key] for key in partners[rows]]]
        soft[rows] = soft[rows] * (1.0 - weight) + identity[of_partner] * weight
    return soft.astype(np.float32)
