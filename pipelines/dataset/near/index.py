"""Look-up of near-duplicates: an index to query, and pairs inside one set.

Both kinds of sketches come as keys (where to look) and 64-bit codes (what to compare there): a
candidate is a reference under one of the query's keys whose code differs in few enough bits;
the sketcher then scores it. Equal sketches stand in the index once, and from a key with very many
different ones only `CAP` are compared, so that blank images or texts cost no quadratic time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CAP = 256
"""Windows of references (bands of texts) compared per key and query; the rest is counted."""

_CHUNK = 1024
_MOST_CANDIDATES = 4_000_000

TRAIN = "train"
"""The split that may leak; all others are held out of it."""


class Sketcher(Protocol):
    """What `Index` needs of a kind of sketch.

    Attributes:
        VERSION: Raised with every change of sketches, keys, scores or counts.
        size: Bytes of a sketch.
        key_bits: Keys are below 2 to this power.
        max_distance: Largest number of differing bits of a candidate's code.
    """

    VERSION: ClassVar[int]
    size: ClassVar[int]
    key_bits: ClassVar[int]
    max_distance: ClassVar[int]

    def sketch(self, values: Any) -> Array:
        """Return uint8[N, size]."""

    def query_codes(self, sketches: Array) -> tuple[Array, Array]:
        """Return keys uint32[N, P] and codes uint64[N] or [N, P]."""

    def reference_codes(self, sketches: Array, *, moved: bool) -> tuple[Array, Array]:
        """Return keys uint32[V, N] and codes uint64[V, N], of moved variants too or not."""

    def variants(self, *, moved: bool) -> Array:
        """Return int64[V], what `score` calls the variants of `reference_codes`."""

    def prepare(self, sketches: Array) -> Any:
        """Return what `score` needs of rows."""

    def score(self, query: Any, reference: Any, rows: Array, others: Array, variants: Array) -> Any:
        """Return float32[M]: 0 for what is not similar."""

    def similar(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return bool[N] and float32[N] for pairs of rows."""


@dataclass(frozen=True)
class Entries:
    """Sketches and whose they are.

    Attributes:
        sketches: uint8[N, S].
        splits: Split of each.
        keys: Key of each.
    """

    sketches: Array
    splits: tuple[str, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, row: int) -> tuple[str, str]:
        """Return (split, key) of a row."""
        return self.splits[row], self.keys[row]

    def take(self, rows: Array) -> Entries:
        """Return the entries at rows (integers), in that order."""
        splits = tuple(self.splits[i] for i in rows)
        return Entries(self.sketches[rows], splits, tuple(self.keys[i] for i in rows))

    def with_equals(self, names: Container[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of the names that are here, and all whose sketch equals one of theirs."""
        _, group = _grouped(self.sketches)
        wanted = {int(group[row]) for row in range(len(self)) if self.name(row) in names}
        return {self.name(row) for row in range(len(self)) if int(group[row]) in wanted}

    def ordered(self) -> Entries:
        """Return the entries by split and key."""
        names = list(zip(self.splits, self.keys, strict=True))
        return self.take(np.array(sorted(range(len(self)), key=names.__getitem__), np.int64))

    @classmethod
    def merged(cls, parts: Sequence[Entries]) -> Entries:
        """Return all entries of at least one part, by split and key."""
        splits = tuple(split for part in parts for split in part.splits)
        keys = tuple(key for part in parts for key in part.keys)
        return cls(np.concatenate([part.sketches for part in parts]), splits, keys).ordered()


@dataclass(frozen=True)
class Matches:
    """What a query found, by row, then the best score, then position.

    Attributes:
        rows: int64[M], row of the query.
        positions: int64[M], position in `Index.entries`; of equal sketches the first.
        scores: float32[M], 0 to 1.
        capped: Candidates that were left out (see `CAP`).
    """

    rows: Array
    positions: Array
    scores: Array
    capped: int


class Index:
    """References, ready to be queried. Build it per process; `Entries` are what to ship.

    With ``moved`` (slower to build, and of images alone) queries are found that are a part of a
    reference, or show it moved.
    """

    def __init__(self, sketcher: Sketcher, entries: Entries, *, moved: bool = True):
        self.sketcher = sketcher
        self._variants = sketcher.variants(moved=moved)
        self.entries = entries.ordered()
        self._unique, self.group = _grouped(self.entries.sketches)
        distinct = self.entries.sketches[self._unique]
        self._prepared = sketcher.prepare(distinct)
        keys, codes = sketcher.reference_codes(distinct, moved=moved)
        order = np.argsort(keys.ravel(), kind="stable")  # by key, variant, row
        self._codes = codes.ravel()[order]
        self._places = order.astype(np.uint32 if keys.size < 1 << 32 else np.uint64)
        counts = np.bincount(keys.ravel(), minlength=1 << sketcher.key_bits)
        small = keys.size < 1 << 31
        starts = np.concatenate([[0], np.cumsum(counts)])
        self._starts: Array = starts.astype(np.int32 if small else np.int64)

    @classmethod
    def of(cls, sketcher: Sketcher, entries: Entries) -> Index:
        """Return the index of entries in any order."""
        return cls(sketcher, entries)

    def query(self, sketches: Array) -> Matches:
        """Return all references that a row of uint8[N, S] nearly equals."""
        unique, group = _grouped(sketches)
        parts = [
            self._query(sketches[unique[low : low + _CHUNK]], low)
            for low in range(0, len(unique), _CHUNK)
        ]
        capped = sum(part.capped for part in parts)
        rows = np.concatenate([np.zeros(0, np.int64), *(part.rows for part in parts)])
        positions = np.concatenate([np.zeros(0, np.int64), *(part.positions for part in parts)])
        scores = np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)])
        if len(unique) < len(sketches):  # every row gets what its first equal got
            starts = np.searchsorted(rows, np.arange(len(unique) + 1))
            counts = np.diff(starts)[group]
            at = _ranges(starts[group], counts)
            rows = np.repeat(np.arange(len(sketches)), counts)
            positions, scores = positions[at], scores[at]
        else:
            rows = unique[rows]
        order = np.lexsort((positions, -scores, rows))
        return Matches(rows[order], positions[order], scores[order], capped)

    def left_out(self, sketches: Array) -> Array:
        """Return bool[N]: the entries that `query` does not compare with each of these rows.

        They stand behind the first `CAP` under a key of one of the rows, uint8[N, S].
        """
        behind = np.zeros(len(self._unique), bool)
        if len(sketches):
            keys = np.unique(self.sketcher.query_codes(sketches)[0]).astype(np.int64)
            starts = self._starts[keys].astype(np.int64) + CAP
            places = self._places[_ranges(starts, np.maximum(self._starts[keys + 1] - starts, 0))]
            behind[places % max(len(self._unique), 1)] = True
        return behind[self.group]

    def matched(self, sketches: Array) -> Array:
        """Return bool[N]: does a row of uint8[N, S] nearly equal any reference?"""
        found = np.zeros(len(sketches), bool)
        found[self.query(sketches).rows] = True
        return found

    def _query(self, sketches: Array, first: int) -> Matches:
        """Query distinct rows; ``rows`` count from ``first``, ascending."""
        keys, codes = self.sketcher.query_codes(sketches)
        starts = self._starts[keys]
        counts = self._starts[keys.astype(np.int64) + 1] - starts
        capped = int(np.maximum(counts - CAP, 0).sum())
        counts = np.minimum(counts, CAP)
        rows, places = [], []
        for low, high in _spans(counts.sum(1)):
            some = np.s_[low:high]
            sizes = counts[some].ravel()
            at = _ranges(starts[some].ravel(), sizes)
            if codes.ndim == 1:
                wanted = np.repeat(codes[some], counts[some].sum(1))
            else:
                wanted = np.repeat(codes[some].ravel(), sizes)
            near = np.bitwise_count(self._codes[at] ^ wanted) <= self.sketcher.max_distance
            near = np.nonzero(near)[0]
            owners = np.repeat(np.arange(low, high), counts[some].sum(1))
            rows.append(owners[near])
            places.append(self._places[at[near]])
        row = np.concatenate([np.zeros(0, np.int64), *rows])
        place = np.concatenate([np.zeros(0, np.int64), *places]).astype(np.int64)
        variants, others = np.divmod(place, len(self._unique))
        prepared = self.sketcher.prepare(sketches)
        variants = self._variants[variants]
        scores = self.sketcher.score(prepared, self._prepared, row, others, variants)
        good = scores > 0
        pairs = row[good] * len(self._unique) + others[good]
        distinct, inverse = np.unique(pairs, return_inverse=True)
        best = np.zeros(len(distinct), np.float32)
        np.maximum.at(best, inverse, scores[good])
        row, other = np.divmod(distinct, max(len(self._unique), 1))
        return Matches(row + first, self._unique[other], best, capped)


@dataclass(frozen=True, order=True)
class Pair:
    """Two examples, (split, key) each, ``a`` before ``b``, and how alike they are (0 to 1)."""

    a: tuple[str, str]
    b: tuple[str, str]
    score: float


def spread(entries: Entries, blocks: int) -> dict[tuple[int, int], Entries]:
    """Return the entries for each pair of blocks in which they can find a partner.

    An entry's block is a hash of its key. With one block everything is compared in one place;
    B blocks are B (B + 1) / 2 places, each holding two blocks.
    """
    block = np.array([_block(key, blocks) for key in entries.keys], np.int64)
    parts = {}
    for i in range(blocks):
        for j in range(i, blocks):
            rows = np.nonzero((block == i) | (block == j))[0]
            if len(rows):
                parts[i, j] = entries.take(rows)
    return parts


def find_pairs(
    sketcher: Sketcher, place: tuple[int, int], blocks: int, parts: Iterable[Entries]
) -> tuple[list[Pair], int]:
    """Return the near-duplicates between the two blocks of a place, and how many were capped.

    Every example is compared with those that are held out of training, as moved as may be. Inside
    training, examples are compared as they are or mirrored, and of equal ones each is paired with
    the first of them, and only this one with others: chains, not all pairs. `groups` joins them.
    """
    given = list(parts)
    if not given:
        return [], 0
    entries = Entries.merged(given)
    block = np.array([_block(key, blocks) for key in entries.keys], np.int64)
    trains = np.array([split == TRAIN for split in entries.splits], bool)
    one, other = (entries.take(np.nonzero(block == i)[0]) for i in place)
    held, other_held = (entries.take(np.nonzero((block == i) & ~trains)[0]) for i in place)
    training, other_training = (entries.take(np.nonzero((block == i) & trains)[0]) for i in place)
    first, group = _grouped(other_training.sketches)
    searches = [(held, other, True), (training, other_training.take(first), False)]
    if place[0] != place[1]:
        searches.append((other_held, one, True))
    pairs: dict[tuple[tuple[str, str], tuple[str, str]], float] = {}

    def add(name: tuple[str, str], other_name: tuple[str, str], score: float) -> None:
        if name != other_name:
            both = (min(name, other_name), max(name, other_name))
            pairs[both] = max(score, pairs.get(both, 0.0))

    capped = 0
    for references, queries, moved in searches:
        if not len(references) or not len(queries):
            continue
        index = Index(sketcher, references, moved=moved)
        found = index.query(queries.sketches)
        capped += found.capped
        for row, position, score in zip(found.rows, found.positions, found.scores, strict=True):
            add(queries.name(int(row)), index.entries.name(int(position)), float(score))
    if place[0] == place[1]:
        for row in np.nonzero(first[group] != np.arange(len(other_training)))[0]:
            add(other_training.name(int(row)), other_training.name(int(first[group[row]])), 1.0)
    return sorted(Pair(a, b, score) for (a, b), score in pairs.items()), capped


def groups(pairs: Iterable[Pair]) -> list[list[tuple[str, str]]]:
    """Return the connected groups of near-duplicates, each and all of them sorted."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(one: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(one, one)
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for pair in pairs:
        a, b = sorted((root(pair.a), root(pair.b)))
        parent[b] = a
    members: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for one in sorted(parent):
        members.setdefault(root(one), []).append(one)
    return sorted(members.values())


def _block(key: str, blocks: int) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") % blocks


def _grouped(sketches: Array) -> tuple[Array, Array]:
    """Return the first row of each distinct sketch, ascending, and every row's group in it."""
    rows = np.ascontiguousarray(sketches).view(f"V{sketches.shape[1]}").ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[order] = np.arange(len(first))
    return first[order], place[inverse.ravel()]


def _ranges(starts: Array, counts: Array) -> Array:
    """Return ``start, start + 1, ..`` of so many numbers each, one range after the other."""
    ends = np.cumsum(counts)
    places: Array = np.arange(int(ends[-1]) if len(ends) else 0)
    places += np.repeat(starts - (ends - counts), counts)
    return places


def _spans(counts: Array) -> Iterable[tuple[int, int]]:
    """Yield ranges of rows with a bounded number of candidates (at least one row each)."""
    low, total = 0, 0
    for row, count in enumerate(counts.tolist()):
        if row > low and total + count > _MOST_CANDIDATES:
            yield low, row
            low, total = row, 0
        total += count
    if low < len(counts):
        yield low, len(counts)
