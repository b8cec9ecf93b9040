"""The stages by name, and what surrounds each: loading, scoring, exporting, publishing.

A stage is a module with ``run(context, config) -> keras.Model``; its config class is in
`schemas.stages.STAGE_KINDS` under the same name. One that stores a teacher's answers instead
(`schemas.stages.ANSWERS_ONLY`) has ``run(context, config, folder)``, which fills the folder and
returns what is known of the teacher.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components import (
    compact_text,
    distill,
    finetune,
    quantize,
    signal_store,
    text_teacher,
    train,
)
from components.artifact import (
    KERAS_FILE,
    LITE_FILE,
    LITE_FOLDER,
    SERVING_FOLDER,
    WIDTHS_FOLDER,
    folder_bytes,
)
from components.data import Data, open_dataset
from components.evaluate import evaluate
from components.export import check_export, export
from components.lite import LiteModel
from components.models import input_record, model_digest
from components.prune import mask_stage, vocabulary
from components.prune import stage as prune
from components.search import stage as search
from components.signals import open_signals
from components.size import measure
from components.sources import Sources, check_unchanged, sources_of
from components.start import open_start
from components.train import Context
from components.transfer import load_trained
from components.widths import stage as widths
from schemas.errors import InputError, unknown_name
from schemas.plain_files import read_plain
from schemas.stages import ANSWERS_ONLY, STAGE_KINDS, config_settings, width_name
from schemas.teaching import SIGNALS, load_signals_manifest
from schemas.validation import validated

REPORT_FILE = "stage.json"
LITE_PATH = f"{LITE_FOLDER}/{LITE_FILE}"


@dataclass(frozen=True)
class StageDef:
    """A stage kind: its config class, and the function that makes its model or answers."""

    config: type
    run: Callable[..., Any]


STAGES: dict[str, StageDef] = {
    kind: StageDef(STAGE_KINDS[kind], module.run)
    for kind, module in {
        "train": train,
        "distill": distill,
        "prune": prune,
        "finetune": finetune,
        "mask": mask_stage,
        "widths": widths,
        "vocabulary": vocabulary,
        "search": search,
        "compact": compact_text,
        "quantize": quantize,
        "signals": signal_store,
        "ngrams": text_teacher,
    }.items()
}


def run_stage(
    kind: str,
    *,
    dataset: str | Path,
    base: str | Path | None = None,
    teacher: str | Path | None = None,
    config: Any,
    output: str | Path,
    seed: int,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
    sources: Sources | None = None,
) -> dict[str, Any]:
    """Run one stage and publish its model directory at ``output``.

    The directory holds ``keras/model.keras`` (no optimizer state), what ships and ``stage.json``;
    from a widths stage also its narrower networks, ``widths/width_50.keras``, from a search a
    picture of it, ``search.png``. What ships is ``Format-Serving``, a SavedModel; from a quantize
    stage ``tflite`` instead, with the base's network as its source. Kinds that store answers write
    teacher signals instead of both, see `schemas.teaching`. The directory appears under a temporary
    name first, so that ``output`` is never half written; whatever stood there is replaced.

    Args:
        kind: Name in `STAGES`.
        dataset: Materialized dataset directory.
        base: Model directory to start from, for kinds that take one.
        teacher: Model directory to learn from, or teacher signals that were stored before.
        config: Config of that kind, or its settings as a mapping.
        output: Model directory to write.
        seed: Decides weights, order and dropout.
        name: The stage's name in the recipe (default: the kind).
        progress: Called with lines of plain text.
        sources: What `components.sources.sources_of` said of the config; None: it is asked now.

    Returns:
        What ``stage.json`` holds.

    Raises:
        InputError: unknown kind, settings it refuses, a missing dataset or model, signals of
            another dataset.
        FailedError: training diverged, or a proof (pruning, export) did not hold.
    """
    if kind not in STAGES:
        raise InputError(unknown_name("stage kind", kind, STAGES))
    stage = STAGES[kind]
    if not isinstance(config, stage.config):
        config = validated(stage.config, config)
    for role, given in (("base", base), ("teacher", teacher)):
        demand = getattr(stage.config, role.upper())
        if (given is None and demand == "required") or (given is not None and demand == "none"):
            raise InputError(f"a {kind} stage takes a {role}: {demand}; received {given}")
    start = getattr(config, "start", None)
    if hasattr(config, "start") and (start is None) == (base is None):
        raise InputError(
            f"a {kind} stage takes exactly one of base and from; received {base} and {start}"
        )
    sources = sources_of(config) if sources is None else sources
    check_unchanged(config, sources)
    name = name or kind
    started = time.monotonic()
    tell = _prefixed(progress, name)
    be_deterministic(seed)
    data = open_dataset(dataset)
    stored = teacher is not None and (Path(teacher) / SIGNALS).is_file()
    context = Context(
        data=data,
        base=load_model(base, getattr(config, "width", None)) if base else None,
        teacher=load_model(teacher) if teacher and not stored else None,
        seed=seed,
        progress=tell,
        notes={},
        signals=open_signals(teacher, data) if stored else None,
        workspace=Path(output).parent,
    )
    if start is not None:
        network = open_start(config, sources, data, context.notes)
        context = dataclasses.replace(context, base=network)
    if kind in ANSWERS_ONLY:
        return _store_answers(stage, context, config, Path(output), name=name, teacher=teacher)
    # A network for other classes has no accuracy on these.
    known = context.base is not None and not (start is not None and config.head == "new")
    before = evaluate(context.base, data).accuracy if known else None
    model = stage.run(context, config)
    report = {
        "name": name,
        "kind": kind,
        "config": config_settings(config),
        "seed": seed,
        "dataset": data.digest,
        "base": _digest_of(base),
        "sources": {
            key: {name: value for name, value in one.items() if name != "path"}
            for key, one in sources.items()
        },
        "teacher": _digest_of(teacher),
        "inputs": input_record(model, data),
        "schema": data.schema.to_json(),
        "accuracy_before": before,
        "size_before": _size_of(base or sources.get("from", {}).get("path")),
        **_scores(model, data, context),
        "notes": context.notes,
    }
    _publish(model, context, Path(output), report, started)
    tell(
        f"accuracy on eval {report['accuracy']:.4f}  parameters {report['parameters']:,}  "
        f"bytes {report['bytes']:,} ({report['size']['format']})  {report['seconds']:.1f} s"
    )
    return report


def load_model(folder: str | Path, width: float | None = None) -> keras.Model:
    """Load the network of a model directory, ready to train.

    Args:
        folder: The model directory.
        width: One of its widths, where it has several; None: the full one.

    Raises:
        InputError: there is none, or none of that width, or it cannot be read safely.
    """
    path = Path(folder) / KERAS_FILE
    if not path.is_file():
        raise InputError(f"{folder}: a model directory holds {KERAS_FILE}; this one does not")
    if width is not None and width != 1:
        path = Path(folder) / WIDTHS_FOLDER / f"{width_name(width)}.keras"
        if not path.is_file():
            raise InputError(
                f"{folder} has no width {width:g}: a stage of kind widths writes them",
                path=("width",),
            )
    return load_trained(path)


def load_report(folder: str | Path) -> dict[str, Any]:
    """Read ``stage.json`` of a model directory.

    Raises:
        InputError: there is none, or it is none.
    """
    path = Path(folder) / REPORT_FILE
    if not path.is_file():
        raise InputError(f"{folder}: a model directory holds {REPORT_FILE}; this one does not")
    try:
        report = json.loads(read_plain(path))
        if not isinstance(report, dict) or not isinstance(report.get("digest", ""), str):
            raise ValueError("no mapping, or a digest that is no text")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the report of a stage ({error})") from error
    return report


def be_deterministic(seed: int) -> None:
    """Make what follows in this process depend on ``seed`` alone."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _scores(model: keras.Model, data: Data, context: Context) -> dict[str, Any]:
    """Score what ships: the network itself, or the TFLite model that was made of it."""
    lite = context.files.get(LITE_PATH)
    scores = evaluate(model, data, "eval", forward=LiteModel(lite).logits if lite else None)
    return {
        "accuracy": scores.accuracy,
        "loss": scores.loss,
        "examples": scores.examples,
        "parameters": model.count_params(),
        "digest": _digest(model, context),
    }


def _digest(model: keras.Model, context: Context) -> str:
    """Return one SHA-256 over all that ships."""
    if context.files:
        parts = {
            name: hashlib.sha256(content).hexdigest() for name, content in context.files.items()
        }
    elif context.served:
        networks = {"": model} | {name: one.network for name, one in context.served.items()}
        parts = {name: model_digest(network) for name, network in networks.items()}
    else:
        return model_digest(model)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _publish(
    model: keras.Model,
    context: Context,
    output: Path,
    report: dict[str, Any],
    started: float,
) -> None:
    """Write the model directory beside ``output`` and rename it there; completes ``report``."""
    data, files, served = context.data, context.files, context.served
    with _placed(output) as work:
        (work / KERAS_FILE).parent.mkdir()
        model.save(work / KERAS_FILE, include_optimizer=False)
        for name, one in served.items():
            (work / WIDTHS_FOLDER).mkdir(exist_ok=True)
            one.network.save(work / WIDTHS_FOLDER / f"{name}.keras", include_optimizer=False)
        for name, content in (files | context.extras).items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(content)
        if not files:
            export(model, data, work / SERVING_FOLDER, served)
            check_export(model, data, work / SERVING_FOLDER, served)
        artifact = "tflite" if files else "saved_model"
        size = measure(model, work, artifact=artifact, lite=files.get(LITE_PATH))
        report.update(size=size.to_json(), bytes=size.bytes, keras_bytes=size.keras_bytes)
        _write_report(work, report, started)


def _store_answers(
    stage: StageDef,
    context: Context,
    config: Any,
    output: Path,
    *,
    name: str,
    teacher: str | Path | None,
) -> dict[str, Any]:
    """Run a stage that stores answers, publish them at ``output``; return ``stage.json``.

    Raises:
        InputError: the teacher is no network itself.
    """
    if context.signals is not None:
        raise InputError(f"{teacher}: these answers are stored already; name the network itself")
    started = time.monotonic()
    with _placed(output) as work:
        found = stage.run(context, config, work)
        report = {
            "name": name,
            "kind": next(kind for kind, one in STAGES.items() if one is stage),
            "config": config_settings(config),
            "seed": context.seed,
            "dataset": context.data.digest,
            "base": None,
            "teacher": _digest_of(teacher),
            "inputs": None,
            "schema": context.data.schema.to_json(),
            "accuracy_before": None,
            "size_before": None,
            "size": None,
            "bytes": folder_bytes(work),
            **found,
            "notes": context.notes,
        }
        _write_report(work, report, started)
    context.progress(
        f"accuracy of the teacher on eval {report['accuracy']:.4f}  parameters "
        f"{report['parameters']:,}  answers {report['bytes']:,} bytes  {report['seconds']:.1f} s"
    )
    return report


def _write_report(work: Path, report: dict[str, Any], started: float) -> None:
    """Complete the report with the time since ``started`` and what ran, and write it.

    A later push may take the stage from the cache, with other versions of the libraries.
    """
    report["seconds"] = round(time.monotonic() - started, 3)
    report["versions"] = {
        "keras": keras.__version__, "numpy": np.__version__, "tensorflow": tf.__version__
    }  # fmt: skip
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    (work / REPORT_FILE).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _placed(output: Path) -> Iterator[Path]:
    """Give a folder to fill; afterwards it stands at ``output``, whatever stood there before."""
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        yield work
        work.chmod(0o755)
        if output.exists():
            shutil.rmtree(output)
        os.replace(work, output)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _size_of(folder: str | Path | None) -> dict[str, Any] | None:
    if folder is None or not (Path(folder) / REPORT_FILE).is_file():
        return None
    return load_report(folder).get("size")


def _digest_of(folder: str | Path | None) -> str | None:
    if folder is None:
        return None
    if (Path(folder) / SIGNALS).is_file():
        return load_signals_manifest(folder).digest
    report = load_report(folder)
    if "digest" not in report:
        raise InputError(f"{folder}: its {REPORT_FILE} names no digest: make that stage again")
    return report["digest"]


def _prefixed(progress: Callable[[str], None] | None, name: str) -> Callable[[str], None]:
    if progress is None:
        return lambda line: None
    return lambda line: progress(f"{name}: {line}")
