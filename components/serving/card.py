"""The model card: what a served model is, from what was measured and recorded; nothing invented.

Sections after Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.acceptance.wording import mcnemar_table

_COSTS = ("macs", "peak_activation_bytes", "gzip_bytes", "tflite_bytes")


def model_card(
    about: Mapping[str, Any],
    *,
    manifest: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]],
    decisions: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the card as plain JSON values.

    Args:
        about: Recipe, profile, digests and versions.
        manifest: The dataset's manifest, or empty.
        stages: What each model stage recorded.
        decisions: What each gate decided.
    """
    last = next((one for one in reversed(stages) if one.get("name") == about.get("stage")), {})
    size = last.get("size") or {}
    schema = manifest.get("schema", {})
    return {
        "model": {
            "recipe": about.get("recipe"),
            "profile": about.get("profile"),
            "artifact": about.get("artifact"),
            "stage": last.get("name"),
            "digest": last.get("digest"),
            "parameters": last.get("parameters"),
            "bytes": last.get("bytes"),
            **{key: size[key] for key in _COSTS if size.get(key) is not None},
        },
        "data": {
            "dataset": manifest.get("name"),
            "fingerprint": manifest.get("fingerprint"),
            "digest": manifest.get("digest"),
            "source": manifest.get("source"),
            "modality": schema.get("modality"),
            "classes": schema.get("label_names"),
            "counts": manifest.get("counts"),
        },
        "training": [
            {
                key: stage.get(key)
                for key in ("name", "kind", "base", "teacher", "seed", "config", "accuracy",
                            "parameters", "bytes", "seconds", "digest", "versions")
            }
            for stage in stages
        ],
        "evaluation": [dict(one) for one in decisions],
        "made_by": {
            key: about[key]
            for key in ("code_version", "gate_version", "lock", "versions", "run")
            if key in about
        },
    }  # fmt: skip


def card_markdown(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown."""
    model, data = card["model"], card["data"]
    lines = [f"# Model card: {model['recipe'] or 'model without a recipe'}", "", "## Model", ""]
    lines += _listed(model)
    lines += ["", "## Data", ""]
    lines += _listed({key: value for key, value in data.items() if key not in ("counts", "source")})
    for split, count in ((data["counts"] or {}).get("examples") or {}).items():
        copies = ", augmented copies included" if split == "train" else ""
        lines.append(f"- examples in {split}: {_plain(count)}{copies}")
    lines += ["", "## Training", ""]
    if card["training"]:
        lines += ["| stage | kind | from | taught by | accuracy on eval | parameters | bytes |",
                  "|---|---|---|---|---:|---:|---:|"]  # fmt: skip
    names = {one["digest"]: one["name"] for one in card["training"]}
    for one in card["training"]:
        before = [names.get(one[key], _short(one[key])) for key in ("base", "teacher")]
        cells = [one["name"], one["kind"], *before, _plain(one["accuracy"])]
        cells += [_plain(one["parameters"]), _plain(one["bytes"])]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    if not card["training"]:
        lines.append("Not recorded.")
    lines += ["", "## Evaluation", ""]
    for decision in card["evaluation"]:
        verdict = "passed" if decision.get("blessed") else "refused"
        lines.append(f"- gate {decision.get('gate')}: {verdict}")
        for check in decision.get("checks") or []:
            if isinstance(check, Mapping) and "measure" in check:
                lines.append(f"  - {_check(check)}")
        lines += [f"  - {note}" for note in decision.get("notes") or []]
        for one in decision.get("decisions") or []:
            lines.append(f"  - {one['reason']}")
            if table := mcnemar_table(one.get("numbers") or {}):
                lines.append(f"    - {table}")
        if decision.get("measured"):
            lines.append("  - measured alone in a process:")
            lines += [f"    {one}" for one in _listed(decision["measured"])]
        for name in ("slices", "corruptions"):
            lines += _parts(name, decision.get(name) or [])
    if not card["evaluation"]:
        lines.append("No gate decided on this model.")
    if any(one.get("slices") or one.get("corruptions") for one in card["evaluation"]):
        lines += ["", "*at least*: the lower confidence bound that a floor would be held to."]
    lines += ["", "Each decision is in `decisions/`, what it rests on in `evidence/`.", ""]
    lines += ["## Made by", "", *(_listed(card["made_by"]) or ["Not recorded."]), ""]
    return "\n".join(lines)


def _parts(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    head = [f"- {name}:", "", "| part | examples | accuracy | at least |", "|---|---:|---:|---:|"]
    return [
        *head,
        *(
            f"| {one['name']} | {one['examples']:,} | {one['accuracy']:.4f} | {one['bound']:.4f} |"
            for one in rows
        ),
        "",
    ]


def _check(check: Mapping[str, Any]) -> str:
    limit = {"at_least": "least allowed", "at_most": "most allowed"}.get(
        str(check.get("kind")), "limit"
    )
    count = f" on {check['examples']:,} examples" if check.get("examples") else ""
    value, bound = _plain(check.get("value")), _plain(check.get("limit"))
    against = "" if "(not gated)" in check["measure"] else f" ({limit} {bound})"
    return f"{check['measure']}: {value}{count}{against}"


def _listed(values: Mapping[str, Any]) -> list[str]:
    return [f"- {key.replace('_', ' ')}: {_plain(value)}" for key, value in values.items()
            if value is not None]  # fmt: skip


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "-" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return str(value)


def _short(digest: Any) -> str:
    return str(digest)[:12] if digest else "-"
