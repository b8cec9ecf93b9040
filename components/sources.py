"""What a stage reads beside its dataset and earlier stages: files outside, held by their digests.

Loads neither Keras nor TensorFlow: a refresh asks before anything runs, and the answer is part of
a stage's cache key, so that a changed file is noticed.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifact import KERAS_FILE, WIDTHS_FOLDER
from components.push import pushed_models
from components.tree import file_digest
from schemas.applications import IMAGENET, PUSHED
from schemas.errors import FailedError, InputError
from schemas.manifest import load_manifest
from schemas.plain_files import read_plain
from schemas.stages import width_name

Sources = Mapping[str, Mapping[str, Any]]
"""Key of a stage's settings to ``digest``, ``path``, and for a pushed model its ``version``."""


def sources_of(
    config: Any, *, serving: Path | None = None, dataset: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return the outside files that a stage's settings name.

    Args:
        config: Its settings.
        serving: Where models are pushed to, for ``from: pushed``.
        dataset: Digest of the dataset of the stage: a model pushed from it is none to start from.

    Raises:
        InputError: one is missing; its ``path`` is the key.
    """
    found: dict[str, dict[str, Any]] = {}
    start = getattr(config, "start", None)
    if start == PUSHED:
        found["from"] = _pushed(serving, dataset, config.width)
    elif start is not None and config.application is None:
        path = network_file(start, config.width)
        found["from"] = {"path": start, "digest": file_digest(path)}
    if getattr(config, "previous", None) is not None:
        try:
            digest = load_manifest(Path(config.previous)).digest
        except InputError as error:
            raise error.under("previous") from None
        found["previous"] = {"path": config.previous, "digest": digest}
    weights = getattr(config, "weights", None)
    if weights == IMAGENET:  # Keras checks the file that a release downloads
        found["weights"] = {"digest": f"keras {importlib.metadata.version('keras')}"}
    elif weights is not None:
        if not Path(weights).is_file():
            text = f"weights must be {IMAGENET} or an existing .weights.h5 file, not {weights}"
            raise InputError(text, path=("weights",))
        found["weights"] = {"path": weights, "digest": file_digest(Path(weights))}
    return found


def check_unchanged(config: Any, sources: Sources) -> None:
    """Look at the files again when they are about to be read.

    Raises:
        FailedError: one is not what it was.
    """
    for key, one in sources.items():
        if "path" not in one:
            continue
        if key == "previous":
            digest = load_manifest(Path(one["path"])).digest
        elif key == "from":
            digest = file_digest(network_file(one["path"], config.width))
        else:
            digest = file_digest(Path(one["path"]))
        if digest != one["digest"]:
            raise FailedError(f"{key}: {one['path']} changed while the refresh ran; run it again")


def network_file(start: str | Path, width: float | None = None) -> Path:
    """Return the ``.keras`` file that a path stands for: itself, or that of a model directory.

    Raises:
        InputError: there is none.
    """
    path = Path(start)
    if path.is_dir():
        name = KERAS_FILE
        if width is not None and width != 1:
            name = f"{WIDTHS_FOLDER}/{width_name(width)}.keras"
        if not (path / name).is_file():
            raise InputError(f"{path}: a model directory holds {name}; this one does not")
        return path / name
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(
            "from must be a model directory, an existing .keras file, pushed, or "
            f"applications/NAME, not {start}",
            path=("from",),
        )
    return path


def _pushed(serving: Path | None, dataset: str | None, width: float | None) -> dict[str, Any]:
    """Return the newest pushed model that was made of another dataset.

    One made of the same would be trained on it again with every run of the same refresh.
    """
    key = ("from",)
    if serving is None:
        raise InputError("from: pushed is known to a refresh; name a model directory", path=key)
    others = (one for one in pushed_models(serving) if one.record.get("dataset_digest") != dataset)
    live = next(others, None)
    if live is None:
        raise InputError(
            f"from: pushed needs a model that was pushed from another dataset to {serving}, and "
            "there is none yet: push a first one by a train stage in place of this one",
            path=key,
        )
    recorded = live.record.get("model")
    folder = (serving / recorded if isinstance(recorded, str) else serving).resolve()
    if not isinstance(recorded, str) or not _is_made_by(folder, live.record.get("model_digest")):
        raise InputError(
            f"from: pushed starts from {live.path}, which holds what serves; the model directory "
            f"that it was made of ({recorded or 'not recorded'}) is gone: name a "
            "copy of that directory, or its .keras file",
            path=key,
        )
    digest = file_digest(network_file(folder, width))
    return {"path": str(folder), "digest": digest, "version": live.version}


def _is_made_by(folder: Path, digest: Any) -> bool:
    """Return whether a model directory is still there and holds the model of that digest."""
    try:
        report = json.loads(read_plain(folder / "stage.json"))
        return isinstance(digest, str) and bool(report["digest"] == digest)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False
