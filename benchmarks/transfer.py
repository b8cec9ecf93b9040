"""What a network learns of new classes with few examples, when it knows others already.

The project's own stages: a network per seed for one half of a dataset's classes, then the other
half from a few hundred examples, in several ways; and from a handful, draw by draw.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.augmentation_data import Sample, build, plan_of_sample
from benchmarks.result import Figure, Measured
from benchmarks.training import add, context_of, deviation, one_thread, say
from schemas.fitting import Fitting, ImageModel
from schemas.recipe import load_recipe
from schemas.stages import FinetuneConfig, TrainConfig

if TYPE_CHECKING:
    import keras

    from components.data import Data

SEEDS = (1, 2, 3)
KNOWN, NEW = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
HEAVY = {"preset": "randaugment"}
SCRATCH, GRADUAL = "from scratch", "freed gradually"
BATCH = 32
METHODS: dict[str, dict[str, Any]] = {
    "new head alone": {"freeze": 1.0, "learning_rate": 0.15},
    "all of it": {"learning_rate": 0.02},
    GRADUAL: {"freeze": 1.0, "learning_rate": 0.02},  # over half of the epochs
    "rates by depth": {"layer_decay": 0.85, "learning_rate": 0.05},
}
FEW_SHOT = {
    "class means": {"head": "prototype"},
    "class means, originals alone": {"head": "prototype", "copies": 1},
    "new head alone": METHODS["new head alone"],
    "all of it": METHODS["all of it"],
    SCRATCH: {"learning_rate": 0.15},
}
FIGURES = {
    "transfer_accuracy": ("%", "accuracy on the test split, new classes"),
    "transfer_gain": ("points", "minus from scratch, seed by seed"),
    "few_shot_accuracy": ("%", "accuracy on the test split, new classes, by draw"),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How much of a recipe is used, and how long is trained.

    Attributes:
        recipe: Shipped image recipe with ten classes.
        width: Of the network.
        known: Training examples of each known class.
        evaluation: Eval examples of each class.
        sizes: Training examples of each new class, to the epochs of every way.
        shots: Originals of each new class, few-shot, to the epochs over all copies.
        pool: Examples of each new class that those are drawn from.
        draws: How often.
        copies: Heavily augmented copies of each.
        source_epochs: Of the network for the known classes.
    """

    recipe: str
    width: int
    known: int
    evaluation: int
    sizes: dict[int, int]
    shots: dict[int, int]
    pool: int
    draws: int = 5
    copies: int = 7
    source_epochs: int = 17


SETTINGS = (
    Setting(
        recipe="digits",
        width=8,
        known=100,
        evaluation=25,
        sizes={5: 41, 20: 25, 100: 13},
        shots={5: 30, 20: 12},
        pool=100,
    ),
    Setting(
        recipe="cifar10",
        width=12,
        known=1000,
        evaluation=200,
        sizes={20: 41, 100: 25, 400: 13},
        shots={5: 30, 20: 12, 100: 5},
        pool=400,
    ),
)
QUICK = Setting(
    recipe="digits",
    width=4,
    known=20,
    evaluation=5,
    sizes={5: 1},
    shots={5: 1},
    pool=10,
    draws=1,
    copies=1,
    source_epochs=1,
)


def measure(*, quick: bool) -> Measured:
    """Train on known classes, then on new ones; all on one TensorFlow thread.

    Raises:
        InputError: CIFAR-10 is missing; the message says how to get it.
    """
    one_thread()
    seeds = SEEDS[:1] if quick else SEEDS
    settings = (QUICK,) if quick else SETTINGS
    runs: dict[str, dict[str, list[float]]] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder:
        for setting in settings:
            for seed in seeds:
                network = source_network(setting, seed, Path(folder))
                for part, accuracies in transferred(setting, network, seed, Path(folder)):
                    base = accuracies[SCRATCH]
                    for method, accuracy in accuracies.items():
                        add(runs["transfer_accuracy"], f"{part}: {method}", accuracy)
                        if method != SCRATCH:
                            add(runs["transfer_gain"], f"{part}: {method}", accuracy - base)
                if seed == seeds[0]:
                    runs["few_shot_accuracy"] |= few_shots(setting, network, seed, Path(folder))
    return Measured(
        runs=runs,
        conditions=_conditions(settings),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def source_network(setting: Setting, seed: int, folder: Path) -> keras.Model:
    """Return a network for the known classes."""
    from components import train
    from components.evaluate import evaluate

    data = dataset(setting, seed, folder, KNOWN, train=setting.known, copies=3)
    config = TrainConfig(
        model=ImageModel(width=setting.width), epochs=setting.source_epochs, batch_size=64
    )
    model = train.run(context_of(data, seed), config)
    say(f"{setting.recipe} seed {seed}: known {evaluate(model, data, 'test').accuracy:.4f}")
    return model


def transferred(
    setting: Setting, network: keras.Model, seed: int, folder: Path
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield for each size the test accuracies in percent, by method."""
    for size, epochs in setting.sizes.items():
        data = dataset(setting, seed, folder, NEW, train=size, copies=3)
        fresh = TrainConfig(model=ImageModel(width=setting.width), epochs=epochs, batch_size=BATCH)
        found = {SCRATCH: accuracy_of(data, fresh, seed, None)}
        for name, changes in METHODS.items():
            gradual = {"unfreeze": epochs // 2} if name == GRADUAL else {}
            config = FinetuneConfig(
                head="new", epochs=epochs, batch_size=BATCH, **changes, **gradual
            )
            found[name] = accuracy_of(data, config, seed, network)
        say(f"{setting.recipe} seed {seed}, {size} of each class: {found}")
        yield f"{setting.recipe}, {size} of each class", found


def accuracy_of(
    data: Data,
    config: TrainConfig | FinetuneConfig,
    seed: int,
    network: keras.Model | None,
    split: str = "test",
) -> float:
    """Train on new classes, from scratch without a network; return accuracy in percent."""
    from components import finetune, train
    from components.evaluate import evaluate
    from components.transfer import copy_of

    stage = train if network is None else finetune
    base = None if network is None else copy_of(network)
    model = stage.run(context_of(data, seed, base=base), config)
    return 100 * evaluate(model, data, split).accuracy


def few_shots(
    setting: Setting, network: keras.Model, seed: int, folder: Path, split: str = "test"
) -> dict[str, list[float]]:
    """Return the accuracies in percent of all draws, by k and method."""
    from components.fewshot import HEAD_ALONE, few_shot
    from components.models import build_model
    from components.stages import be_deterministic

    sample = {"train": setting.pool, "copies": setting.copies, "policy": HEAVY}
    data = dataset(setting, seed, folder, NEW, **sample)
    be_deterministic(seed)
    fresh = build_model(ImageModel(width=setting.width), data)
    found: dict[str, list[float]] = {}
    for k, epochs in setting.shots.items():
        for name, changes in FEW_SHOT.items():
            head = changes.get("head", "finetune")
            own = {key: value for key, value in changes.items() if key != "head"}
            config = dataclasses.replace(HEAD_ALONE, **{"freeze": 0.0, "epochs": epochs, **own})
            body = fresh if name == SCRATCH else network
            be_deterministic(seed)
            result = few_shot(body, data, k, setting.draws, head=head, config=config, split=split)
            part = f"{setting.recipe}, {k} of each class: {name}"
            found[part] = [100 * one for one in result.accuracies]
            say(f"{part} {statistics.mean(found[part]):.2f} {found[part]}")
    return found


def dataset(
    setting: Setting,
    seed: int,
    folder: Path,
    classes: tuple[int, ...],
    *,
    train: int,
    copies: int,
    policy: dict[str, Any] | None = None,
) -> Data:
    """Return a dataset of some classes, ``train`` examples of each; test holds all there are."""
    from components.data import open_dataset

    sample = Sample(
        recipe=setting.recipe,
        train=train * len(classes),
        evaluation=setting.evaluation * len(classes),
        policy=policy or load_recipe(setting.recipe).content["policy"],
        copies=copies,
        seed=seed,
        classes=classes,
    )
    return open_dataset(build(plan_of_sample(sample, folder)))


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of two Markdown tables: means and deviations, a column per method."""
    gains = figures["transfer_gain"].parts or {}
    lines = _table(
        figures["transfer_accuracy"],
        [SCRATCH, *METHODS],
        lambda part: _error(gains[part].runs) if part in gains else "",
    )
    return [*lines, "", *_table(figures["few_shot_accuracy"], [*FEW_SHOT], lambda part: "")]


def _table(figure: Figure, methods: list[str], note: Any) -> list[str]:
    parts = figure.parts or {}
    rows = list(dict.fromkeys(part.rsplit(": ", 1)[0] for part in parts))
    lines = [
        f"| {figure.summary} | " + " | ".join(methods) + " |",
        "|---|" + "---:|" * len(methods),
    ]
    for row in rows:
        cells = []
        for method in methods:
            part = f"{row}: {method}"
            values = parts[part].runs
            cell = f"{statistics.mean(values):.1f} ± {deviation(values):.1f}"
            cells.append(cell + note(part))
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def _error(gains: list[float]) -> str:
    error = deviation(gains) / len(gains) ** 0.5
    return f" ({statistics.mean(gains):+.1f} ± {error:.1f})"


def _listed(counts: dict[int, int], side: int = 1) -> str:
    return "/".join(str(pair[side]) for pair in counts.items())


def _conditions(settings: tuple[Setting, ...]) -> dict[str, str]:
    return {
        "networks": "; ".join(
            f"{one.recipe}: width {one.width}, {one.known:,} training images of each of the first "
            f"five classes and 3 copies of each, {one.source_epochs} epochs, one network per seed"
            for one in settings
        ),
        "transfer": "; ".join(
            f"{one.recipe}: {_listed(one.sizes)} epochs for each way with {_listed(one.sizes, 0)} "
            f"of each class, batches of {BATCH}, 3 copies (the recipe's policy)"
            for one in settings
        ),
        "ways": "; ".join(
            [f"{SCRATCH}: a train stage, learning_rate {Fitting.learning_rate}"]
            + [
                f"{name}: "
                + ", ".join(f"{key} {value}" for key, value in some.items())
                + (", unfreeze half of the epochs" if name == GRADUAL else "")
                for name, some in METHODS.items()
            ]
        ),
        "few-shot": "; ".join(
            f"{one.recipe}: {one.draws} draws by key of {one.pool} images of each class, "
            f"{one.copies} copies ({HEAVY['preset']}), {_listed(one.shots)} epochs over all of "
            f"them with {_listed(one.shots, 0)} of each class, the network of the first seed; "
            "class means: the nearest mean of the features"
            for one in settings
        ),
        "new classes": "the last five; accuracy on all their test images, on which nothing was "
        "chosen",
        "learning rates": "the best of 0.02, 0.05 and 0.15 on the eval split of cifar10, 100 of "
        "each class, 25 epochs, with seed 0; few-shot took them over",
        "seed": "decides images, augmentation, weights and order",
    }
