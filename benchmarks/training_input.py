"""Speed of reading augmented training batches: our shards and policy against Keras' ways."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from benchmarks.commands import plan_of
from benchmarks.peers.process import peer
from benchmarks.result import Measured
from benchmarks.side_by_side import table_lines as table_lines
from benchmarks.timing import cost_of_command, one_core

POLICY = {
    "slots": [
        {"op": "flip_horizontal", "probability": 0.5},
        {"op": "rotate", "degrees": 20},
        {"op": "shift", "x": 0.2, "y": 0.2},
        {"op": "zoom", "x": 0.2, "y": 0.2},
        {"op": "contrast", "factor": 0.2},
    ]
}
"""What Keras' preprocessing layers can do as well."""

OURS = ("raw shards", "png shards", "policy on the fly")
PEERS = {
    "vs_keras_layers": "tf.data and Keras layers",
    "vs_image_data_generator": "ImageDataGenerator",
}
FIGURES = {
    "examples_per_s": ("examples/s", "read on one core"),
    **{key: ("times", f"against {name}") for key, name in PEERS.items()},
}


def measure(*, quick: bool) -> Measured:
    """Measure on CIFAR-10 where ``TFDS_DATA_DIR`` holds it, else on scikit-learn's digits."""
    data = os.environ.get("TFDS_DATA_DIR")
    recipe = "cifar10" if data and (Path(data) / "cifar10").is_dir() and not quick else "digits"
    shared = ["copies=1", f"policy={json.dumps(POLICY)}"]
    figures: dict[str, dict[str, list[float]]] = {key: {} for key in FIGURES}
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for encoding in ("png", "raw"):
            command = ["materialize", recipe, folder, "0", *shared, f"image.encoding={encoding}"]
            paths[encoding] = cost_of_command("benchmarks.commands", command)[1]["path"]
        settings = paths | {"recipe": recipe, "settings": shared}
        with one_core(), peer("reading", None, settings) as reader:
            for run in range(3 if quick else 6):
                rates = {}
                for name in (*OURS, *PEERS.values()):
                    seconds, count = reader.cpu_seconds(name)
                    rates[name] = count / seconds
                if run:  # the first warms up
                    _add(figures, rates)
        seed = plan_of(recipe, folder).job.seed
    return Measured(
        runs=figures,
        conditions={
            "dataset": f"{recipe}, {count:,} training examples per pass, batches of 128",
            "policy": json.dumps(POLICY["slots"]),
            "ours": (
                "components.data.training_batches over copy 1 of png and raw shards; "
                "pipelines.online with the decoded originals in memory; all shuffled"
            ),
            "peers": (
                "the decoded originals in memory; RandomFlip, RandomRotation, RandomTranslation, "
                "RandomZoom and RandomContrast on shuffled batches; ImageDataGenerator.flow "
                "without contrast, which it has not"
            ),
            "runs": (
                "one process, one pinned core, one TensorFlow thread, CPU time, in turn; ratios "
                "per round"
            ),
        },
        seeds={"recipe": seed, "order": 1},
    )


def _add(figures: dict[str, dict[str, list[float]]], rates: dict[str, float]) -> None:
    """Add one round's examples per second and its ratios to the figures."""
    for name, rate in rates.items():
        figures["examples_per_s"].setdefault(name, []).append(rate)
    for key, name in PEERS.items():
        for ours in OURS:
            figures[key].setdefault(ours, []).append(rates[ours] / rates[name])
