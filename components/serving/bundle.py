"""The promotion bundle of a version: what it was made of, decided on and consists of.

``.promotions/<version>/`` beside the version folder (TensorFlow Serving looks at numeric names
only, and not below a hidden one)::

    bundle.json          who, when, why; every file of version and bundle with its SHA-256
    card.json, card.md   the model card
    dataset.json         the manifest of the dataset: recipe, digest, every shard
    stages/01-teacher.json …     what each model stage recorded
    decisions/01-accuracy.json … what each gate decided
    evidence/01-accuracy/…       the files that it decided on
    origin/              of a roll-back: bundle.json and signature of the version it goes back to
    model.sig            the signature, where there is one
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.serving.card import card_markdown, model_card
from components.serving.history import PROMOTIONS, Event, History, event_from
from components.serving.seals import SEAL, indented, sealed, unsealed
from components.tree import file_digest, tree_files
from schemas.errors import FailedError
from schemas.plain_files import read_plain

BUNDLE = "bundle.json"
SIGNATURE = "model.sig"
CARD, CARD_TEXT, DATASET = "card.json", "card.md", "dataset.json"
STAGES, DECISIONS, EVIDENCE, ORIGIN = "stages", "decisions", "evidence", "origin"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one gate decided, and the files it decided on.

    Attributes:
        record: Plain JSON values; ``gate`` is its name, ``blessed`` its verdict.
        evidence: Name in the bundle to a file or folder that is copied there.
    """

    record: Mapping[str, Any]
    evidence: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What a push has to show for itself.

    Attributes:
        about: Recipe, profile, digests and versions; plain JSON values.
        dataset: The ``manifest.json`` of the dataset.
        stages: The ``stage.json`` of every model stage, in order.
        decisions: What every gate decided, in order.
        reason: Why it is pushed, in words.
    """

    about: Mapping[str, Any] = field(default_factory=dict)
    dataset: Path | None = None
    stages: Sequence[Path] = ()
    decisions: Sequence[Decision] = ()
    reason: str = "pushed by hand"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """``bundle.json``.

    Attributes:
        event: How the version came to be; its ``bundle``, ``signature`` and ``identity`` are None
            here.
        identity: What the model is, see `components.push.push`.
        history: The seal of the history's last line at that time, or None.
        files: Path below the serving folder to ``{"bytes": …, "sha256": …}``: every file of the
            version and of its bundle but ``bundle.json`` and the signature.
        seal: SHA-256 over all of it.
    """

    event: Event
    identity: str
    history: str | None
    files: Mapping[str, Mapping[str, Any]]
    seal: str = ""

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.event.version or 0

    @property
    def digest(self) -> str:
        """The digest of the model's files."""
        return self.event.digest or ""


def bundle_folder(serving: Path, version: int) -> Path:
    """Return the bundle's folder of a version."""
    return serving / PROMOTIONS / str(version)


def has_bundle(serving: Path, version: int) -> bool:
    """Whether a version has a bundle at all; one that was pushed by an older program has none."""
    return bundle_folder(serving, version).is_dir()


def read_bundle(serving: Path, version: int) -> Bundle:
    """Read the bundle of a version.

    Raises:
        FailedError: there is none, or it was changed.
    """
    name = f"{PROMOTIONS}/{version}/{BUNDLE}"
    try:
        text = read_plain(serving / name, links=False).decode("utf-8")
        value = unsealed(text, indented)
        if value["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format {value['format_version']}; this program reads 1")
        found = Bundle(
            event=event_from(value["event"]),
            identity=_text(value["identity"]),
            history=None if value["history"] is None else _text(value["history"]),
            files={name: _file(one) for name, one in value["files"].items()},
            seal=value[SEAL],
        )
    except FileNotFoundError as error:
        raise FailedError(f"{name}: missing") from error
    except OSError as error:
        raise FailedError(f"{name}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FailedError(f"{name}: {error}") from error
    if found.version != version:
        raise FailedError(f"{name}: belongs to version {found.version}")
    return found


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r:.80} is no text")
    return value


def _file(value: Any) -> dict[str, Any]:
    if type(value["bytes"]) is not int or type(value["sha256"]) is not str:
        raise ValueError(f"{value!r:.80} is no size and digest")
    return {"bytes": value["bytes"], "sha256": value["sha256"]}


def write_promotion(folder: Path, promotion: Promotion) -> None:
    """Write card, dataset, stages, decisions and evidence into a folder.

    Raises:
        FailedError: a gate refused: such a model has no bundle.
        OSError: a file cannot be read or written.
    """
    refused = [str(one.record.get("gate")) for one in promotion.decisions
               if one.record.get("blessed") is not True]  # fmt: skip
    if refused:
        raise FailedError(f"a model that a gate refused is not pushed: {', '.join(refused)}")
    stages = []
    for number, path in enumerate(promotion.stages, start=1):
        (folder / STAGES).mkdir(exist_ok=True)
        stages.append(json.loads(path.read_text("utf-8")))
        name = stages[-1].get("name", "stage")
        shutil.copyfile(path, folder / STAGES / f"{number:02d}-{name}.json")
    manifest: dict[str, Any] = {}
    if promotion.dataset is not None:
        manifest = json.loads(promotion.dataset.read_text("utf-8"))
        shutil.copyfile(promotion.dataset, folder / DATASET)
    for number, one in enumerate(promotion.decisions, start=1):
        (folder / DECISIONS).mkdir(exist_ok=True)
        name = f"{number:02d}-{one.record['gate']}"
        named = [f"{EVIDENCE}/{name}/{key}" for key in one.evidence]
        text = indented({**one.record, "evidence": named})
        (folder / DECISIONS / f"{name}.json").write_text(text, "utf-8")
        for key, source in one.evidence.items():
            copy_plain(source, folder / EVIDENCE / name / key)
    decisions = [one.record for one in promotion.decisions]
    card = model_card(promotion.about, manifest=manifest, stages=stages, decisions=decisions)
    (folder / CARD).write_text(indented(card), "utf-8")
    (folder / CARD_TEXT).write_text(card_markdown(card), "utf-8")


def copy_plain(source: Path, target: Path) -> None:
    """Copy a file, or the plain files below a folder.

    Raises:
        FailedError: the folder holds links or other things that are no plain file.
    """
    pairs = tree_files(source) if source.is_dir() else [("", source)]
    for name, path in pairs:
        place = target / name if name else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def seal_bundle(root: Path, event: Event, *, identity: str, history: str | None) -> Bundle:
    """Write ``bundle.json`` of a version and a bundle that lie below ``root``, and return it."""
    version = event.version or 0
    files = {
        f"{place}/{name}": {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for place in (str(version), f"{PROMOTIONS}/{version}")
        for name, path in tree_files(root / place)
    }
    value = sealed(
        {
            "format_version": FORMAT_VERSION,
            "event": event.to_json(),
            "identity": identity,
            "history": history,
            "files": files,
        }
    )
    (root / PROMOTIONS / str(version) / BUNDLE).write_text(indented(value), "utf-8")
    return Bundle(event=event, identity=identity, history=history, files=files, seal=value[SEAL])


def file_problems(serving: Path, bundle: Bundle, *, model_only: bool = False) -> list[str]:
    """Compare every file of a version and its bundle with what ``bundle.json`` says.

    Args:
        serving: The serving folder.
        bundle: The version's bundle.
        model_only: Look at the version's folder alone.

    Returns:
        One line per file that is missing, changed, or not named.
    """
    promotion = f"{PROMOTIONS}/{bundle.version}"
    places = [str(bundle.version)] if model_only else [str(bundle.version), promotion]
    problems, seen = [], {f"{promotion}/{BUNDLE}", f"{promotion}/{SIGNATURE}"}
    for place in places:
        if (serving / place).is_symlink():
            problems.append(f"{place}: is a link; a version lies in the serving folder itself")
            continue
        try:
            present = dict(tree_files(serving / place))
        except FailedError as error:
            problems.append(f"{place}: {error}")
            continue
        for name, path in present.items():
            full = f"{place}/{name}"
            if full in seen:
                continue
            expected = bundle.files.get(full)
            if expected is None:
                problems.append(f"{full}: not named in {promotion}/{BUNDLE}")
            else:
                problems += _content_problems(full, path, expected)
        gone = (full for full in bundle.files if full.startswith(f"{place}/"))
        problems += [f"{full}: missing" for full in gone if full[len(place) + 1 :] not in present]
    return problems


def _content_problems(name: str, path: Path, expected: Mapping[str, Any]) -> list[str]:
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            return [f"{name}: {size} bytes, not {expected['bytes']}"]
        if file_digest(path) != expected["sha256"]:
            return [f"{name}: content differs from the bundle (SHA-256)"]
    except OSError as error:
        return [f"{name}: cannot be read ({error.strerror or error})"]
    return []


def is_signed(serving: Path, version: int) -> bool:
    """Whether a version has a signature, be it a valid one or not."""
    return (bundle_folder(serving, version) / SIGNATURE).is_file()


def signature_of(serving: Path, version: int) -> str | None:
    """Return the SHA-256 of a version's signature, or None where it is unsigned.

    Raises:
        FailedError: it cannot be read.
    """
    if not is_signed(serving, version):
        return None
    try:
        return file_digest(bundle_folder(serving, version) / SIGNATURE)
    except OSError as error:
        name = f"{PROMOTIONS}/{version}/{SIGNATURE}"
        raise FailedError(f"{name}: cannot be read ({error.strerror or error})") from error


def published_event(serving: Path, bundle: Bundle) -> Event:
    """Return the line that the history holds about the publication of a version."""
    signature = signature_of(serving, bundle.version)
    return dataclasses.replace(
        bundle.event, bundle=bundle.seal, signature=signature, identity=bundle.identity
    )


def unwritten_event(serving: Path, version: int, history: History) -> Event | None:
    """Return the line that a crash kept from the history, or None where it kept none of a version.

    Its bundle has it, and names the line that was the history's last. Nothing is written to a
    history before what a crash left is finished, so that still is the last one.
    """
    if history.of_version(version) is not None or not has_bundle(serving, version):
        return None
    try:
        bundle = read_bundle(serving, version)
        return published_event(serving, bundle) if bundle.history == history.head else None
    except FailedError:  # a damaged bundle has nothing to say
        return None


def came_from_elsewhere(bundle: Bundle, history: History) -> bool:
    """Whether a history that is whole has no line of a version, and no crash kept it from one."""
    lacks = history.of_version(bundle.version) is None and bundle.history != history.head
    return lacks and not history.problems
