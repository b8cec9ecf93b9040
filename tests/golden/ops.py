"""Digests of every op and preset on fixed input. Prints them when run as a program."""

import hashlib
import json
from typing import Any

import numpy as np

from pipelines.augment import registry
from pipelines.augment.policy import Policy, parse_policy
from pipelines.augment.presets import PRESETS
from tests.augment.support import images, keys, missing_resource, needed, texts

ROWS = 48
SHAPES = ((32, 32, 3), (13, 9, 1))


def compute(*, skip_missing: bool = False) -> dict[str, Any]:
    """Return the digests; without ``skip_missing`` a missing corpus is an error."""
    policies = {
        f"op {name}": parse_policy({"slots": [name]}, registry.get(name).modality)
        for name in registry.names()
    }
    for modality, presets in PRESETS.items():
        for name in presets:
            policies[f"{modality} preset {name}"] = parse_policy({"preset": name}, modality)
    return {
        name: entry(policy)
        for name, policy in policies.items()
        if not (skip_missing and missing_resource(policy))
    }


def entry(policy: Policy) -> dict[str, Any]:
    """Return the digest of a policy with what it depends on."""
    versions = {call.op: call.resolved().version for call in policy.calls()}
    return {"versions": versions, "resources": policy.resources(), "digest": digest(policy)}


def digest(policy: Policy) -> str:
    """Return a digest of what ``policy`` makes of the fixed input, and of its trace."""
    total = hashlib.sha256()
    if policy.modality == "image":
        batches: list[Any] = [images(ROWS, shape) for shape in SHAPES]
    else:
        batches = [texts(ROWS)]
    for batch in batches:
        names = keys(ROWS)
        given = needed(policy, names)
        made, trace = policy.apply(batch, names, seed=2**63 + 5, copy=2, **given)
        total.update(made.tobytes() if policy.modality == "image" else "\0".join(made).encode())
        for column, values in sorted(trace.items()):
            total.update(f"{column}={np.ma.filled(values, -1).tolist()}".encode())
    return total.hexdigest()


if __name__ == "__main__":
    print(json.dumps(compute(skip_missing=True), sort_keys=True))
