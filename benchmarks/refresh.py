"""Seconds of a model refresh: the first run node by node, and one that finds all in the cache."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.result import Measured
from benchmarks.timing import cost_of_command
from schemas.errors import FailedError
from schemas.recipe import load_recipe

RECIPE = "digits"
FIGURES = {
    "first_run_s": ("s", "first run"),
    "cached_run_s": ("s", "second run, nothing changed"),
    "seconds_per_node": ("s", "node of the first run"),
}


def measure(*, quick: bool) -> Measured:
    """Refresh from scratch, then again, each in a process of its own."""
    profile, runs = ("smoke", 1) if quick else ("demo", 3)
    first: list[float] = []
    cached: list[float] = []
    nodes: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        at = str(Path(folder) / "datasets")
        _, dataset = cost_of_command("benchmarks.commands", ["materialize", RECIPE, at, "0"])
        for run in range(runs):
            root = str(Path(folder) / f"root{run}")
            command = ["refresh", RECIPE, dataset["path"], root, profile]
            _, report = cost_of_command("benchmarks.commands", command)
            first.append(report["seconds"])
            for node in report["nodes"]:
                nodes.setdefault(node["node"], []).append(node["seconds"])
            _, again = cost_of_command("benchmarks.commands", command)
            cached.append(again["seconds"])
            if again["status"] != "nothing_new":
                raise FailedError(f"the second run ended as {again['status']}, not nothing_new.")
    recipe = load_recipe(RECIPE).recipe
    return Measured(
        runs={"first_run_s": first, "cached_run_s": cached, "seconds_per_node": nodes},
        conditions={
            "dataset": f"{RECIPE}, {dataset['examples']:,} examples",
            "profile": profile,
            "seconds": "from the refresh's own report: imports of TFX included, materialize not",
        },
        seeds={"recipe": recipe.seed},
    )
