"""The stages of a refresh and their settings: one config class per kind.

Needs pydantic alone, so that a recipe is validated, and ``list stages`` answers, without
TensorFlow. A stage kind is one config class here plus one module in ``components``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from schemas.applications import APPLICATIONS, PREFIX
from schemas.errors import unknown_name
from schemas.fitting import (
    STRICT,
    Fitting,
    Fraction,
    ModelOptions,
    Positive,
    Teachable,
    located,
)
from schemas.pruning import MaskConfig, PruneConfig, VocabularyConfig
from schemas.teaching import NgramConfig, SignalsConfig


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TrainConfig(Fitting):
    """Train a new network on the labels."""

    model: ModelOptions


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DistillConfig(Teachable):
    """Train a new network on the softened answers of a teacher, and on the labels."""

    TEACHER: ClassVar[str] = "required"
    model: ModelOptions


def width_name(share: float) -> str:
    """Return what a width is called in files and signatures: ``width_50`` for 0.5."""
    return f"width_{100 * share:.6g}".replace(".", "_")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class WidthsConfig(Teachable):
    """Train one network that can be run in several widths, narrower ones with fewer channels.

    ``widths`` are shares of every layer's channels, widest first, the first 1. The channels are
    ordered once by ``criterion``; a width keeps the best, rounded up to multiples of ``round_to``
    and never below ``floor``. Every step trains all widths: the full one on the labels, with a
    teacher from its answers too; the others from what the full one answers in that step, which
    makes the share ``in_place`` of their loss, and on the labels. ``calibration`` training examples
    give each width BatchNorm statistics of its own, and are what the criterion ``taylor`` looks at.

    The export has a signature for each: ``serving_default``, ``width_50``, ``width_25``. Later
    stages start from the full width; finetune and quantize from any, by their ``width``.
    """

    BASE: ClassVar[str] = "required"
    TEACHER: ClassVar[str] = "optional"
    widths: tuple[Fraction, ...] = (1.0, 0.5, 0.25)
    criterion: Literal["l1", "l2", "l1_in_out", "bn_gamma", "taylor", "random"] = "l1_in_out"
    round_to: Positive = 4
    floor: Fraction = 0.1
    in_place: Annotated[float, Field(ge=0, le=1)] = 0.5
    calibration: Positive = 2_000

    @model_validator(mode="after")
    def _check(self) -> "WidthsConfig":
        shares = self.widths
        falling = all(one > two for one, two in zip(shares, shares[1:], strict=False))
        if len(shares) < 2 or shares[0] != 1 or not falling:
            text = (
                "begin with 1.0 and name at least one more, each below the one before, such as "
                f"[1.0, 0.5, 0.25]; not {list(shares)}"
            )
            raise located(("widths",), text)
        if len({width_name(one) for one in shares}) < len(shares):
            text = f"must differ in the first six digits, not {list(shares)}"
            raise located(("widths",), text)
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class CompactConfig(Teachable):
    """Train a text network of a few dozen kilobytes on the answers of an ``ngrams`` stage.

    It knows ``words`` words, and the words of the best ``pairs`` pairs of neighbouring words, as
    an n-gram model of all training texts weighs them; its vocabulary is its own. It has a number
    for each word, and one for each pair that gets one of ``slots`` slots (0: no pairs); ``penalty``
    times half their squares is added to the loss. ``tokens`` words of a document are read, its
    first or its last (``truncate``).
    """

    TEACHER: ClassVar[str] = "required"
    words: Positive = 1_500
    pairs: Annotated[int, Field(ge=0)] = 3_000
    slots: Annotated[int, Field(ge=0)] = 16_000
    tokens: Annotated[int, Field(ge=2)] = 1_000
    truncate: Literal["head", "tail"] = "head"
    penalty: Annotated[float, Field(ge=0)] = 3e-6
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 12
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.03
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    temperature: Annotated[float, Field(gt=0)] = 1.0
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _check(self) -> "CompactConfig":
        if self.attention:
            text = "is for networks with feature maps, which a compact one has not: remove it"
            raise located(("attention",), text)
        return self


@dataclass(
    frozen=True, config=ConfigDict(extra="forbid", validate_by_name=True), kw_only=True
)  # by name too: dataclasses.replace() knows no alias
class FinetuneConfig(Teachable):
    """Train an existing network further, from a teacher's answers too where one is named.

    It starts from the stage's ``base``, or ``from`` elsewhere: a model directory, a ``.keras``
    file, ``pushed`` (the newest pushed model that was made of another dataset), or
    ``applications/NAME``, an architecture of ``keras.applications`` with ``weights``: a file,
    ``imagenet`` (a download), or random where left out. Images are brought to ``size`` pixels a
    side inside that network. ``width`` starts from one width of a network that has several.

    ``head: new`` replaces the last Dense layer by a fresh one for the dataset's classes. ``freeze``
    is the share of the layers with weights, from the inputs on, that stays as it is, BatchNorm
    statistics included; the head always learns. The share falls to 0 over ``unfreeze`` epochs (0:
    it stays). A layer learns at ``layer_decay`` times the rate of the next one.

    ``previous`` names an earlier dataset: on its eval split no more than ``tolerance`` of the
    accuracy may be lost, or the stage refuses.
    """

    BASE: ClassVar[str] = "optional"
    TEACHER: ClassVar[str] = "optional"
    start: Annotated[str, Field(min_length=1)] | None = Field(default=None, alias="from")
    weights: Annotated[str, Field(min_length=1)] | None = None
    size: Positive | None = None
    head: Literal["keep", "new"] = "keep"
    width: Fraction | None = None
    freeze: Annotated[float, Field(ge=0, le=1)] = 0.0
    unfreeze: Annotated[int, Field(ge=0, le=10_000)] = 0
    layer_decay: Fraction = 1.0
    previous: Annotated[str, Field(min_length=1)] | None = None
    tolerance: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def application(self) -> str | None:
        """Return the architecture of ``keras.applications`` that it starts from, or None."""
        if self.start is None or not self.start.startswith(PREFIX):
            return None
        return self.start.removeprefix(PREFIX)

    @model_validator(mode="after")
    def _check(self) -> "FinetuneConfig":
        if self.application is not None:
            if self.application not in APPLICATIONS:
                text = unknown_name("architecture", self.application, APPLICATIONS)
                raise located(("from",), text)
            if self.head != "new":
                text = f"must be new: {self.start} has no head for the classes of the dataset"
                raise located(("head",), text)
        for key, wanted, fix in (
            ("weights", self.application is not None, f"is for from: {PREFIX}NAME"),
            ("size", self.application is not None, f"is for from: {PREFIX}NAME"),
            ("width", self.application is None, "is for a network that has several widths"),
            ("unfreeze", self.freeze > 0 or not self.unfreeze, "needs freeze: what to unfreeze"),
            ("previous", self.head == "keep", "needs head: keep, for its classes must be known"),
            ("tolerance", self.previous is not None, "needs previous: an earlier dataset"),
        ):
            if getattr(self, key) is not None and not wanted:
                raise located((key,), f"{fix}; set that, or remove {key}")
        if self.previous is not None and self.tolerance is None:
            raise located(("tolerance",), "is required by previous: the accuracy that may be lost")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class SearchConfig(Teachable):
    """Search for the smallest network above an accuracy floor, by pruning and fine-tuning.

    ``floor`` is the least accuracy on ``Split-eval``, ``budget`` counts the training epochs of all
    networks tried. One that proves itself in every rung is trained for ``epochs``; of ``rungs``
    rungs, each is ``reduction`` times as long as the one before, and lets one in so many on.

    Tried are: ``methods`` (``uniform`` cuts the same share of every dependency group, ``groups``
    departs from it by up to ``shift`` in each, ``global`` ranks all channels together,
    ``iterative`` does so in rounds, one per epoch of the first rung), ``criteria`` (default:
    l1_in_out, taylor, and bn_gamma where there are scales), shares between ``ratios``, and with a
    teacher also learning its answers, alone or with ``attention`` (0: never).

    ``layer_floor`` is the least share of a layer that stays; ``round_to``, ``protected`` and
    ``calibration`` mean what they mean in a ``prune`` stage. Accuracy and bytes are those of the
    TFLite model, in the form of ``quantization``.
    """

    BASE: ClassVar[str] = "required"
    TEACHER: ClassVar[str] = "optional"
    floor: Fraction
    budget: Positive
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 8
    rungs: Positive = 2
    reduction: Annotated[int, Field(ge=2)] = 4
    methods: Annotated[
        tuple[Literal["uniform", "groups", "global", "iterative"], ...], Field(min_length=1)
    ] = ("uniform", "groups", "global", "iterative")
    criteria: (
        Annotated[
            tuple[Literal["l1", "l2", "l1_in_out", "bn_gamma", "taylor", "random"], ...],
            Field(min_length=1),
        ]
        | None
    ) = None
    ratios: tuple[
        Annotated[float, Field(gt=0, lt=1)],
        Annotated[float, Field(gt=0, lt=1)],
    ] = (0.1, 0.9)
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.25
    attention: Annotated[float, Field(ge=0)] = 10.0
    layer_floor: Fraction = 0.05
    round_to: Positive = 4
    protected: tuple[str, ...] = ()
    calibration: Positive = 1_000
    quantization: Literal["dynamic", "int8", "float16", "float32"] = "int8"

    @model_validator(mode="after")
    def _check(self) -> "SearchConfig":
        low, high = self.ratios
        if low >= high:
            raise located(("ratios",), f"names the least share first, not {low} and {high}")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class QuantizeConfig:
    """Convert a network to TFLite, with fewer bits per weight; trains nothing.

    ``method``: ``dynamic`` stores weights in 8 bits and quantises activations as they come;
    ``int8`` quantises both, with the ranges that ``calibration`` original training examples
    (default 500) show; ``float16`` and ``float32`` keep floats. ``sparse`` encodes the zeros of a
    network that was pruned by masks; only float weights can be run so. ``width`` takes one width
    of a base that has several.
    """

    BASE: ClassVar[str] = "required"
    TEACHER: ClassVar[str] = "none"
    method: Literal["dynamic", "int8", "float16", "float32"] = "int8"
    calibration: Positive | None = None
    sparse: bool = False
    width: Fraction | None = None

    @model_validator(mode="after")
    def _check(self) -> "QuantizeConfig":
        if self.calibration is not None and self.method != "int8":
            text = f"is for method int8; remove it, for {self.method} looks at no example"
            raise located(("calibration",), text)
        if self.sparse and self.method not in ("float32", "float16"):
            text = f"needs method float16 or float32: sparse {self.method} weights cannot be run"
            raise located(("sparse",), text)
        return self


StageConfig = (
    TrainConfig
    | DistillConfig
    | PruneConfig
    | MaskConfig
    | WidthsConfig
    | VocabularyConfig
    | CompactConfig
    | FinetuneConfig
    | SearchConfig
    | QuantizeConfig
    | SignalsConfig
    | NgramConfig
)

STAGE_KINDS: dict[str, type[Any]] = {
    "train": TrainConfig,
    "distill": DistillConfig,
    "prune": PruneConfig,
    "finetune": FinetuneConfig,
    "mask": MaskConfig,
    "widths": WidthsConfig,
    "vocabulary": VocabularyConfig,
    "search": SearchConfig,
    "compact": CompactConfig,
    "quantize": QuantizeConfig,
    "signals": SignalsConfig,
    "ngrams": NgramConfig,
}
ANSWERS_ONLY = ("signals", "ngrams")
"""Kinds that store a teacher's answers and make no network."""


def parse_config(kind: str, settings: Mapping[str, Any]) -> Any:
    """Validate the settings of a stage of that kind into its config class.

    Raises:
        ValueError: unknown kind (the valid ones are listed) or refused settings.
    """
    if kind not in STAGE_KINDS:
        raise ValueError(f"stage kind must be one of {', '.join(STAGE_KINDS)}, not {kind!r}")
    return TypeAdapter(STAGE_KINDS[kind]).validate_python(dict(settings))


def config_settings(config: Any) -> dict[str, Any]:
    """Return a config as plain JSON values; `parse_config` reads them back."""
    settings: dict[str, Any] = TypeAdapter(type(config)).dump_python(
        config, mode="json", by_alias=True
    )
    return settings
