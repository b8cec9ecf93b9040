"""A root with two refreshes, told apart by a learning rate, that faults begin with."""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults_processes import (
    Child,
    command,
)
from components.serving.store import live_model
from schemas.errors import FailedError
from schemas.recipe import load_recipe

LOADED = (
    "pipelines.dataset.materialize",
    "pipelines.refresh",
    "components.shells",
    "components.stages",
    "tfx.v1",
    "tfx.dsl.compiler.compiler",
    "tfx.orchestration.local.runner_utils",
    "tfx.orchestration.portable.launcher",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
)
LATE = "Answers"
"""The first of the nodes that most kills happen in: what comes before them is in the cache."""
FITTING = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05, "copies": 1, "model": {"width": 4}}
STAGES = [
    {"name": "teacher", "kind": "train", "config": FITTING},
    {"name": "student", "kind": "distill", "teacher": "teacher", "config": FITTING},
]
SECOND = [f"--set=refresh.stages.{number}.config.learning_rate=0.06" for number in (0, 1)]
_ENDED = re.compile(r"^\[ *\d+/\d+\] (.{18}) (done|cached) ", re.MULTILINE)
STARTED = re.compile(r"^\[ *\d+/\d+\] (.{18}) \.\.\.$", re.MULTILINE)


@dataclass(kw_only=True)
class Scene:
    """A root with its two refreshes.

    Attributes:
        folder: Where all lies: ``root`` and its copies: ``first``, in which the first model is
            live, and one by the name of each late node, taken as the second refresh began it.
        arguments: The command of the first refresh.
        identities: Of the first and the second model.
        seconds: What each node of the second refresh takes, by name and in order.
        cached: The nodes whose results are taken from the cache.
        late: The nodes after the training, in order.
    """

    folder: Path
    arguments: list[str]
    identities: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    cached: frozenset[str] = frozenset()
    late: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The root of the refreshes."""
        return self.folder / "root"

    @property
    def serving(self) -> Path:
        """The serving folder."""
        return self.root / "faults-smoke" / "serving"

    @property
    def total(self) -> float:
        """Seconds of the whole second refresh."""
        return sum(self.seconds.values())

    def start(self, which: str, run: Callable[..., Child] = command) -> Child:
        """Start the refresh of the ``first`` or the ``second`` model."""
        return run([*self.arguments, *(SECOND if which == "second" else [])], self.folder / "said")

    def restore(self, name: str) -> None:
        """Bring the root to one of its copies."""
        for entry in self.root.iterdir() if self.root.exists() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.copytree(self.folder / name, self.root, symlinks=True, dirs_exist_ok=True)

    def keep(self, name: str) -> None:
        """Keep a copy of the root."""
        shutil.copytree(self.root, self.folder / name, symlinks=True)


def load() -> None:
    """Load here, once, what a refresh loads: forks then have it. No session may have run yet."""
    for name in LOADED:
        importlib.import_module(name)


def prepared(folder: Path) -> Scene:
    """Run the first refresh, time the second, and keep the roots that faults begin with."""
    content = copy.deepcopy(load_recipe("digits").content)
    content |= {"name": "faults", "copies": 1, "slice_size": 2048}
    content["refresh"] = refresh_section()
    recipe = folder / "faults.yaml"
    recipe.write_text(json.dumps(content), "utf-8")
    arguments = ["refresh", str(recipe), "--profile", "smoke", "--root", str(folder / "root")]
    scene = Scene(folder=folder, arguments=[*arguments, "--output", str(folder / "datasets")])
    scene.identities["first"] = finished(scene, "first")
    again = scene.start("first")
    again.wait()
    scene.cached = frozenset(
        name for name, state in ended(again.text()).items() if state == "cached"
    )
    scene.keep("first")
    child, starts, paused = scene.start("second"), {}, 0.0
    while child.poll() is None:
        for name in [one.strip() for one in STARTED.findall(child.text())]:
            if name in starts:
                continue
            starts[name] = time.monotonic() - paused
            if name == LATE or scene.late:
                scene.late.append(name)
                os.killpg(child.pid, signal.SIGSTOP)
                scene.keep(name)
                os.killpg(child.pid, signal.SIGCONT)
                paused = time.monotonic() - starts[name]
        time.sleep(0.005)
    times = [*starts.values(), time.monotonic() - paused]
    scene.seconds = {
        name: end - start for name, start, end in zip(starts, times, times[1:], strict=False)
    }
    scene.identities["second"] = finished(scene, "second")
    if not scene.late:
        raise FailedError(f"no node is called {LATE}: {list(starts)}")
    return scene


def refresh_section() -> dict[str, Any]:
    """Return the ``refresh`` section of two small networks that pass every gate."""
    return {
        "model": "image_resnet",
        "stages": copy.deepcopy(STAGES),
        "push": "student",
        "gates": {
            "floors": {"accuracy": 0.01},
            "ceilings": {"bytes": 10_000_000},
            "against_live": {"tolerated_loss": 0.9},
        },
        "robustness": {"examples": 5},
    }


def ended(text: str) -> dict[str, str]:
    """Return the nodes that a run reported as done or cached."""
    return {name.strip(): state for name, state in _ENDED.findall(text)}


def finished(scene: Scene, which: str) -> str:
    """Run a refresh to its end and return the identity of the model that is live then."""
    child = scene.start(which)
    live = None if child.wait() else live_model(scene.serving)
    if live is None:
        raise FailedError(f"a refresh without a fault failed: {child.text()}")
    return live.identity
