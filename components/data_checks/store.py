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


def read_decision(folder: Path) -> GateDecision:
    """Return the decision that `write` wrote; the verdict is computed again, not believed.

    Raises:
        InputError: the file is missing or unreadable.
    """
    path = folder / DECISION
    try:
        return GateDecision.from_json(json.loads(path.read_text("utf-8")))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: no decision of a gate ({error!r})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
