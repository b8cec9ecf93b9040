"""What training with Gaussian noise does for answers to corrupted images, of kinds seen and unseen.

The project's own stages on a sample of CIFAR-10: for every seed the same network is trained on two
recipes that differ in one slot alone, and answers the same test images in every family and severity
of `pipelines.probes`.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.augmentation_data import Sample, build, plan_of_sample
from benchmarks.result import Figure, Measured
from benchmarks.training import context_of, deviation, one_thread, say
from pipelines.augment.policy import parse_policy
from pipelines.augment.presets import classic
from pipelines.dataset.lookup import decode_value
from pipelines.dataset.records import decode_example
from pipelines.probes.build import sampled
from pipelines.probes.family import Family, seen
from pipelines.probes.images import COLOUR_ONLY, IMAGE_FAMILIES
from schemas.fitting import ImageModel
from schemas.probes import SEVERITIES
from schemas.stages import TrainConfig

if TYPE_CHECKING:
    import keras

    from components.data import Data

PLAIN, NOISY = "classic", "classic and gaussian_noise"
POLICIES: dict[str, dict[str, Any]] = {
    PLAIN: classic(),
    NOISY: {"slots": [*classic()["slots"], {"op": "gaussian_noise"}]},
}
CLEAN, SEEN, UNSEEN = "clean", "seen with noise", "unseen by both"
FIGURES = {
    "accuracy": ("%", "accuracy on test images"),
    "gain": ("points", "what the noise adds, seed by seed"),
    "gated_accuracy": ("%", "mean accuracy over what the recipe itself has not seen"),
    "severity_accuracy": ("%", "mean accuracy over families, by severity"),
    "family_accuracy": ("%", "mean accuracy over severities, by family"),
    "family_gain": ("points", "what the noise adds to a family, seed by seed"),
}
SEEDS = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How much of a recipe is used, and how long is trained.

    Attributes:
        recipe: Shipped image recipe.
        train: Training examples.
        evaluation: Eval examples.
        copies: Augmented copies of each training example.
        width: Of the network.
        epochs: Of training.
        batch_size: Likewise.
        probed: Test examples that are corrupted.
    """

    recipe: str
    train: int
    evaluation: int
    copies: int
    width: int
    epochs: int
    batch_size: int
    probed: int


FULL = Setting(
    recipe="cifar10",
    train=10_000,
    evaluation=1_000,
    copies=4,
    width=16,
    epochs=8,
    batch_size=128,
    probed=2_000,
)
QUICK = Setting(
    recipe="digits",
    train=200,
    evaluation=50,
    copies=1,
    width=4,
    epochs=2,
    batch_size=50,
    probed=40,
)


def measure(*, quick: bool) -> Measured:
    """Train both recipes with every seed and score them; one TensorFlow thread.

    Raises:
        InputError: CIFAR-10 is missing; the message says how to get it.
    """
    one_thread()
    setting, seeds = (QUICK, SEEDS[:1]) if quick else (FULL, SEEDS)
    runs: dict[str, Any] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            found = {}
            for recipe in POLICIES:
                data = _dataset(setting, recipe, seed, Path(folder))
                model = _trained(data, setting, seed)
                found[recipe] = scores(model, data, setting.probed, seed)
                say(f"seed {seed}, {recipe}: clean {found[recipe][CLEAN, 0]:.2f} %")
            _note(runs, found)
    return Measured(
        runs=runs,
        conditions=_conditions(setting),
        seeds={f"run {number}": seed for number, seed in enumerate(seeds, 1)},
    )


def seen_by(recipe: str) -> frozenset[str]:
    """Return the names of the image families that a recipe of ``POLICIES`` has seen."""
    return seen(IMAGE_FAMILIES, parse_policy(POLICIES[recipe], "image"))


def scores(model: keras.Model, data: Data, count: int, seed: int) -> dict[tuple[str, int], float]:
    """Return accuracy in percent by family and severity; ``(CLEAN, 0)`` as they are.

    Families that cannot change grey images are left out of those.
    """
    from components.evaluate import compiled

    images, keys, labels = _test_examples(data, count)
    forward = compiled(model)

    def accuracy(batch: np.ndarray) -> float:
        parts = [batch[start : start + 500] for start in range(0, len(batch), 500)]
        answers = np.concatenate([np.asarray(forward(part)) for part in parts])
        return 100 * float((answers.argmax(axis=1) == labels).mean())

    found = {(CLEAN, 0): accuracy(images)}
    for family in families_for(images.shape[3]):
        for severity in SEVERITIES:
            made = family.apply(images, keys, severity=severity, seed=seed)
            found[family.name, severity] = accuracy(made)
    return found


def families_for(channels: int) -> list[Family]:
    """Return the families that can change images of so many channels."""
    left_out = COLOUR_ONLY if channels == 1 else frozenset()
    return [one for name, one in IMAGE_FAMILIES.items() if name not in left_out]


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the lines of two Markdown tables: by kind, and by family."""
    parts = {key: figure.parts or {} for key, figure in figures.items()}
    names = [name for name in IMAGE_FAMILIES if f"{PLAIN}: {name}" in parts["family_accuracy"]]
    lines = [f"| test images | {PLAIN} | {NOISY} | gain ± standard error |", "|---|---:|---:|---:|"]
    own = seen_by(NOISY)
    counts = {
        CLEAN: CLEAN,
        SEEN: f"{len(own)} families {SEEN}: {', '.join(name for name in names if name in own)}",
        UNSEEN: f"{len([name for name in names if name not in own])} families {UNSEEN}",
    }
    for kind, label in counts.items():
        lines.append(_row(label, parts["accuracy"], parts["gain"], kind))
    gated = [_mean(parts["gated_accuracy"][recipe].runs) for recipe in POLICIES]
    lines.append(f"| what a gate sees: families the recipe has not seen | {' | '.join(gated)} | |")
    lines += ["", f"| family | {PLAIN} | {NOISY} | gain ± standard error |", "|---|---:|---:|---:|"]
    for name in sorted(names, key=lambda name: name not in own):
        label = f"{name} (seen with noise)" if name in own else name
        lines.append(_row(label, parts["family_accuracy"], parts["family_gain"], name))
    return lines


def _row(label: str, accuracy: Mapping[str, Any], gain: Mapping[str, Any], name: str) -> str:
    cells = [_mean(accuracy[f"{recipe}: {name}"].runs) for recipe in POLICIES]
    gains = gain[name].runs
    error = deviation(gains) / len(gains) ** 0.5
    return f"| {label} | {' | '.join(cells)} | {statistics.mean(gains):+.1f} ± {error:.1f} |"


def _mean(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} % ± {deviation(values):.1f}"


def _dataset(setting: Setting, recipe: str, seed: int, folder: Path) -> Data:
    from components.data import open_dataset

    sample = Sample(
        recipe=setting.recipe,
        train=setting.train,
        evaluation=setting.evaluation,
        policy=POLICIES[recipe],
        copies=setting.copies,
        seed=seed,
    )
    return open_dataset(build(plan_of_sample(sample, folder)))


def _trained(data: Data, setting: Setting, seed: int) -> keras.Model:
    from components import train

    config = TrainConfig(
        model=ImageModel(width=setting.width),
        epochs=setting.epochs,
        batch_size=setting.batch_size,
    )
    return train.run(context_of(data, seed), config)


def _test_examples(data: Data, count: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return images ``uint8[n, H, W, C]``, keys and labels of the examples that a gate takes."""
    from components.data import records

    parsed = [decode_example(one.numpy()) for one in records(data, "test", 0)]
    keys = [one["key"][0].decode("utf-8") for one in parsed]
    chosen = sampled(keys, count)
    some = [one for one, key in zip(parsed, keys, strict=True) if key in chosen]
    images = [decode_value(one[data.schema.feature][0], data.schema) for one in some]
    labels = np.array([one["label"][0] for one in some])
    return np.stack(images), [key for key in keys if key in chosen], labels


def _note(runs: dict[str, Any], found: Mapping[str, Mapping[tuple[str, int], float]]) -> None:
    """Add the figures of a seed to those of the seeds before it."""
    names = list(dict.fromkeys(name for name, _ in found[PLAIN] if name != CLEAN))
    own = seen_by(NOISY)
    groups = {
        SEEN: [name for name in names if name in own],
        UNSEEN: [name for name in names if name not in own],
    }

    def mean(recipe: str, some: list[str], severities: tuple[int, ...] = SEVERITIES) -> float:
        return statistics.mean(found[recipe][name, one] for name in some for one in severities)

    def add(figure: str, part: str, value: float) -> None:
        runs[figure].setdefault(part, []).append(value)

    for recipe in POLICIES:
        add("accuracy", f"{recipe}: {CLEAN}", found[recipe][CLEAN, 0])
        for group, some in groups.items():
            add("accuracy", f"{recipe}: {group}", mean(recipe, some))
            for severity in SEVERITIES:
                part = f"{recipe}: {group}, severity {severity}"
                add("severity_accuracy", part, mean(recipe, some, (severity,)))
        unseen = [name for name in names if name not in seen_by(recipe)]
        add("gated_accuracy", recipe, mean(recipe, unseen))
        for name in names:
            add("family_accuracy", f"{recipe}: {name}", mean(recipe, [name]))
    add("gain", CLEAN, found[NOISY][CLEAN, 0] - found[PLAIN][CLEAN, 0])
    for group, some in groups.items():
        add("gain", group, mean(NOISY, some) - mean(PLAIN, some))
    for name in names:
        add("family_gain", name, mean(NOISY, [name]) - mean(PLAIN, [name]))


def _conditions(setting: Setting) -> dict[str, str]:
    sigma = parse_policy(POLICIES[NOISY], "image").calls()[-1].resolved().defaults()["sigma"]
    return {
        "recipes": (
            f"{setting.recipe}, {setting.train:,} training images drawn by key, as many of each "
            f"class, and {setting.copies} augmented copies; {PLAIN}: the preset; {NOISY}: after "
            f"it one more slot, normal noise of {sigma[0]:g} to {sigma[1]:g} grey levels"
        ),
        "network": (
            f"width {setting.width}, {setting.epochs} epochs, batches of {setting.batch_size}; "
            "the same for both recipes"
        ),
        "test images": (
            f"{setting.probed:,} of the test split, on which nothing was chosen; every family at "
            "severities 1 to 5, docs/robustness.md"
        ),
        "seen": (
            "a family is seen if the policy may apply an op of its kind; the three families of "
            "additive noise count as one kind; mean over families and severities"
        ),
        "gate": "the last row compares different families, for each recipe has seen others",
        "seed": "decides images, augmentation, weights, order and corruptions",
    }
