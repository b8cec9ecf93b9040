"""Recipe: everything that decides the bytes of a dataset, and how models are refreshed from it.

A recipe is a YAML file, shipped (`pipelines/recipes/*.yaml`) or the user's own. It is validated as
a whole before anything runs; every error names the file and the line to fix.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from schemas.adversarial import AdversarialConfig
from schemas.data_gates import FEATURES
from schemas.errors import InputError, printable, unknown_name
from schemas.features import Modality
from schemas.fitting import MODEL_FAMILIES, TEXT_FAMILIES
from schemas.manifest import NAME
from schemas.profiles import PROFILES
from schemas.refresh import Profile, RefreshConfig
from schemas.validation import validated
from schemas.yaml_lines import MAX_DEPTH, KeyPath, load_yaml, parse_scalar

RECIPES_DIR = Path(__file__).resolve().parent.parent / "pipelines" / "recipes"

_FORBID = ConfigDict(extra="forbid")
_PROFILES = ("refresh", "profiles")
_SHOWN_KEY = 100
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0, strict=True)]
Side = Annotated[int, Field(ge=8, le=4096, strict=True)]


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class Splits:
    """Which source splits feed the dataset's train, eval and test splits.

    Evaluation examples are a stable share of the training split, chosen by key hash. A source
    without a test split (``test: null``) gives up another stable share of it.
    """

    train: str = "train"
    test: str | None = "test"
    eval_share: Share = 0.2
    test_share: Share = 0.2

    @model_validator(mode="after")
    def _check(self) -> Splits:
        if self.test is None and self.eval_share + self.test_share >= 1:
            raise ValueError("eval_share + test_share must be below 1, or nothing is left to train")
        if self.test == self.train:
            raise ValueError(f"test must be another source split than train ({self.train!r})")
        return self


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class ImageOptions:
    """How images are read and stored.

    Attributes:
        encoding: ``png`` (lossless, about 0.8 of raw) or ``raw`` bytes.
        size: Height and width that every image is brought to; None keeps the source's.
        fit: How: ``crop`` to the aspect first, ``stretch``, or ``pad`` with black.
        channels: 1 (grey) or 3 (RGB); None keeps the source's.
    """

    encoding: Literal["png", "raw"] = "png"
    size: tuple[Side, Side] | None = None
    fit: Literal["crop", "stretch", "pad"] = "crop"
    channels: Literal[1, 3] | None = None

    @field_validator("size", mode="before")
    @classmethod
    def _check_size(cls, size: Any) -> Any:
        if size is not None and not (isinstance(size, list | tuple) and len(size) == 2):
            raise ValueError(f"must be [height, width] in pixels, e.g. [64, 64], not {size!r}")
        return size


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class TextOptions:
    """How texts are stored: with ``store_tokens`` beside the ids that a served model computes.

    Attributes:
        store_tokens: Whether every example has the int64 feature ``tokens``.
        tokens: Its length.
        truncate: Whether a longer text keeps its first words (``head``) or its last (``tail``).
        pad: On which side a shorter text is filled up.
    """

    store_tokens: bool = False
    tokens: Count = 400
    truncate: Literal["head", "tail"] = "head"
    pad: Literal["left", "right"] = "right"


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class SurveyOptions:
    """What the global pass computes: the number of ``vocabulary`` entries, ``<OOV>`` included."""

    vocabulary: Annotated[int, Field(ge=2, le=10_000_000, strict=True)] = 10_000


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class Recipe:
    """One dataset and its refresh.

    ``source`` and ``policy`` are checked by the source kind and the augmentation registry that
    they name (`pipelines.dataset.plan`). ``copies`` counts the augmented copies beside the
    original; ``slice_size`` the source examples of a shard. ``balance`` makes the classes of the
    training split end level (`pipelines.dataset.balance`); ``leakage`` says what becomes of
    training examples that nearly equal one of eval or test (`pipelines.dataset.near`).
    """

    name: str
    description: str = ""
    modality: Literal["image", "text"]
    source: dict[str, Any]
    schema: str | None = None
    splits: Splits = field(default_factory=Splits)
    image: ImageOptions = field(default_factory=ImageOptions)
    text: TextOptions = field(default_factory=TextOptions)
    survey: SurveyOptions = field(default_factory=SurveyOptions)
    policy: dict[str, Any]
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0
    copies: Annotated[int, Field(ge=0, le=999, strict=True)] = 3
    slice_size: Annotated[int, Field(gt=0, le=1_000_000, strict=True)] = 2_000
    balance: Literal["oversample", "cap", "weights"] | None = None
    leakage: Literal["off", "report", "drop"] = "report"
    adversarial: AdversarialConfig | None = None
    on_bad_record: Literal["fail", "quarantine"] = "fail"
    refresh: RefreshConfig | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(
                "name must be 1-63 lower-case letters, digits and _ (it names a folder), "
                f"not {name!r}"
            )
        return name

    @field_validator("leakage", mode="before")
    @classmethod
    def _read_off(cls, leakage: Any) -> Any:
        return "off" if leakage is False else leakage  # how YAML reads a bare off

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if "kind" not in self.source:
            raise ValueError("source needs a kind (see `beam_runner.py list sources`)")
        if self.adversarial is not None and self.modality == "text":
            raise InputError(
                "it perturbs images; remove it from a text recipe", path=("adversarial",)
            )
        if self.adversarial is not None and not self.copies:
            raise InputError(
                "it perturbs augmented copies; set copies to 1 or more", path=("adversarial",)
            )
        if self.balance == "oversample" and not self.copies:
            raise InputError(
                "oversample adds augmented copies; set copies to 1 or more", path=("balance",)
            )
        if self.text.store_tokens and self.modality == "image":
            raise InputError("is for text recipes; remove it", path=("text", "store_tokens"))
        if self.refresh is not None:
            _check_refresh(self.refresh, self.modality, self.leakage)
        return self


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """A validated recipe and where each of its values was written.

    Attributes:
        recipe: The recipe.
        content: The plain mapping it was read from, overrides applied: what a manifest records.
        origin: The file's path, as shown in messages.
        lines: Line of every key path in the file.
        overridden: Key paths set on the command line.
    """

    recipe: Recipe
    content: dict[str, Any]
    origin: str
    lines: dict[KeyPath, int]
    overridden: frozenset[KeyPath] = frozenset()

    def located(self, error: InputError) -> InputError:
        """Return the error with file, line and key put before its message."""
        return _located(error, self.origin, self.lines, self.overridden)


def _check_refresh(refresh: RefreshConfig, modality: Modality, leakage: str) -> None:
    """Refuse a refresh that names what no example has, or a limit of what is not looked for.

    Raises:
        InputError: with its path in the recipe.
    """
    if (modality == "text") != (refresh.model in TEXT_FAMILIES):
        fitting = [
            name for name in MODEL_FAMILIES if (name in TEXT_FAMILIES) == (modality == "text")
        ]
        raise InputError(
            f"{refresh.model} takes no {modality}s; write {' or '.join(fitting)}",
            path=("refresh", "model"),
        )
    for profile in PROFILES:
        plan = refresh.for_profile(profile)
        own = refresh.profiles.get(profile)  # type: ignore[call-overload]

        def where(section: str, key: str, own: Profile | None = own, at: str = profile) -> KeyPath:
            over = own is not None and key in getattr(own, section)
            return ("refresh", *(("profiles", at) if over else ()), section, key)

        if plan.robustness is not None:
            try:
                plan.robustness.families_of(modality)
            except InputError as error:
                path = (*where("robustness", "families"), *error.path[1:])
                raise InputError(error.message, path=path) from None
        if leakage == "off" and plan.data.max_leakage is not None:
            raise InputError(
                f"limits leakage to {plan.data.max_leakage:g}, but leakage: off does not look for "
                "any; set leakage to report or drop, or remove the limit",
                path=where("data", "max_leakage"),
            )
        for key, distances in (("drift", plan.data.drift), ("skew", plan.data.skew)):
            named = distances.features
            if isinstance(named, Mapping) and not set(named) & set(FEATURES[modality]):
                raise InputError(
                    f"features names none of {modality}s, so none would be gated; they are "
                    f"{', '.join(FEATURES[modality])}, and null sets no limit",
                    path=(*where("data", key), "features"),
                )


def shipped() -> dict[str, Path]:
    """Return the names of the shipped recipes and their files."""
    return {path.stem: path for path in sorted(RECIPES_DIR.glob("*.yaml"))}


def load_recipe(name_or_path: str, overrides: Iterable[str] = ()) -> RecipeFile:
    """Read and validate a recipe.

    Args:
        name_or_path: The name of a shipped recipe, or the path of a YAML file.
        overrides: ``key=value`` settings; keys are dotted (``source.data_dir=/data``), values YAML.
            They stand above what a profile says of the same key.

    Raises:
        InputError: Unknown name, unreadable file, or a value that breaks a rule.
    """
    path = _find(name_or_path)
    content, lines = load_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys to values (see `list recipes`).")
    settings = sorted(overrides, key=lambda one: one.startswith(".".join(_PROFILES)))
    overridden = frozenset(_override(content, one) for one in settings)
    return parse_recipe(content, origin=str(path), lines=lines, overridden=overridden)


def parse_recipe(
    content: Mapping[str, Any],
    *,
    origin: str,
    lines: dict[KeyPath, int] | None = None,
    overridden: frozenset[KeyPath] = frozenset(),
) -> RecipeFile:
    """Validate a plain mapping as a recipe; see `load_recipe`.

    Raises:
        InputError: A value breaks a rule.
    """
    plain = copy.deepcopy(dict(content))
    try:
        recipe = validated(Recipe, plain)
    except InputError as error:
        raise _located(error, origin, lines or {}, overridden) from error
    return RecipeFile(
        recipe=recipe, content=plain, origin=origin, lines=lines or {}, overridden=overridden
    )


def _find(name_or_path: str) -> Path:
    names = shipped()
    if name_or_path in names:
        return names[name_or_path]
    path = Path(name_or_path)
    looks_like_path = path.suffix in (".yaml", ".yml") or len(path.parts) > 1
    is_file = os.path.isfile(path)  # Path.is_file raises where a name is too long
    if not looks_like_path and not is_file:
        raise InputError(
            f"{unknown_name('recipe', name_or_path, names)} Or give the path of a .yaml file."
        )
    if not is_file:
        raise InputError(f"{path}: no such recipe file.")
    return path


def _override(content: dict[str, Any], setting: str) -> KeyPath:
    """Set ``key=value`` in ``content`` and return the key path."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise InputError(f"--set {setting}: must read key=value, e.g. --set copies=1.")
    parts = key.split(".")
    if len(parts) > MAX_DEPTH:
        raise InputError(f"--set {setting}: a key has at most {MAX_DEPTH} levels.")
    at: Any = content
    path: list[str | int] = []
    for i, part in enumerate(parts):
        index = _index(at, part, setting)
        path.append(index)
        if i == len(parts) - 1:
            at[index] = _parsed(text, key)
        elif isinstance(at, dict) and not isinstance(at.get(part), dict | list):
            at[index] = {}
        at = at[index]
    _clear_profiles(content, tuple(path), setting)
    return tuple(path)


def _clear_profiles(content: dict[str, Any], path: KeyPath, setting: str) -> None:
    """Take out of the profiles what they say of a key that was set: it would win."""
    section, *below = path
    if section != "refresh" or not below or path[:2] == _PROFILES:
        return
    refresh = content["refresh"]
    if below[0] == "stages" and below[2:3] == ["config"]:  # profiles know a stage by its name
        stage = refresh["stages"][below[1]]
        below = ["stages", str(stage["name"] if "name" in stage else ""), *below[3:]]
    profiles = refresh.get("profiles")
    for profile, at in profiles.items() if isinstance(profiles, dict) else ():
        for depth, part in enumerate(below[:-1]):
            if not isinstance(at, dict) or part not in at:
                break
            at = at[part]
            if not isinstance(at, dict):
                key = ".".join(map(str, (*_PROFILES, profile, *below[: depth + 1])))
                said = json.dumps(at, default=str)
                raise InputError(
                    f"--set {setting}: profile {profile} says {said} of all that: set {key}."
                )
        else:
            if isinstance(at, dict):
                at.pop(below[-1], None)


def _parsed(text: str, key: str) -> Any:
    try:
        return parse_scalar(text)
    except InputError as error:
        raise InputError(f"--set {key}: {error.message}") from error


def _index(container: Any, part: str, setting: str) -> str | int:
    if isinstance(container, dict):
        return part
    if not isinstance(container, list):
        raise InputError(f"--set {setting}: {part!r} stands below {container!r}, a plain value.")
    if not (part.isascii() and part.isdecimal()) or int(part) >= len(container):
        raise InputError(
            f"--set {setting}: {part!r} must be the position of one of {len(container)} entries."
        )
    return int(part)


def _located(
    error: InputError, origin: str, lines: dict[KeyPath, int], overridden: frozenset[KeyPath]
) -> InputError:
    path = error.path
    key = ".".join(printable(str(part), _SHOWN_KEY) for part in path)
    if path:  # a setting further down made the value that is wrong
        overridden |= {path for one in overridden if one[: len(path)] == path}
    for length in range(len(path), -1, -1):
        if path[:length] in overridden:
            where = f"--set {'.'.join(str(part) for part in path[:length])}"
            key = key if length < len(path) else ""
            break
        if path[:length] in lines:
            where = f"{origin}:{lines[path[:length]]}"
            break
    else:
        where = origin
    return InputError(f"{where}: {key + ': ' if key else ''}{error.message}", path=path)
