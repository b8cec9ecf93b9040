"""How an op's parameters are drawn: distributions as data, and fixed settings.

A distribution knows the value that leaves an example unchanged (its identity). Strength 1 is the
declared range, strength 0 the identity alone, anything between shrinks the range towards it;
there is one strength for all rows, or one per row.
Drawn values are multiples of 2**-16 (or integers), so the ``float32`` that provenance stores is
exactly the value used, on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.limits import checked_number, checked_pair
from schemas.errors import InputError, unknown_name

Values = NDArray[np.float64] | NDArray[np.int64]
Strength = float | NDArray[np.float64]
_STEPS = 65536.0


class Distribution(Protocol):
    """What every parameter distribution offers; each is a frozen, comparable dataclass."""

    integer: bool

    def sample(self, draws: Draws, strength: Strength) -> Values:
        """Return one value per row: ``float64[N]``, or ``int64[N]`` where ``integer``."""

    def override(self, value: Any) -> Distribution:
        """Return the same distribution with the bounds that a recipe gave as ``value``."""

    def describe(self) -> Any:
        """Return the bounds in the form that ``override`` accepts."""

    def moments(self, strength: float) -> tuple[float, float]:
        """Return the declared mean and standard deviation at ``strength``."""


@dataclass(frozen=True)
class Uniform:
    """A real number in ``[low, high]``; option form that pair, or one number for both ends.

    An ``identity`` of None is for what changes nothing by itself, such as the direction of a blur
    or the place of a hole: the whole range at every strength. Values are multiples of
    ``1 / steps``.
    """

    low: float
    high: float
    identity: float | None
    limits: tuple[float, float] = (-256.0, 256.0)
    steps: int = 65536
    integer = False

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.float64]:
        """Return ``float64[N]``."""
        low, high = self._range(strength)
        values: NDArray[np.float64] = low + (high - low) * draws.uniform(1)[:, 0]
        return np.rint(values * self.steps) / self.steps

    def override(self, value: Any) -> Uniform:
        """Return the distribution over ``[low, high]``."""
        low, high = checked_pair(value, self.limits)
        return replace(self, low=low, high=high)

    def describe(self) -> list[float]:
        """Return ``[low, high]``."""
        return [float(self.low), float(self.high)]

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        low, high = self._range(strength)
        return (low + high) / 2, (high - low) / math.sqrt(12)

    def _range(self, strength: Any) -> tuple[Any, Any]:
        if self.identity is None:
            return self.low, self.high
        low = self.identity + strength * (self.low - self.identity)
        return low, self.identity + strength * (self.high - self.identity)


@dataclass(frozen=True)
class Symmetric:
    """A real number in ``centre ± bound``, ``centre`` the identity; option form ``bound``.

    Two more forms: ``[low, high]``, the values themselves (``factor: [1.3, 1.3]`` is 1.3), and
    ``[signed, bound]``, nothing but the two ends of the range (see ``Signed``).
    """

    bound: float
    centre: float = 0.0
    limit: float = 180.0
    signed: bool = False
    integer = False

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.float64]:
        """Return ``float64[N]``."""
        return self._drawn().sample(draws, strength)

    def override(self, value: Any) -> Symmetric | Uniform:
        """Return the distribution with another bound, or over ``[low, high]``."""
        if not isinstance(value, list | tuple):
            return replace(self, bound=checked_number(value, 0.0, self.limit), signed=False)
        if len(value) == 2 and value[0] == "signed":
            return replace(self, bound=checked_number(value[1], 0.0, self.limit), signed=True)
        limits = (self.centre - self.limit, self.centre + self.limit)
        low, high = checked_pair(value, limits)
        return Uniform(low, high, identity=self.centre, limits=limits)

    def describe(self) -> Any:
        """Return the bound."""
        return ["signed", float(self.bound)] if self.signed else float(self.bound)

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        return self._drawn().moments(strength)

    def _drawn(self) -> Uniform | Signed:
        if self.signed:
            return Signed(self.bound, centre=self.centre)
        return Uniform(self.centre - self.bound, self.centre + self.bound, self.centre)


@dataclass(frozen=True)
class Signed:
    """Exactly ``centre + bound`` or, as often, ``centre - bound``; option form ``bound``.

    How RandAugment takes magnitudes: the strength scales the bound, only the sign is drawn.
    """

    bound: float
    limit: float = 180.0
    centre: float = 0.0
    integer = False

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.float64]:
        """Return ``float64[N]``."""
        signs = np.where(draws.uniform(1)[:, 0] < 0.5, -1.0, 1.0)
        ends = self.centre + signs * strength * self.bound
        values: NDArray[np.float64] = np.rint(ends * _STEPS) / _STEPS
        return values

    def override(self, value: Any) -> Signed:
        """Return the distribution with another bound."""
        return replace(self, bound=checked_number(value, 0.0, self.limit))

    def describe(self) -> float:
        """Return the bound."""
        return float(self.bound)

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        return self.centre, strength * self.bound


@dataclass(frozen=True)
class Ratio:
    """A ratio between 1 and ``bound`` or, as often, its inverse; option form ``bound``.

    The ratio of the longer to the shorter is uniform. The identity is 1.
    """

    bound: float
    limit: float = 16.0
    integer = False

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.float64]:
        """Return ``float64[N]``."""
        share, side = draws.uniform(2).T
        ratio = 1.0 + (self.bound - 1.0) * strength * share
        values: NDArray[np.float64] = np.where(side < 0.5, ratio, 1.0 / ratio)
        return np.rint(values * _STEPS) / _STEPS

    def override(self, value: Any) -> Ratio:
        """Return the distribution with another bound."""
        return replace(self, bound=checked_number(value, 1.0, self.limit))

    def describe(self) -> float:
        """Return the bound."""
        return float(self.bound)

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        bound = 1.0 + (self.bound - 1.0) * strength
        if bound == 1.0:
            return 1.0, 0.0
        mean = (1.0 + bound) / 4 + math.log(bound) / (bound - 1.0) / 2
        square = (bound * bound + bound + 1.0) / 6 + 1.0 / bound / 2
        return mean, math.sqrt(square - mean * mean)


@dataclass(frozen=True)
class Integers:
    """An integer in ``low .. high``, both included; option form ``[low, high]`` or one integer.

    Strength moves both ends towards the identity, rounded to the nearest integer; not at all where
    the identity is None, as in ``Uniform``.
    """

    low: int
    high: int
    identity: int | None
    limits: tuple[int, int] = (0, 65536)
    integer = True

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.int64]:
        """Return ``int64[N]``."""
        low, high = self._range(strength)
        return draws.integers(low, high + 1, 1)[:, 0]

    def override(self, value: Any) -> Integers:
        """Return the distribution over ``low .. high``."""
        low, high = checked_pair(value, self.limits)
        if low != int(low) or high != int(high):
            raise InputError(f"must be two integers, got {value!r}")
        return replace(self, low=int(low), high=int(high))

    def describe(self) -> list[int]:
        """Return ``[low, high]``."""
        return [self.low, self.high]

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        low, high = self._range(strength)
        return (low + high) / 2, math.sqrt(((high - low + 1) ** 2 - 1) / 12)

    def _range(self, strength: Any) -> tuple[Any, Any]:
        if self.identity is None:
            return self.low, self.high
        low, high = (
            np.floor(strength * (end - self.identity) + 0.5).astype(np.int64) + self.identity
            for end in (self.low, self.high)
        )
        return low, high


@dataclass(frozen=True)
class SymmetricIntegers:
    """An integer in ``-bound .. bound``, 0 the identity; option form ``bound``."""

    bound: int
    limit: int = 512
    integer = True

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.int64]:
        """Return ``int64[N]``."""
        bound = self._bound(strength)
        return draws.integers(-bound, bound + 1, 1)[:, 0]

    def override(self, value: Any) -> SymmetricIntegers:
        """Return the distribution with another bound."""
        bound = checked_number(value, 0, self.limit)
        if bound != int(bound):
            raise InputError(f"must be an integer, got {value!r}")
        return replace(self, bound=int(bound))

    def describe(self) -> int:
        """Return the bound."""
        return self.bound

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        return 0.0, math.sqrt(((2 * int(self._bound(strength)) + 1) ** 2 - 1) / 12)

    def _bound(self, strength: Strength) -> NDArray[np.int64]:
        return np.floor(np.asarray(strength) * self.bound + 0.5).astype(np.int64)


@dataclass(frozen=True)
class Flag:
    """1 with ``probability`` times the strength, else 0 (the identity); option form a number."""

    probability: float = 1.0
    integer = True

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.int64]:
        """Return ``int64[N]`` of 0 and 1."""
        return (draws.uniform(1)[:, 0] < self.probability * strength).astype(np.int64)

    def override(self, value: Any) -> Flag:
        """Return the flag with another probability."""
        return Flag(checked_number(value, 0.0, 1.0))

    def describe(self) -> float:
        """Return the probability."""
        return float(self.probability)

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        share = self.probability * strength
        return share, math.sqrt(share * (1 - share))


@dataclass(frozen=True)
class Seed:
    """A seed in ``[0, 2**62)`` for ``Draws.from_seeds`` inside a kernel; takes no option."""

    integer = True

    def sample(self, draws: Draws, strength: Strength) -> NDArray[np.int64]:
        """Return ``int64[N]``; the same at every strength."""
        return (draws.bits(1)[:, 0] >> np.uint64(2)).astype(np.int64)

    def override(self, value: Any) -> Seed:
        """Refuse: the seed of a kernel follows from the recipe's seed."""
        raise InputError(f"cannot be set, got {value!r}: remove it and set the recipe's seed")

    def describe(self) -> str:
        """Return ``"random"``."""
        return "random"

    def moments(self, strength: float) -> tuple[float, float]:
        """Return mean and standard deviation."""
        return 2.0**61, 2.0**62 / math.sqrt(12)


@dataclass(frozen=True)
class Setting:
    """A fixed, never random option: one of ``choices``, or a number within ``limits``.

    Attributes:
        default: The value.
        choices: All allowed values.
        limits: Least and greatest allowed number.
        unnamed: The value that a policy's canonical mapping leaves out. A setting that is added
            to an op names here what the op did without it, so that no fingerprint changes.
    """

    default: Any
    choices: tuple[Any, ...] = ()
    limits: tuple[float, float] | None = None
    unnamed: Any = None

    def override(self, value: Any) -> Setting:
        """Return the setting with ``value`` in place of the default.

        Raises:
            InputError: If the value is not allowed.
        """
        if self.choices:
            if not any(value == choice and type(value) is type(choice) for choice in self.choices):
                raise InputError(unknown_name("value", value, map(str, self.choices)))
            return replace(self, default=value)
        if self.limits is not None:
            number = checked_number(value, *self.limits)
            if not isinstance(self.default, int):
                return replace(self, default=number)
            if number != int(number):
                raise InputError(f"must be an integer, got {value!r}")
            return replace(self, default=int(number))
        if not isinstance(value, type(self.default)):
            kind = type(self.default).__name__
            raise InputError(f"must be of type {kind}, got {value!r}")
        return replace(self, default=value)
