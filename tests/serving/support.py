"""Tiny models with everything that a push has to show, and processes that die at a given step."""

import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from components.push import push
from components.serving.bundle import Decision, Promotion
from schemas.errors import FailedError
from schemas.features import ExampleSchema
from schemas.manifest import Manifest, ShardInfo, dataset_digest

SCHEMA = ExampleSchema(
    modality="image", label_names=("zero", "one"), encoding="png", image_shape=(32, 32, 3)
)
RECORD = {"recipe": "digits", "stage": "student"}
DECISION = {
    "gate": "accuracy",
    "blessed": True,
    "checks": [
        {"measure": "accuracy on test", "kind": "at_least", "limit": 0.7, "value": 0.81,
         "examples": 360, "live": None, "passed": True}
    ],
    "problems": [],
}  # fmt: skip


def write_model(folder, text):
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(text)
    (folder / "variables" / "variables.index").write_text(f"index of {text}")
    return folder


def write_manifest(path):
    shard = ShardInfo(
        path="Split-train/copy00-slice0000.tfrecord", split="train", copy=0, slice=0, examples=3,
        bytes=9, sha256="5" * 64, classes={"0": 3}, ops={},
    )  # fmt: skip
    manifest = Manifest(
        name="digits", fingerprint="f" * 64, recipe={"name": "digits"}, source={"kind": "digits"},
        policy={}, schema=SCHEMA,
        versions={}, shards=(shard,), files=(), counts={"examples": {"train": 3}},
        digest=dataset_digest("f" * 64, [shard], []),
    )  # fmt: skip
    path.write_text(manifest.to_json())
    return manifest.digest


def write_stage(path, name, dataset, **links):
    stage = {
        "name": name, "kind": "train", "config": {"epochs": 1}, "seed": 7, "dataset": dataset,
        "base": None, "teacher": None, "accuracy": 0.8, "parameters": 10, "bytes": 40,
        "seconds": 1.5, "digest": f"digest of {name}", "size": None,
    }  # fmt: skip
    path.write_text(json.dumps({**stage, **links}))
    return path


def promotion(folder, **changes):
    """Return a promotion with a dataset, two stages, a decision and its evidence."""
    folder.mkdir(exist_ok=True)
    dataset = write_manifest(folder / "manifest.json")
    teacher = write_stage(folder / "teacher.json", "teacher", dataset)
    student = write_stage(folder / "student.json", "student", dataset, teacher="digest of teacher")
    evidence = folder / "predictions"
    evidence.mkdir(exist_ok=True)
    (evidence / "predictions.parquet").write_bytes(b"PAR1")
    settings = {
        "about": {**RECORD, "dataset_digest": dataset, "lock": "a" * 64},
        "dataset": folder / "manifest.json",
        "stages": (teacher, student),
        "decisions": (Decision(record=DECISION, evidence={"predictions": evidence}),),
        "reason": "passed every gate",
    }
    return Promotion(**{**settings, **changes})


def push_text(root, text, **settings):
    """Push a model whose files hold ``text`` to ``root/serving``; return the result."""
    model = root / f"model-{text}"
    if not model.exists():
        write_model(model, text)
    if "promotion" not in settings:
        settings["promotion"] = promotion(root / "shown")
    record = {**RECORD, "model_digest": "digest of student"}
    return push(model, root / "serving", record=record, **settings)


def everything(serving):
    """Return the files of a serving folder with their contents; temporary ones do not count."""
    return {
        path.relative_to(serving).as_posix(): path.read_bytes()
        for path in serving.rglob("*")
        if path.is_file() and ".tmp-" not in str(path) and path.name != ".push.lock"
    }


def forked(action):
    """Run ``action`` in a process of its own and return its exit status; 1 is an exception."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def dying_at(step, when, action):
    """Run ``action`` in a process that ends at its n-th file operation, before or after it."""
    return faulty_at(step, when, action, lambda: os._exit(9))


def raising_at(step, when, action, error):
    """Run ``action`` in a process in which its n-th file operation raises, before or after it.

    Returns:
        9 where ``action`` raises ``error`` or a FailedError by that, else its exit status; and
        whether there was such an operation.
    """
    seen = Path(tempfile.mkdtemp()) / "seen"

    def fault():
        with open(seen, "w"):
            raise error

    def guarded():
        try:
            action()
        except (type(error), FailedError):
            os._exit(9)

    code = faulty_at(step, when, guarded, fault)
    found = seen.exists()
    shutil.rmtree(seen.parent)
    return code, found


def faulty_at(step, when, action, fault):
    """Run ``action`` in a process that calls ``fault`` at the n-th file operation."""

    def run():
        count = 0

        def deadly(function):
            def call(*args, **kwargs):
                nonlocal count
                count += 1
                if count == step and when == "before":
                    fault()
                mine = count
                try:
                    return function(*args, **kwargs)
                finally:
                    if mine == step:
                        fault()

            return call

        for module, name in [(os, "mkdir"), (os, "fsync"), (os, "rename"), (os, "replace"),
                             (os, "write"), (os, "ftruncate"), (shutil, "copyfile"),
                             (shutil, "rmtree"), (os, "unlink")]:  # fmt: skip
            setattr(module, name, deadly(getattr(module, name)))
        action()

    return forked(run)
