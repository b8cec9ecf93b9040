"""Digests of every family of image corruptions on fixed input, all severities.

Prints them when run as a program.
"""

import hashlib
import json
from typing import Any

import numpy as np

from pipelines.augment import registry
from pipelines.probes.family import Family
from pipelines.probes.images import IMAGE_FAMILIES
from schemas.probes import SEVERITIES
from tests.augment.support import images, keys

ROWS = 6
SHAPES = ((32, 32, 3), (17, 9, 1))


def compute() -> dict[str, Any]:
    """Return the entry of every family."""
    return {name: entry(family) for name, family in IMAGE_FAMILIES.items()}


def entry(family: Family) -> dict[str, Any]:
    """Return what is golden of a family, with what the machine brings to it."""
    jpeg = registry.get("jpeg").resource_digests() if "jpeg" in family.ops else {}
    return {"version": family.version, "resources": jpeg, "digest": digest(family)}


def digest(family: Family) -> str:
    """Return a digest of what ``family`` makes of the fixed input."""
    total = hashlib.sha256()
    for shape in SHAPES:
        noisy = images(ROWS, shape)
        for batch in (noisy, smoothed(noisy)):
            for severity in SEVERITIES:
                made = family.apply(batch, keys(ROWS), severity=severity, seed=2**63 + 5)
                total.update(made.tobytes())
    return total.hexdigest()


def smoothed(batch: np.ndarray) -> np.ndarray:
    """Return means over neighbours, in integers: no library's filter decides the input."""
    sums = batch.astype(np.int64)
    for axis in (1, 2):
        sums = sum(np.roll(sums, shift, axis) for shift in range(5))
    return np.clip(128 + (sums - 25 * 128) // 7, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    print(json.dumps(compute(), sort_keys=True))
