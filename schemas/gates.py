"""What a refresh must show before its model goes live: the ``gates:`` settings.

Needs pydantic alone, so that a recipe is validated without TensorFlow. `docs/gates.md` explains
each test; `components.acceptance` carries them out.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, field_validator, model_validator
from pydantic.dataclasses import dataclass

from schemas.errors import InputError, unknown_name
from schemas.figures import LARGEST_LOSS, LEAST_PROBABILITY
from schemas.numbers import Number, Whole, number_or_by_name

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Missing = Literal["refuse", "floors"]
Metric = Literal["accuracy", "loss", "calibration_error"]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Floors:
    """The least that is accepted; each is compared with a lower confidence bound.

    ``recall_per_class`` and ``accuracy_per_slice`` are one floor for all classes or slices, or a
    floor by name. ``robust_accuracy`` is that of the corrupted test examples.
    """

    accuracy: Number | None = None
    recall_per_class: float | dict[str, float] | None = None
    accuracy_per_slice: float | dict[str, float] | None = None
    robust_accuracy: Number | None = None

    @field_validator("recall_per_class", mode="before")
    @classmethod
    def _read_recall(cls, value: Any) -> Any:
        return value if value is None else number_or_by_name(value, "class")

    @field_validator("accuracy_per_slice", mode="before")
    @classmethod
    def _read_slices(cls, value: Any) -> Any:
        return value if value is None else number_or_by_name(value, "slice")

    @model_validator(mode="after")
    def _check(self) -> "Floors":
        for name, value in _given(self):
            for path, one in _each(name, value):
                if not 0 < one < 1:
                    raise InputError(
                        f"{path[-1]} is a share, above 0 and below 1 (no number of examples makes "
                        f"1 certain), not {one!r}; write 0.9 for 90 %",
                        path=path,
                    )
            if isinstance(value, Mapping) and not value:
                raise InputError(f"{name} names nothing; give a floor, or remove it", path=(name,))
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Ceilings:
    """The most that is accepted.

    ``bytes`` of what ships, ``parameters``, ``memory_bytes`` at the peak, ``latency_p95_ms`` of one
    example; ``calibration_error`` (0 to 1) and ``loss`` (nats) by an upper confidence bound.
    """

    bytes: Whole | None = None
    parameters: Whole | None = None
    memory_bytes: Whole | None = None
    latency_p95_ms: Number | None = None
    calibration_error: Number | None = None
    loss: Number | None = None

    @model_validator(mode="after")
    def _check(self) -> "Ceilings":
        for name, value in _given(self):
            if not value > 0:
                raise InputError(f"{name} must be above 0, not {value!r}", path=(name,))
        if self.calibration_error is not None and self.calibration_error >= 1:
            raise InputError(
                f"calibration_error is a share below 1, not {self.calibration_error!r}; write 0.05 "
                "for 5 %",
                path=("calibration_error",),
            )
        if self.loss is not None and self.loss >= LARGEST_LOSS:
            raise InputError(f"loss {_beyond_all(self.loss)}; 0.4 is a limit", path=("loss",))
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class AgainstLive:
    """How the candidate must compare with the live model on the same examples.

    Exactly one of ``tolerated_loss`` (shown to lose less than that) and ``required_gain`` (shown to
    gain more than that), in units of ``metric``: a share for ``accuracy`` and
    ``calibration_error``, nats for ``loss``.

    ``on_first_run``: nothing was ever live; ``on_missing``: what is live cannot be read or scored;
    ``on_incompatible``: it has other classes or takes other inputs. ``floors`` leaves
    the decision to the floors, ``refuse`` refuses.
    """

    tolerated_loss: Number | None = None
    required_gain: Number | None = None
    metric: Metric = "accuracy"
    alpha: Number | None = None
    on_first_run: Missing = "floors"
    on_missing: Missing = "refuse"
    on_incompatible: Missing = "refuse"

    @model_validator(mode="after")
    def _check(self) -> "AgainstLive":
        if (self.tolerated_loss is None) == (self.required_gain is None):
            given = "none" if self.tolerated_loss is None else "both"
            raise InputError(
                f"set exactly one of tolerated_loss and required_gain, not {given}; 0.01 tolerates "
                "one point of accuracy",
                path=("tolerated_loss",) if given == "none" else ("required_gain",),
            )
        for name in ("tolerated_loss", "required_gain"):
            value = getattr(self, name)
            if value is not None and value < 0:
                other = "required_gain" if name == "tolerated_loss" else "tolerated_loss"
                raise InputError(
                    f"{name} must be 0 or more, not {value!r}; use {other}: {-value!r}",
                    path=(name,),
                )
            if value is not None and self.metric != "loss" and value >= 1:
                raise InputError(
                    f"{name} is a share of 1, not {value!r}; write 0.01 for one point", path=(name,)
                )
            if value is not None and value >= LARGEST_LOSS:
                raise InputError(f"{name} {_beyond_all(value)}; 0.05 is a limit", path=(name,))
        _check_alpha(self.alpha)
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Gates:
    """What a candidate must show; a floor or a comparison is required, so that no gate is silent.

    ``alpha`` is the most that each test may err to the candidate's favour. All tests must pass, so
    it is also the most that the whole gate errs.
    """

    alpha: Number = 0.05
    floors: Floors = dataclasses.field(default_factory=Floors)
    ceilings: Ceilings = dataclasses.field(default_factory=Ceilings)
    against_live: AgainstLive | None = None

    @model_validator(mode="after")
    def _check(self) -> "Gates":
        _check_alpha(self.alpha)
        if _given(self.floors):
            return self
        if self.against_live is None:
            raise InputError(
                "gates need a floor or against_live: with neither, any model would go live; add "
                "floors: {accuracy: 0.9}",
                path=("floors",),
            )
        for name in ("on_first_run", "on_missing", "on_incompatible"):
            if getattr(self.against_live, name) == "floors":
                raise InputError(
                    f"{name}: floors leaves the decision to floors, and there is none; add floors: "
                    f"{{accuracy: 0.9}}, or set {name}: refuse",
                    path=("against_live", name),
                )
        return self


def check_names(gates: Gates, *, classes: Collection[str], slices: Collection[str]) -> None:
    """Look whether the classes and slices that have a floor exist, before hours of training.

    Args:
        gates: The settings.
        classes: Those of the dataset.
        slices: Those of the examples of its test split.

    Raises:
        InputError: One does not; the message names the nearest.
    """
    for key, kind, known in (
        ("recall_per_class", "class", classes),
        ("accuracy_per_slice", "slice", slices),
    ):
        floors = getattr(gates.floors, key)
        for name in floors if isinstance(floors, Mapping) else ():
            if name in known:
                continue
            other = name.removeprefix("class=")
            fix = (
                f"the floor of a class is recall_per_class: {{{other}: {floors[name]:g}}}"
                if kind == "slice" and other in classes
                else unknown_name(kind, name, known)
            )
            raise InputError(
                f"refresh.gates.floors.{key}: {fix}", path=("refresh", "gates", "floors", key)
            )


def _beyond_all(loss: float) -> str:
    return (
        f"must be below {LARGEST_LOSS:.6g} nats, the largest that a model can have (a probability "
        f"below {LEAST_PROBABILITY:g} counts as that), not {loss!r}"
    )


def _check_alpha(alpha: float | None) -> None:
    if alpha is not None and not 0.0001 <= alpha <= 0.2:
        raise InputError(
            f"alpha is the error that a test may make, 0.0001 to 0.2, not {alpha!r}; 0.05 is usual",
            path=("alpha",),
        )


def _given(settings: Any) -> list[tuple[str, Any]]:
    """Return name and value of the fields that are set."""
    pairs = [(one.name, getattr(settings, one.name)) for one in dataclasses.fields(settings)]
    return [(name, value) for name, value in pairs if value is not None]


def _each(name: str, value: float | Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    if isinstance(value, Mapping):
        return [((name, key), one) for key, one in value.items()]
    return [((name,), value)]
