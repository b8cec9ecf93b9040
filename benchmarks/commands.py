"""The project's commands as programs that a benchmark starts: each prints one line of JSON.

``python -m benchmarks.commands materialize RECIPE OUTPUT SLICES [KEY=VALUE ...] [BEAM FLAG ...]``
``python -m benchmarks.commands refresh RECIPE DATASET ROOT PROFILE``
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.dataset.plan import Plan, make_plan
from schemas.recipe import load_recipe


def plan_of(recipe: str, output: str, slices: int = 0, *, settings: Sequence[str] = ()) -> Plan:
    """Return the plan of a shipped recipe; with ``slices``, of its first training slices alone.

    ``settings`` are ``key=value`` overrides, as ``--set`` takes them.
    """
    plan = make_plan(load_recipe(recipe, settings), output)
    return dataclasses.replace(plan, tasks=plan.tasks[:slices]) if slices else plan


def main(arguments: list[str]) -> None:
    """Run one command."""
    name, recipe, *rest = arguments
    if name == "materialize":
        from pipelines.dataset.materialize import materialize

        output, slices, *more = rest
        flags = [one for one in more if one.startswith("--")]
        settings = [one for one in more if not one.startswith("--")]
        outcome = materialize(plan_of(recipe, output, int(slices), settings=settings), flags)
        answer = {
            "path": outcome.path,
            "digest": outcome.manifest.digest,
            "examples": sum(outcome.manifest.counts["examples"].values()),
            "peak_mb": _peak_mb(),
        }
    else:
        from pipelines.refresh import run_refresh

        dataset, root, profile = rest
        refresh = run_refresh(
            recipe=load_recipe(recipe).recipe,
            dataset_dir=Path(dataset),
            root=Path(root),
            profile=profile,
        )
        answer = refresh.report.to_json()
    print(json.dumps(answer), flush=True)


def _peak_mb() -> float:
    """Return the most memory that this process has held.

    What ``getrusage`` says of a new process counts the memory of the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
