"""The settings of the stages that cut: ``prune``, ``mask``, ``vocabulary``."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from schemas.fitting import STRICT, Fraction, Positive, Teachable, located


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PruneConfig(Teachable):
    """Cut the weakest channels out of a network, recalibrate it and fine-tune it briefly.

    What leaves: ``ratio``, a share of all prunable channels, ranked across layers by
    ``criterion``; or (with ``ratio: null``) all that score below ``threshold``, or ``ratios``, a
    share by name or pattern of a layer. Kept widths are rounded up to multiples of ``round_to``;
    no layer keeps less than ``floor`` (``floors``: by name or pattern) of its own; those that
    ``protected`` names lose nothing. ``calibration`` training examples renew the BatchNorm
    statistics, and are what the criterion ``taylor`` looks at.

    ``schedule``: ``one_shot``; ``iterative``, the share in ``rounds`` (default 5) with
    ``round_epochs`` (default 1) of training after each; ``heuristic``, up to the share in at most
    twice as many rounds, decided by the accuracy on ``Split-eval``: never below
    ``accuracy_floor``, and away from sensitive layers once a round costs more than
    ``largest_drop`` (default 0.01). ``epochs`` of training follow.

    ``sensitivity`` reports what cutting ``sensitivity_ratio`` (default 0.5) of each layer alone
    costs, on ``sensitivity_examples`` (default 1,000) of ``Split-eval``; the heuristic looks at it
    too. ``twin`` trains the same architecture from fresh weights for as many epochs. With a
    teacher, training distils.
    """

    BASE: ClassVar[str] = "required"
    TEACHER: ClassVar[str] = "optional"
    ratio: Annotated[float, Field(gt=0, lt=1)] | None = 0.3
    threshold: Annotated[float, Field(gt=0)] | None = None
    ratios: dict[str, Annotated[float, Field(ge=0, lt=1)]] | None = None
    criterion: Literal["l1", "l2", "l1_in_out", "bn_gamma", "taylor", "random"] = "l1_in_out"
    round_to: Positive = 4
    floor: Fraction = 0.2
    floors: dict[str, Fraction] = dataclasses.field(default_factory=dict)
    protected: tuple[str, ...] = ()
    calibration: Positive = 2_000
    schedule: Literal["one_shot", "iterative", "heuristic"] = "one_shot"
    rounds: Positive | None = None
    round_epochs: Annotated[int, Field(ge=0, le=10_000)] | None = None
    accuracy_floor: Fraction | None = None
    largest_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    sensitivity: bool = False
    sensitivity_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    sensitivity_examples: Positive | None = None
    twin: bool = False

    @model_validator(mode="after")
    def _check(self) -> "PruneConfig":
        ways = [key for key in ("ratio", "threshold", "ratios") if getattr(self, key) is not None]
        if len(ways) != 1:
            given = " and ".join(ways) or "none of them"
            text = f"set exactly one of ratio (0.3 unless null), threshold, ratios; not {given}"
            raise located((ways[-1] if ways else "ratio",), text)
        if self.schedule != "one_shot" and self.ratio is None:
            text = f"is for schedule one_shot; {self.schedule} takes ratio, the share in all"
            raise located((ways[0],), text)
        if self.schedule == "heuristic" and self.accuracy_floor is None:
            text = "is required by schedule heuristic: the least accuracy on Split-eval"
            raise located(("accuracy_floor",), text)
        heuristic = self.schedule == "heuristic"
        for key, wanted, by in (
            ("rounds", self.schedule != "one_shot", "schedule iterative or heuristic"),
            ("round_epochs", self.schedule != "one_shot", "schedule iterative or heuristic"),
            ("accuracy_floor", heuristic, "schedule heuristic"),
            ("largest_drop", heuristic, "schedule heuristic"),
            ("sensitivity_ratio", self.sensitivity or heuristic, "sensitivity or the heuristic"),
            ("sensitivity_examples", self.sensitivity or heuristic, "sensitivity or the heuristic"),
        ):
            if getattr(self, key) is not None and not wanted:
                raise located((key,), f"is for {by}; remove it, or set that")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class MaskConfig(Teachable):
    """Set the weakest single weights to zero and train on with them held there.

    What goes: ``ratio``, a share of all kernels' weights by magnitude (``scope: layer``: of each
    kernel); or (with ``ratio: null``) all below ``threshold``, or ``pattern``, such as ``2:4``:
    the 2 largest of 4 neighbours along the input axis stay. Layers that ``protected`` names stay
    whole. A ratio may be reached in ``rounds``, much at first, with ``round_epochs`` of training
    after each but the last; ``epochs`` follow. ``calibration`` training examples renew the
    BatchNorm statistics. Shapes stay: only ``quantize`` with ``sparse`` makes the file smaller,
    and a later stage that trains lets the weights grow again. With a teacher, training distils.
    """

    BASE: ClassVar[str] = "required"
    TEACHER: ClassVar[str] = "optional"
    ratio: Annotated[float, Field(gt=0, lt=1)] | None = 0.8
    threshold: Annotated[float, Field(gt=0)] | None = None
    pattern: Annotated[str, Field(pattern=r"^[1-9]\d?:[1-9]\d?$")] | None = None
    scope: Literal["global", "layer"] = "global"
    protected: tuple[str, ...] = ()
    calibration: Positive = 2_000
    rounds: Positive = 1
    round_epochs: Annotated[int, Field(ge=0, le=10_000)] = 1

    @model_validator(mode="after")
    def _check(self) -> "MaskConfig":
        ways = [key for key in ("ratio", "threshold", "pattern") if getattr(self, key) is not None]
        if len(ways) != 1:
            given = " and ".join(ways) or "none of them"
            text = f"set exactly one of ratio (0.8 unless null), threshold, pattern; not {given}"
            raise located((ways[-1] if ways else "ratio",), text)
        if self.pattern is not None:
            keep, group = (int(part) for part in self.pattern.split(":"))
            if keep >= group:
                raise located(("pattern",), f"keeps fewer than its group, not {self.pattern}")
        if self.ratio is None and self.rounds > 1:
            raise located(("rounds",), f"is for ratio; {ways[0]} masks at once: remove it")
        if self.ratio is None and self.scope != "global":
            raise located(("scope",), f"is for ratio; remove it, or {ways[0]}")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class VocabularyConfig(Teachable):
    """Keep the words that decide most in a text network, rewrite its vocabulary, train it further.

    ``words`` lines stay, ``<OOV>`` among them: those whose contribution to the logits times the
    square root of their frequency in the training split is highest. The others are read as
    ``<OOV>``. A network with hashed bigrams is refused. With a teacher, training distils.
    """

    BASE: ClassVar[str] = "required"
    TEACHER: ClassVar[str] = "optional"
    words: Annotated[int, Field(ge=2)]
