"""Read the probes of a test split: slices of its examples and corrupted forms of some.

`pipelines.probes` writes them: a folder with ``probes.json``, which names every file with its
digest, ``slices.parquet``, and one TFRecord file per family and severity whose records are stored
as the dataset's are. Nothing is used that differs from its digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from components.tree import file_digest
from schemas.canonical import digest
from schemas.errors import FailedError
from schemas.probes import PROBES, PROBES_FORMAT, SLICES

_BATCH = 1024
_REPAIR = "Remove the folder and run the refresh again: it writes the same probes anew."


@dataclass(frozen=True)
class Probes:
    """What a model is asked besides the test split itself.

    Attributes:
        folder: Where the files lie.
        test_digest: Digest of keys, labels and values of the test split, however it is stored.
        digest: Digest of all that decided the probes.
        seen: Each family, and whether training showed the model examples of its kind.
        changed: How many examples each variant changed, e.g. ``{"gaussian_noise/3": 1000}``.
    """

    folder: Path
    test_digest: str
    digest: str
    seen: Mapping[str, bool]
    changed: Mapping[str, int]
    _files: Mapping[str, str] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> Probes:
        """Read what describes a folder of probes.

        Raises:
            FailedError: It is not whole, of another format, or was changed.
        """
        path = folder / PROBES
        try:
            content = json.loads(path.read_bytes())
            sealed = content.pop("content_digest")
            if digest(content) != sealed:
                raise _changed(path)
            if content["format_version"] != PROBES_FORMAT:
                raise FailedError(
                    f"{path}: format version {content['format_version']}; this program reads "
                    f"{PROBES_FORMAT}. {_REPAIR}"
                )
            return cls(
                folder=folder,
                test_digest=content["test_digest"],
                digest=content["digest"],
                seen={name: one["seen"] for name, one in content["families"].items()},
                changed=content["changed"],
                _files={name: one["sha256"] for name, one in content["files"].items()},
            )
        except OSError as error:
            raise FailedError(f"{path}: cannot be read ({error.strerror}). {_REPAIR}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FailedError(f"{path}: no list of probes ({error}). {_REPAIR}") from error

    @cached_property
    def slices(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the slices of every test example, by key.

        Raises:
            FailedError: Their file was changed.
        """
        import pyarrow.parquet as pq

        table = pq.read_table(self._checked(self.folder / SLICES)).to_pydict()
        return dict(zip(table["key"], map(tuple, table["slices"]), strict=True))

    def variants(self) -> list[tuple[str, bool, Path]]:
        """Return ``gaussian_noise/3``, whether the family is seen, and the file, of each variant.

        They come by family in the order of the registry, then by severity. A variant that changed
        no example (no name to exchange, no colour to strengthen) is none.
        """
        found = {Path(name).name.split(".")[0]: name for name in self._files}
        return [
            (name, self.seen[name.split("/")[0]], self.folder / found[name.replace("/", "-")])
            for name, count in self.changed.items()
            if count
        ]

    def read(self, path: Path) -> list[bytes]:
        """Return the serialized examples of a variant's file.

        Raises:
            FailedError: The file was changed, is missing, or no file of these probes.
        """
        import tensorflow as tf

        kind = "GZIP" if path.suffix == ".gz" else ""
        try:
            rows = tf.data.TFRecordDataset(str(self._checked(path)), compression_type=kind)
            return [one for some in rows.batch(_BATCH).as_numpy_iterator() for one in some]
        except tf.errors.OpError as error:  # its digest was right a moment ago
            raise _changed(path) from error

    def _checked(self, path: Path) -> Path:
        """Return the path of a file that is as it was written."""
        name = path.relative_to(self.folder).as_posix() if self.folder in path.parents else ""
        if name not in self._files:
            raise FailedError(f"{path} is no file of the probes in {self.folder}. {_REPAIR}")
        try:
            if file_digest(path) != self._files[name]:
                raise _changed(path)
        except OSError as error:
            raise FailedError(f"{path}: cannot be read ({error.strerror}). {_REPAIR}") from error
        return path


def _changed(path: Path) -> FailedError:
    return FailedError(f"{path}: it changed since the probes were written. {_REPAIR}")
