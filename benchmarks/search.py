"""Search for the smallest network against uniform pruning, at equal training epochs.

Both start from the same trained network, once per seed. Uniform pruning removes the same share of
every layer, a grid of shares; the search spends as many epochs by successive halving.
"""

from __future__ import annotations

import io
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.augmentation_data import Sample, plan_of_sample
from benchmarks.result import RESULTS, Figure, Measured
from benchmarks.timing import one_core
from benchmarks.training import one_thread, say
from pipelines.dataset.materialize import materialize
from schemas.fitting import ImageModel
from schemas.pruning import PruneConfig
from schemas.stages import TrainConfig

if TYPE_CHECKING:
    import keras

    from components.data import Data
    from components.search import Found, Point

DENSE, SEARCH, UNIFORM = "dense", "search", "uniform"
METHODS = (SEARCH, UNIFORM)
FIGURES = {
    "bytes": ("bytes", "TFLite int8 of the smallest network above the floor"),
    "accuracy": ("%", "its accuracy on the test split"),
    "latency": ("ms", "its latency, one example, one thread"),
    "hypervolume": ("points", "mean gain in accuracy above the reference, over sizes"),
    "front": ("networks", "networks on the common front of all methods"),
    "spent": ("epochs", "training epochs spent"),
}
SEEDS = (1, 3)
LOSS = 0.02
"""How far below the dense network's accuracy on eval the floor lies."""
REFERENCE_LOSS = 0.15
"""The same for the corner of the hypervolume."""
SMALLEST_SHARE = 1 / 32
"""Least share of the dense network's bytes that the hypervolume looks at."""
PICTURE = "search.png"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained."""

    recipe: str
    train: int
    evaluation: int
    width: int
    base_epochs: int
    batch_size: int
    epochs: int
    budget: int
    ratios: tuple[float, ...]


FULL = Size(
    recipe="cifar10",
    train=5000,
    evaluation=5000,
    width=32,
    base_epochs=24,
    batch_size=128,
    epochs=8,
    budget=64,
    ratios=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
)
QUICK = Size(
    recipe="digits",
    train=200,
    evaluation=50,
    width=8,
    base_epochs=4,
    batch_size=50,
    epochs=2,
    budget=4,
    ratios=(0.4, 0.7),
)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of one method: what decides, its accuracy on test, what it was trained for."""

    point: Point
    test: float
    epochs: int = 0


def measure(*, quick: bool) -> Measured:
    """Search and prune per seed, on one pinned core with one thread.

    Raises:
        InputError: CIFAR-10 is missing; the message says how to get it.
    """
    one_thread()
    size = QUICK if quick else FULL
    seeds = SEEDS[:1] if quick else SEEDS
    runs: dict[str, Any] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder, one_core():
        for seed in seeds:
            networks, found = _of_seed(size, seed, Path(folder) / str(seed))
            for name, figures in compared(networks).items():
                for key, value in figures.items():
                    runs[key].setdefault(name, []).append(value)
            if not quick and seed == seeds[0]:
                (RESULTS / PICTURE).write_bytes(_picture(found, networks))
    return Measured(
        runs=runs,
        conditions=_conditions(size),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def compared(networks: Mapping[str, Sequence[Network]]) -> dict[str, dict[str, float]]:
    """Return the figures of each method for one seed.

    Where no network of a method meets the floor, the dense one ships, and counts.

    Args:
        networks: Of each method, and the one they start from as `DENSE`.
    """
    from components.search import front

    (dense,) = networks[DENSE]
    floor = dense.point.accuracy - LOSS
    every = [(name, one) for name in METHODS for one in networks[name]]
    best = [
        every[one][0] for one in front([(-two.point.accuracy, two.point.bytes) for _, two in every])
    ]
    figures = {}
    for name in (*METHODS, DENSE):
        fitting = [one for one in networks[name] if one.point.accuracy >= floor]
        chosen = min(fitting, key=_bytes, default=dense)
        figures[name] = {
            "bytes": float(chosen.point.bytes),
            "accuracy": 100 * chosen.test,
            "latency": chosen.point.latency_ms,
        }
        if name != DENSE:
            figures[name] |= {
                "hypervolume": volume(networks[name], dense),
                "front": float(best.count(name)),
                "spent": float(sum(one.epochs for one in networks[name])),
            }
    return figures


def volume(networks: Sequence[Network], dense: Network) -> float:
    """Return how many points of accuracy above the reference a front holds, mean over sizes.

    It is the hypervolume of test accuracy and the logarithm of bytes, divided by the width of the
    range: from the dense network's bytes to a 32nd of them. The networks are those of the front
    on eval.
    """
    from components.search import front, hypervolume

    best = front([(-one.point.accuracy, one.point.bytes) for one in networks])
    lowest, reference = math.log2(SMALLEST_SHARE), dense.test - REFERENCE_LOSS
    costs = [
        (
            max(math.log2(networks[one].point.bytes / dense.point.bytes), lowest),
            100 * (reference - networks[one].test),
        )
        for one in best
    ]
    return hypervolume(costs, (0.0, 0.0)) / -lowest


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of the Markdown table: a row per method, and one per method and seed."""
    lines = [
        "| method | TFLite int8 bytes above the floor | its accuracy on test | its milliseconds | "
        "hypervolume (points) | on the common front |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    for name in (*METHODS, DENSE):
        runs = {key: parts[key][name].runs for key in parts if name in parts[key]}
        lines.append(_row(f"**{name}**, mean", {k: statistics.mean(v) for k, v in runs.items()}))
        for number in range(len(runs["bytes"])):
            lines.append(_row(f"{name}, run {number + 1}", {k: v[number] for k, v in runs.items()}))
    return lines


def _row(name: str, values: Mapping[str, float]) -> str:
    cells = [name, f"{values['bytes']:,.0f}", f"{values['accuracy']:.1f} %"]
    cells.append(f"{values['latency']:.3f}")
    cells.append(f"{values['hypervolume']:.2f}" if "hypervolume" in values else "")
    cells.append(f"{values['front']:.3g}" if "front" in values else "")
    return "| " + " | ".join(cells) + " |"


def _of_seed(size: Size, seed: int, folder: Path) -> tuple[dict[str, list[Network]], Found]:
    """Return the networks of every method, and the search."""
    from components import train
    from components.search import network, smallest
    from components.stages import be_deterministic

    data = _dataset(size, seed, folder)
    be_deterministic(seed)
    config = TrainConfig(
        model=ImageModel(width=size.width),
        epochs=size.base_epochs,
        batch_size=size.batch_size,
        label_smoothing=0.0,
    )
    base = train.run(_context(data, None, seed), config)
    dense = _weighed(base, data, seed)
    say(f"seed {seed}: dense {dense}")
    found = smallest(
        base,
        data,
        floor=dense.point.accuracy - LOSS,
        budget=size.budget,
        folder=folder / "study",
        teacher=base,
        seed=seed,
        progress=say,
        epochs=size.epochs,
        **_fitting(size),
    )
    searched = [
        Network(point=one.point, test=_weighed(network(one), data, seed).test, epochs=one.epochs)
        for one in found.trials
    ]
    uniform = _uniform(base, data, size, seed)
    return {DENSE: [dense], SEARCH: searched, UNIFORM: uniform}, found


def _fitting(size: Size) -> dict[str, Any]:
    """Return what all networks have in common."""
    return {"batch_size": size.batch_size, "learning_rate": 0.08, "layer_floor": 0.05}


def _uniform(base: keras.Model, data: Data, size: Size, seed: int) -> list[Network]:
    """Prune the same share of every layer, for each of the shares, and train as long as allowed."""
    from components.prune import stage as prune
    from components.stages import be_deterministic

    found = []
    for ratio in size.ratios:
        be_deterministic(seed)
        settings = _fitting(size)
        floor = settings.pop("layer_floor")
        config = PruneConfig(
            ratio=None,
            ratios={"*": ratio},
            floor=floor,
            calibration=1000,
            epochs=size.budget // len(size.ratios),
            **settings,
        )
        context = _context(data, base, seed, teacher=base)
        found.append(_weighed(prune.run(context, config), data, seed, epochs=config.epochs))
        say(f"seed {seed}: uniform {ratio:g}: {found[-1]}")
    return found


def _weighed(model: keras.Model, data: Data, seed: int, *, epochs: int = 0) -> Network:
    """Convert a network to int8 and score that on eval and test."""
    from components.evaluate import evaluate
    from components.lite import LiteModel, convert
    from components.quantize import calibration_inputs
    from components.search import weigh
    from components.search.networks import CALIBRATION

    calibration = calibration_inputs(data, model, count=CALIBRATION, seed=seed)
    content = convert(model, "int8", calibration=calibration)
    scores = evaluate(model, data, "test", forward=LiteModel(content).logits)
    return Network(point=weigh(model, content, data), test=scores.accuracy, epochs=epochs)


def _dataset(size: Size, seed: int, folder: Path) -> Data:
    from components.data import open_dataset

    sample = Sample(
        recipe=size.recipe,
        train=size.train,
        evaluation=size.evaluation,
        policy={
            "slots": [
                {"op": "flip_horizontal", "probability": 0.5},
                {"op": "random_crop", "x": 4, "y": 4},
            ]
        },
        copies=7,
        seed=seed,
    )
    plan = plan_of_sample(sample, folder / "dataset")
    return open_dataset(materialize(plan, stream=io.StringIO()).path)


def _context(
    data: Data, base: keras.Model | None, seed: int, *, teacher: keras.Model | None = None
) -> Any:
    from components.train import Context

    return Context(
        data=data, base=base, teacher=teacher, seed=seed, progress=lambda line: None, notes={}
    )


def _picture(found: Found, networks: Mapping[str, Sequence[Network]]) -> bytes:
    from components.search import plot

    others = {name: [one.point for one in networks[name]] for name in METHODS if name != SEARCH}
    title = (
        f"search against uniform pruning, at most {found.budget} training epochs, seed {SEEDS[0]}"
    )
    return plot(found, others=others, title=title)


def _bytes(network: Network) -> int:
    return network.point.bytes


def _conditions(size: Size) -> dict[str, str]:
    shares = ", ".join(f"{one:g}" for one in size.ratios)
    return {
        "dataset": (
            f"{size.recipe}, {size.train:,} training images drawn by key, as many of each class, "
            f"and 7 augmented copies (flip and crop); {size.evaluation:,} images of the eval split"
        ),
        "base": f"width {size.width}, {size.base_epochs} epochs, one per seed; also the teacher",
        "budget": (
            f"{size.budget} training epochs for each method and seed, {size.epochs} at most for a "
            "network; learning rate 0.08, the defaults of a search otherwise"
        ),
        "uniform": (
            f"l1_in_out, the same share of every layer: {shares}; {size.epochs} epochs each, on "
            "the labels and the teacher's answers (temperature 4, alpha 0.9)"
        ),
        "floor": (
            f"accuracy on eval {100 * LOSS:g} points below the dense network's, both as int8; all "
            "is chosen on eval, and scored on test once. Where a method has no such network, the "
            "dense one counts"
        ),
        "hypervolume": (
            f"of test accuracy above the dense network's minus {100 * REFERENCE_LOSS:g} points, "
            f"and the logarithm of bytes from the dense network's to 1/{1 / SMALLEST_SHARE:g} of "
            "them; mean height over that range, of the front on eval"
        ),
        "common front": "of accuracy on eval and bytes, all methods of the seed together",
        "seed": "decides images, augmentation, weights, order and what the search draws",
    }
