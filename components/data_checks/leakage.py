"""How many eval and test examples have a near-duplicate among the stored training examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.canonical import sha256
from schemas.errors import InputError
from schemas.manifest import Manifest
from schemas.plain_files import read_plain

SURVEY = "survey.json"


@dataclass(frozen=True, kw_only=True)
class Leaking:
    """Examples of a split that count as leaking.

    Attributes:
        found: Those that something stored in train resembles.
        not_compared: Those that are so much like many others that the search gave them up. They
            count too: nobody knows that they do not leak.
    """

    found: int
    not_compared: int


def leaking_examples(dataset: Path, manifest: Manifest) -> Mapping[str, Leaking] | None:
    """Return the numbers for ``eval`` and ``test``, or None where leakage was not looked for.

    Near-duplicates that were left out of the dataset (``leakage: drop``) do not count, augmented
    copies that are in it do.

    Raises:
        InputError: the file that tells them cannot be read, or is not the one that was written.
    """
    if "leakage" not in manifest.counts:
        return None
    path = dataset / SURVEY
    try:
        data = read_plain(path)
        if sha256(data) not in [one.sha256 for one in manifest.files if one.path == SURVEY]:
            raise ValueError("it is not the file that the manifest lists")
        counts = json.loads(data)["leakage"]
        return {
            split: Leaking(
                found=int(counts[f"{split}_leaking"]),
                not_compared=int(counts[f"{split}_not_compared"]),
            )
            for split in ("eval", "test")
        }
    except KeyError as error:
        reason = f"{error} is missing: an earlier version wrote it"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
    raise InputError(
        f"{path}: it tells how many examples leak, and cannot be read ({reason}): materialize the "
        "recipe again"
    )
