"""What survives ``kill -9``, full and read-only disks, several writers and damaged metadata.

Every command is disturbed as it runs, at random moments, and what it left is held to the state
before or after it. The parts run as programs of their own: `benchmarks.faults_dataset`,
`benchmarks.faults_serving`, `benchmarks.faults_refresh`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping

from benchmarks import faults_dataset, faults_refresh, faults_serving
from benchmarks.faults_processes import Row, can_mount
from benchmarks.result import Figure, Measured
from benchmarks.timing import PROJECT
from schemas.errors import FailedError

FIGURES = {
    "kills": ("", "processes ended by SIGKILL"),
    "trials": ("", "faults of another kind"),
    "lost": ("", "results that were complete, and are gone or were made again"),
    "half_visible": ("", "states that a reader could take for a result"),
}
PARTS = (faults_dataset, faults_serving, faults_refresh)
_OWN_FOLDER = re.compile(r"/\S*?/faults-[a-z0-9_]{8}(?=/)")


def measure(*, quick: bool) -> Measured:
    """Disturb everything; with ``quick`` a handful of times, and no refresh.

    Raises:
        FailedError: A command failed in another way than it should; the message shows it.
    """
    rows = [row for part in PARTS for row in rows_of(part.__name__, quick=quick)]
    return Measured(
        runs={
            "kills": {row.fault: [row.kills] for row in rows if row.kills},
            "trials": {row.fault: [row.trials] for row in rows if row.trials},
            "lost": {row.fault: [row.lost] for row in rows},
            "half_visible": {row.fault: [row.half_visible] for row in rows},
        },
        conditions=conditions(rows),
        seeds={part.__name__.rpartition("_")[2]: part.SEED for part in PARTS},
    )


def rows_of(module: str, *, quick: bool) -> list[Row]:
    """Run a part as a program: its commands are forks of a process that has done nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", module, *(["--quick"] if quick else [])],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FailedError(f"python -m {module} exited with {done.returncode}, see above.")
    return [Row(**one) for one in json.loads(done.stdout.strip().splitlines()[-1])]


def conditions(rows: list[Row]) -> dict[str, str]:
    """Return what was disturbed and how, and what the commands said."""
    found = {
        "materialize": "digits, 6 copies in slices of 64: 261 shards, about 2.5 s",
        "push": (
            "a model of 12 files and 0.5 MB with its bundle; what a process acknowledged before it "
            "was killed must be there, and what it had begun is there or is not"
        ),
        "refresh": (
            "two networks of width 4, one epoch each, TFX and all gates; after a kill the metadata "
            "is checked by SQLite, and what was done must come from the cache"
        ),
        "moments": (
            "drawn at random: by the clock, by what has appeared in the folder, and by the node "
            "that runs; up to three kills in a row before the command may end"
        ),
        "processes": "forks of a process that has loaded the libraries, but for `start-up too`",
    }
    if not can_mount():
        found["disks"] = "no right to mount a small disk: full disks were left out"
    for row in rows:
        if row.message:
            found[f"`{row.fault}` says"] = _OWN_FOLDER.sub("DIR", row.message)
    return found


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of the Markdown table: one per fault."""
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    lines = ["| fault | kills | other faults | lost | half visible |", "|---|---:|---:|---:|---:|"]
    for fault in parts["lost"]:
        cells = [
            f"{parts[key][fault].runs[0]:,.0f}" if fault in parts[key] else ""
            for key in ("kills", "trials", "lost", "half_visible")
        ]
        lines.append("| " + " | ".join([fault, *cells]) + " |")
    totals = [f"{sum(one.runs[0] for one in parts[key].values()):,.0f}" for key in FIGURES]
    return [*lines, "| " + " | ".join(["total", *totals]) + " |"]
