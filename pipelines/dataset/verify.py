"""Verify: re-hash a dataset against its manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from pipelines.dataset import files, store
from schemas.errors import InputError, printable
from schemas.manifest import MANIFEST, FileInfo, Manifest, ShardInfo, dataset_digest, parse_manifest


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Attributes:
        ok: Whether every file is there, whole and accounted for.
        problems: One line per file that is not.
        manifest: The manifest, or None where it cannot be read.
    """

    ok: bool
    problems: list[str]
    manifest: Manifest | None

    def to_json(self) -> dict[str, Any]:
        """Return ``ok``, ``digest``, ``examples`` and ``problems``."""
        return {
            "ok": self.ok,
            "digest": self.manifest.digest if self.manifest else None,
            "examples": self.manifest.examples if self.manifest else 0,
            "problems": self.problems,
        }


def verify(dataset: str) -> Verdict:
    """Hash every file of a dataset and compare with the manifest.

    Raises:
        InputError: There is no dataset there at all.
    """
    path = files.join(dataset, MANIFEST)
    if not files.exists(path):
        raise InputError(
            f"{dataset}: no {MANIFEST}, so no finished dataset, and no serving folder. Name the "
            "folder that is one; a refresh serves from ROOT/RECIPE-PROFILE/serving."
        )
    try:
        manifest = parse_manifest(files.read_bytes(path), MANIFEST)
    except InputError as error:
        return Verdict(False, [str(error)], None)
    entries: tuple[ShardInfo | FileInfo, ...] = (*manifest.shards, *manifest.files)
    have = files.sizes(dataset)
    problems = [p for entry in entries if (p := _problem(dataset, entry, have)) is not None]
    problems += [
        f"{stray}: not named in the manifest"
        for stray in store.stray_files(dataset, (entry.path for entry in entries))
    ]
    if dataset_digest(manifest.fingerprint, manifest.shards, manifest.files) != manifest.digest:
        problems.append(f"{MANIFEST}: the digest does not match the files it lists")
    return Verdict(not problems, [printable(one) for one in problems], manifest)


def _problem(dataset: str, entry: ShardInfo | FileInfo, have: dict[str, int]) -> str | None:
    if entry.path not in have:
        return f"{entry.path}: missing"
    path = files.join(dataset, entry.path)
    if not files.is_remote(path) and os.path.realpath(path) != os.path.join(
        os.path.realpath(dataset), entry.path
    ):
        return f"{entry.path}: reached by a link; a dataset holds plain files"
    if have[entry.path] != entry.bytes:
        return f"{entry.path}: {have[entry.path]} bytes, not {entry.bytes}"
    try:
        found = files.file_sha256(path)
    except OSError as error:
        return f"{entry.path}: cannot be read ({error.strerror or error})"
    if found != entry.sha256:
        return f"{entry.path}: content differs from the manifest (SHA-256)"
    return None
