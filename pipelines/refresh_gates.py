"""What is asked of the gates before anything is trained: whether any model could pass them."""

from __future__ import annotations

from collections import Counter

from components.acceptance import answer_rules
from components.acceptance.reach import check_reachable
from components.acceptance.rules import TEST
from components.probes import Probes
from pipelines.augment.policy import Policy
from pipelines.probes.build import REGISTRIES
from pipelines.probes.family import seen
from schemas.errors import InputError
from schemas.gates import check_names
from schemas.manifest import Manifest
from schemas.probes import Robustness
from schemas.refresh import RefreshPlan

_NAMED = 3
_ROBUST = ("refresh", "gates", "floors", "robust_accuracy")


def check_gates(
    plan: RefreshPlan, manifest: Manifest, probes: Probes, policy: Policy, *, compared: bool
) -> None:
    """Refuse gates that no model could pass, whatever is trained.

    Args:
        plan: Gates, and what is corrupted.
        manifest: Of the dataset.
        probes: Those of its test split.
        policy: What training examples were augmented with.
        compared: Whether there is a live model to compare with.

    Raises:
        InputError: A class or slice with a floor does not exist, nothing that training has not seen
            is measured though it has a floor, or the test examples are too few for a rule.
    """
    slices = list(probes.slices.values())
    names = manifest.schema.label_names
    check_names(plan.gates, classes=names, slices=set().union(*slices))
    unseen = any(not of_seen for _, of_seen, _ in probes.variants())
    if plan.gates.floors.robust_accuracy is not None and not unseen:
        raise InputError(_all_seen(probes, policy, manifest), path=_ROBUST)
    counts: Counter[str] = Counter()
    for shard in manifest.shards:
        if shard.split == TEST:
            counts.update(shard.classes)
    check_reachable(
        answer_rules(plan.gates),
        classes={name: counts[str(index)] for index, name in enumerate(names)},
        slices=slices,
        corrupted=min(plan.robustness.examples, len(slices)) if plan.robustness and unseen else 0,
        compared=compared,
    )


def _all_seen(probes: Probes, policy: Policy, manifest: Manifest) -> str:
    """Return what is wrong with a floor of unseen corruptions where none is measured."""
    modality = manifest.schema.modality
    of_training = seen(REGISTRIES[modality], policy)
    others = [
        name
        for name in Robustness().families_of(modality)
        if name not in of_training and name not in probes.seen
    ]
    named = ", ".join([*others[:_NAMED], *(["…"] if len(others) > _NAMED else [])])
    fix = f"add families that it does not see ({named}), or " if others else ""
    unseen = ", ".join(name for name, of_seen in probes.seen.items() if not of_seen)
    why = (
        f"those of refresh.robustness ({unseen}) change no test example"
        if unseen
        else f"it has seen all of refresh.robustness ({', '.join(probes.seen)})"
    )
    return (
        f"{'.'.join(_ROBUST)}: the floor is of corruptions that training has not seen, and {why}; "
        f"{fix}remove the floor"
    )
