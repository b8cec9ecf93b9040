"""Classes of the training split that end level: who is left out, repeated or weighted.

* ``cap``: every class keeps as many training examples as the smallest class has.
* ``oversample``: every class has as many stored examples, over all copies, as the largest class.
  Copy 0 stays the untouched originals; the augmented copies repeat the examples of smaller
  classes, each time with draws of its own, and make up for copy 0 as well.
* ``weights``: every example has the feature ``weight``, ``N / (classes * examples of its class)``
  (G. King, L. Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9, 2001).

Who is chosen is decided by a hash of the key, so that neither order nor slicing matters. Classes
without a training example are left as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipelines.dataset.slices import Examples

KINDS = ("oversample", "cap", "weights")
REPEAT = 1000
"""The copy number of the j-th repetition of copy k is ``k + REPEAT * j``."""

Ranks = Mapping[int, np.ndarray]
"""Label to uint64[N], the `rank` of each of its training examples, in any order."""


@dataclass(frozen=True)
class Window:
    """How often the examples of one class appear in one copy.

    Attributes:
        times: Appearances of every example.
        first: Examples with a rank from ``first`` to ``last`` appear once more; from ``first`` up
            or up to ``last`` where the window runs around the end. None for no example.
        last: See ``first``.
    """

    times: int
    first: int | None = None
    last: int | None = None

    def of(self, ranks: np.ndarray) -> np.ndarray:
        """Return int64[N], the appearances of examples with these ranks."""
        if self.first is None or self.last is None:
            return np.full(len(ranks), self.times)
        after, before = ranks >= np.uint64(self.first), ranks <= np.uint64(self.last)
        inside = after & before if self.first <= self.last else after | before
        return self.times + inside.astype(np.int64)


@dataclass(frozen=True)
class Balance:
    """What `balance:` means for one dataset; lists have an entry per label.

    Attributes:
        kind: One of `KINDS`.
        counts: Training examples, before balancing.
        limits: ``cap``: the highest rank that is kept; None keeps all.
        windows: ``oversample``: per copy from 1 on, how often each example appears.
    """

    kind: str
    counts: tuple[int, ...]
    limits: tuple[int | None, ...] = ()
    windows: tuple[tuple[Window, ...], ...] = ()

    @classmethod
    def plan(cls, kind: str, ranks: Ranks, classes: int, copies: int) -> Balance:
        """Return the balance of a training split.

        Args:
            kind: One of `KINDS`.
            ranks: Of all training examples.
            classes: Number of labels.
            copies: Augmented copies.
        """
        ordered = [np.sort(ranks.get(label, np.empty(0, np.uint64))) for label in range(classes)]
        counts = tuple(len(one) for one in ordered)
        present = [count for count in counts if count]
        if kind == "cap":
            least = min(present, default=0)
            limits = tuple(int(one[least - 1]) if len(one) else None for one in ordered)
            return cls(kind, counts, limits=limits)
        if kind == "oversample":
            total = max(present, default=0) * (copies + 1)
            windows = tuple(_windows(one, total - len(one), copies) for one in ordered)
            return cls(kind, counts, windows=windows)
        return cls(kind, counts)

    def kept(self, examples: Examples) -> np.ndarray:
        """Return bool[N], which training examples are kept at all."""
        if not self.limits:
            return np.ones(len(examples), bool)
        limits = [2**64 - 1 if one is None else one for one in self.limits]
        return ranks_of(examples.keys) <= np.array(limits, np.uint64)[examples.labels]

    def appearances(self, examples: Examples, copy: int) -> np.ndarray:
        """Return int64[N], how often each training example appears in a copy."""
        times = np.ones(len(examples), np.int64)
        if copy and self.windows:
            ranks = ranks_of(examples.keys)
            for label in np.unique(examples.labels):
                rows = examples.labels == label
                times[rows] = self.windows[label][copy - 1].of(ranks[rows])
        return times

    def weights(self, labels: np.ndarray) -> np.ndarray:
        """Return float32[N], the weight of examples with these labels."""
        present = [count for count in self.counts if count]
        of_label = [sum(present) / (len(present) * count) if count else 0 for count in self.counts]
        return np.array(of_label, np.float32)[labels]

    def to_json(self) -> dict[str, Any]:
        """Return the balance as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Balance:
        """Read what `to_json` wrote."""
        windows = tuple(tuple(Window(**one) for one in some) for some in value["windows"])
        return cls(value["kind"], tuple(value["counts"]), tuple(value["limits"]), windows)


def ranks_of(keys: Sequence[str]) -> np.ndarray:
    """Return uint64[N], a hash of each key that decides its place within its class."""
    hashes = (
        hashlib.blake2b(key.encode("utf-8"), digest_size=8, person=b"refinery.rank").digest()
        for key in keys
    )
    return np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)


def _windows(ordered: np.ndarray, missing: int, copies: int) -> tuple[Window, ...]:
    """Spread ``missing`` appearances evenly over the copies, and each copy's over the examples.

    What is left over in a copy goes to the next examples in order of rank, around the end.
    """
    count = len(ordered)
    if not count:
        return (Window(0),) * copies
    windows, at = [], 0
    for copy in range(copies):
        times, more = divmod(missing // copies + (copy < missing % copies), count)
        if more:
            first, last = int(ordered[at]), int(ordered[(at + more - 1) % count])
            windows.append(Window(times, first, last))
            at = (at + more) % count
        else:
            windows.append(Window(times))
    return tuple(windows)
