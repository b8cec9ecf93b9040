"""A hash of the sources that a component's outcome depends on: TFX's cache key holds no code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).resolve().parent.parent
_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "tensorflow", "tfx")
# What judges and publishes a model, and does not make it.
_GATES = (
    "components/acceptance/",
    "components/answers.py",
    "components/artifact.py",
    "components/data_checks/",
    "components/evidence.py",
    "components/infra/",
    "components/lite_evaluation.py",
    "components/probes.py",
    "components/promotion.py",
    "components/shells.py",
    "components/shipped.py",
    "schemas/data_gates.py",
    "schemas/figures.py",
    "schemas/gates.py",
    "schemas/infra.py",
    "schemas/numbers.py",
    "schemas/probes.py",
    "schemas/report.py",
    "schemas/validation.py",
)
# What reads examples, for stages and gates alike: the data gate has no model among its inputs
# whose own version would tell.
_READING = (
    "components/data.py",
    "components/tokens.py",
    "schemas/features.py",
    "schemas/manifest.py",
    "schemas/text.py",
    "schemas/tokens.py",
)
# What makes, of a network, the files that ship: also every module whose layers a network holds.
_EXPORTING = (
    "components/data.py",
    "components/export.py",
    "components/lite.py",
    "components/lite_input.py",
    "components/models/",
    "components/tokens.py",
    "schemas/features.py",
    "schemas/text.py",
    "schemas/tokens.py",
)
_NOT_OF_STAGES = (
    *(one for one in _GATES if one != "components/artifact.py"),
    "components/notify.py",
    "components/push.py",
    "components/serving/",
    "components/tree.py",
)


def code_version(sources: Iterable[str]) -> str:
    """Return 16 hex digits over the names (relative to the project) and contents of files."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        content = (_PROJECT / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def gate_sources() -> list[str]:
    """Return the sources that decide what a gate finds, given a model's answers."""
    return [one for one in _sources() if one.startswith((*_GATES, *_READING))]


def stage_sources() -> list[str]:
    """Return the sources that decide what a model stage does: all of components but the gates."""
    others = {"schemas/features.py", "schemas/report.py", "schemas/text.py", "schemas/tokens.py"}
    return [
        one
        for one in _sources()
        if one in others or one.startswith("components/") and not one.startswith(_NOT_OF_STAGES)
    ]


def export_sources() -> list[str]:
    """Return the sources that decide how a network of given weights answers where it serves."""
    return [one for one in _sources() if one.startswith(_EXPORTING)]


def _sources() -> list[str]:
    found = (path for part in ("components", "schemas") for path in (_PROJECT / part).rglob("*.py"))
    return sorted(path.relative_to(_PROJECT).as_posix() for path in found)


def software() -> dict[str, Any]:
    """Return the versions of what a model is made with, and the SHA-256 of the lock file.

    An installed package has no lock file: then ``lock`` is None.
    """
    lock = _PROJECT / "requirements.lock"
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        "versions": {"python": platform.python_version(), **versions},
    }
