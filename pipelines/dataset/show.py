"""Show a dataset: its counts, and originals beside their copies."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import numpy as np

from pipelines.dataset.lookup import Stored
from schemas.errors import InputError, printable
from schemas.manifest import Manifest

_GAP = 2
_LEAST_SIDE = 96
_WORDS = re.compile(r"\S+\s*")


def summary(dataset: str, manifest: Manifest) -> str:
    """Return what a dataset holds, as lines of text.

    Raises:
        InputError: The manifest's counts are none.
    """
    try:
        lines = _summary(dataset, manifest)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{dataset}: the counts of its manifest cannot be read ({error}); `materialize` builds "
            "the dataset again."
        ) from error
    return "\n".join(printable(line) for line in lines)


def _summary(dataset: str, manifest: Manifest) -> list[str]:
    counts = manifest.counts
    size = sum(shard.bytes for shard in manifest.shards)
    lines = [
        f"{manifest.name}  {dataset}",
        f"  digest       {manifest.digest}",
        f"  fingerprint  {manifest.fingerprint}",
        f"  examples     {manifest.examples:,} in {len(manifest.shards)} shards, "
        f"{size / 1e6:,.1f} MB",
        f"  stored as    {manifest.schema.encoding}"
        + (f" {list(manifest.schema.image_shape)}" if manifest.schema.image_shape else ""),
    ]
    for split, examples in counts["examples"].items():
        classes = counts["classes"].get(split, {})
        per_class = ", ".join(f"{name} {n:,}" for name, n in classes.items())
        copies = {shard.copy for shard in manifest.shards if shard.split == split}
        lines.append(f"  {split:<12} {examples:,} ({_copies(len(copies))}): {per_class}")
    for split, ops in counts["ops"].items():
        lines.append(f"  ops on {split:<5} " + ", ".join(f"{op} {n:,}" for op, n in ops.items()))
    if not counts["ops"]:
        lines.append("  ops          none")
    if counts["quarantined"]:
        lines.append(f"  quarantined  {counts['quarantined']:,} bad records")
    return lines + guards(manifest)


def guards(manifest: Manifest) -> list[str]:
    """Return what the guards and the attack found, a line each: empty splits, leaks, errors."""
    lines = [
        f"  empty        the {split} split holds no example; refresh refuses such a dataset"
        for split, examples in manifest.counts["examples"].items()
        if not examples
    ]
    leakage, attack = manifest.counts.get("leakage"), manifest.counts.get("adversarial")
    if leakage:
        copies = leakage["copies_by_parent"] + leakage["copies_by_content"]
        stored = leakage["mode"] == "report"
        verb = "stored" if stored else "left out"
        # Datasets of earlier versions count what originals resemble, and no more.
        kind = "leaking" if stored and "eval_leaking" in leakage else "examples"
        lines.append(
            f"  leakage      {leakage['training_originals']:,} training originals and {copies:,} "
            f"copies resemble {leakage[f'eval_{kind}']:,} eval and {leakage[f'test_{kind}']:,} "
            f"test examples; {verb}"
        )
        unknown = [leakage.get(f"{split}_not_compared", 0) for split in ("eval", "test")]
        if any(unknown):
            lines.append(
                f"  leakage      {unknown[0]:,} eval and {unknown[1]:,} test examples were not "
                "compared with all: too many are alike"
            )
    if attack:
        lines.append(
            f"  adversarial  {attack['examples']:,} copies perturbed; the model knew "
            f"{attack['clean_accuracy'] or 0:.1%} of them before, "
            f"{attack['adversarial_accuracy'] or 0:.1%} after"
        )
    return lines


def contact_sheet(groups: Sequence[Sequence[Stored]]) -> bytes:
    """Return a PNG with one row per key: the original, then its copies, enlarged without blur.

    Args:
        groups: Stored images of one key each, the original first.
    """
    import cv2

    tallest, widest, most = _extent(groups)
    scale = max(1, -(-_LEAST_SIDE // max(tallest, widest)))
    cell_h, cell_w = tallest * scale + _GAP, widest * scale + _GAP
    sheet = np.full((cell_h * len(groups) + _GAP, cell_w * most + _GAP, 3), 255, np.uint8)
    for row, group in enumerate(groups):
        for column, one in enumerate(group):
            image = np.repeat(np.repeat(np.asarray(one.value), scale, 0), scale, 1)
            top, left = row * cell_h + _GAP, column * cell_w + _GAP
            sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return bytes(cv2.imencode(".png", sheet[..., ::-1])[1])


def text_diff(original: str, copy: str, *, colour: bool) -> str:
    """Return the copy with what was taken out as ``[-…-]`` and what was put in as ``{+…+}``."""
    before, after = _WORDS.findall(original), _WORDS.findall(copy)
    removed, added, end = ("\x1b[31m", "\x1b[32m", "\x1b[0m") if colour else ("", "", "")
    parts = []
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            parts += after[k:m]
            continue
        if i < j:
            parts.append(f"{removed}[-{''.join(before[i:j]).rstrip()}-]{end} ")
        if k < m:
            parts.append(f"{added}{{+{''.join(after[k:m]).rstrip()}+}}{end} ")
    return "".join(parts).rstrip()


def _extent(groups: Sequence[Sequence[Stored]]) -> tuple[int, int, int]:
    shapes = [np.asarray(one.value).shape for group in groups for one in group]
    return max(s[0] for s in shapes), max(s[1] for s in shapes), max(len(g) for g in groups)


def _copies(count: int) -> str:
    return "originals" if count == 1 else f"originals and {count - 1} copies"
