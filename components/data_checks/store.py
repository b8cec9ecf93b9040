"""Profile and decision as files: ``profile.json``, and ``decision.json``, written last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.data_checks.profiles import DatasetProfile
from components.tree import write_text
from schemas.errors import InputError
from schemas.report import GateDecision

PROFILE = "profile.json"
DECISION = "decision.json"


def write(folder: Path, profile: DatasetProfile, decision: GateDecision) -> None:
    """Write what was found and decided; a crash leaves each file old or new."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PROFILE, _text(profile.to_json()))
    write_text(folder / DECISION, _text(decision.to_json()))


def read(folder: Path) -> tuple[DatasetProfile, GateDecision]:
    """Return what `write` wrote; the verdict is computed again, not believed.

    Raises:
        InputError: a file is missing or unreadable, or the profile has other bins.
    """
    return read_profile(folder / PROFILE), _read_decision(folder / DECISION)


def read_profile(path: Path) -> DatasetProfile:
    """Return the profile in a file.

    Raises:
        InputError: it is missing or unreadable, or has other bins.
    """
    try:
        return DatasetProfile.from_json(_json(path))
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error


def _read_decision(path: Path) -> GateDecision:
    try:
        return GateDecision.from_json(_json(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no decision of a gate ({error!r})") from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
