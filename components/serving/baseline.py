"""What a candidate is compared with: the model that is live when a refresh starts.

The serving folder is asked, not the pipeline's metadata: a roll-back, a push from elsewhere or a
lost metadata file change what serves and not what the metadata remembers. Only the Pusher and
`rollback` publish there, and both want every gate's blessing, so what is found passed both.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.serving.bundle import DATASET, EVIDENCE, bundle_folder
from components.serving.history import PUBLISHED, read_history
from components.serving.store import (
    CURRENT,
    current_version,
    is_serving_folder,
    live_model,
    locked,
    recover,
    version_numbers,
)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The live model, or why there is none.

    Attributes:
        state: ``present``; ``first_run``: nothing was ever live; ``missing``: something is or was,
            and it cannot be used.
        version: The number in ``CURRENT``, 0 where there is none.
        identity: What it is, see `components.push.push`; None where unknown.
        artifact: ``saved_model`` or ``tflite``.
        classes: Names of its classes in order.
        digest: Digest of its files.
        why: Why it is missing.
    """

    state: Literal["present", "first_run", "missing"]
    version: int = 0
    identity: str | None = None
    artifact: str | None = None
    classes: tuple[str, ...] = ()
    digest: str | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Baseline:
        """Read what `to_json` wrote."""
        return cls(**{**data, "classes": tuple(data["classes"])})


def find_baseline(serving: Path) -> Baseline:
    """Return what is live, after finishing or undoing what a crash cut off."""
    if not is_serving_folder(serving) and not version_numbers(serving):
        return Baseline(state="first_run")
    with locked(serving):
        recover(serving)
        return _baseline(serving)


def kept_evidence(serving: Path, version: int, gate: str, name: str) -> Path | None:
    """Return a folder of evidence that the bundle of a version keeps for a gate, or None."""
    found = sorted((bundle_folder(serving, version) / EVIDENCE).glob(f"*-{gate}/{name}"))
    return found[0] if found else None


def _baseline(serving: Path) -> Baseline:
    live = live_model(serving)
    if live is None:
        published = any(one.event in PUBLISHED for one in read_history(serving).events)
        version = current_version(serving)
        if not published and not version and not version_numbers(serving):
            return Baseline(state="first_run")
        why = f"{serving / CURRENT} names no readable version"
        if version:
            why += f": version {version} is not there, or not whole"
        return Baseline(state="missing", version=version, why=why)
    known = Baseline(
        state="present",
        version=live.version,
        identity=live.identity,
        artifact=live.record.get("artifact"),
        digest=live.digest,
    )
    if not live.intact:
        why = f"the files of version {live.version} are not those that were pushed, or its bundle"
        return dataclasses.replace(known, state="missing", why=why)
    try:
        text = (bundle_folder(serving, live.version) / DATASET).read_text("utf-8")
        classes = tuple(json.loads(text)["schema"]["label_names"])
    except (OSError, ValueError, KeyError, TypeError):
        why = f"the bundle of version {live.version} does not say which classes it answers"
        return dataclasses.replace(known, state="missing", why=why)
    return dataclasses.replace(known, classes=classes)
