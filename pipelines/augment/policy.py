"""Policies: which ops, how often, how strongly. Data only; ``execute`` runs them.

A policy draws one of its branches per example and passes the example through the branch's slots
in order. A slot applies one of its choices, drawn by weight, with that choice's probability.

In a recipe a policy is a preset with arguments, a list of slots, or weighted branches::

    policy: {preset: classic, rotation: 15}
    policy:
      slots:
        - {op: rotate, degrees: 30, fill: reflect, probability: 0.5}
        - choose: [{op: blur_box, weight: 2}, {op: gaussian_noise, strength: 0.5, labels: [3]}]
    policy: {branches: [{weight: 2, slots: [...]}, {slots: [...]}]}

A text policy also takes ``entities: protect | swap | off``: whether ops keep names as they are (the
default), the same with names exchanged first (``entity_swap``), or treat them as any other word;
and ``guard: {positive: 1, negative: 0, ...}``, see ``guard``.

Whatever else an op's mapping holds besides the words above overrides the bounds of its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pipelines.augment import execute, presets, registry
from pipelines.augment.context import Context
from pipelines.augment.draws import Draws
from pipelines.augment.guard import Guard, parse_guard
from pipelines.augment.params import Seed, check_share, check_strength
from schemas.canonical import digest
from schemas.errors import InputError, unknown_name

Images = NDArray[np.uint8]
Trace = dict[str, NDArray[Any]]

ENTITIES = ("protect", "swap", "off")


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


@dataclass(frozen=True)
class Policy:
    """What is done to every example; row ``i`` of any result depends on ``keys[i]`` alone.

    Only ops that mix examples (mixup, cutmix) depend on more: on the set of keys of the batch, for
    a row's partner is drawn from them. ``mixes`` tells whether a policy has such ops.

    Attributes:
        modality: ``"image"`` or ``"text"``.
        branches: One is drawn per example.
        protect_names: Whether text ops leave names as they are.
        guard: Which augmented texts are drawn again.
    """

    modality: registry.Modality
    branches: tuple[Branch, ...]
    protect_names: bool = True
    guard: Guard | None = None

    def __post_init__(self) -> None:
        """Refuse ops of another modality."""
        if self.modality not in registry.MODALITIES:
            raise InputError(unknown_name("modality", self.modality, registry.MODALITIES))
        if not self.branches:
            raise InputError("a policy needs at least one branch: use the preset none")
        for call in self.calls():
            _check_modality(call.op, self.modality)

    def calls(self) -> list[OpCall]:
        """Return every op call, in order."""
        slots = [slot for branch in self.branches for slot in branch.slots]
        return [call for slot in slots for call in slot.choices]

    def mixes(self) -> bool:
        """Return whether examples are mixed, so that labels are soft (see ``soft_labels``)."""
        return any(call.resolved().kind == "mix" for call in self.calls())

    def to_json(self) -> dict[str, Any]:
        """Return the canonical mapping: all defaults spelled out, op versions included.

        ``parse_policy`` reads it back, and refuses it where an op has another version by now.
        """
        branches = [branch.to_json() for branch in self.branches]
        # Only what differs from a plain policy is named: it came later, and fingerprints stay.
        entities = {} if self.protect_names else {"entities": "off"}
        guard = {} if self.guard is None else {"guard": self.guard.to_json()}
        return {"modality": self.modality, "branches": branches} | entities | guard

    def needs(self) -> frozenset[str]:
        """Return what the ops need besides the batch, names of ``registry.NEEDS``."""
        needs = {need for call in self.calls() for need in call.resolved().needs}
        return frozenset(needs | {"labels"} if self.guard else needs)

    def resources(self) -> dict[str, str]:
        """Return the digest of each installed resource that the output depends on.

        Raises:
            InputError: If one is missing; the message says how to get it.
        """
        digests: dict[str, str] = {}
        for call in self.calls():
            digests.update(call.resolved().resource_digests())
        if self.guard is not None:
            digests |= self.guard.resources()
        return digests

    def identity(self) -> str:
        """Return the SHA-256 of the canonical mapping and the resources, in hexadecimal."""
        content = {"policy": self.to_json(), "resources": self.resources()}
        return digest(content)

    def trace_schema(self) -> dict[str, str]:
        """Return the columns of a trace with their types: ``str``, ``int64`` or ``float32``."""
        return execute.trace_schema(self)

    @overload
    def apply(
        self,
        batch: Images,
        keys: Sequence[str],
        *,
        seed: int,
        copy: int,
        labels: Sequence[int] | NDArray[np.integer] | None = ...,
        context: Context | None = ...,
    ) -> tuple[Images, Trace]: ...

    @overload
    def apply(
        self,
        batch: Sequence[str],
        keys: Sequence[str],
        *,
        seed: int,
        copy: int,
        labels: Sequence[int] | NDArray[np.integer] | None = ...,
        context: Context | None = ...,
    ) -> tuple[list[str], Trace]: ...

    def apply(
        self,
        batch: Images | Sequence[str],
        keys: Sequence[str],
        *,
        seed: int,
        copy: int,
        labels: Sequence[int] | NDArray[np.integer] | None = None,
        context: Context | None = None,
    ) -> tuple[Images | list[str], Trace]:
        """Return the ``copy``-th augmented copy of a batch, and what was done to each row.

        Args:
            batch: ``uint8[N, H, W, C]`` images (C of 1 or 3, RGB), or N texts. Never changed.
            keys: One stable key per row.
            seed: Seed of the recipe, in ``[0, 2**64)``.
            copy: 0 returns the originals.
            labels: Class index per row; needed where an op is limited to some labels or needs them.
            context: Models of the training split; needed where an op asks for one (see ``needs``).

        Returns:
            The batch (the given one itself where nothing was to be done) and the trace: one array
            of N entries per column of ``trace_schema``.
            ``slot0.op`` holds names, "" where none was applied; ``slot0.rotate.degrees`` the
            values used, masked where the op was not applied.

        Raises:
            InputError: If the batch, the keys or the labels do not fit the policy.
        """
        if len(keys) != len(batch):
            raise InputError(f"a key per row is needed, got {len(keys)} for {len(batch)} rows")
        marks = self._checked_labels(labels, len(batch))
        known = self._checked_context(context)
        draws = Draws.root(seed, keys, copy)
        if self.modality == "image":
            images = execute.checked_images(batch)
            if copy == 0 or not len(images):
                return images, execute.empty_trace(self, len(images))
            return execute.run_images(self, images, keys, draws, marks, known)
        texts = execute.checked_texts(batch)
        if copy == 0 or not texts:
            return texts, execute.empty_trace(self, len(texts))
        return execute.run_texts(self, texts, draws, marks, known)

    def _checked_labels(
        self, labels: Sequence[int] | NDArray[np.integer] | None, count: int
    ) -> NDArray[np.int64] | None:
        if labels is None:
            limited = [call.op for call in self.calls() if call.labels is not None]
            if limited:
                raise InputError(f"{limited[0]} is limited to some labels: pass labels=")
            if "labels" in self.needs():
                raise InputError("the policy needs the label of each row: pass labels=")
            return None
        if len(labels) != count:
            raise InputError(f"a label per row is needed, got {len(labels)} for {count} rows")
        return np.asarray(labels, dtype=np.int64)

    def _checked_context(self, context: Context | None) -> Context:
        if "ngrams" in self.needs() and (context is None or context.ngrams is None):
            raise InputError(
                "an op of the policy needs the language models of the training split: "
                "pass context=Context(ngrams=...)"
            )
        return context or Context()


def parse_policy(mapping: Mapping[str, Any], modality: registry.Modality) -> Policy:
    """Return the policy that a recipe describes (forms: see the module).

    Raises:
        InputError: With the path of the offending key, e.g. ``("slots", 0, "probability")``.
    """
    _check_mapping(mapping, "a policy")
    if "entities" in mapping:
        rest = {key: value for key, value in mapping.items() if key != "entities"}
        return _with_entities(parse_policy(rest, modality), mapping["entities"])
    if "guard" in mapping:
        rest = {key: value for key, value in mapping.items() if key != "guard"}
        return _with_guard(parse_policy(rest, modality), mapping["guard"])
    if "preset" in mapping:
        return _parse_preset(mapping, modality)
    keys = {"slots", "modality"} if "slots" in mapping else {"branches", "modality"}
    if keys.isdisjoint(set(mapping) - {"modality"}):
        raise InputError(f"a policy needs preset, slots or branches, got {sorted(mapping)}")
    _check_keys(mapping, keys, "a policy")
    if mapping.get("modality", modality) != modality:
        raise InputError(
            f"the policy is for {mapping['modality']} data, the recipe for {modality}: use another",
            path=("modality",),
        )
    if "slots" in mapping:
        return Policy(modality, (Branch(1.0, _parse_slots(mapping["slots"], modality)),))
    branches = []
    for index, entry in enumerate(_items(mapping["branches"], "branches")):
        try:
            branches.append(_parse_branch(entry, modality))
        except InputError as error:
            raise error.under("branches", index) from None
    return Policy(modality, tuple(branches))


def _with_entities(policy: Policy, entities: Any) -> Policy:
    """Return ``policy`` with what it does to names: protect, swap (at first) or off."""
    if policy.modality != "text":
        raise InputError("entities is for text data only: remove it", path=("entities",))
    if entities is False:  # how YAML reads a bare off
        entities = "off"
    if entities not in ENTITIES:
        raise InputError(unknown_name("entities value", entities, ENTITIES), path=("entities",))
    if entities == "swap":
        first = Slot((OpCall("entity_swap"),), (1.0,))
        branches = (replace(one, slots=(first, *one.slots)) for one in policy.branches)
        return replace(policy, branches=tuple(branches))
    return replace(policy, protect_names=entities == "protect")


def _with_guard(policy: Policy, mapping: Any) -> Policy:
    if policy.modality != "text":
        raise InputError("guard is for text data only: remove it", path=("guard",))
    try:
        return replace(policy, guard=parse_guard(mapping))
    except InputError as error:
        raise error.under("guard") from None


def _parse_preset(mapping: Mapping[str, Any], modality: registry.Modality) -> Policy:
    arguments = {name: value for name, value in mapping.items() if name != "preset"}
    expanded = presets.expand(mapping["preset"], modality, arguments)
    try:
        return parse_policy(expanded, modality)
    except InputError as error:
        blamed = presets.blame(expanded, error.path, arguments)
        message = f"preset {mapping['preset']}: {error.message}"
        raise InputError(message, path=(blamed or "preset",)) from None


def _parse_branch(entry: Any, modality: registry.Modality) -> Branch:
    _check_mapping(entry, "a branch")
    _check_keys(entry, {"weight", "slots"}, "a branch")
    if "slots" not in entry:
        raise InputError(f"a branch needs slots, got {sorted(entry)}")
    return Branch(_weight(entry), _parse_slots(entry["slots"], modality))


def _parse_slots(entries: Any, modality: registry.Modality) -> tuple[Slot, ...]:
    slots = []
    for index, entry in enumerate(_items(entries, "slots")):
        try:
            slots.append(_parse_slot(entry, modality))
        except InputError as error:
            raise error.under("slots", index) from None
    return tuple(slots)


def _parse_slot(entry: Any, modality: registry.Modality) -> Slot:
    if not (isinstance(entry, Mapping) and "choose" in entry):
        return Slot((_parse_call(entry, modality),), (1.0,))
    _check_keys(entry, {"choose"}, "a slot with choose")
    calls, weights = [], []
    for index, choice in enumerate(_items(entry["choose"], "choose")):
        try:
            calls.append(_parse_call(choice, modality, weighted=True))
            weights.append(1.0 if isinstance(choice, str) else _weight(choice))
        except InputError as error:
            raise error.under("choose", index) from None
    if not calls:
        raise InputError("choose needs at least one op, got []", path=("choose",))
    return Slot(tuple(calls), tuple(weights))


def _parse_call(entry: Any, modality: registry.Modality, *, weighted: bool = False) -> OpCall:
    if isinstance(entry, str):
        entry = {"op": entry}
    _check_mapping(entry, "an op")
    if "op" not in entry:
        raise InputError(f"an entry needs op (or choose), got {sorted(entry)}")
    name = entry["op"]
    if name not in registry.names(modality):
        _check_modality(str(name), modality)
    if "weight" in entry and not weighted:
        raise InputError("weight belongs to the entries of choose: remove it", path=("weight",))
    version = registry.get(name).version
    if entry.get("version", version) != version:
        raise InputError(
            f"{name} was recorded with version {entry['version']}, this is version {version}: "
            "replay it with the release that recorded it",
            path=("version",),
        )
    options = {key: value for key, value in entry.items() if key not in registry.RESERVED}
    for key, value in options.items():
        if isinstance(value, Mapping):
            raise InputError(f"{name}: {key} cannot be a mapping, got {value!r}", path=(key,))
    return OpCall(
        op=name,
        probability=entry.get("probability", 1.0),
        strength=_frozen(entry.get("strength", 1.0)),
        options=tuple((key, _frozen(value)) for key, value in sorted(options.items())),
        labels=_labels(entry.get("labels")),
    )


def _labels(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"labels must be a list of class indices, got {value!r}", path=("labels",))
    if not all(isinstance(label, int) and label >= 0 for label in value):
        raise InputError(f"labels must be class indices from 0, got {value!r}", path=("labels",))
    return tuple(sorted(set(value)))


def _weight(entry: Mapping[str, Any]) -> float:
    weight = entry.get("weight", 1.0)
    numeric = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not numeric or not 0 < weight < float("inf"):
        raise InputError(f"weight must be a number above 0, got {weight!r}", path=("weight",))
    return float(weight)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _items(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{name} must be a list, got {value!r}", path=(name,))
    return value


def _check_mapping(value: Any, what: str) -> None:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} must be a mapping, got {value!r}")
    for key in value:
        if not isinstance(key, str):
            raise InputError(f"{what} has words as keys, got {key!r}: quote or remove it")


def _check_keys(mapping: Mapping[str, Any], valid: set[str], what: str) -> None:
    for key in mapping:
        if key not in valid:
            raise InputError(f"{what}: {unknown_name('key', key, valid)}", path=(key,))


def _check_modality(name: str, modality: registry.Modality) -> None:
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
