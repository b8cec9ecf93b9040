"""What augmentation gains on real data: accuracy of small trainings with equal steps.

Datasets are materialized, read and trained by the project's own parts. Every training is a cell
whose result is kept in ``data/benchmarks/augmentation_gain``: a killed run goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.augmentation_data import Sample, build, plan_of_sample
from benchmarks.augmentation_training import ORIGINALS_LAST, Cell, Score, train_cells
from benchmarks.result import Figure, Measured
from benchmarks.timing import PROJECT
from pipelines.augment import presets
from pipelines.augment.policy import parse_policy
from pipelines.dataset.sources import open_source
from schemas.fitting import ImageModel, TextModel
from schemas.recipe import load_recipe
from schemas.stages import TrainConfig

FIGURES = {
    "cifar10_5000": ("%", "CIFAR-10, 5,000 images"),
    "cifar10_5000_gain": ("points", "CIFAR-10, 5,000 images, minus none"),
    "imdb_500": ("%", "IMDB, 500 reviews"),
    "imdb_500_gain": ("points", "IMDB, 500 reviews, minus none"),
    "imdb_2500": ("%", "IMDB, 2,500 reviews"),
    "imdb_2500_gain": ("points", "IMDB, 2,500 reviews, minus none"),
}

NONE = "none"
GAIN = "_gain"
WORK = PROJECT / "data" / "benchmarks" / "augmentation_gain"
SEEDS = (1, 2, 3, 4, 5)
"""The first three are those of the images, whose trainings take ten times as long."""
_BACK_TRANSLATION: dict[str, Any] = {"slots": [{"op": "back_translate"}]}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Attributes:
        name: What it is called.
        policy: As in a recipe.
        build: Copies that its dataset has.
        copies: Copies that the epochs cycle through.
        originals: Whether the cycle has the originals too.
        online: Whether every epoch is augmented afresh instead.
        share: Share of the epochs that it is trained for.
    """

    name: str
    policy: dict[str, Any]
    build: int = 0
    copies: int = 0
    originals: bool = False
    online: bool = False
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Table:
    """One sample of a dataset: its rows, and how each of them is trained.

    Attributes:
        figure: Key in `FIGURES`.
        recipe: Shipped recipe.
        train: Training examples.
        evaluation: Examples of the eval split.
        rows: What is compared; one is called none.
        config: Network and training.
        seeds: One training of each row per seed.
    """

    figure: str
    recipe: str
    train: int
    evaluation: int
    rows: tuple[Row, ...]
    config: TrainConfig
    seeds: tuple[int, ...]


def measure(*, quick: bool) -> Measured:
    """Train every cell that is not kept already.

    Raises:
        InputError: CIFAR-10, IMDB, WordNet or Apertium is missing; the message says how to get it.
    """
    tables = _quick_tables() if quick else _tables()
    for table in tables:  # refuse what is not installed before hours of work, not after
        recipe = load_recipe(table.recipe).recipe
        open_source(recipe)
        for row in table.rows:
            parse_policy(row.policy, recipe.modality).resources()
    with tempfile.TemporaryDirectory() as folder:
        scores = _scores(tables, Path(folder) if quick else WORK)
    runs: dict[str, Any] = {}
    for table in tables:
        accuracy = {
            row.name: [100 * scores[table.figure, row.name, seed].test for seed in table.seeds]
            for row in table.rows
        }
        runs[table.figure] = accuracy
        runs[table.figure + GAIN] = {
            name: differences(values, accuracy[NONE])
            for name, values in accuracy.items()
            if name != NONE
        }
    return Measured(
        runs=runs,
        conditions=_conditions(tables),
        seeds={f"run {number}": seed for number, seed in enumerate(tables[-1].seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of the Markdown table: means over the seeds instead of medians."""
    lines = [
        "| trained on | mean accuracy | standard deviation | minus none ± standard error | seeds |",
        "|---|---:|---:|---:|---:|",
    ]
    for key, figure in figures.items():
        if key.endswith(GAIN):
            continue
        gains = figures[key + GAIN].parts or {}
        for name, spread in (figure.parts or {}).items():
            mean, error = mean_and_error(spread.runs)
            deviation = error * len(spread.runs) ** 0.5
            gain = ""
            if name in gains:
                difference, of_it = mean_and_error(gains[name].runs)
                gain = f"{difference:+.2f} ± {of_it:.2f}"
            lines.append(
                f"| {figure.summary}: {name} | {mean:.1f} {figure.unit} | {deviation:.1f} "
                f"| {gain} | {len(spread.runs)} |"
            )
    return lines


def differences(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return the difference to ``base``, seed by seed."""
    return [value - one for value, one in zip(values, base, strict=True)]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error; 0 for a single value."""
    if len(values) < 2:
        return values[0], 0.0
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def _scores(tables: Sequence[Table], work: Path) -> dict[tuple[str, str, int], Score]:
    names = [(table.figure, row.name, seed) for table, row, seed in _order(tables)]
    cells = (_cell(table, row, seed, work) for table, row, seed in _order(tables))
    processes = len(os.sched_getaffinity(0))
    scores = train_cells(cells, work / "cells", processes=processes)
    return dict(zip(names, scores, strict=True))


def _order(tables: Sequence[Table]) -> Iterator[tuple[Table, Row, int]]:
    """Yield the cells seed by seed, so that a run that is cut short has whole seeds."""
    for seed in sorted({seed for table in tables for seed in table.seeds}):
        for table in tables:
            if seed in table.seeds:
                for row in table.rows:
                    yield table, row, seed


def _cell(table: Table, row: Row, seed: int, work: Path) -> Cell:
    sample = Sample(
        recipe=table.recipe,
        train=table.train,
        evaluation=table.evaluation,
        policy=row.policy,
        copies=row.build,
        seed=seed,
    )
    epochs = max(1, round(table.config.epochs * row.share))
    return Cell(
        name=f"{table.figure}: {row.name}, seed {seed}",
        dataset=build(plan_of_sample(sample, work / "datasets")),
        sample=sample,
        copies=row.copies,
        originals=row.originals,
        online=row.online,
        config=dataclasses.replace(table.config, epochs=epochs),
        seed=seed,
    )


def _tables() -> list[Table]:
    image = TrainConfig(model=ImageModel(width=16), epochs=40)
    text = TrainConfig(
        model=TextModel(width=16),
        epochs=20,
        batch_size=32,
        optimizer="adam",
        learning_rate=0.005,
        weight_decay=0.0,
    )
    images = Table(
        figure="cifar10_5000",
        recipe="cifar10",
        train=5000,
        evaluation=2000,
        rows=_image_rows((1, 4, 8)),
        config=image,
        seeds=SEEDS[:3],
    )
    texts = [
        Table(
            figure=f"imdb_{train}",
            recipe="imdb",
            train=train,
            evaluation=2000,
            rows=_text_rows(4),
            config=text,
            seeds=SEEDS,
        )
        for train in (500, 2500)
    ]
    return [images, *texts]


def _quick_tables() -> list[Table]:
    """Return the same rows over data that need no download, hardly trained."""
    image = TrainConfig(model=ImageModel(width=4), epochs=3, batch_size=50)
    text = TrainConfig(model=TextModel(width=4, tokens=50), epochs=3, batch_size=10)
    images = Table(
        figure="cifar10_5000",
        recipe="digits",
        train=100,
        evaluation=50,
        rows=_image_rows((1, 4, 8)),
        config=image,
        seeds=(1,),
    )
    texts = [
        Table(
            figure=f"imdb_{size}",
            recipe="reviews_sample",
            train=train,
            evaluation=4,
            rows=_text_rows(4),
            config=text,
            seeds=(1,),
        )
        for size, train in ((500, 10), (2500, 20))
    ]
    return [images, *texts]


def _image_rows(copies: Sequence[int]) -> tuple[Row, ...]:
    nothing, most = {"preset": NONE}, max(copies)
    rows = [
        Row(name=NONE, policy=nothing),
        Row(name="none, a quarter of the steps", policy=nothing, share=0.25),
    ]
    for preset in ("classic", "randaugment", "trivialaugment"):
        policy = {"preset": preset}
        rows += [_of_copies(preset, policy, count, most) for count in copies]
        rows.append(Row(name=f"{preset}, online", policy=policy, build=most, online=True))
    classic = {"preset": "classic"}
    rows += [_of_copies("classic", classic, count, most, originals=True) for count in copies[:2]]
    return tuple(rows)


def _text_rows(copies: int) -> tuple[Row, ...]:
    """Return the rows of a text table; a translation there and back is the same every time."""
    eda = {"preset": "eda"}
    branches = [presets.expand("eda", "text", {}), _BACK_TRANSLATION]
    everything = {"branches": [*branches, presets.expand("text_strong", "text", {})]}
    rows = [Row(name=NONE, policy={"preset": NONE})]
    for originals in (False, True):
        rows += [
            _of_copies("eda", eda, 1, copies, originals=originals),
            _of_copies("eda", eda, copies, copies, originals=originals),
            _of_copies("back-translation", _BACK_TRANSLATION, 1, 1, originals=originals),
            _of_copies("all", everything, copies, copies, originals=originals),
        ]
    return tuple(rows)


def _of_copies(
    name: str, policy: dict[str, Any], copies: int, build: int, *, originals: bool = False
) -> Row:
    count = f"{copies} cop{'y' if copies == 1 else 'ies'}"
    shown = f"{name}, {count}{' and originals' if originals else ''}"
    return Row(name=shown, policy=policy, build=build, copies=copies, originals=originals)


def _conditions(tables: Sequence[Table]) -> dict[str, str]:
    trained = {
        FIGURES[table.figure][1]: (
            f"recipe {table.recipe}, {table.train:,} training examples, as many of each class; "
            f"{_network(table.config)}; {table.config.optimizer}, learning rate "
            f"{table.config.learning_rate:g}, {table.config.epochs} epochs of "
            f"{table.train // table.config.batch_size} steps"
        )
        for table in tables
    }
    return trained | {
        "accuracy": (
            "on the whole test split, once per training; no setting was chosen on it, but the rows "
            "`a quarter of the steps` and `and originals` were added when the first seed was known"
        ),
        "seed": (
            "decides the examples (by a hash of their keys), the augmentation, the weights and "
            "the order; differences are taken seed by seed"
        ),
        "epochs": (
            "read copies 1, 2, … in turn (`and originals`: these as well, as a train stage "
            f"does), the last {ORIGINALS_LAST:.0%} of them the originals; online: a fresh copy in "
            "every epoch (pipelines.online), the same end; steps are equal but where a row says so"
        ),
        "settings": (
            "images: the defaults of a train stage, not tuned; texts: the best of four on the "
            "eval split without augmentation, with another seed"
        ),
        "back-translation": "Apertium, English to Spanish and back: one copy, the same every time",
        "all": "each text by one of three, drawn evenly: eda, back-translation, text_strong",
    }


def _network(config: TrainConfig) -> str:
    return f"{config.model.family}, width {config.model.width}"
