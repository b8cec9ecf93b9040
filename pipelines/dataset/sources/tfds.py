"""Any TFDS dataset with one image or text feature and a class label.

TFDS prepares (downloads) a dataset in the launching process; shard tasks then read its TFRecord
files directly, so that a worker needs neither TensorFlow nor TFDS.
"""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import os
import re
import socket
import sys
import textwrap
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from pipelines.dataset import files
from pipelines.dataset.records import (
    FOOTER_BYTES,
    HEADER_BYTES,
    decode_example,
    index_records,
    record_at,
)
from pipelines.dataset.sources.base import MAX_CLASSES, BadRecord, Record, key_of
from pipelines.dataset.sources.image_size import MAX_PIXELS, image_size
from schemas.errors import InputError, shortened
from schemas.features import Modality

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_FIELD = re.compile(r"(\{[A-Z_]*\})")
_LOADED_FILES = 4


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """Which dataset, and where.

    Attributes:
        dataset: TFDS name, with its config where it has several: ``imdb_reviews/plain_text``.
        version: Exact version; the newest prepared one by default.
        data_dir: TFDS directory; by default ``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``.
        feature: The image or text feature; by default the only one of the recipe's modality.
        label: The label feature; by default the only class label.
        label_names: Class names, where the prepared dataset does not carry them.
    """

    dataset: str
    version: str | None = None
    data_dir: str | None = None
    feature: str | None = None
    label: str | None = None
    label_names: tuple[str, ...] | None = None


@plain_dataclass(frozen=True)
class TfdsSource:
    """A prepared dataset: file names, record counts and feature names."""

    dataset: str
    version: str
    modality: Modality
    label_names: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int] | None
    feature: str
    label: str
    shards: Mapping[str, tuple[tuple[str, int], ...]]

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of records per split."""
        return {split: sum(n for _, n in shards) for split, shards in self.shards.items()}

    def identity(self) -> dict[str, Any]:
        """Return the name, version, features and the digest of every file's content."""
        return {
            "kind": "tfds",
            "dataset": self.dataset,
            "version": self.version,
            "features": [self.feature, self.label],
            "sha256": {
                split: [_file_digest(path) for path, _ in shards]
                for split, shards in sorted(self.shards.items())
            },
        }

    def read(self, split: str, start: int, stop: int) -> Iterator[Record | BadRecord]:
        """Yield the records ``start`` to ``stop`` of a split, across its files."""
        first = 0
        for path, count in self.shards[split]:
            low, high = max(start, first), min(stop, first + count)
            if low < high:
                data, offsets = _load(path)
                if len(offsets) != count:
                    raise InputError(
                        f"{path}: holds {len(offsets)} records, but dataset_info.json says "
                        f"{count}. Prepare the dataset again."
                    )
                for i in range(low, high):
                    raw = record_at(data, offsets[i - first], path, i - first)
                    yield self._parse(raw, key_of(split, i), i)
            first += count

    def place_of(self, label: str) -> str:
        """Say where the examples of a class are."""
        return f"a class of the feature {self.label!r} of {self.dataset}"

    def _parse(self, raw: bytes, key: str, index: int) -> Record | BadRecord:
        try:
            features = decode_example(raw)
        except ValueError as error:
            return BadRecord(key, index, str(error), raw)
        for name, kind in ((self.feature, bytes), (self.label, int)):
            values = features.get(name, [])
            if len(values) != 1 or not isinstance(values[0], kind):
                reason = f"the feature {name!r} must hold one {kind.__name__}, not {values!r:.60}"
                return BadRecord(key, index, reason, raw)
        value = features[self.feature][0]
        size = image_size(value) if self.modality == "image" else None
        if size is not None and size[0] * size[1] > MAX_PIXELS:
            reason = f"the image has {size[0]:,} x {size[1]:,} pixels, more than {MAX_PIXELS:,}"
            return BadRecord(key, index, reason, raw)
        return Record(key, index, value, features[self.label][0])


def prepare(config: Config) -> TfdsSource:
    """Find the prepared dataset, or have TFDS download and prepare it.

    Raises:
        InputError: It is not there and cannot be fetched, or is not of a kind we read.
    """
    data_dir = (
        config.data_dir
        or os.environ.get("TFDS_DATA_DIR")
        or str(Path.home() / "tensorflow_datasets")
    )
    folder = _prepared_folder(config, data_dir) or _download(config, data_dir)
    info = _read_json(files.join(folder, "dataset_info.json"))
    features = _read_json(files.join(folder, "features.json"))
    try:
        return _source(config, folder, info, features)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}: dataset_info.json or features.json lacks what TFDS writes "
            f"({type(error).__name__}: {error}). Prepare the dataset again."
        ) from error


def _source(
    config: Config, folder: str, info: dict[str, Any], features: dict[str, Any]
) -> TfdsSource:
    have = files.sizes(folder)
    if info.get("fileFormat", "tfrecord") != "tfrecord":
        raise InputError(
            f"{folder} is stored as {info['fileFormat']}; prepare it with file_format tfrecord."
        )
    described = features["featuresDict"]["features"]
    modality, feature = _input_feature(config, described)
    label = _label_feature(config, described)
    return TfdsSource(
        dataset=config.dataset,
        version=folder.rstrip("/").rsplit("/", 1)[1],
        modality=modality,
        label_names=_label_names(config, described[label], folder, label),
        image_shape=_image_shape(described[feature], feature) if modality == "image" else None,
        feature=feature,
        label=label,
        shards={one["name"]: _shards(one, info["name"], folder, have) for one in info["splits"]},
    )


def _prepared_folder(config: Config, data_dir: str) -> str | None:
    root = files.join(os.path.expanduser(data_dir), config.dataset)
    names = files.sizes(root) if files.is_remote(root) or os.path.isdir(root) else {}
    depth = 1
    versions = {
        name.split("/")[0]
        for name in names
        if name.count("/") == depth and name.endswith("/dataset_info.json")
        if _VERSION.fullmatch(name.split("/")[0])
    }
    if config.version is not None:
        return files.join(root, config.version) if config.version in versions else None
    if not versions:
        return None
    newest = max(versions, key=lambda v: tuple(int(part) for part in v.split(".")))
    return files.join(root, newest)


def _download(config: Config, data_dir: str) -> str:
    name = f"{config.dataset}:{config.version}" if config.version else config.dataset
    try:
        import tensorflow_datasets as tfds

        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(sys.stderr):
            builder = tfds.builder(name, data_dir=data_dir)
            _check_hosts(builder.url_infos)
            builder.download_and_prepare(file_format="tfrecord")
    except Exception as error:  # TFDS, its HTTP client and Beam raise anything
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...")
        raise InputError(
            f"{name} is not prepared under {data_dir} and could not be fetched ({reason}). "
            "Set TFDS_DATA_DIR (or source.data_dir) to a prepared TFDS directory, or run "
            f"`tfds build {config.dataset}` where there is a network.",
            path=("dataset",),
        ) from error
    return str(builder.data_dir)


def _check_hosts(urls: Iterable[str]) -> None:
    """Raise ``OSError`` if no host of a dataset's registered downloads can be found.

    TFDS itself would try again for minutes. A proxy finds hosts that this machine cannot.
    """
    hosts = sorted({host for url in urls if (host := urllib.parse.urlsplit(url).hostname)})
    if not hosts or urllib.request.getproxies():
        return
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            reason = error.strerror
        else:
            return
    raise OSError(f"no network: {hosts[-1]} cannot be found ({reason})")


def _read_json(path: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}). Prepare it again.") from error
    return value


def _input_feature(config: Config, described: dict[str, Any]) -> tuple[Modality, str]:
    found: dict[str, Modality] = {}
    for name, spec in sorted(described.items()):
        kind = spec.get("pythonClassName", "")
        if kind.endswith(".Image"):
            found[name] = "image"
        elif kind.endswith(".Text"):
            found[name] = "text"
    if config.feature is not None:
        if config.feature not in found:
            raise InputError(
                f"the dataset has no image or text feature {config.feature!r}, "
                f"only {sorted(found)}.",
                path=("feature",),
            )
        return found[config.feature], config.feature
    images = [name for name, modality in found.items() if modality == "image"]
    choice = images or list(found)  # an image dataset often names its files in a text feature
    if len(choice) != 1:
        raise InputError(
            f"the dataset has {len(choice)} candidate features {choice}; "
            "set source.feature to one.",
            path=("feature",),
        )
    return found[choice[0]], choice[0]


def _label_feature(config: Config, described: dict[str, Any]) -> str:
    labels = [
        n for n, s in described.items() if s.get("pythonClassName", "").endswith("ClassLabel")
    ]
    if config.label is not None:
        if config.label not in labels:
            raise InputError(
                f"the dataset has no class label {config.label!r}, only {labels}.", path=("label",)
            )
        return config.label
    if len(labels) != 1:
        raise InputError(
            f"the dataset has {len(labels)} class labels {labels}; set source.label to one.",
            path=("label",),
        )
    return labels[0]


def _label_names(config: Config, spec: dict[str, Any], folder: str, label: str) -> tuple[str, ...]:
    count = int(spec["classLabel"]["numClasses"])
    if not 0 < count <= MAX_CLASSES:
        raise InputError(
            f"the dataset has {count:,} classes; 1 to {MAX_CLASSES:,} can be read.",
            path=("label",),
        )
    stored = files.join(folder, f"{label}.labels.txt")
    if config.label_names is not None:
        names = config.label_names
    elif files.exists(stored):
        names = tuple(files.read_bytes(stored).decode("utf-8").splitlines())
    else:
        names = tuple(str(i) for i in range(count))
    if len(names) != count:
        raise InputError(
            f"the dataset has {count} classes, but {len(names)} label names are given.",
            path=("label_names",),
        )
    return names


def _image_shape(spec: dict[str, Any], feature: str) -> tuple[int | None, int | None, int]:
    """Return height, width and channels; a side that varies (TFDS writes -1) is None."""
    dimensions = tuple(int(d) for d in spec["image"]["shape"]["dimensions"])
    if len(dimensions) != 3 or 0 in dimensions or dimensions[2] not in (1, 3):
        raise InputError(
            f"the images of {feature!r} have the shape {dimensions}; "
            "(height, width, 1 or 3) is needed, where height and width may vary.",
            path=("feature",),
        )
    height, width = (side if side > 0 else None for side in dimensions[:2])
    if (height or 1) * (width or 1) > MAX_PIXELS:
        raise InputError(
            f"the images of {feature!r} have {height:,} x {width:,} pixels, more than "
            f"{MAX_PIXELS:,}.",
            path=("feature",),
        )
    return height, width, dimensions[2]


def _shards(
    split: dict[str, Any], dataset: str, folder: str, have: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    """Return the path and the number of records of every file of a split.

    Raises:
        InputError: A file's name leaves the folder, or its size does not allow so many records.
    """
    lengths = [int(n) for n in split["shardLengths"]]
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    shards = []
    for i, count in enumerate(lengths):
        known = {
            "{DATASET}": dataset,
            "{SPLIT}": split["name"],
            "{FILEFORMAT}": "tfrecord",
            "{SHARD_INDEX}": f"{i:05d}",
            "{NUM_SHARDS}": f"{len(lengths):05d}",
            "{SHARD_X_OF_Y}": f"{i:05d}-of-{len(lengths):05d}",
        }
        name = "".join(known[p] if p.startswith("{") else p for p in _FIELD.split(template))
        if "/" in name:
            raise InputError(
                f"{folder}: dataset_info.json names the file {shortened(name, 200)!r}; only files "
                "beside it are read. Prepare the dataset again."
            )
        size = have.get(name)  # a missing file is named when it is read
        most = None if size is None else size // (HEADER_BYTES + FOOTER_BYTES)
        if count < 0 or (most is not None and count > most):
            raise InputError(
                f"{folder}: dataset_info.json says that {name} holds {count:,} records; a file of "
                f"{size} bytes holds 0 to {most}. Prepare the dataset again."
            )
        shards.append((files.join(folder, name), count))
    return tuple(shards)


def _file_digest(path: str) -> str:
    try:
        return files.file_sha256(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}). Prepare the dataset again."
        ) from error


@functools.lru_cache(maxsize=_LOADED_FILES)
def _load(path: str) -> tuple[memoryview, list[int]]:
    """Return a file's content (mapped where it is local) and the offset of every record."""
    if files.is_remote(path):
        data = memoryview(files.read_bytes(path))
    else:
        with files.open_input(path) as file:
            empty = os.fstat(file.fileno()).st_size == 0
            data = memoryview(
                b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            )
    return data, index_records(data, path)
