"""Read the branches, slots and ops of a recipe's policy; its whole form: see ``policy``.

Every ``InputError`` has the path of the offending key, e.g. ``("slots", 0, "probability")``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.augment import registry
from pipelines.augment.calls import Branch, OpCall, Slot, check_modality
from schemas.errors import InputError, unknown_name


def parse_branches(entries: Any, modality: registry.Modality) -> tuple[Branch, ...]:
    """Return the branches of a policy's ``branches:``."""
    branches = []
    for index, entry in enumerate(_items(entries, "branches")):
        try:
            branches.append(_parse_branch(entry, modality))
        except InputError as error:
            raise error.under("branches", index) from None
    return tuple(branches)


def _parse_branch(entry: Any, modality: registry.Modality) -> Branch:
    check_mapping(entry, "a branch")
    check_keys(entry, {"weight", "slots"}, "a branch")
    if "slots" not in entry:
        raise InputError(f"a branch needs slots, got {sorted(entry)}")
    return Branch(_weight(entry), parse_slots(entry["slots"], modality))


def parse_slots(entries: Any, modality: registry.Modality) -> tuple[Slot, ...]:
    """Return the slots of a policy's or branch's ``slots:``."""
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
    check_keys(entry, {"choose"}, "a slot with choose")
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
    check_mapping(entry, "an op")
    if "op" not in entry:
        raise InputError(f"an entry needs op (or choose), got {sorted(entry)}")
    name = entry["op"]
    if name not in registry.names(modality):
        check_modality(str(name), modality)
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


def check_mapping(value: Any, what: str) -> None:
    """Refuse what is no mapping with words as keys; ``what`` names it."""
    if not isinstance(value, Mapping):
        raise InputError(f"{what} must be a mapping, got {value!r}")
    for key in value:
        if not isinstance(key, str):
            raise InputError(f"{what} has words as keys, got {key!r}: quote or remove it")


def check_keys(mapping: Mapping[str, Any], valid: set[str], what: str) -> None:
    """Refuse a key of ``mapping`` that is not among ``valid``; ``what`` names it."""
    for key in mapping:
        if key not in valid:
            raise InputError(f"{what}: {unknown_name('key', key, valid)}", path=(key,))
