"""Images in one folder per class: ``root/<class>/<file>`` or ``root/<split>/<class>/<file>``.

What torchvision's ImageFolder, Keras' image_dataset_from_directory and TFDS' ImageFolder read.
Every file below a class is a record; one that is no image is a bad record. Hidden files and folders
(``.name``) are passed over, and so is what lies beside the class folders and is no image (a
licence, a table of contents).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from typing import Any, Literal

from pydantic import ConfigDict, PositiveInt
from pydantic.dataclasses import dataclass

from pipelines.dataset import files
from pipelines.dataset.sources.base import BadRecord, Record
from pipelines.dataset.sources.image_size import MAX_PIXELS, SUFFIXES, image_problem
from pipelines.dataset.sources.paths import digests, full_path, is_below, unreadable
from pipelines.dataset.sources.shape import first_shape
from schemas.canonical import digest
from schemas.errors import InputError

_ONE_SPLIT = "train"
_DEEPEST = 32


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """Which folder.

    Attributes:
        path: The root, from the current folder; or a URI.
        max_pixels: Larger images are bad records, and never decoded.
    """

    path: str
    max_pixels: PositiveInt = MAX_PIXELS


@plain_dataclass(frozen=True)
class ImageFolder:
    """The files of every split, in the order of their records.

    Attributes:
        root: Full path of the root.
        label_names: Names of the class folders, by code point.
        names: Per split the paths below the root.
        labels: Per split the class of each.
        max_pixels: Limit before decoding.
        image_shape: Shape of the first image, as RGB.
    """

    root: str
    label_names: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, tuple[int, ...]]
    max_pixels: int
    image_shape: tuple[int, int, int] = (0, 0, 3)
    modality: Literal["image"] = "image"

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of files per split."""
        return {split: len(names) for split, names in self.names.items()}

    def identity(self) -> dict[str, Any]:
        """Return the digest over the sorted paths below the root and every file's content."""
        names = sorted(name for some in self.names.values() for name in some)
        hashed = digests([files.join(self.root, name) for name in names])
        return {
            "kind": "image_folder",
            "files": len(names),
            "sha256": digest(dict(zip(names, hashed, strict=True))),
            "max_pixels": self.max_pixels,
        }

    def read(self, split: str, start: int, stop: int) -> Iterator[Record | BadRecord]:
        """Yield the files ``start`` to ``stop`` of a split; the key is the path below the root."""
        names, labels = self.names[split], self.labels[split]
        for i in range(start, min(stop, len(names))):
            path = files.join(self.root, names[i])
            try:
                data = files.read_bytes(path)
            except OSError as error:
                raise unreadable(path, error) from error
            problem = image_problem(data, self.max_pixels)
            if problem is not None:
                yield BadRecord(names[i], i, problem, data)
            else:
                yield Record(names[i], i, data, labels[i])

    def place_of(self, label: str) -> str:
        """Say where the records of a class are."""
        wanted = self.label_names.index(label)
        found = sorted(
            name
            for split, names in self.names.items()
            for name, one in zip(names, self.labels[split], strict=True)
            if one == wanted
        )
        return f"{len(found)} files below {self.root}, the first {found[0]}"


def prepare(config: Config) -> ImageFolder:
    """List the folder and look at its first image.

    Raises:
        InputError: No such folder, or not laid out as classes or as splits of classes.
    """
    root = full_path(config.path).rstrip("/")
    names, folders = _listed(root, config.path)
    depth = _depth(root, names)
    records = [name for name in names if name.count("/") == depth]
    _check_folders(root, folders, records, depth)
    classes = sorted({name.split("/")[-2] for name in records})
    numbers = {name: i for i, name in enumerate(classes)}
    by_split: dict[str, list[str]] = {}
    for name in sorted(records, key=_order):
        by_split.setdefault(name.split("/")[0] if depth == 2 else _ONE_SPLIT, []).append(name)
    source = ImageFolder(
        root=root,
        label_names=tuple(classes),
        names={split: tuple(by_split[split]) for split in sorted(by_split)},
        labels={
            split: tuple(numbers[name.split("/")[-2]] for name in by_split[split])
            for split in sorted(by_split)
        },
        max_pixels=config.max_pixels,
    )
    return first_shape(source)


def _order(name: str) -> tuple[bytes, str]:
    """Sort by a hash of the path, as TFDS does: each slice then holds all classes.

    Ops that mix examples find their partners in the slice; sorted by class they would mix none.
    """
    return hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest(), name


def _listed(root: str, written: str) -> tuple[list[str], list[str]]:
    """Return the paths of all files and of all folders below the root, nothing hidden."""
    if files.is_remote(root):
        names = [name for name in files.sizes(root) if not _hidden(name)]
        folders: list[str] = []
    elif not os.path.isdir(root):
        what = "is not a folder" if os.path.exists(root) else "no such folder"
        raise InputError(
            f"{root}: {what}. Paths are taken from the current folder.", path=("path",)
        )
    else:
        names, folders = [], []
        _walk(root, "", names, folders)
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{root}: the file name {name!r} is not UTF-8; rename the file.", path=("path",)
            ) from error
    if not names:
        raise InputError(f"{root} holds no file. {_LAYOUT}", path=("path",))
    return names, folders


def _walk(root: str, prefix: str, names: list[str], folders: list[str]) -> None:
    path = os.path.join(root, prefix)
    if prefix.count("/") > _DEEPEST:
        raise InputError(f"{root} is more than {_DEEPEST} folders deep. {_LAYOUT}", path=("path",))
    try:
        entries = sorted(os.scandir(path), key=lambda one: one.name)
    except OSError as error:
        raise unreadable(path, error) from error
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if _hidden(entry.name):
            continue
        is_folder = os.path.isdir(entry.path)  # DirEntry.is_dir raises for a link to itself
        if entry.is_symlink() and (is_folder or not is_below(entry.path, root)):
            raise InputError(
                f"{entry.path} is a link to {os.path.realpath(entry.path)}. Links to folders, and "
                "to files outside the root, are not followed; copy what they point to.",
                path=("path",),
            )
        if is_folder:
            folders.append(name)
            _walk(root, f"{name}/", names, folders)
        else:
            names.append(name)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


_LAYOUT = "Images lie in <root>/<class>/ or in <root>/<split>/<class>/."


def _depth(root: str, names: list[str]) -> int:
    """Return how many folders lie above every image: 1 (classes) or 2 (splits of classes).

    Raises:
        InputError: Images lie at other levels, or at several.
    """
    first: dict[int, str] = {}
    for name in sorted(names):
        if _is_image(name):
            first.setdefault(name.count("/"), name)
    if not first:
        raise InputError(
            f"{root} holds no image (by suffix: {', '.join(sorted(SUFFIXES))}). {_LAYOUT}",
            path=("path",),
        )
    wrong = next((name for depth, name in first.items() if depth not in (1, 2)), None)
    if wrong is not None:
        raise InputError(f"{root}: {wrong} lies at the wrong level. {_LAYOUT}", path=("path",))
    if len(first) > 1:
        raise InputError(
            f"{root}: {first[1]} and {first[2]} lie at different levels. {_LAYOUT} "
            "Move or delete what is astray.",
            path=("path",),
        )
    return next(iter(first))


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _check_folders(root: str, folders: list[str], records: list[str], depth: int) -> None:
    """Refuse classes without files.

    Raises:
        InputError: Naming the first folder that holds no record.
    """
    full = {"/".join(name.split("/")[:count]) for name in records for count in range(1, depth + 1)}
    for folder in sorted(folders):
        if folder.count("/") < depth and folder not in full:
            what = "class" if folder.count("/") == depth - 1 else "split"
            raise InputError(
                f"{root}: the {what} folder {folder!r} holds no image. Fill it or delete it.",
                path=("path",),
            )
