"""How small a review classifier gets: bytes of the TFLite model and its vocabulary, and accuracy.

Compact students (`components.compact_text`) learn from the out-of-fold answers of the n-gram
teacher; what is scored is the int8 TFLite model, on the test split.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.result import Figure, Measured
from benchmarks.timing import one_core
from benchmarks.training import add, say
from schemas.teaching import NgramConfig

if TYPE_CHECKING:
    import numpy as np

    from components.models.compact import Chosen
    from components.ngrams import NgramModel
    from components.text_teacher import Texts

FIGURES = {
    "bytes": ("bytes", "TFLite (int8) and vocabulary"),
    "tflite_bytes": ("bytes", "TFLite (int8) alone"),
    "accuracy": ("%", "accuracy on the test split"),
    "latency": ("ms", "one document, one thread"),
}
SEEDS = (1, 2, 3)
TEACHER = "n-gram teacher, no size"
LENGTH, BATCH, EPOCHS, RATE, ALPHA = 1000, 128, 12, 0.03, 0.5


@dataclass(frozen=True)
class Size:
    """A student: words and pairs to choose, and slots for pairs."""

    words: int
    pairs: int
    slots: int

    @property
    def name(self) -> str:
        """What the tables call it."""
        pairs = f"{self.slots:,} slots for pairs" if self.slots else "no pairs"
        return f"{self.words:,} words, {pairs}"


SIZES = (
    Size(1500, 3000, 16_000),
    Size(1500, 3000, 8_000),
    Size(1000, 2000, 6_000),
    Size(500, 1000, 3_000),
    Size(3000, 0, 0),
)


def measure(*, quick: bool) -> Measured:
    """Fit the teacher, train every size with every seed, convert and score.

    Raises:
        InputError: IMDB is missing; the message says how to get it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sizes = (Size(50, 20, 64), Size(50, 0, 0)) if quick else SIZES
    seeds = SEEDS[:1] if quick else SEEDS
    runs: dict[str, Any] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder, one_core():
        recipe = "reviews_sample" if quick else "imdb"
        splits = _splits(recipe, folder)
        train, test = splits["train"], splits["test"]
        answers, whole, accuracy = _teacher(train, test)
        add(runs["accuracy"], TEACHER, accuracy)
        for size in sizes:
            chosen = _chosen(train, whole, size)
            ids = {name: _ids(part, chosen) for name, part in splits.items()}
            for seed in seeds:
                content = _student(chosen, size, ids["train"], train, answers, seed, quick=quick)
                _score(runs, size.name, content, chosen, ids["test"], test.labels)
    return Measured(
        runs=runs,
        conditions={
            "dataset": f"{recipe}, {len(train.texts):,} training and {len(test.texts):,} test "
            "reviews; sizes and settings were chosen on the eval split",
            "teacher": (
                f"words and pairs that 2 documents hold, out of {NgramConfig().folds} folds; its "
                "accuracy is that of the folds' models together"
            ),
            "students": (
                f"the first {LENGTH:,} words of a review, {EPOCHS} epochs, Adam {RATE:g}, "
                f"alpha {ALPHA:g}, temperature 1; one number per word and per pair, int8"
            ),
            "words": "those chosen alone; the vocabulary also has the words of the chosen pairs",
            "seed": "decides weights and order",
        },
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of the Markdown table, a row per size."""
    lines = [
        "| student | TFLite and vocabulary | TFLite alone | accuracy ± deviation | milliseconds |",
        "|---|---:|---:|---:|---:|",
    ]
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    for name, found in parts["accuracy"].items():
        deviation = statistics.stdev(found.runs) if len(found.runs) > 1 else 0.0
        sizes = ["", "", ""]
        if name in parts["bytes"]:
            sizes = [
                f"{parts['bytes'][name].median:,.0f} bytes",
                f"{parts['tflite_bytes'][name].median:,.0f} bytes",
                f"{parts['latency'][name].median:.2g}",
            ]
        accuracy = f"{statistics.mean(found.runs):.2f} % ± {deviation:.2f}"
        lines.append(f"| {name} | {sizes[0]} | {sizes[1]} | {accuracy} | {sizes[2]} |")
    return lines


def _splits(recipe: str, folder: str) -> dict[str, Texts]:
    """Return the originals of every split of a recipe."""
    from components.data import open_dataset
    from components.text_teacher import read_texts
    from pipelines.dataset.materialize import materialize
    from pipelines.dataset.plan import make_plan
    from schemas.recipe import load_recipe

    loaded = load_recipe(recipe, ("policy={preset: none}", "copies=0"))
    outcome = materialize(make_plan(loaded, folder), stream=io.StringIO())
    data = open_dataset(outcome.path)
    return {
        split: read_texts(data, [one for one in data.of(split, 0) if one.examples])
        for split in ("train", "eval", "test")
    }


def _teacher(train: Texts, test: Texts) -> tuple[np.ndarray, NgramModel, float]:
    """Return out-of-fold logits, a model of all training texts, and the teacher's accuracy."""
    import numpy as np

    from components.ngrams import NgramModel, out_of_fold

    config = NgramConfig()
    logits, models = out_of_fold(train.texts, train.labels, train.keys, 2, config, say)
    together = np.mean([model.logits(test.texts) for model in models], axis=0)
    accuracy = 100 * float((together.argmax(axis=1) == test.labels).mean())
    say(f"teacher {accuracy:.2f} %")
    return logits, NgramModel(train.texts, train.labels, 2, config), accuracy


def _chosen(train: Texts, model: NgramModel, size: Size) -> Chosen:
    from components.compact_text import choose

    return choose(train.texts, model, words=size.words, pairs=size.pairs)


def _ids(part: Texts, chosen: Chosen) -> np.ndarray:
    import numpy as np

    from schemas.tokens import token_ids, vocabulary_ids

    words = vocabulary_ids(chosen.words)
    rows = [token_ids(text, words, length=LENGTH).astype(np.int32) for text in part.texts]
    return np.stack(rows)


def _student(
    chosen: Chosen,
    size: Size,
    ids: np.ndarray,
    train: Texts,
    answers: np.ndarray,
    seed: int,
    *,
    quick: bool,
) -> bytes:
    """Train a student and return its TFLite model."""
    import keras
    import numpy as np

    from components.distill import distillation_loss
    from components.lite import convert
    from components.models.compact import build
    from components.stages import be_deterministic
    from components.train import Triangular

    be_deterministic(seed)
    model = build(chosen, classes=2, slots=size.slots, length=LENGTH)
    epochs, batch = (2, 8) if quick else (EPOCHS, BATCH)
    distilled = distillation_loss(1.0, ALPHA, 0.0)
    targets = np.concatenate([np.eye(2, dtype=np.float32)[train.labels], answers], axis=1)
    steps = -(-len(ids) // batch) * epochs
    model.compile(
        optimizer=keras.optimizers.Adam(Triangular(RATE, steps)),
        loss=lambda both, logits: distilled(logits, both[:, :2], both[:, 2:]),
    )
    model.fit(ids, targets, batch_size=batch, epochs=epochs, verbose=0)
    with contextlib.redirect_stderr(io.StringIO()):
        return convert(model, "dynamic")


def _score(
    runs: dict[str, Any],
    name: str,
    content: bytes,
    chosen: Chosen,
    ids: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Add a TFLite model's sizes, accuracy and latency to the figures."""
    from components.lite import LiteModel

    vocabulary = len(("\n".join(chosen.words) + "\n").encode("utf-8"))
    lite = LiteModel(content)
    accuracy = 100 * float((lite.logits(ids).argmax(axis=1) == labels).mean())
    add(runs["bytes"], name, len(content) + vocabulary)
    add(runs["tflite_bytes"], name, len(content))
    add(runs["accuracy"], name, accuracy)
    add(runs["latency"], name, lite.latency(1).median_ms)
    say(f"{name}: {len(content) + vocabulary:,} bytes, {accuracy:.2f} %")
