"""The ops and presets as Markdown, for the documentation between its markers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pipelines.augment import registry
from pipelines.augment.presets import PRESETS, Preset
from schemas.errors import InputError

_BLOCK = re.compile(r"<!-- (?P<name>ops|presets) -->\n.*?<!-- /(?P=name) -->", re.S)


def ops_table() -> str:
    """Return one Markdown table of ops per modality, by family and name."""
    parts = []
    for modality in registry.MODALITIES:
        rows = [row for row in registry.table() if row["modality"] == modality]
        parts += [f"### {len(rows)} ops for {modality}s", ""]
        parts += ["| family | op | options and defaults | what it does |", "|---|---|---|---|"]
        parts += [
            f"| {row['family']} | `{row['name']}` | {_options(row['parameters'])} "
            f"| {_cell(row['summary'])} |"
            for row in rows
        ]
        parts.append("")
    return "\n".join(parts)


def presets_table() -> str:
    """Return a Markdown table of the presets with their arguments."""
    lines = ["| for | preset | arguments and defaults | what it does |", "|---|---|---|---|"]
    for modality, presets in PRESETS.items():
        for name, preset in presets.items():
            summary = (inspect.getdoc(preset) or "").splitlines()[0]
            arguments = _options(_arguments(preset))
            lines.append(f"| {modality} | `{name}` | {arguments} | {_cell(summary)} |")
    return "\n".join(lines) + "\n"


def updated(document: str) -> str:
    """Return a document with the tables between its markers renewed.

    Raises:
        InputError: A pair of markers is missing.
    """
    found = {match["name"] for match in _BLOCK.finditer(document)}
    for name in sorted({"ops", "presets"} - found):
        raise InputError(
            f"the document has no table of {name}: put `<!-- {name} -->` and `<!-- /{name} -->` "
            "on lines of their own where it belongs."
        )
    tables = {"ops": ops_table(), "presets": presets_table()}

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{tables[name]}<!-- /{name} -->"

    return _BLOCK.sub(block, document)


def _options(values: Mapping[str, Any]) -> str:
    shown = [f"`{name}: {_value(value)}`" for name, value in values.items() if value != "random"]
    return ", ".join(shown)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value) if value == "" else str(value)


def _arguments(preset: Preset) -> dict[str, Any]:
    parameters = inspect.signature(preset).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
