"""The networks that the benchmark of compression compares, and how each is made.

Trained by the project's own stages, each in a folder of its own; one that is there already, made
by the same settings of the same networks, is not made again, so that a killed run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.training import say
from schemas.canonical import digest
from schemas.fitting import ImageModel, Teachable
from schemas.pruning import MaskConfig, PruneConfig
from schemas.stages import TrainConfig, config_settings
from schemas.teaching import SignalsConfig

if TYPE_CHECKING:
    import keras

    from components.train import Context

DENSE, ANSWERS, SHIPS = "dense", "answers", "ships"
MODEL_FILE, RECORD_FILE = "model.keras", "arm.json"
FLOOR_BELOW_DENSE = 0.01


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained; `FULL` is what is reported, `QUICK` runs in seconds.

    Attributes:
        width: Width of the dense network.
        epochs: Epochs of the dense network.
        tuning: Epochs of training after a cut, in all.
        shipping: Epochs of the network that ships.
        copies: Stored copies that are read, the original included.
        batch_size: Examples of a step.
        ratios: Share of the channels of each layer that is cut from the network that ships.
    """

    width: int
    epochs: int
    tuning: int
    shipping: int
    copies: int
    batch_size: int
    ratios: Mapping[str, float]


SHAPE = {  # wide where the picture is small: there a channel costs bytes, but little time
    "stem_conv": 0.75,
    "stage0_block0_a_conv": 0.625,
    "stage1_block0_a_conv": 0.6875,
    "stage1_block0_b_conv": 0.75,
    "stage2_block0_a_conv": 0.75,
    "stage2_block0_b_conv": 0.625,
}
FULL = Size(width=64, epochs=8, tuning=4, shipping=40, copies=6, batch_size=128, ratios=SHAPE)
QUICK = Size(width=8, epochs=2, tuning=4, shipping=2, copies=2, batch_size=32, ratios={"*": 0.5})


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One network.

    Attributes:
        name: Its folder.
        label: What the tables call it.
        kind: Kind of the stage that makes it; ``twin`` for fresh weights in the shape of the base.
        config: Settings, or what gives them from the dense network's accuracy on the eval split.
        base: Arm to start from.
        teacher: Arm to learn from.
    """

    name: str
    label: str
    kind: str
    config: Any
    base: str | None = None
    teacher: str | None = None


def arms(size: Size) -> list[Arm]:
    """Return every arm, each after those that it needs."""
    common: dict[str, Any] = {"batch_size": size.batch_size, "copies": size.copies}
    tuned = {**common, "learning_rate": 0.1}
    at_70 = {"ratio": 0.7, "epochs": size.tuning, **tuned}
    both = {"attention": 10.0}
    shipping = {**common, "epochs": size.shipping, "weight_decay": 1e-4}
    small = ImageModel(width=size.width)
    rounds = max(size.tuning - 1, 1)
    masked = {"learning_rate": 0.05, **common}

    def cut(name: str, label: str, teacher: str | None = None, **settings: Any) -> Arm:
        config = PruneConfig(**settings)
        return Arm(name=name, label=label, kind="prune", config=config, base=DENSE, teacher=teacher)

    def heuristic(accuracy: float) -> PruneConfig:
        return PruneConfig(
            schedule="heuristic",
            ratio=0.7,
            rounds=4,
            epochs=0,
            accuracy_floor=accuracy - FLOOR_BELOW_DENSE,
            **tuned,
        )

    def twin(name: str, label: str, of: str, epochs: int) -> Arm:
        config = Teachable(epochs=epochs, **common)
        return Arm(name=name, label=label, kind="twin", config=config, base=of)

    def masks(percent: int, base: str, epochs: int) -> Arm:
        config = MaskConfig(ratio=percent / 100, epochs=epochs, **masked)
        return Arm(
            name=f"mask{percent}",
            label=f"masks, {percent} % of the weights",
            kind="mask",
            config=config,
            base=base,
        )

    return [
        Arm(
            name=DENSE,
            label="dense",
            kind="train",
            config=TrainConfig(
                model=small, epochs=size.epochs, **{**common, "copies": None}, label_smoothing=0.0
            ),
        ),
        Arm(
            name=ANSWERS,
            label="",
            kind="signals",
            config=SignalsConfig(maps="uint8", copies=size.copies),
            teacher=DENSE,
        ),
        cut(
            SHIPS,
            f"ships: cut layer by layer, KD, {size.shipping} epochs",
            teacher=ANSWERS,
            ratio=None,
            ratios=dict(size.ratios),
            round_to=8,
            **shipping,
        ),
        cut("cut70", "−70 % of the channels, at once", **at_70),
        cut("cut70_kd", "−70 %, KD", teacher=ANSWERS, **at_70),
        cut("cut70_at", "−70 %, AT", teacher=ANSWERS, **at_70, alpha=0.0, **both),
        cut("cut70_kd_at", "−70 %, KD and AT", teacher=ANSWERS, **at_70, **both),
        cut("cut50", "−50 % of the channels, at once", **{**at_70, "ratio": 0.5}),
        cut("cut30", "−30 % of the channels, at once", **{**at_70, "ratio": 0.3}),
        cut(
            "iterative70",
            "−70 % in rounds (iterative)",
            schedule="iterative",
            rounds=rounds,
            **{**at_70, "epochs": size.tuning - rounds},
        ),
        Arm(
            name="heuristic",
            label="as far as the eval split allows (heuristic)",
            kind="prune",
            config=heuristic,
            base=DENSE,
        ),
        twin(
            "cut70_twin", "fresh weights in the shape of −70 %, same epochs", "cut70", size.tuning
        ),
        masks(80, DENSE, size.tuning - 2),
        masks(90, "mask80", 1),
        masks(95, "mask90", 1),
        twin(
            "cut70_twin_long",
            "fresh weights in the shape of −70 %, epochs of dense and tuning together",
            "cut70",
            size.epochs + size.tuning,
        ),
    ]


def networks(size: Size) -> list[Arm]:
    """Return the arms that are networks, to be scored."""
    return [arm for arm in arms(size) if arm.kind != "signals"]


def train_all(dataset: str, work: Path, size: Size, seed: int) -> None:
    """Make every arm that is not there yet."""
    made: dict[str, dict[str, Any]] = {}
    for arm in arms(size):
        made[arm.name] = _made(arm, made, dataset, work, seed)


def load_network(work: Path, arm: Arm) -> keras.Model:
    """Return the network of an arm that was made."""
    import keras

    return keras.saving.load_model(work / arm.name / MODEL_FILE, compile=False)


def record_of(work: Path, arm: Arm) -> dict[str, Any]:
    """Return what was written down of an arm, among it ``key`` and ``accuracy`` (eval split)."""
    record: dict[str, Any] = json.loads((work / arm.name / RECORD_FILE).read_text("utf-8"))
    return record


def _made(
    arm: Arm, made: Mapping[str, dict[str, Any]], dataset: str, work: Path, seed: int
) -> dict[str, Any]:
    """Return the record of an arm, after making it where it is missing or of other settings."""
    from components.data import open_dataset

    data = open_dataset(dataset)
    config = arm.config
    if callable(config):
        config = config(made[DENSE]["accuracy"])
    key = digest(
        {
            "kind": arm.kind,
            "config": config_settings(config),
            "seed": seed,
            "dataset": data.digest,
            "base": made[arm.base]["key"] if arm.base else None,
            "teacher": made[arm.teacher]["key"] if arm.teacher else None,
        }
    )
    folder = work / arm.name
    if (folder / RECORD_FILE).is_file():
        found = record_of(work, arm)
        if found["key"] == key:
            return found
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.process_time()
    context = _context(arm, data, work, seed)
    record = {"key": key, **_run(arm, context, config, folder)}
    record["cpu_seconds"] = round(time.process_time() - started, 1)
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=1), "utf-8")
    say(f"seed {seed}: {arm.name} eval {record.get('accuracy')} {record['cpu_seconds']} CPU s")
    return record


def _context(arm: Arm, data: Any, work: Path, seed: int) -> Context:
    from components.signals import open_signals
    from components.stages import be_deterministic
    from components.train import Context

    by_name = {one.name: one for one in arms(FULL)}
    be_deterministic(seed)
    stored = arm.teacher == ANSWERS
    return Context(
        data=data,
        base=load_network(work, by_name[arm.base]) if arm.base else None,
        teacher=load_network(work, by_name[arm.teacher]) if arm.teacher and not stored else None,
        seed=seed,
        progress=lambda line: say(f"seed {seed}: {arm.name}: {line}"),
        notes={},
        signals=open_signals(work / ANSWERS, data) if stored else None,
    )


def _run(arm: Arm, context: Context, config: Any, folder: Path) -> dict[str, Any]:
    from components.distill import fit_with_teacher
    from components.evaluate import evaluate
    from components.prune import fresh
    from components.stages import STAGES

    if arm.kind == "signals":
        STAGES["signals"].run(context, config, folder)
        return {}
    if arm.kind == "twin":
        model = fresh(context.base)
        fit_with_teacher(model, context, config)
    else:
        model = STAGES[arm.kind].run(context, config)
    model.save(folder / MODEL_FILE, include_optimizer=False)
    return {
        "accuracy": evaluate(model, context.data, "eval").accuracy,
        "parameters": model.count_params(),
        "notes": context.notes,
    }


def main(arguments: list[str]) -> None:
    """Make the arms of one seed: ``DATASET WORK SEED quick|full``, one TensorFlow thread."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    dataset, work, seed, size = arguments
    train_all(dataset, Path(work), QUICK if size == "quick" else FULL, int(seed))


if __name__ == "__main__":
    main(sys.argv[1:])
