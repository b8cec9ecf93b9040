"""The pieces of a policy: an op with its settings, a slot of ops, a branch of slots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipelines.augment import registry
from pipelines.augment.limits import check_share, check_strength
from pipelines.augment.params import Seed
from schemas.errors import InputError, unknown_name


@dataclass(frozen=True)
class OpCall:
    """One op with the settings of a recipe.

    Attributes:
        op: Registered name.
        probability: Share of the rows it is applied to, 0 to 1.
        strength: Share of the declared range, 0 (identity) to 1; a pair ``(low, high)`` to draw
            one per row, ``(low, high, levels)`` to draw one of so many evenly spaced.
        options: ``(name, value)`` pairs that override parameter bounds and settings.
        labels: Only rows with one of these class indices; None for all.
    """

    op: str
    probability: float = 1.0
    strength: float | tuple[float, ...] = 1.0
    options: tuple[tuple[str, Any], ...] = ()
    labels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_share(self.probability, "probability")
        check_strength(self.strength)
        registry.get(self.op).configure(dict(self.options))

    def resolved(self) -> registry.Op:
        """Return the op with the options applied."""
        return _configured(self.op, self.options)

    def to_json(self) -> dict[str, Any]:
        """Return every choice that shapes the output, defaults and version included."""
        op = self.resolved()
        bounds = {
            name: value
            for name, value in op.defaults().items()
            if not isinstance(op.params.get(name), Seed) and not op.is_unnamed(name)
        }
        labels = {} if self.labels is None else {"labels": list(self.labels)}
        if isinstance(self.strength, tuple):
            strength: Any = [float(end) for end in self.strength[:2]] + list(self.strength[2:])
        else:
            strength = float(self.strength)
        call = {"op": op.name, "version": op.version, "probability": float(self.probability)}
        return call | {"strength": strength} | labels | bounds


@dataclass(frozen=True)
class Slot:
    """One step: one of ``choices`` is drawn per row, in proportion to ``weights``."""

    choices: tuple[OpCall, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.choices or len(self.choices) != len(self.weights):
            raise InputError(
                "a slot needs at least one op and a weight for each, got "
                f"{len(self.choices)} ops and {len(self.weights)} weights"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the slot in the form that recipes use."""
        pairs = zip(self.choices, self.weights, strict=True)
        return {"choose": [call.to_json() | {"weight": weight} for call, weight in pairs]}


@dataclass(frozen=True)
class Branch:
    """A sequence of slots, taken by a share of the rows in proportion to ``weight``."""

    weight: float
    slots: tuple[Slot, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the branch in the form that recipes use."""
        return {"weight": self.weight, "slots": [slot.to_json() for slot in self.slots]}


def check_modality(name: str, modality: registry.Modality) -> None:
    """Refuse the name of an op that is none for ``modality``."""
    valid = registry.names(modality)
    if name in valid:
        return
    if name in registry.names():
        raise InputError(
            f"op {name!r} is for {registry.get(name).modality} data, not {modality}. "
            f"Valid: {', '.join(valid)}.",
            path=("op",),
        )
    raise InputError(unknown_name("op", name, valid), path=("op",))


@lru_cache(maxsize=1024)
def _configured(name: str, options: tuple[tuple[str, Any], ...]) -> registry.Op:
    return registry.get(name).configure(dict(options))
