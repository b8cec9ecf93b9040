"""Write the probes of a dataset's test split: slices of every example, corrupted forms of some.

A folder of probes is a pure function of the test split, the families (and which of them training
has seen), severities, number of examples, seed and code; a digest of these names it. It is made in
a temporary sibling and renamed, so it is whole or not there. `components.probes` reads it.
"""

from __future__ import annotations

import hashlib
import heapq
import importlib.metadata
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.augment.policy import Policy
from pipelines.code_version import code_version
from pipelines.dataset import files
from pipelines.dataset.images import ENCODERS
from pipelines.dataset.records import (
    FeatureValue,
    compress,
    decode_example,
    encode_examples,
    frame,
)
from pipelines.probes.family import Family, seen
from pipelines.probes.images import IMAGE_FAMILIES
from pipelines.probes.slices import slices_of
from pipelines.probes.source import Source, open_source
from pipelines.probes.texts import TEXT_FAMILIES, resources
from schemas.canonical import canonical_json, digest, sha256
from schemas.errors import FailedError
from schemas.features import Modality
from schemas.locks import held
from schemas.probes import PROBES, PROBES_FORMAT, SLICES, Robustness
from schemas.tokens import token_ids

Progress = Callable[[int, int], None]
"""Told after each step: how many corrupted examples are written, and how many there will be."""

REGISTRIES: Mapping[Modality, Mapping[str, Family]] = {
    "image": IMAGE_FAMILIES,
    "text": TEXT_FAMILIES,
}
DIGEST_DIGITS = 12
_BLOCK = 256
_LIBRARIES = ("numpy", "opencv-python-headless", "deflate", "protobuf", "pyarrow")
_PROJECT = Path(__file__).resolve().parents[2]
_LOCK = ".lock"


def write_probes(
    dataset: Path,
    folder: Path,
    *,
    policy: Policy,
    seed: int,
    robustness: Robustness | None,
    progress: Progress | None = None,
) -> Path:
    """Write the probes of a dataset into a folder of their own, or find them finished.

    Args:
        dataset: A materialized dataset.
        folder: Where folders of probes lie; only this function writes there.
        policy: What training examples were augmented with.
        seed: Root of all draws.
        robustness: What is corrupted; None writes the slices alone.
        progress: Told of every step.

    Returns:
        ``folder/<first digits of the digest>``.

    Raises:
        InputError: The test split is empty, missing or damaged; a family does not fit or needs what
            is not installed; the file system of ``folder`` knows no locks.
        FailedError: The disk is full, or refuses.
    """
    source = open_source(dataset)
    identity = _identity(source, policy, seed, robustness)
    whole = digest(identity)
    final = folder / whole[:DIGEST_DIGITS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / _LOCK):
            for leftover in folder.glob(f"{files.TEMPORARY}*"):
                shutil.rmtree(leftover)
            if not _is_whole(final, whole):
                _write(source, final, identity, robustness, progress)
    except OSError as error:
        raise FailedError(
            f"cannot write the probes in {folder}: {error.strerror or error}. Free the disk or "
            "make the folder writable, and run again."
        ) from error
    return final


def check_probes(robustness: Robustness, modality: Modality) -> dict[str, str]:
    """Return the digests of the programs that the families need, before anything runs.

    Raises:
        InputError: A family is of another modality, or needs what is not installed.
    """
    return resources(robustness.families_of(modality))


def _identity(
    source: Source, policy: Policy, seed: int, robustness: Robustness | None
) -> dict[str, Any]:
    """Return all that decides the content of the probes; its digest names the folder."""
    schema = source.schema
    names = robustness.families_of(schema.modality) if robustness else ()
    families = [REGISTRIES[schema.modality][name] for name in names]
    of_training = seen(families, policy)
    return {
        "format_version": PROBES_FORMAT,
        "shards": digest([shard.sha256 for shard in source.shards]),
        "families": {
            one.name: {"seen": one.name in of_training, "ops": list(one.ops)} for one in families
        },
        "severities": list(robustness.severities) if robustness else [],
        "examples": robustness.examples if robustness else 0,
        "seed": seed,
        "stored": {
            "modality": schema.modality,
            "encoding": schema.encoding,
            "image_shape": list(schema.image_shape or ()),
            "tokens": [schema.tokens, source.text.truncate, source.text.pad],
            "vocabulary": digest(source.vocabulary),
        },
        "kernels": {one.name: one.version for one in families},
        "code": code_version(_sources()),
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "resources": check_probes(robustness, schema.modality) if robustness else {},
    }


def sampled(keys: Sequence[str], count: int) -> frozenset[str]:
    """Return the ``count`` keys with the smallest hash, or all.

    Their own keys alone decide, so a larger count adds examples and exchanges none.
    """
    return frozenset(heapq.nsmallest(count, keys, key=_place))


def _place(key: str) -> tuple[bytes, str]:
    hashed = hashlib.blake2b(key.encode("utf-8"), digest_size=8, person=b"refinery.probe")
    return hashed.digest(), key


def _sources() -> list[str]:
    """Return the sources that decide the content of probes, relative to the project."""
    folders = ("pipelines/probes", "pipelines/augment")
    found = {path for folder in folders for path in (_PROJECT / folder).rglob("*.py")}
    names = {path.relative_to(_PROJECT).as_posix() for path in found}
    others = ("components/acceptance/slices.py", "schemas/text.py", "schemas/tokens.py")
    stored = ("pipelines/dataset/images.py", "pipelines/dataset/records.py")
    return sorted({*names, *others, *stored})


def _is_whole(final: Path, whole: str) -> bool:
    """Tell whether finished probes are there, every byte as it was written."""
    try:
        content = json.loads((final / PROBES).read_bytes())
        sealed = content.pop("content_digest")
        if content["digest"] != whole or digest(content) != sealed:
            return False
        return all(
            files.file_sha256(str(final / name)) == one["sha256"]
            for name, one in content["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _write(
    source: Source,
    final: Path,
    identity: Mapping[str, Any],
    robustness: Robustness | None,
    progress: Progress | None,
) -> None:
    """Write whole probes at ``final``; what is damaged there makes room."""
    draft = final.with_name(f"{files.TEMPORARY}{final.name}-{uuid.uuid4().hex[:8]}")
    try:
        draft.mkdir()
        keys, test_digest = _write_slices(source, draft / SLICES)
        changed: dict[str, int] = {}
        if robustness is not None:
            chosen = sampled(keys, robustness.examples)
            changed = _write_variants(source, draft, chosen, identity, progress)
        content = {
            **identity,
            "digest": digest(identity),
            "test_digest": test_digest,
            "changed": changed,
            "files": _infos(draft),
        }
        content["content_digest"] = digest(content)
        (draft / PROBES).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        files.sync(str(path) for path in draft.rglob("*"))
        damaged = final.with_name(f"{files.TEMPORARY}{uuid.uuid4().hex}")
        if final.exists():
            os.rename(final, damaged)
        os.rename(draft, final)
        files.sync([str(final)])
        shutil.rmtree(damaged, ignore_errors=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _write_slices(source: Source, path: Path) -> tuple[list[str], str]:
    """Write the slices of every example; return the keys, and a digest of the test split.

    That one is over key, label and pixels or text of the examples in the order of their keys: the
    same test split in larger shards, in another encoding, with other tokens or beside another
    training split has the same, and goes on counting whom it has judged.
    """
    keys: list[str] = []
    examples: list[tuple[str, str]] = []

    def values() -> Iterator[Any]:
        for record in source.records():
            features = decode_example(record)
            keys.append(features["key"][0].decode("utf-8"))
            value = source.value(features)
            examples.append((keys[-1], _example_digest(features["label"], value)))
            yield value

    slices = slices_of(source.schema.modality, values())
    table = pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "slices": pa.array(map(list, slices), pa.list_(pa.string())),
        }
    )
    pq.write_table(table, path, compression="zstd")
    return keys, digest(sorted(examples))


def _example_digest(label: Sequence[int], value: Any) -> str:
    """Return the SHA-256 of an example's label and value, whatever it is encoded as."""
    text = isinstance(value, str)
    data = value.encode("utf-8") if text else value.tobytes()
    shape = None if text else list(value.shape)
    return sha256(canonical_json([list(label), shape]) + data)


def _write_variants(
    source: Source,
    draft: Path,
    chosen: frozenset[str],
    identity: Mapping[str, Any],
    progress: Progress | None,
) -> dict[str, int]:
    """Write the chosen examples in every corrupted form, each in the order of the dataset.

    Returns how many examples each form changed; one that changed none has no file.
    """
    schema = source.schema
    families = [REGISTRIES[schema.modality][name] for name in identity["families"]]
    variants = [(one, severity) for one in families for severity in identity["severities"]]
    total, done = len(chosen) * len(variants), 0
    folder, suffix = draft / "Split-test", schema.file_suffix
    folder.mkdir()
    paths = {
        f"{family.name}/{severity}": folder / f"{family.name}-{severity}{suffix}"
        for family, severity in variants
    }
    changed = dict.fromkeys(paths, 0)
    for rows in _blocks(source, chosen):
        keys = [row["key"][0].decode("utf-8") for row in rows]
        values: Any = [source.value(row) for row in rows]
        if schema.modality == "image":
            values = np.stack(values)
        for family, severity in variants:
            made = family.apply(values, keys, severity=severity, seed=identity["seed"])
            data, _ = frame(_encoded(source, rows, made))
            name = f"{family.name}/{severity}"
            with open(paths[name], "ab") as file:
                file.write(compress(data) if suffix.endswith(".gz") else data)
            changed[name] += sum(
                not np.array_equal(*pair) for pair in zip(values, made, strict=True)
            )
            done += len(rows)
            if progress is not None:
                progress(done, total)
    for name, count in changed.items():
        if not count:
            paths[name].unlink()
    return changed


def _blocks(source: Source, chosen: frozenset[str]) -> Iterator[list[dict[str, list[Any]]]]:
    """Yield the chosen examples, parsed; a gzipped file is one block, for it is written at once."""
    size = len(chosen) if source.schema.file_suffix.endswith(".gz") else _BLOCK
    block: list[dict[str, list[Any]]] = []
    for record in source.records():
        features = decode_example(record)
        if features["key"][0].decode("utf-8") in chosen:
            block.append(features)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _encoded(source: Source, rows: Sequence[Mapping[str, Any]], values: Any) -> list[bytes]:
    """Return the examples with other values, stored as the dataset stores them."""
    schema = source.schema
    if schema.modality == "image":
        stored = ENCODERS[schema.encoding](values)
    else:
        stored = [text.encode("utf-8") for text in values]
    made: list[dict[str, FeatureValue]] = [
        {**row, schema.feature: value} for row, value in zip(rows, stored, strict=True)
    ]
    if schema.tokens:
        for row, text in zip(made, values, strict=True):
            row["tokens"] = token_ids(
                text,
                source.vocabulary,
                length=schema.tokens,
                truncate=source.text.truncate,
                pad=source.text.pad,
            ).tolist()
    return encode_examples(made)


def _infos(draft: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of every file below a folder, by relative path."""
    return {
        name: {"bytes": size, "sha256": files.file_sha256(str(draft / name))}
        for name, size in files.sizes(str(draft)).items()
    }
