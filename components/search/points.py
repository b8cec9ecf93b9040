"""Trade-offs between accuracy and size: what dominates what, fronts, the volume they cover."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a network reaches and costs.

    Attributes:
        accuracy: Share of the eval split that its TFLite model answers rightly.
        bytes: Bytes of that TFLite model.
        macs: Multiply-accumulate operations per example.
        latency_ms: Median milliseconds of one example on one thread. It is measured, so it varies
            from run to run, and nothing is decided by it.
    """

    accuracy: float
    bytes: int
    macs: int
    latency_ms: float

    @property
    def costs(self) -> tuple[float, float, float]:
        """What decides, all to be small: lost accuracy, bytes, MACs."""
        return (-self.accuracy, float(self.bytes), float(self.macs))


def ranks(costs: Sequence[Sequence[float]]) -> list[int]:
    """Return for each row of costs how many fronts lie before its own: 0 is not dominated.

    Non-dominated sorting of Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm:
    NSGA-II" (2002). Equal rows share a front.

    Args:
        costs: ``float[N, K]``, all to be small.
    """
    rows = np.asarray(costs, np.float64)
    found = np.full(len(rows), -1)
    for rank in range(len(rows)):
        left = np.flatnonzero(found < 0)
        if not len(left):
            break
        found[[one for one in left if not _dominated(rows[one], rows[left])]] = rank
    return [int(one) for one in found]


def front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Return the positions of the rows that no other dominates, in their order."""
    return [position for position, rank in enumerate(ranks(costs)) if rank == 0]


def _dominated(row: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Tell whether another row is nowhere worse and somewhere better."""
    return bool(((others <= row).all(axis=1) & (others < row).any(axis=1)).any())


def hypervolume(costs: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """Return the area that rows of two costs dominate up to a reference point.

    The hypervolume indicator of Zitzler and Thiele (1998), in two dimensions. Rows that are not
    better than the reference in both add nothing.

    Args:
        costs: ``float[N, 2]``, both to be small.
        reference: The corner that the area is bounded by.
    """
    right, top = reference
    area = 0.0
    for x, y in sorted((x, y) for x, y in costs if x < right and y < top):
        if y < top:
            area += (right - x) * (top - y)
            top = y
    return area


def promoted(
    points: Sequence[Point], count: int, target: float, *, always: Sequence[int] = ()
) -> list[int]:
    """Return the positions of ``count`` points that are worth more training, ascending.

    Whole fronts go on, the first ones first. Of the front that does not fit, those go on whose
    accuracy is nearest to the target: now they are there where the network that is looked for is
    thought to be. Ranking by fronts is how Schmucker et al., "Multi-objective Asynchronous
    Successive Halving" (2021), promote; they break ties by spread, having no target.

    Args:
        points: What the networks of a rung reached.
        count: How many go on.
        target: The accuracy that is looked for.
        always: Positions that go on in any case.
    """
    order = [one for one in nearest(points, target, len(points)) if one not in always]
    return sorted([*always, *order][:count])


def nearest(points: Sequence[Point], target: float, count: int) -> list[int]:
    """Return the positions of the best points, front by front, nearest to the target first."""
    order = sorted(
        zip(ranks([one.costs for one in points]), range(len(points)), strict=True),
        key=lambda pair: (pair[0], abs(points[pair[1]].accuracy - target), pair[1]),
    )
    return [position for _, position in order[:count]]
