"""What lies below the root of a refresh: where, who may use it, and how it heals after a crash."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from components.data_checks import FIRST_RUN, DatasetProfile, Previous
from components.probes import Probes
from components.promotion import CANDIDATE, DATA, JUDGED_SPLIT, PROFILE
from components.serving.baseline import Baseline, kept_evidence
from components.serving.bundle import read_bundle
from components.tree import TEMPORARY, write_text
from schemas.canonical import sha256
from schemas.dataset_schema import SCHEMA_FILE
from schemas.errors import FailedError, InputError
from schemas.locks import held
from schemas.manifest import Manifest
from schemas.plain_files import read_plain

_LOCK = ".refresh.lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# TFX's outputs and system folders, and the temporary siblings that model stages write.
_FOLDERS_OF_EXECUTION = (
    "*/artifacts/*/*/{}",
    "*/artifacts/*/*/.{}.*",
    "*/artifacts/*/.system/*/{}",
)


@dataclass(frozen=True)
class Places:
    """Where the things of one recipe and profile lie below a root."""

    root: Path
    name: str

    @property
    def metadata(self) -> Path:
        """The SQLite file of ML Metadata, shared by all recipes of the root."""
        return self.root / "metadata.sqlite"

    @property
    def artifacts(self) -> Path:
        """TFX's pipeline root."""
        return self.root / self.name / "artifacts"

    @property
    def probes(self) -> Path:
        """Where the probes of test splits lie, a folder for each."""
        return self.root / self.name / "probes"

    @property
    def serving(self) -> Path:
        """The serving folder that models are pushed to."""
        return self.root / self.name / "serving"

    @property
    def report(self) -> Path:
        """The report of the latest run."""
        return self.root / self.name / "report.json"

    @property
    def reports(self) -> Path:
        """Where one report per run is kept."""
        return self.root / self.name / "reports"

    def report_of(self, run: str) -> Path:
        """Return where the report of that run is kept."""
        return self.reports / f"{run.replace(':', '')}.json"

    @property
    def log(self) -> Path:
        """What the libraries wrote to standard error."""
        return self.root / self.name / "refresh.log"


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the root for one refresh; the lock goes with the process, however it ends.

    Raises:
        InputError: another process holds it (the message names it), it cannot be written, its path
            is no text, or its file system knows no locks.
        FailedError: the disk is full.
    """
    check_text("root", root)
    path = root / _LOCK
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(path, wait=False))
            path.write_text(f"{os.getpid()}\n")
        except Timeout:
            holder = path.read_text().strip() or "unknown"
            raise InputError(
                f"one refresh at a time works in a root, and process {holder} works in {root}; "
                "wait for it to end, or choose another --root."
            ) from None
        except OSError as error:
            if error.errno in _FULL:
                raise FailedError(
                    f"{path} cannot be written, for the disk is full ({error.strerror}): make room "
                    "and repeat the command, or choose another --root"
                ) from error
            raise InputError(
                f"the root must be a writable folder; {root}: {error.strerror}. Choose another "
                "--root."
            ) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the next one writes its own
                path.write_text("")


def check_text(what: str, path: Path) -> None:
    """Refuse a path that is no UTF-8: metadata, TensorFlow and Parquet take paths as text.

    Args:
        what: What lies there, for the message.
        path: Where it is, links followed.

    Raises:
        InputError: it holds bytes that are no text.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"the path of the {what} must be UTF-8; {path} is not: rename that folder"
        ) from None


def write_schema(dataset: Path, manifest: Manifest, places: Places) -> Path:
    """Write the TF Metadata schema of a dataset and return its folder, one per content.

    A dataset of a user's own data holds one, with what the user wrote into it.

    Raises:
        InputError: The manifest names one, and it cannot be read.
    """
    text = manifest.schema.pbtxt()
    if any(one.path == SCHEMA_FILE for one in manifest.files):
        try:
            text = (dataset / SCHEMA_FILE).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{dataset / SCHEMA_FILE}: cannot be read ({error}). Materialize again."
            ) from error
    folder = places.artifacts / "schemas" / sha256(text.encode())[:12]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "schema.pbtxt", text)
    return folder


def last_accepted(serving: Path, baseline: Baseline) -> Previous:
    """Return the dataset that the live model was made from, as far as its bundle proves it.

    A profile that the bundle does not answer for decides nothing. Damage to the model's own files
    does not matter here: the profile is another file.

    Args:
        serving: The serving folder.
        baseline: What is live there.
    """
    if baseline.state == "first_run":
        return FIRST_RUN
    whose = f"the profile of version {baseline.version}'s dataset"
    path = kept_evidence(serving, baseline.version, DATA, PROFILE) if baseline.version else None
    if path is None and baseline.state == "missing" and baseline.identity is None:
        return Previous(state="missing", why=baseline.why)
    if path is None:
        why = f"the bundle of version {baseline.version} keeps no profile of its dataset"
        return Previous(state="missing", why=why)
    try:
        content = read_plain(path, links=False)
        named = read_bundle(serving, baseline.version).files
        proof = named.get(path.relative_to(serving).as_posix(), {}).get("sha256")
        if sha256(content) != proof:
            return Previous(state="missing", why=f"{whose} is not the one that was pushed")
        profile = DatasetProfile.from_json(json.loads(content))
    except (OSError, ValueError, RecursionError, FailedError) as error:  # InputError is one
        return Previous(state="missing", why=f"{whose} cannot be used: {error}")
    return Previous(state="present", profile=profile)


def times_judged(places: Places, probes: Path) -> int:
    """Return how many candidates of this root a test split has judged: all that it was asked about.

    The answers say whom they are of; whether a gate decided afterwards does not matter.

    Args:
        places: Where the metadata lies; every recipe and profile of the root counts.
        probes: The probes of that test split, which name it.
    """
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(places.metadata)
    split = Probes.open(probes).test_digest
    store = metadata_store.MetadataStore(config)
    judged = {
        one.custom_properties[CANDIDATE].string_value
        for one in store.get_artifacts_by_type("ModelEvaluation")
        if one.custom_properties[JUDGED_SPLIT].string_value == split
    }
    return len(judged)


def heal(places: Places) -> None:
    """Bring the metadata in line with what is there, after a run that was cut off.

    To be called while `only_one` holds the root, when nothing can be running: executions that
    claim to run are marked as failed and their unfinished folders removed; artifacts that nodes
    produced and whose files are gone are marked as deleted, so that no cached result points to
    nothing. Temporary files go where refreshes of this recipe and profile alone write. Elsewhere
    below the root others may be at work without holding it: a push or a roll-back in a serving
    folder, a materialize whose dataset lies there. Each heals its own folder, and so do probes.

    Raises:
        FailedError: the metadata file is damaged.
    """
    for leftover in (
        *places.artifacts.rglob(f"{TEMPORARY}*"),
        *places.reports.glob(f"{TEMPORARY}*"),
        *places.report.parent.glob(f"{TEMPORARY}{places.report.name}-*"),
    ):
        if leftover.is_file():
            leftover.unlink()
    if not places.metadata.exists():
        return
    from ml_metadata import errors, metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(places.metadata)
    try:
        _check_pages(places.metadata)
        store = metadata_store.MetadataStore(config)
        abandoned = [
            one
            for one in store.get_executions()
            if one.last_known_state in (mlmd.Execution.NEW, mlmd.Execution.RUNNING)
        ]
        gone = [
            one
            for one in store.get_artifacts()
            if one.state == mlmd.Artifact.LIVE
            and not one.custom_properties["is_external"].int_value
            and not Path(one.uri).exists()
        ]
        for execution in abandoned:
            execution.last_known_state = mlmd.Execution.FAILED
            for pattern in _FOLDERS_OF_EXECUTION:
                for folder in places.root.glob(pattern.format(execution.id)):
                    shutil.rmtree(folder)
        for artifact in gone:
            artifact.state = mlmd.Artifact.DELETED
        if abandoned:
            store.put_executions(abandoned)
        if gone:
            store.put_artifacts(gone)
    except (errors.StatusError, RuntimeError, sqlite3.Error) as error:
        raise FailedError(
            f"the metadata in {places.metadata} cannot be used ({error}): move the file away, and "
            "the next refresh starts afresh; served models are not touched"
        ) from error


def _check_pages(path: Path) -> None:
    """Look at every page of a database: some damage shows only once a node writes there.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        (found,) = database.execute("pragma integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(" ".join(str(found).split()))
