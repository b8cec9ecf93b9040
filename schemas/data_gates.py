"""What a dataset must show before anything is trained on it: the ``data:`` settings.

Needs pydantic alone, so that a recipe is validated without TensorFlow. `docs/data_gates.md`
explains each check; `components.data_checks` carries them out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, field_validator, model_validator
from pydantic.dataclasses import dataclass

from schemas.errors import InputError
from schemas.features import Modality
from schemas.manifest import SPLITS
from schemas.numbers import Number, Whole, number_or_by_name

STRICT = ConfigDict(extra="forbid")

FEATURES: Mapping[Modality, tuple[str, ...]] = {
    "image": ("brightness", "contrast", "saturation"),
    "text": ("length", "unknown_words", "upper_case"),
}
"""The features whose distributions are compared."""
_KNOWN = tuple(name for names in FEATURES.values() for name in names)


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Drift:
    """How far the training split may be from that of the last accepted dataset; None: any distance.

    ``label`` limits the largest difference of a class's share (L-infinity), ``features`` the
    Jensen-Shannon divergence (base 2) of each feature, or of those that it names. Both lie between
    0 (equal) and 1.
    """

    label: Number | None = 0.1
    features: float | dict[str, float] | None = 0.1

    @property
    def limited(self) -> bool:
        """Whether anything is held against a limit."""
        return (self.label, self.features) != (None, None)

    @field_validator("features", mode="before")
    @classmethod
    def _read_features(cls, value: Any) -> Any:
        return value if value is None else number_or_by_name(value, "feature", known=_KNOWN)

    @model_validator(mode="after")
    def _check(self) -> "Drift":
        _check_distances(self)
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Skew:
    """How far eval and test may be from the training split of the same dataset: see `Drift`.

    ``unknown_words`` has no limit of its own: the vocabulary is made of the training split, in
    which few words are unknown.
    """

    label: Number | None = 0.2
    features: float | dict[str, float] | None = dataclasses.field(
        default_factory=lambda: {name: 0.3 for name in _KNOWN if name != "unknown_words"}
    )

    @field_validator("features", mode="before")
    @classmethod
    def _read_features(cls, value: Any) -> Any:
        return value if value is None else number_or_by_name(value, "feature", known=_KNOWN)

    @model_validator(mode="after")
    def _check(self) -> "Skew":
        _check_distances(self)
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DataGates:
    """What a dataset must show; anomalies against its schema are refused whatever is set here.

    ``min_examples`` originals in every split, or by split; ``min_per_class`` of them of every class
    in every split (0 allows a class to be missing); ``max_leakage``: the largest share of the eval
    and of the test examples that may have a near-duplicate in training, None gates it not;
    ``on_first_run``: whether a dataset passes when none was accepted before, so that drift cannot
    be measured; ``on_missing``: when one was, and its profile is not there, is damaged or is of
    another program. That is no reason to refuse where ``drift`` has no limit.
    """

    min_examples: int | dict[str, int] = 1
    min_per_class: Whole = 1
    max_leakage: Number | None = None
    drift: Drift = dataclasses.field(default_factory=Drift)
    skew: Skew = dataclasses.field(default_factory=Skew)
    on_first_run: Literal["pass", "refuse"] = "pass"
    on_missing: Literal["pass", "refuse"] = "refuse"

    @field_validator("min_examples", mode="before")
    @classmethod
    def _read_min_examples(cls, value: Any) -> Any:
        return number_or_by_name(value, "split", known=SPLITS, whole=True)

    @model_validator(mode="after")
    def _check(self) -> "DataGates":
        wanted: dict[tuple[str, ...], int]
        if isinstance(self.min_examples, Mapping):
            if not self.min_examples:
                raise InputError(
                    "min_examples names no split; give a number, or one by split: {train: 1000}",
                    path=("min_examples",),
                )
            wanted = {("min_examples", key): one for key, one in self.min_examples.items()}
        else:
            wanted = {("min_examples",): self.min_examples}
        for path, least in wanted.items():
            if least < 1:
                raise InputError(
                    f"{path[-1]} must be 1 or more, not {least!r}: no example, no training",
                    path=path,
                )
        if self.min_per_class < 0:
            raise InputError(
                f"min_per_class must be 0 or more, not {self.min_per_class!r}; 0 allows a class to "
                "be missing",
                path=("min_per_class",),
            )
        if self.max_leakage is not None and not 0 <= self.max_leakage <= 1:
            raise InputError(
                f"max_leakage is a share, 0 to 1, not {self.max_leakage!r}; write 0.01 for 1 %",
                path=("max_leakage",),
            )
        return self

    def least_examples(self, split: str) -> int:
        """Return how many originals a split needs; 1 where none are asked of it."""
        if isinstance(self.min_examples, Mapping):
            return self.min_examples.get(split, 1)
        return self.min_examples


def limit_of(settings: Drift | Skew, feature: str) -> float | None:
    """Return the limit of a feature's distance, or None where it has none."""
    if isinstance(settings.features, Mapping):
        return settings.features.get(feature)
    return settings.features


def _check_distances(settings: Drift | Skew) -> None:
    given: list[tuple[tuple[str, ...], Any]] = [(("label",), settings.label)]
    if isinstance(settings.features, Mapping):
        if not settings.features:
            raise InputError(
                "features names nothing; give one limit for all, one by name: {brightness: 0.1}, "
                "or null",
                path=("features",),
            )
        given += [(("features", name), one) for name, one in settings.features.items()]
    else:
        given.append((("features",), settings.features))
    for path, limit in given:
        if limit is not None and not 0 < limit <= 1:
            raise InputError(
                f"{path[-1]} is a distance, above 0 (equal) and at most 1, not {limit!r}; 0.1 is "
                "usual, null sets no limit",
                path=path,
            )
