"""Stateless random numbers: one independent stream per example, the same on every machine.

A row's numbers are a pure function of (seed, key, copy, stream names, position). Nothing is
consumed, so batch size, row order and process cannot change them. The generator is the splitmix64
finaliser over a counter (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) in wrapping 64-bit integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError

U64 = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_LARGEST_RANGE = 2**32


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers for a batch of rows.

    Attributes:
        state: ``uint64[N]``, one generator state per row.
    """

    state: U64

    @classmethod
    def root(cls, seed: int, keys: Sequence[str], copy: int) -> Draws:
        """Return the generator of each key under ``seed`` for the ``copy``-th copy.

        Args:
            seed: Integer in ``[0, 2**64)``.
            keys: One stable name per row.
            copy: Which augmented copy, 0 or more.

        Raises:
            InputError: If ``seed`` or ``copy`` is out of range.
        """
        if not 0 <= seed < 2**64:
            raise InputError(f"seed must be in [0, 2**64), got {seed}: choose a non-negative one")
        if not 0 <= copy < 2**64:
            raise InputError(f"copy must be 0 or more, got {copy}")
        digests = b"".join(
            hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest() for key in keys
        )
        ids = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
        seeded = _mix(ids + _wrapping_product(seed))
        return cls(_mix(seeded ^ _wrapping_product(copy)))

    @classmethod
    def from_seeds(cls, seeds: NDArray[np.int64]) -> Draws:
        """Return the generator of each row's ``seeds`` value (see ``params.Seed``)."""
        return cls(_mix(np.asarray(seeds, dtype=np.int64).astype(np.uint64)))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.state)

    def stream(self, name: str) -> Draws:
        """Return an independent generator per row, named ``name``."""
        return Draws(_mix(self.state ^ _stream_offset(name)))

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Draws:
        """Return the generators of some rows, by mask or by indices."""
        return Draws(self.state[rows])

    def bits(self, k: int) -> U64:
        """Return ``uint64[N, k]``; a row's first values do not depend on ``k``."""
        steps = np.arange(1, k + 1, dtype=np.uint64) * _GAMMA
        return _mix(self.state[:, None] + steps)

    def uniform(self, k: int) -> NDArray[np.float64]:
        """Return ``float64[N, k]`` in ``[0, 1)``, multiples of 2**-53."""
        return _unit_interval(self.bits(k))

    def integers(
        self, low: int | NDArray[np.int64], high: int | NDArray[np.int64], k: int
    ) -> NDArray[np.int64]:
        """Return ``int64[N, k]`` with ``low <= value < high``.

        The upper 32 bits are multiplied into the range, so some values are more frequent than
        others by at most a share of ``(high - low) / 2**32``.

        Args:
            low: Inclusive bound, for all rows or one per row.
            high: Exclusive bound, likewise; at most ``low + 2**32``.
            k: Values per row.

        Raises:
            InputError: If a range is empty or too large.
        """
        lows = np.asarray(low, dtype=np.int64).reshape(-1, 1)
        span = np.asarray(high, dtype=np.int64).reshape(-1, 1) - lows
        if span.size and not 0 < span.min() <= span.max() <= _LARGEST_RANGE:
            raise InputError(f"integers needs low < high <= low + 2**32, got {low} and {high}")
        upper = self.bits(k) >> np.uint64(32)
        offsets: U64 = (upper * span.astype(np.uint64)) >> np.uint64(32)
        return lows + offsets.astype(np.int64)

    def choice(self, weights: Sequence[float]) -> NDArray[np.int64]:
        """Return ``int64[N]``: an index into ``weights``, drawn in proportion to them.

        Raises:
            InputError: If there are no weights, one is negative or all are zero.
        """
        shares = np.asarray(weights, dtype=np.float64)
        if shares.size == 0 or shares.min() < 0 or not 0 < shares.sum() < np.inf:
            raise InputError(f"weights must be 0 or more and not all 0, got {list(weights)}")
        limits = np.cumsum(shares)
        points = self.uniform(1)[:, 0] * limits[-1]
        index: NDArray[np.int64] = np.searchsorted(limits, points, side="right").astype(np.int64)
        return np.minimum(index, np.int64(len(limits) - 1), out=index)

    def permutation(self, k: int) -> NDArray[np.int64]:
        """Return ``int64[N, k]``: each row a random order of ``0 .. k-1``."""
        return np.argsort(self.bits(k), axis=1, kind="stable").astype(np.int64)

    def ragged(self, counts: Sequence[int] | NDArray[np.int64]) -> U64:
        """Return ``uint64[sum(counts)]``: ``counts[i]`` values of row ``i``, rows end to end.

        Row ``i`` holds the first ``counts[i]`` values of ``bits``.
        """
        lengths = np.asarray(counts, dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        position = np.arange(1, int(lengths.sum()) + 1) - np.repeat(starts, lengths)
        return _mix(np.repeat(self.state, lengths) + position.astype(np.uint64) * _GAMMA)

    def ragged_uniform(self, counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``ragged`` as ``float64`` in ``[0, 1)``."""
        return _unit_interval(self.ragged(counts))


def _unit_interval(bits: U64) -> NDArray[np.float64]:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(values: U64) -> U64:
    """Return the splitmix64 finaliser of ``values`` in a new array."""
    mixed = values >> np.uint64(30)
    mixed ^= values
    mixed *= _MULTIPLIER_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MULTIPLIER_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _wrapping_product(value: int) -> np.uint64:
    return np.uint64(value * int(_GAMMA) % 2**64)


@lru_cache(maxsize=4096)
def _stream_offset(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest()
    return _wrapping_product(int.from_bytes(digest, "little"))
