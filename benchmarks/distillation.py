"""What a teacher's stored answers cost per step, and what students learn from them.

The project's own stages on a sample of CIFAR-10: a teacher per seed, its answers stored once, and
students that differ in what they learn from alone.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.result import Figure, Measured
from benchmarks.timing import one_core
from benchmarks.training import add, context_of, dataset_of, deviation, one_thread, say
from schemas.fitting import ImageModel
from schemas.stages import DistillConfig, TrainConfig
from schemas.teaching import SignalsConfig

if TYPE_CHECKING:
    import keras

    from components.data import Data
    from components.signals import StoredSignals

METHODS = {
    "labels alone": {"alpha": 0.0},
    "KD": {},
    "AT": {"alpha": 0.0, "attention": 10.0},
    "KD and AT": {"attention": 10.0},
}
LABELS, IN_EVERY_STEP = "labels alone", "the teacher in every step"
FIGURES = {
    "step_time": ("times", "CPU time of an epoch, labels alone = 1"),
    "accuracy": ("%", "accuracy on the test split"),
    "accuracy_gain": ("points", "minus labels alone, seed by seed"),
    "stored_bytes": ("bytes", "stored answers per example"),
}
SEEDS = (1, 2, 3)
ROUNDS = 8


def measure(*, quick: bool) -> Measured:
    """Train teachers and students; CPU times on one pinned core with one thread.

    Raises:
        InputError: CIFAR-10 is missing; the message says how to get it.
    """
    one_thread()
    size = {"train": 200, "evaluation": 50} if quick else {"train": 5000, "evaluation": 2000}
    seeds = SEEDS[:1] if quick else SEEDS
    teacher = TrainConfig(
        model=ImageModel(width=8 if quick else 32),
        epochs=2 if quick else 24,
        batch_size=50 if quick else 128,
        label_smoothing=0.0,
    )
    student = DistillConfig(
        model=ImageModel(width=4 if quick else 12),
        epochs=2 if quick else 24,
        batch_size=teacher.batch_size,
    )
    runs: dict[str, Any] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder, one_core():
        for seed in seeds:
            data = dataset_of("digits" if quick else "cifar10", seed, Path(folder), **size)
            network, accuracy = _taught(data, teacher, seed)
            add(runs["accuracy"], "teacher", accuracy)
            signals = _stored(network, data, Path(folder) / f"signals{seed}", runs["stored_bytes"])
            scores = {
                name: _student(data, student, signals, seed, changes)
                for name, changes in METHODS.items()
            }
            for name, score in scores.items():
                add(runs["accuracy"], name, score)
                if name != LABELS:
                    add(runs["accuracy_gain"], name, score - scores[LABELS])
        rounds = 2 if quick else ROUNDS
        for name, ratio in _step_times(data, student, signals, network, rounds):
            add(runs["step_time"], name, ratio)
    return Measured(
        runs=runs,
        conditions=_conditions(size["train"], teacher, student, quick=quick),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of the Markdown table: means and deviations of accuracies."""
    lines = [
        "| learns from | accuracy ± deviation | minus labels alone ± standard error | CPU time of "
        "an epoch, labels alone = 1 (min to max) | stored bytes per example |",
        "|---|---:|---:|---:|---:|",
    ]
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    for name in ["teacher", *METHODS, IN_EVERY_STEP]:
        cells = [name, "", "", "", ""]
        if name in parts["accuracy"]:
            values = parts["accuracy"][name].runs
            cells[1] = f"{statistics.mean(values):.1f} % ± {deviation(values):.1f}"
        if name in parts["accuracy_gain"]:
            values = parts["accuracy_gain"][name].runs
            error = deviation(values) / len(values) ** 0.5
            cells[2] = f"{statistics.mean(values):+.1f} ± {error:.1f}"
        if name in parts["step_time"]:
            found = parts["step_time"][name]
            cells[3] = f"{found.median:.3f} ({found.min:.3f} to {found.max:.3f})"
        if name in parts["stored_bytes"]:
            cells[4] = f"{parts['stored_bytes'][name].median:,.0f}"
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _taught(data: Data, config: TrainConfig, seed: int) -> tuple[keras.Model, float]:
    """Return a teacher and its accuracy in percent."""
    from components import train
    from components.evaluate import evaluate

    model = train.run(context_of(data, seed), config)
    accuracy = 100 * evaluate(model, data, "test").accuracy
    say(f"seed {seed}: teacher {accuracy:.2f} %")
    return model, accuracy


def _stored(model: keras.Model, data: Data, folder: Path, sizes: dict[str, Any]) -> StoredSignals:
    """Store the teacher's answers with every kind of maps; return those of float16."""
    from components.models import model_digest
    from components.signal_store import store_signals
    from components.signals import open_signals

    names = {"none": "KD", "uint8": "AT", "float16": "KD and AT"}
    teacher = model_digest(model)
    for maps, name in names.items():
        config = SignalsConfig(maps=maps)
        manifest = store_signals(model, data, folder / maps, config, teacher=teacher)
        total = sum(one.bytes for one in manifest.shards)
        add(sizes, name, total / sum(one.examples for one in manifest.shards))
    return open_signals(folder / "float16", data, teacher=teacher)


def _student(
    data: Data,
    config: DistillConfig,
    signals: StoredSignals,
    seed: int,
    changes: dict[str, float],
) -> float:
    """Train a student and return its accuracy in percent."""
    from components import distill
    from components.evaluate import evaluate

    own = dataclasses.replace(config, **changes)
    model = distill.run(context_of(data, seed, signals=signals), own)
    accuracy = 100 * evaluate(model, data, "test").accuracy
    say(f"seed {seed}: {changes or 'KD'} {accuracy:.2f} %")
    return accuracy


def _step_times(
    data: Data,
    config: DistillConfig,
    signals: StoredSignals,
    teacher: keras.Model,
    rounds: int,
) -> Iterator[tuple[str, float]]:
    """Yield name and CPU time over that of labels alone, epoch by epoch, all in turn.

    The first two rounds, which trace the steps and read the files, are left out.
    """
    from components.distill import lesson
    from components.models import build_model
    from components.train import epochs_of, label_loss

    own = dataclasses.replace(config, epochs=rounds + 2, copies=2)
    context = context_of(data, 1, signals=signals)

    def started(**changes: float) -> Iterator[float]:
        one = dataclasses.replace(own, **changes)
        model = build_model(one.model, data)
        return epochs_of(model, context, one, **lesson(model, context, one))

    def plain() -> Iterator[float]:
        model = build_model(own.model, data)
        return epochs_of(model, context, own, label_loss(own.label_smoothing))

    trainings = {
        LABELS: plain(),
        "KD": started(),
        "AT": started(**METHODS["AT"]),
        "KD and AT": started(**METHODS["KD and AT"]),
        IN_EVERY_STEP: _asking(data, own, context, teacher),
    }
    for number in range(rounds + 2):
        seconds = {name: _cpu_seconds(lambda one=one: next(one)) for name, one in trainings.items()}
        say(f"round {number}: {seconds}")
        if number >= 2:
            for name, spent in seconds.items():
                if name != LABELS:
                    yield name, spent / seconds[LABELS]


def _asking(
    data: Data, config: DistillConfig, context: Any, teacher: keras.Model
) -> Iterator[float]:
    """Train as `keras.distillation` does: the teacher answers anew in every step."""
    from components.distill import distillation_loss
    from components.models import build_model
    from components.train import epochs_of

    model = build_model(config.model, data)
    loss = distillation_loss(config.temperature, config.alpha, config.label_smoothing)

    def both(inputs: Any, training: bool) -> tuple[Any, Any]:
        return model(inputs, training=training), teacher(inputs, training=False)

    def from_both(outputs: tuple[Any, Any], labels: Any) -> Any:
        return loss(outputs[0], labels, outputs[1])

    return epochs_of(model, context, config, from_both, network=both)


def _cpu_seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _conditions(
    train: int, teacher: TrainConfig, student: DistillConfig, *, quick: bool
) -> dict[str, str]:
    return {
        "dataset": (
            f"{'digits' if quick else 'cifar10'}, {train:,} training images drawn by key, as many "
            "of each class, and 3 augmented copies (preset classic); accuracy on the whole test "
            "split, on which nothing was chosen"
        ),
        "teacher": (
            f"width {teacher.model.width}, {teacher.epochs} epochs, one per seed, without label "
            "smoothing"
        ),
        "students": (
            f"width {student.model.width}, {student.epochs} epochs of the same steps; temperature "
            f"{student.temperature:g}, alpha {student.alpha:g} with KD, beta 10 with AT; "
            f"label smoothing {student.label_smoothing:g} of the labels' part"
        ),
        "step time": (
            "one process, one pinned core, one TensorFlow thread, CPU time of whole epochs with "
            "reading; the trainings take turns, the first two rounds are left out"
        ),
        "stored bytes": "logits alone (KD), with uint8 maps (AT), with float16 maps (KD and AT)",
        "seed": "decides images, augmentation, weights and order",
    }
