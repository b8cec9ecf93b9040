"""What compression costs in accuracy, and what it saves in bytes and time, on CIFAR-10.

Every network is scored as the int8 TFLite model that would ship. The trainings are kept in
``data/benchmarks/compression``, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.compression_arms import (
    DENSE,
    FULL,
    QUICK,
    SHIPS,
    Arm,
    Size,
    load_network,
    networks,
    say,
)
from benchmarks.machine import core_count
from benchmarks.result import Figure, Measured
from benchmarks.timing import PROJECT, one_core
from benchmarks.training import add, deviation
from schemas.errors import FailedError

if TYPE_CHECKING:
    import numpy as np

    from components.lite import LiteModel

FIGURES = {
    "bytes_ratio": ("times", "int8 TFLite bytes of the dense network over those of what ships"),
    "latency_ratio": ("times", "batch-1 latency of the dense network over that of what ships"),
    "loss_points": ("points", "test accuracy of the dense network minus that of what ships"),
    "loss_interval": ("points", "95 % interval of that over test examples, seeds together"),
    "accuracy": ("%", "accuracy on the test split, int8"),
    "float_accuracy": ("%", "accuracy on the test split, float32"),
    "loss": ("points", "test accuracy of the dense network minus this one's, int8"),
    "parameters": ("", "parameters"),
    "bytes": ("bytes", "int8 TFLite"),
    "gzip_bytes": ("bytes", "int8 TFLite, deflated"),
    "macs": ("million", "multiplications of one image"),
    "latency": ("ms", "one image, one thread, int8"),
}
SEEDS = (1, 2, 3)
ROUNDS = 7
WORK = PROJECT / "data" / "benchmarks" / "compression"
SETTINGS = (
    "copies=8",
    "image.encoding=raw",
    "splits.eval_share=0.1",
    "leakage=off",
    "policy={slots: [{op: flip_horizontal, probability: 0.5}, {op: random_crop, x: 4, y: 4}]}",
)
CALIBRATION = 500


def measure(*, quick: bool) -> Measured:
    """Train what is not trained yet, one process per core; then convert, score and time.

    Raises:
        InputError: CIFAR-10 is missing; the message says how to get it.
        FailedError: a training failed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    size, seeds = (QUICK, SEEDS[:1]) if quick else (FULL, SEEDS)
    work = Path(tempfile.mkdtemp()) if quick else WORK
    try:
        dataset = _dataset("digits" if quick else "cifar10", work / "dataset", quick=quick)
        folders = {seed: work / f"seed{seed}" for seed in seeds}
        _train(dataset, folders, quick=quick)
        runs: dict[str, Any] = {key: {} for key in FIGURES}
        losses = []
        with one_core():
            for seed, folder in folders.items():
                losses.append(_score(dataset, folder, size, seed, runs, 2 if quick else ROUNDS))
    finally:
        if quick:
            shutil.rmtree(work)
    _headline(runs, losses, {arm.name: arm.label for arm in networks(size)})
    return Measured(
        runs=runs,
        conditions=_conditions(size, quick=quick),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the headline and the Markdown table, a row per network."""
    ratio, latency = figures["bytes_ratio"].total, figures["latency_ratio"].total
    loss, interval = figures["loss_points"].total, figures["loss_interval"].parts
    if not (ratio and latency and loss and interval):
        raise FailedError("a result of the benchmark compression lacks its headline")
    lines = [
        f"What ships against the dense network, both int8: **{ratio.median:.1f} times** fewer bytes"
        f" ({ratio.min:.1f} to {ratio.max:.1f}), **{latency.median:.1f} times** lower batch-1 "
        f"latency ({latency.min:.1f} to {latency.max:.1f}), **{statistics.mean(loss.runs):+.2f} "
        f"points** lost on the test split (95 % interval {interval['low'].median:+.2f} to "
        f"{interval['high'].median:+.2f}; seeds {loss.min:+.2f} to {loss.max:+.2f}).",
        "",
        "| network | int8 accuracy ± deviation | points lost ± standard error | float32 accuracy | "
        "parameters | int8 bytes | deflated | million MACs | ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    for label, found in parts["accuracy"].items():
        lost = parts["loss"][label].runs
        error = deviation(lost) / math.sqrt(len(lost))
        cells = [
            label,
            f"{statistics.mean(found.runs):.2f} % ± {deviation(found.runs):.2f}",
            "" if not any(lost) else f"{statistics.mean(lost):+.2f} ± {error:.2f}",
            f"{statistics.mean(parts['float_accuracy'][label].runs):.2f} %",
            f"{parts['parameters'][label].median:,.0f}",
            f"{parts['bytes'][label].median:,.0f}",
            f"{parts['gzip_bytes'][label].median:,.0f}",
            f"{parts['macs'][label].median:.2f}",
            f"{parts['latency'][label].median:.4f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _dataset(recipe: str, folder: Path, *, quick: bool) -> str:
    from pipelines.dataset.materialize import materialize
    from pipelines.dataset.plan import make_plan
    from schemas.recipe import load_recipe

    settings = ("copies=2", "leakage=off") if quick else SETTINGS
    plan = make_plan(load_recipe(recipe, settings), str(folder))
    return materialize(plan, stream=io.StringIO()).path


def _train(dataset: str, folders: Mapping[int, Path], *, quick: bool) -> None:
    """Make every network of every seed, in a process per seed, as many at once as cores."""

    def one(seed: int) -> None:
        arguments = [dataset, str(folders[seed]), str(seed), "quick" if quick else "full"]
        command = [sys.executable, "-m", "benchmarks.compression_arms", *arguments]
        status = subprocess.run(command, cwd=PROJECT, check=False).returncode
        if status:
            raise FailedError(f"the trainings of seed {seed} stopped with status {status}")

    with ThreadPoolExecutor(core_count()) as pool:
        list(pool.map(one, folders))


def _score(
    dataset: str, folder: Path, size: Size, seed: int, runs: dict[str, Any], rounds: int
) -> np.ndarray:
    """Add the figures of one seed; return what each test example adds to the loss, -1, 0 or 1."""
    import numpy as np

    from components.cost import cost
    from components.data import batches, open_dataset
    from components.evaluate import evaluate, logits_of
    from components.lite import LiteModel, convert
    from components.quantize import calibration_inputs

    data = open_dataset(dataset)
    lites: dict[str, LiteModel] = {}
    right: dict[str, np.ndarray] = {}
    labels = None
    for arm in networks(size):
        model = load_network(folder, arm)
        if labels is None:
            labels = np.concatenate([some for _, some in batches(data, "test", model)])
        rows = calibration_inputs(data, model, count=CALIBRATION, seed=seed)
        content = convert(model, "int8", calibration=rows)
        lites[arm.name] = lite = LiteModel(content)
        logits = logits_of(model, data, "test", forward=lite.logits)
        right[arm.name] = (logits.argmax(axis=1) == labels).astype(int)
        accuracy = 100 * float(right[arm.name].mean())
        add(runs["accuracy"], arm.label, accuracy)
        add(runs["float_accuracy"], arm.label, 100 * evaluate(model, data, "test").accuracy)
        add(runs["loss"], arm.label, 100 * float((right[DENSE] - right[arm.name]).mean()))
        add(runs["parameters"], arm.label, model.count_params())
        add(runs["bytes"], arm.label, len(content))
        add(runs["gzip_bytes"], arm.label, len(zlib.compress(content, 9)))
        add(runs["macs"], arm.label, cost(model).macs / 1e6)
        say(f"seed {seed}: {arm.name} {accuracy:.2f} % {len(content):,} bytes")
    for arm, milliseconds in _latencies(networks(size), lites, rounds):
        add(runs["latency"], arm.label, milliseconds)
    return right[DENSE] - right[SHIPS]


def _latencies(
    networks: Sequence[Arm], lites: Mapping[str, LiteModel], rounds: int
) -> Iterator[tuple[Arm, float]]:
    """Yield each network with the median of its latencies, all timed in turn, round by round."""
    found: dict[str, list[float]] = {name: [] for name in lites}
    for _ in range(rounds):
        for name, lite in lites.items():
            found[name].append(lite.latency(1).median_ms)
    for arm in networks:
        yield arm, statistics.median(found[arm.name])


def _headline(
    runs: dict[str, Any], losses: Sequence[np.ndarray], labels: Mapping[str, str]
) -> None:
    """Add the figures of what ships against the dense network."""
    import numpy as np

    dense, ships = labels[DENSE], labels[SHIPS]
    for ratio, key in (("bytes_ratio", "bytes"), ("latency_ratio", "latency")):
        pairs = zip(runs[key][dense], runs[key][ships], strict=True)
        runs[ratio] = [before / after for before, after in pairs]
    runs["loss_points"] = runs["loss"][ships]
    lost = 100 * np.mean(losses, axis=0)  # of each example, over the seeds
    error = 1.96 * float(lost.std(ddof=1)) / math.sqrt(len(lost))
    mean = float(lost.mean())
    runs["loss_interval"] = {"low": [mean - error], "high": [mean + error]}


def _conditions(size: Size, *, quick: bool) -> dict[str, str]:
    return {
        "dataset": (
            f"{'digits' if quick else 'cifar10'}, the whole training split (a tenth of it kept for "
            "eval), flip and crop by 4 pixels, stored copies; accuracy on the whole test split, on "
            "which nothing was chosen"
        ),
        "dense": f"width {size.width}, {size.epochs} epochs, one per seed, no label smoothing",
        "cuts": (
            f"{size.tuning} epochs after (or with) the cut, criterion l1_in_out, widths in "
            "multiples of 4; KD with temperature 4, alpha 0.9; AT with beta 10; answers stored once"
        ),
        "heuristic": "up to −70 %, floor one point below the dense network's accuracy on eval",
        "masks": (
            "magnitude over all kernels, one after another: 80 % "
            f"({size.tuning - 2} epochs), 90 % (one more), 95 % (one more)"
        ),
        "what ships": (
            "shares by layer: "
            + ", ".join(f"{name} −{share:.0%}" for name, share in size.ratios.items())
            + f"; KD, weight decay 0.0001, for {size.shipping} epochs of the smaller "
            f"network; the dense one trains {size.epochs}; shape and decay chosen on the eval "
            "split of the first seed"
        ),
        "int8": f"weights and activations, calibrated on {CALIBRATION} training originals",
        "latency": "TFLite, one thread, one pinned core; networks take turns, median of the rounds",
        "interval": "normal, over the test examples, each one's mean over the seeds",
    }
