"""The list of benchmarks."""

from __future__ import annotations

import datetime
import importlib
from types import ModuleType

from benchmarks.machine import library_versions, machine_class
from benchmarks.result import Result, figures_of
from schemas.errors import InputError, unknown_name

BENCHMARKS = {
    "augmentation_gain": "accuracy gained by augmentation on real data, small trainings",
    "compression": "what cuts, masks, distillation and int8 cost in accuracy, and what they save",
    "distillation": "what a teacher's stored answers cost per step, and what students gain",
    "faults": "what is lost or half visible after kill -9, full disks and other faults",
    "gates": "how often the gate against the live model errs, and which differences it sees",
    "image_ops": "images/s of the image ops against albumentations and ImageDataGenerator",
    "imdb_size": "bytes and accuracy of review classifiers, TFLite and vocabulary together",
    "leakage": "recall and precision of the near-duplicate guard on planted test examples",
    "materialize": "images/s of a dataset build against a plain loop and a per-element pipeline",
    "refresh": "seconds of a model refresh, node by node, the first time and from the cache",
    "robustness": "accuracy on corrupted images, of kinds seen in training and unseen",
    "search": "the smallest network above a floor, by search and by uniform pruning",
    "text_ops": "reviews/s of each text op and policy, and against other libraries",
    "training_input": "examples/s of augmented training batches, and against Keras' ways",
    "transfer": "accuracy on new classes, from few examples: fine-tuning against from scratch",
    "widths": "accuracy, bytes and latency of one export that holds several widths",
}
"""Module name to one line for listings."""


def module_of(name: str) -> ModuleType:
    """Return the module of a benchmark.

    Raises:
        InputError: There is no such benchmark.
    """
    if name not in BENCHMARKS:
        raise InputError(unknown_name("benchmark", name, BENCHMARKS))
    return importlib.import_module(f"benchmarks.{name}")


def run(name: str, *, quick: bool) -> Result:
    """Run a benchmark and return its result; nothing is written.

    Raises:
        InputError: There is no such benchmark.
        FailedError: It measured other figures than it declares.
    """
    module = module_of(name)
    measured = module.measure(quick=quick)
    return Result(
        benchmark=name,
        command=f"python -m benchmarks {name}{' --quick' if quick else ''}",
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        machine=machine_class(),
        versions=library_versions(),
        seeds=measured.seeds,
        conditions=measured.conditions,
        figures=figures_of(module.FIGURES, measured.runs),
    )
