"""Verify a serving folder: every byte, every decision, the lineage, the history, the signatures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.serving.bundle import (
    DATASET,
    STAGES,
    Bundle,
    bundle_folder,
    came_from_elsewhere,
    file_problems,
    has_bundle,
    is_signed,
    read_bundle,
    signature_of,
    unwritten_event,
)
from components.serving.decisions import decision_problems, not_decided_again
from components.serving.history import (
    HISTORY,
    PROMOTIONS,
    PUBLISHED,
    History,
    read_history,
)
from components.serving.signatures import signature_problems
from components.serving.signing import Trust
from components.serving.store import (
    CURRENT,
    NOT_THE_MODEL,
    PATIENCE,
    current_version,
    is_serving_folder,
    may_be_served,
    undisturbed,
    version_at,
    version_numbers,
)
from components.tree import TEMPORARY
from schemas.errors import FailedError, InputError, printable
from schemas.manifest import dataset_digest, parse_manifest
from schemas.plain_files import read_plain

OK, DAMAGED, UNTRUSTED = "ok", "damaged", "untrusted"
_READINGS = 3
_NOT_OURS = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class VersionVerdict:
    """What was found about one version.

    Attributes:
        version: Its number.
        live: Whether ``CURRENT`` names it.
        state: ``ok``; ``untrusted`` where the signature alone is wrong or missing, and files and
            decisions are those that were promoted; else ``damaged``.
        event: ``pushed``, ``rolled back``, or ``unknown`` where the bundle cannot be read.
        digest: Digest of the model's files, or None.
        signature: ``valid``, ``invalid``, ``not checked`` or ``none``.
        problems: One line each; empty where the version is what was promoted.
        notes: What could not be looked at, and why.
    """

    version: int
    live: bool
    state: str
    event: str
    digest: str | None
    signature: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ServingVerdict:
    """What was found about a serving folder.

    Attributes:
        versions: Every version that is there, ascending.
        problems: What is wrong with the folder as a whole.
        notes: What is harmless, such as the leftovers of a crash.
    """

    versions: tuple[VersionVerdict, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not any(one.problems for one in self.versions)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "ok": self.ok,
            "versions": [
                {**vars(one), "problems": list(one.problems), "notes": list(one.notes)}
                for one in self.versions
            ],
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def verify_serving(
    serving: Path, *, whose: Trust | None = None, patience: float = PATIENCE
) -> ServingVerdict:
    """Verify everything in a serving folder; nothing is written.

    Pushes wait meanwhile, and it waits for one that is at work. Where that cannot be had
    (`components.serving.store.undisturbed`), it reads again what changed while it was read.

    Args:
        serving: The folder.
        whose: Whose signatures count; by default they are not checked.
        patience: Seconds that it waits.

    Raises:
        InputError: it is no serving folder.
        FailedError: others write to it all the time.
    """
    if not is_serving_folder(serving):
        raise InputError(
            f"{serving}: neither {CURRENT} nor {PROMOTIONS}/, so no serving folder: name the one "
            "that models are pushed to"
        )
    with undisturbed(serving, patience) as alone:
        if alone:
            return _verdict(serving, whose, "left by a crash")
        for _ in range(_READINGS):
            before = _state(serving)
            verdict = _verdict(serving, whose, "left by a crash, or of a push that is at work")
            if _state(serving) == before:
                return verdict
    raise FailedError(
        f"{serving}: changed each of the {_READINGS} times that it was read: verify it when "
        "nobody pushes, or as a user who may read its lock"
    )


def _state(serving: Path) -> tuple[object, ...]:
    """Return what every push, roll-back, refusal and retention changes."""
    leftovers = {str(one) for one in _leftovers(serving)}
    numbers = version_numbers(serving), version_numbers(serving / PROMOTIONS)
    return read_history(serving), current_version(serving), *numbers, leftovers


def _leftovers(serving: Path) -> list[Path]:
    folders = (serving, serving / PROMOTIONS)
    return [one for folder in folders for one in sorted(folder.glob(f"{TEMPORARY}*"))]


def _verdict(serving: Path, whose: Trust | None, left: str) -> ServingVerdict:
    history = read_history(serving)
    current = current_version(serving)
    numbers = version_numbers(serving)
    versions = tuple(verify_version(serving, one, history=history, whose=whose) for one in numbers)
    problems = [*history.problems, *_pointer_problems(serving, current, numbers, history)]
    problems += _name_problems(serving, numbers)
    notes = [f"{one.name}: {left}; the next push removes it" for one in _leftovers(serving)]
    if history.torn:
        notes.append(f"{PROMOTIONS}/{HISTORY}: the last line lacks its end; the next push heals it")
    published = {e.version for e in history.events if e.event in PUBLISHED and e.version}
    for version in sorted(published - set(numbers)):
        if not history.retired(version):
            problems.append(f"{version}: missing, and no roll-off of old versions removed it")
        if not has_bundle(serving, version):
            problems.append(f"{PROMOTIONS}/{version}: missing: nothing shows what was promoted")
    for version in version_numbers(serving / PROMOTIONS):
        if version not in numbers and version not in published:
            notes.append(f"{PROMOTIONS}/{version}: {left}; the next push removes it")
        elif version not in numbers:
            problems += _kept_bundle_problems(serving, version, history)
    for version in numbers:
        if unwritten_event(serving, version, history) is not None:
            notes.append(f"{version}: not in the history yet; the next push adds it")
        if history.retired(version) and version != current:
            notes.append(f"{version}: retired, and still there; the next push removes it")
    return ServingVerdict(
        versions=versions,
        problems=tuple(printable(one) for one in problems),
        notes=tuple(printable(one) for one in notes),
    )


def verify_version(
    serving: Path,
    version: int,
    *,
    history: History,
    whose: Trust | None = None,
) -> VersionVerdict:
    """Verify one version, see `verify_serving`."""
    whose = whose or Trust()
    folder = bundle_folder(serving, version)
    signed = is_signed(serving, version)
    bundle: Bundle | None = None
    notes: list[str] = []
    if not has_bundle(serving, version):
        problems = [f"{PROMOTIONS}/{version}: missing: nothing shows what was promoted"]
    else:
        try:
            bundle = read_bundle(serving, version)
            problems = file_problems(serving, bundle)
            problems += _history_problems(serving, bundle, history)
            if not problems:
                problems += _record_problems(serving, bundle)
                problems += lineage_problems(folder)
                problems += decision_problems(folder, digest=bundle.digest, size=_size(bundle))
                notes = not_decided_again(folder)
        except FailedError as error:
            problems = [str(error)]
        except _NOT_OURS as error:
            reason = f"{type(error).__name__}: {error}"
            problems = [f"{PROMOTIONS}/{version}: holds what no push writes ({reason})"]
    state = DAMAGED if problems else OK
    signature = "not checked" if signed else "none"
    if whose.checks and (signed or whose.required):
        wrong = [f"{PROMOTIONS}/{version}: cannot be compared with its signature"]
        if bundle is not None:
            wrong = signature_problems(serving, bundle, whose)
        signature = ("invalid" if signed else "none") if wrong else "valid"
        if wrong and not problems:
            state = UNTRUSTED
        problems += wrong if bundle is not None else []
    return VersionVerdict(
        version=version,
        live=version == current_version(serving),
        state=state,
        event=bundle.event.event if bundle else "unknown",
        digest=bundle.digest if bundle else None,
        signature=signature,
        problems=tuple(printable(one) for one in problems),
        notes=tuple(printable(one) for one in notes),
    )


def lineage_problems(folder: Path) -> list[str]:
    """Look whether a bundle's dataset, stages and what they start from belong together."""
    name = f"{PROMOTIONS}/{folder.name}"
    problems: list[str] = []
    dataset: str | None = None
    if (folder / DATASET).is_file():
        try:
            manifest = parse_manifest((folder / DATASET).read_bytes(), f"{name}/{DATASET}")
        except InputError as error:
            return [str(error)]
        dataset = manifest.digest
        if dataset_digest(manifest.fingerprint, manifest.shards, manifest.files) != dataset:
            problems.append(f"{name}/{DATASET}: its digest is not that of the files it lists")
    stages = {path.name: json.loads(path.read_text("utf-8"))
              for path in sorted((folder / STAGES).glob("*.json"))}  # fmt: skip
    made = {one.get("digest") for one in stages.values()}
    for file, one in stages.items():
        if dataset is not None and one.get("dataset") != dataset:
            problems.append(f"{name}/{STAGES}/{file}: trained on another dataset than {DATASET}")
        problems += [
            f"{name}/{STAGES}/{file}: its {role} is none of the stages"
            for role in ("base", "teacher")
            if one.get(role) is not None and one[role] not in made
        ]
    return problems


def _record_problems(serving: Path, bundle: Bundle) -> list[str]:
    """Look whether push.json, the pushed stage and the bundle are about one model."""
    found = version_at(serving, bundle.version)
    if found is None or (found.digest, found.identity) != (bundle.digest, bundle.identity):
        return [f"{bundle.version}/push.json: another model than that of the bundle"]
    weights = found.record.get("model_digest")
    stages = (bundle_folder(serving, bundle.version) / STAGES).glob("*.json")
    digests = {json.loads(path.read_text("utf-8")).get("digest") for path in stages}
    if weights is not None and digests and weights not in digests:
        return [f"{bundle.version}/push.json: its model is none of the stages in the bundle"]
    return []


def _size(bundle: Bundle) -> int:
    """Return the bytes of the model's files."""
    own = f"{bundle.version}/"
    return sum(
        one["bytes"]
        for name, one in bundle.files.items()
        if name.startswith(own) and name.removeprefix(own) not in NOT_THE_MODEL
    )


def _history_problems(serving: Path, bundle: Bundle, history: History) -> list[str]:
    name = f"{PROMOTIONS}/{bundle.version}"
    problems = []
    event = history.of_version(bundle.version)
    if came_from_elsewhere(bundle, history):
        problems.append(
            f"{name}/bundle.json: no line of the history names it, and no crash leaves it so: see "
            "who put it there, or what the history has lost"
        )
    if event is not None and event.bundle != bundle.seal:
        problems.append(f"{name}/bundle.json: not the one that the history names")
    if event is not None and event.identity not in (None, bundle.identity):
        problems.append(f"{name}/bundle.json: of another model than the history names")
    if event is not None and event.signature != signature_of(serving, bundle.version):
        problems.append(f"{name}/model.sig: not the signature that the history names")
    if bundle.history is not None and bundle.history not in history.seals:
        problems.append(
            f"{PROMOTIONS}/{HISTORY}: lacks the line that was its last when version "
            f"{bundle.version} was made"
        )
    return problems


def _kept_bundle_problems(serving: Path, version: int, history: History) -> list[str]:
    """Verify the bundle of a version that is not there any more."""
    own = f"{version}/"
    try:
        bundle = read_bundle(serving, version)
        found = file_problems(serving, bundle)
        problems = [one for one in found if not one.startswith((own, f"{version}:"))]
        return problems + _history_problems(serving, bundle, history)
    except FailedError as error:
        return [str(error)]


def _name_problems(serving: Path, numbers: Sequence[int]) -> list[str]:
    """Name what a server may take for a version although it is none."""
    ours = {str(one) for one in numbers}
    names = sorted(one.name for one in serving.iterdir() if may_be_served(one.name))
    return [
        f"{name}: no version that was ever pushed; whoever serves the highest number may serve it: "
        "remove it"
        for name in names
        if name not in ours
    ]


def _pointer_problems(
    serving: Path, current: int, numbers: Sequence[int], history: History
) -> list[str]:
    if (serving / CURRENT).is_symlink():
        return [f"{CURRENT}: is a link, so no version is live; the next push puts a file there"]
    if not current:
        text = "missing or not a number" if numbers else ""
        return [f"{CURRENT}: {text}, so no version is live"] if text else []
    if current not in numbers:
        return [f"{CURRENT}: names version {current}, which is not there"]
    if read_plain(serving / CURRENT, links=False) != f"{current}\n".encode():
        return [f"{CURRENT}: not written by a push"]
    last = next((one for one in reversed(history.events) if one.event in PUBLISHED), None)
    newest = max(numbers)
    if last is not None and last.version is not None and current not in (last.version, newest):
        return [
            f"{CURRENT}: names version {current}, but the history made version {last.version} live"
        ]
    return []
