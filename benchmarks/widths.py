"""What one network in several widths scores and costs, beside networks of one width each.

The project's own stages on a sample of CIFAR-10, with as many training epochs for everybody: a
network is trained and then becomes one of several widths; its competitors are pruned from the same
network to the same widths and trained as long, or are trained alone from fresh weights through all
the epochs.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.result import Figure, Measured
from benchmarks.timing import one_core
from benchmarks.training import context_of, dataset_of, deviation, one_thread, say
from schemas.fitting import ImageModel
from schemas.stages import FinetuneConfig, TrainConfig, WidthsConfig

if TYPE_CHECKING:
    import keras

    from components.data import Data
    from components.widths import Slimmable

SHARED, PRUNED, TAUGHT, ALONE = "in one export", "pruned", "pruned and taught", "trained alone"
WAYS = (SHARED, PRUNED, TAUGHT, ALONE)
BASE = "before"
SHARES = (1.0, 0.5, 0.25)
FIGURES = {
    "accuracy": ("%", "accuracy on the test split"),
    "int8_accuracy": ("%", "accuracy on the test split, extracted, as int8 TFLite"),
    "int8_bytes": ("bytes", "extracted, as int8 TFLite"),
    "macs": ("", "multiply-accumulate operations for one image"),
    "lite_ms": ("ms", "one image, extracted, float32 TFLite"),
    "signature_ms": (
        "ms",
        "CPU time of one image, as a signature of the shared network in TensorFlow",
    ),
    "export_bytes": ("bytes", "SavedModel"),
}
ONE, SEVERAL = "full width alone", "all widths"
SEEDS = (1, 2, 3)
_CALIBRATION = 2_000


def measure(*, quick: bool) -> Measured:
    """Train networks of one and of several widths; one pinned core, one thread.

    Raises:
        InputError: CIFAR-10 is missing; the message says how to get it.
    """
    one_thread()
    size = {"train": 200, "evaluation": 50} if quick else {"train": 5000, "evaluation": 2000}
    seeds = SEEDS[:1] if quick else SEEDS
    base = TrainConfig(
        model=ImageModel(width=8 if quick else 32),
        epochs=1 if quick else 8,
        batch_size=50 if quick else 128,
    )
    runs: dict[str, Any] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder, one_core():
        for seed in seeds:
            data = dataset_of("digits" if quick else "cifar10", seed, Path(folder), **size)
            _compare(data, base, seed, runs)
            if seed == seeds[-1]:
                _weigh(data, base, seed, Path(folder), runs)
    return Measured(
        runs=runs,
        conditions=_conditions(size["train"], base, quick=quick),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of the Markdown tables."""
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    lines = [
        f"| width | {' | '.join(WAYS)} | int8, extracted | int8 bytes | MACs | ms, TFLite | "
        "ms, signature |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for share in SHARES:
        name = f"{share:g}"
        cells = [name]
        for way in WAYS:
            found = parts["accuracy"].get(f"{way}, {name}")
            cells.append(_accuracy(found.runs) if found else "")
        cells.append(_accuracy(parts["int8_accuracy"][name].runs))
        for key, form in (
            ("int8_bytes", "{:,.0f}"),
            ("macs", "{:,.0f}"),
            ("lite_ms", "{:.3f}"),
            ("signature_ms", "{:.2f}"),
        ):
            cells.append(form.format(parts[key][name].median))
        lines.append("| " + " | ".join(cells) + " |")
    sizes = {name: found.median for name, found in parts["export_bytes"].items()}
    lines += [
        "",
        f"Before the widths were trained the network scored "
        f"{_accuracy(parts['accuracy'][BASE].runs)}. The SavedModel of the full width alone takes "
        f"{sizes[ONE]:,.0f} bytes, {sizes[f'{ONE}: variables']:,.0f} of them variables; that of "
        f"all widths {sizes[SEVERAL]:,.0f}, {sizes[f'{SEVERAL}: variables']:,.0f} of them "
        "variables.",
    ]
    return lines


def _accuracy(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} % ± {deviation(values):.1f}"


def _compare(data: Data, config: TrainConfig, seed: int, runs: dict[str, Any]) -> None:
    """Train the network, its widths and their competitors; note what each scores and costs."""
    from components import train
    from components.distill import fit_with_teacher
    from components.prune import fresh, recalibrate
    from components.train import fit, label_loss

    base = train.run(context_of(data, seed), config)
    _scored(runs, BASE, base, data)
    slim = _slim(base, data, config, seed)
    tuned = FinetuneConfig(epochs=config.epochs, batch_size=config.batch_size)
    alone = dataclasses.replace(config, epochs=2 * config.epochs)
    for share in SHARES:
        name = f"{share:g}"
        network = slim.extract(share)
        _scored(runs, f"{SHARED}, {name}", network, data)
        _cost(runs, name, slim, share, network, data, seed)
        for way, teacher in ((PRUNED, None), (TAUGHT, base)):
            if share != 1:
                pruned = _pruned(base, share)
                recalibrate(pruned, _calibration(data, pruned, seed))
                context = context_of(data, seed, teacher=teacher)
                fit_with_teacher(pruned, context, tuned)
                _scored(runs, f"{way}, {name}", pruned, data)
        context = context_of(data, seed)
        new = fresh(network)
        fit(new, context, alone, label_loss(alone.label_smoothing))
        _scored(runs, f"{ALONE}, {name}", new, data)


def _slim(base: keras.Model, data: Data, config: TrainConfig, seed: int) -> Slimmable:
    """Return the base in all widths, trained further as the stage does."""
    from components.train import fit
    from components.widths import sandwich

    slim = _widths_of(base)
    settings = WidthsConfig(widths=SHARES, epochs=config.epochs, batch_size=config.batch_size)
    network, loss = sandwich(slim, in_place=settings.in_place)
    fit(slim.model, context_of(data, seed), settings, loss, network=network)
    slim.recalibrate(_calibration(data, slim.model, seed))
    return slim


def _widths_of(base: keras.Model) -> Slimmable:
    from components.prune import channel_graph, scores
    from components.widths import slimmable

    return slimmable(base, SHARES, scores(base, channel_graph(base), "l1_in_out"))


def _pruned(base: keras.Model, share: float) -> keras.Model:
    """Return the base cut to the same channels as a width has before training."""
    return _widths_of(base).extract(share)


def _calibration(data: Data, model: keras.Model, seed: int) -> Any:
    from components.data import training_batches
    from components.prune.stage import CALIBRATION_BATCH

    size = min(CALIBRATION_BATCH, data.examples("train"))
    return training_batches(data, model, copy=0, batch_size=size, seed=seed, examples=_CALIBRATION)


def _scored(runs: dict[str, Any], name: str, model: keras.Model, data: Data) -> None:
    from components.evaluate import evaluate

    accuracy = 100 * evaluate(model, data, "test").accuracy
    runs["accuracy"].setdefault(name, []).append(accuracy)
    say(f"{name}: {accuracy:.2f} %")


def _cost(
    runs: dict[str, Any],
    name: str,
    slim: Slimmable,
    share: float,
    network: keras.Model,
    data: Data,
    seed: int,
) -> None:
    """Note what a width costs as a signature, and extracted as TFLite."""
    from components.cost import cost
    from components.evaluate import evaluate
    from components.lite import LiteModel, convert
    from components.quantize import CALIBRATION, calibration_inputs
    from components.widths.stage import signature_seconds

    inputs = calibration_inputs(data, network, count=CALIBRATION, seed=seed)
    small = convert(network, "int8", calibration=inputs)
    scored = evaluate(network, data, "test", forward=LiteModel(small).logits)
    found = {
        "int8_accuracy": 100 * scored.accuracy,
        "int8_bytes": len(small),
        "macs": cost(network).macs,
        "lite_ms": LiteModel(convert(network, "float32")).latency(1).median_ms,
        "signature_ms": 1e3 * signature_seconds(slim, share, clock=time.process_time),
    }
    for key, value in found.items():
        runs[key].setdefault(name, []).append(value)
    say(f"width {name}: {found}")


def _weigh(data: Data, config: TrainConfig, seed: int, folder: Path, runs: dict[str, Any]) -> None:
    """Note the bytes of both exports; they do not depend on what the weights are."""
    from components.artifact import folder_bytes
    from components.export import export
    from components.models import build_model
    from components.widths.stage import served_width
    from schemas.stages import width_name

    slim = _widths_of(build_model(config.model, data))
    served = {
        width_name(share): served_width(slim, share, slim.extract(share)) for share in SHARES[1:]
    }
    for name, more in ((ONE, {}), (SEVERAL, served)):
        where = folder / f"export{len(more)}"
        export(slim.model, data, where, more)
        runs["export_bytes"][name] = [folder_bytes(where)]
        runs["export_bytes"][f"{name}: variables"] = [folder_bytes(where / "variables")]


def _conditions(train: int, base: TrainConfig, *, quick: bool) -> dict[str, str]:
    epochs = base.epochs
    return {
        "dataset": (
            f"{'digits' if quick else 'cifar10'}, {train:,} training images drawn by key, as many "
            "of each class, and 3 augmented copies (preset classic); accuracy on the whole test "
            "split, on which nothing was chosen"
        ),
        "network": (
            f"{base.model.family}, width {base.model.width}; widths are shares of every layer's "
            "channels, ordered by l1_in_out, multiples of 4"
        ),
        SHARED: f"{epochs} epochs in full width, then {epochs} in all widths at once",
        PRUNED: (
            f"the same {epochs} epochs in full width, cut to the same channels, then {epochs} "
            "more on labels: a training and a file per width"
        ),
        TAUGHT: "likewise, the network that it was cut from being its teacher",
        ALONE: f"the same channels, fresh weights, {2 * epochs} epochs on labels: likewise",
        "int8": "calibrated with 500 training originals; accuracy of the TFLite file",
        "latency": (
            "one image, one pinned core, one thread, median: TFLite (float32) of the extracted "
            "network by the clock; a signature's graph in TensorFlow, which cuts the shared "
            "weights anew in every call, by CPU time"
        ),
        "seed": "decides images, augmentation, weights and order",
    }
