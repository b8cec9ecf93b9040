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
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pipelines.augment import execute, presets, registry
from pipelines.augment.calls import Branch, OpCall, Slot, check_modality
from pipelines.augment.context import Context
from pipelines.augment.draws import Draws
from pipelines.augment.guard import Guard, parse_guard
from pipelines.augment.parse import check_keys, check_mapping, parse_branches, parse_slots
from schemas.canonical import digest
from schemas.errors import InputError, unknown_name

Images = NDArray[np.uint8]
Trace = dict[str, NDArray[Any]]

ENTITIES = ("protect", "swap", "off")


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
            check_modality(call.op, self.modality)

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
    check_mapping(mapping, "a policy")
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
    check_keys(mapping, keys, "a policy")
    if mapping.get("modality", modality) != modality:
        raise InputError(
            f"the policy is for {mapping['modality']} data, the recipe for {modality}: use another",
            path=("modality",),
        )
    if "slots" in mapping:
        return Policy(modality, (Branch(1.0, parse_slots(mapping["slots"], modality)),))
    return Policy(modality, parse_branches(mapping["branches"], modality))


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
