"""The ``refresh:`` section of a recipe: model stages, gates, profiles.

Needs pydantic alone, so that a recipe is validated without TensorFlow. What each kind of stage
takes is in `schemas.stages`.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.data_gates import DataGates
from schemas.errors import InputError, unknown_name
from schemas.fitting import MODEL_FAMILIES, STRICT, TEXT_FAMILIES, Positive, located
from schemas.gates import Gates
from schemas.mirror import parse_mirror
from schemas.notify import Notify
from schemas.probes import Robustness
from schemas.profiles import PROFILES
from schemas.stages import ANSWERS_ONLY, STAGE_KINDS, parse_config
from schemas.validation import validated

_NAME = re.compile(r"[a-z][a-z0-9_]*")

Artifact = Literal["saved_model", "tflite"]
Section = TypeVar("Section")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Stage:
    """One named stage with its validated settings; base and teacher name earlier stages."""

    name: str
    kind: str
    config: Any
    base: str | None = None
    teacher: str | None = None


@dataclass(frozen=True, config=STRICT, kw_only=True)
class StageSpec:
    """One entry of ``refresh.stages`` as written, before a profile is laid over it."""

    name: str
    kind: str
    config: dict[str, Any] = Field(default_factory=dict)
    base: str | None = None
    teacher: str | None = None


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Profile:
    """Overrides of a profile: stage name to config fields, and keys of the other sections."""

    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    gates: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    robustness: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RefreshPlan:
    """A `RefreshConfig` with one profile applied: what a run executes."""

    model: str
    profile: str
    stages: tuple[Stage, ...]
    push: str
    gates: Gates
    data: DataGates = dataclasses.field(default_factory=DataGates)
    robustness: Robustness | None = None
    notify: Notify | None = None
    artifact: Artifact = "saved_model"
    keep: Positive | None = None
    mirror: str | None = None

    def stage(self, name: str) -> Stage:
        """Return the stage of that name; ``ValueError`` lists the valid names."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ValueError(f"no stage named {name!r}; stages: {[s.name for s in self.stages]}")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RefreshConfig:
    """The stages in order, the one whose model is evaluated and pushed, and what it must show.

    Label smoothing is 0 in a stage that teaches another, unless it says otherwise: smoothed
    answers hide which classes are alike (Müller et al., "When Does Label Smoothing Help?", 2019).

    ``gates`` is what `schemas.gates.Gates` takes, with a ceiling of bytes; ``data``
    (`schemas.data_gates.DataGates`) what the dataset must show before anything is trained;
    ``robustness`` (`schemas.probes.Robustness`) which corrupted examples are answered as well;
    ``notify`` (`schemas.notify.Notify`) who hears of the outcome.

    ``artifact`` says in which form it is evaluated, weighed and pushed: ``saved_model``, or
    ``tflite`` where the stage that is pushed is a ``quantize`` stage. ``keep`` is how many pushed
    versions stay on the disk; by default all do. ``mirror`` is a folder, or one of an object store
    (`schemas.mirror.parse_mirror`), that is brought to the same state after a push.
    Every profile is validated on construction, so a recipe cannot hold one that fails later.
    """

    model: Literal["image_resnet", "text_embedding", "text_conv"]
    stages: tuple[StageSpec, ...] = Field(min_length=1)
    push: str
    gates: dict[str, Any]
    data: dict[str, Any] = Field(default_factory=dict)
    robustness: dict[str, Any] | None = None
    notify: Notify | None = None
    artifact: Artifact = "saved_model"
    keep: Positive | None = None
    mirror: str | None = None
    profiles: dict[Literal["smoke", "demo", "full"], Profile] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "RefreshConfig":
        earlier: dict[str, StageSpec] = {}
        for index, spec in enumerate(self.stages):
            problem = _problem(spec, earlier, self.model)
            if problem:
                raise located(("stages", index, problem[0]), problem[1])
            earlier[spec.name] = spec
        if self.push not in earlier:
            raise located(("push",), f"must name a stage ({', '.join(earlier)}), not {self.push!r}")
        if earlier[self.push].kind in ANSWERS_ONLY:
            text = f"must name a stage that makes a network; {self.push!r} stores answers"
            raise located(("push",), text)
        if self.mirror is not None:
            try:
                parse_mirror(self.mirror)
            except InputError as error:
                raise error.under("mirror") from None
        problem = _artifact_problem(self.artifact, earlier[self.push], self.stages)
        if problem:
            raise located((problem[0],), problem[1])
        for profile, overrides in self.profiles.items():
            for name in overrides.stages:
                if name not in earlier:
                    valid = ", ".join(earlier)
                    raise located(
                        ("profiles", profile, "stages", name),
                        f"must name a stage ({valid}), not {name!r}",
                    )
        for name in PROFILES:
            self.for_profile(name)
        return self

    def for_profile(self, name: str) -> RefreshPlan:
        """Lay profile ``name`` over the stages and return the validated plan.

        A profile that the recipe does not mention changes nothing.

        Raises:
            ValueError: unknown profile, or settings that the stage kinds refuse.
        """
        if name not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {name!r}")
        profile = self.profiles.get(name, Profile())  # type: ignore[call-overload]
        stages = []
        teachers = _taught_from(self.stages)
        for index, spec in enumerate(self.stages):
            written = spec.config
            if spec.name in teachers and "label_smoothing" in _fields(STAGE_KINDS[spec.kind]):
                written = {"label_smoothing": 0.0, **written}
            own = _validated(
                spec.kind, _with_family(spec, written, self.model), ("stages", index, "config")
            )
            override = profile.stages.get(spec.name)
            if override is not None:
                settings = _with_family(spec, _merged(written, override), self.model)
                own = _validated(spec.kind, settings, ("profiles", name, "stages", spec.name))
            stages.append(
                Stage(
                    name=spec.name, kind=spec.kind, config=own, base=spec.base, teacher=spec.teacher
                )
            )
            start_problem = _start_problem(stages[-1])
            if start_problem:
                raise located(("stages", index, *start_problem[0]), start_problem[1])
            width_problem = _width_problem(stages[-1], stages)
            if width_problem:
                raise located(("stages", index, "config", "width"), width_problem)
        gates = self._section("gates", Gates, name)
        _check_gates(gates, robustness=self.robustness is not None)
        return RefreshPlan(
            model=self.model,
            profile=name,
            stages=tuple(stages),
            push=self.push,
            gates=gates,
            data=self._section("data", DataGates, name),
            robustness=(
                None if self.robustness is None else self._section("robustness", Robustness, name)
            ),
            notify=self.notify,
            artifact=self.artifact,
            keep=self.keep,
            mirror=self.mirror,
        )

    def _section(self, section: str, kind: type[Section], profile: str) -> Section:
        """Return a section with what the profile lays over it.

        Raises:
            InputError: with its path below ``refresh``.
        """
        own = getattr(self, section) or {}
        loc: tuple[str, ...] = (section,)
        try:
            found = validated(kind, own)
            overrides = self.profiles.get(profile, Profile())  # type: ignore[call-overload]
            if over := getattr(overrides, section):
                loc = ("profiles", profile, section)
                found = validated(kind, _merged(own, over))
        except InputError as error:
            raise error.under(*loc) from None
        return found


def _check_gates(gates: Gates, *, robustness: bool) -> None:
    """Refuse gates that would be silent.

    Raises:
        InputError: no ceiling of bytes, or a floor of what is not measured.
    """
    if gates.ceilings.bytes is None:
        raise InputError(
            "gates need a ceiling of the bytes that ship; add ceilings: {bytes: 1000000}",
            path=("gates", "ceilings"),
        )
    if gates.floors.robust_accuracy is not None and not robustness:
        raise InputError(
            "robust_accuracy is of corrupted test examples, and there are none; add robustness: "
            "{examples: 1000} to refresh, or remove the floor",
            path=("gates", "floors", "robust_accuracy"),
        )


def _taught_from(stages: tuple[StageSpec, ...]) -> set[str]:
    """Return the names of the stages that another one learns from, now or through signals."""
    return {stage.teacher for stage in stages if stage.teacher is not None}


def _problem(
    spec: StageSpec, earlier: Mapping[str, StageSpec], family: str
) -> tuple[str, str] | None:
    """Return the faulty field of a stage and why, or None."""
    if not _NAME.fullmatch(spec.name):
        return "name", f"must be lower-case letters, digits and _, not {spec.name!r}"
    if spec.name in earlier:
        return "name", f"must be unique, but {spec.name!r} is used twice"
    if spec.kind not in STAGE_KINDS:
        return "kind", f"must be one of {', '.join(STAGE_KINDS)}, not {spec.kind!r}"
    if spec.kind == "ngrams" and family not in TEXT_FAMILIES:
        return "kind", f"ngrams teaches texts, not {family}: use train for the teacher"
    kind = STAGE_KINDS[spec.kind]
    for field, demand in (("base", kind.BASE), ("teacher", kind.TEACHER)):
        value = getattr(spec, field)
        if value is None and demand == "required":
            return field, f"a {spec.kind} stage needs a {field}: name an earlier stage"
        if value is not None and demand == "none":
            return field, f"a {spec.kind} stage takes no {field}; remove {value!r}"
        if value is not None and value not in earlier:
            valid = ", ".join(earlier) or "none before this one"
            return field, f"must name an earlier stage ({valid}), not {value!r}"
        if value is not None and earlier[value].kind == "quantize":
            fix = f"name the network that it quantises, {earlier[value].base!r}"
            return field, f"must name a stage that makes a network; {value!r} is quantised: {fix}"
        masked = field == "base" and value is not None and earlier[value].kind == "mask"
        if masked and spec.kind not in ("mask", "quantize"):
            return field, (
                f"a {spec.kind} stage would let the weights that {value!r} masked grow back: give "
                f"{value!r} the epochs, or mask after {spec.name!r}"
            )
        if value is not None and earlier[value].kind in ANSWERS_ONLY:
            if field == "base" or spec.kind == "signals":
                return field, f"must name a stage that makes a network; {value!r} stores answers"
    if spec.kind == "compact" and earlier[str(spec.teacher)].kind != "ngrams":
        text = f"must name a stage of kind ngrams, which compact chooses by, not {spec.teacher!r}"
        return "teacher", text
    return None


def _start_problem(stage: Stage) -> tuple[tuple[str, ...], str] | None:
    """Return the faulty key where a stage names not exactly one start, and why, or None."""
    if not hasattr(stage.config, "start"):
        return None
    if stage.base is None and stage.config.start is None:
        return ("base",), (
            f"a {stage.kind} stage needs a base (an earlier stage) or from, in its config: a "
            "model directory, a .keras file, pushed, or applications/NAME"
        )
    if stage.base is not None and stage.config.start is not None:
        return ("config", "from"), (
            f"a {stage.kind} stage starts from one network, not from base {stage.base!r} and "
            f"{stage.config.start!r}: remove one"
        )
    return None


def _width_problem(stage: Stage, stages: list[Stage]) -> str | None:
    """Return why a stage cannot start from the width that it names, or None."""
    width = getattr(stage.config, "width", None)
    if width is None or getattr(stage.config, "start", None) is not None:
        return None
    base = next((one for one in stages if one.name == stage.base), None)
    if base is None or base.kind != "widths":
        return f"takes one width of its base, a stage of kind widths, not {stage.base!r}"
    if width not in base.config.widths:
        valid = ", ".join(f"{one:g}" for one in base.config.widths)
        return f"must be a width of {base.name!r} ({valid}), not {width:g}"
    return None


def _artifact_problem(
    artifact: str, pushed: StageSpec, stages: tuple[StageSpec, ...]
) -> tuple[str, str] | None:
    """Return the faulty field where the stage that is pushed does not write the artifact."""
    if artifact == "tflite" and pushed.kind != "quantize":
        fitting = [one.name for one in stages if one.kind == "quantize"]
        fix = (
            f"push {' or '.join(fitting)}"
            if fitting
            else f"add a stage of kind quantize with base: {pushed.name}, and push that"
        )
        return "artifact", (
            f"tflite is written by quantize stages, but push names {pushed.name!r} "
            f"({pushed.kind}): {fix}"
        )
    if artifact == "saved_model" and pushed.kind == "quantize":
        return "push", (
            f"{pushed.name!r} is a quantize stage, which writes no saved_model: set artifact: "
            f"tflite, or push {pushed.base!r}"
        )
    return None


def _with_family(spec: StageSpec, settings: Mapping[str, Any], family: str) -> dict[str, Any]:
    """Name the family in the model options of the kinds that build a network."""
    if "model" not in _fields(STAGE_KINDS[spec.kind]):
        return dict(settings)
    options = settings.get("model", {})
    if not isinstance(options, Mapping):
        return dict(settings)
    return {**settings, "model": {"family": family, **options}}


def _merged(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay overrides over settings, mapping by mapping."""
    merged = dict(settings)
    for name, value in overrides.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _validated(kind: str, settings: Mapping[str, Any], loc: tuple[str | int, ...]) -> Any:
    try:
        return parse_config(kind, settings)
    except ValidationError as error:
        raise _prefixed(error, loc) from None


def _prefixed(error: ValidationError, loc: tuple[str | int, ...]) -> ValidationError:
    """Return the same errors, located from the refresh section's own root."""
    details = []
    for one in error.errors():
        own = tuple(part for part in one["loc"] if part not in MODEL_FAMILIES)
        text = one["msg"] if one["type"] == "refresh" else f"{one['msg']}, not {one['input']!r}"
        if one["type"] == "unexpected_keyword_argument":
            text = unknown_name("key", own[-1], _keys(error.title, one["loc"]))
        details.append(
            InitErrorDetails(
                type=PydanticCustomError("refresh", "{text}", {"text": text}),
                loc=(*loc, *own),
                input=one["input"],
            )
        )
    return ValidationError.from_exception_data("refresh", details)


def _keys(title: str, loc: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are valid beside the last part of an error's location."""
    families = [MODEL_FAMILIES[part] for part in loc if part in MODEL_FAMILIES]
    classes = {kind.__name__: kind for kind in STAGE_KINDS.values()}
    return [name for name in _fields((families or [classes[title]])[0]) if name != "family"]


def _fields(kind: Any) -> list[str]:
    known = kind.__pydantic_fields__
    return [known[one.name].alias or one.name for one in dataclasses.fields(kind)]
