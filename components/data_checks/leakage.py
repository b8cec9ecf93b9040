"""How many eval and test examples have a near-duplicate among the stored training examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from schemas.errors import InputError
from schemas.manifest import Manifest

NEAR_DUPLICATES = "near_duplicates.parquet"


def leaking_examples(dataset: Path, manifest: Manifest) -> Mapping[str, int] | None:
    """Return the numbers for ``eval`` and ``test``, or None where leakage was not looked for.

    Near-duplicates that were left out of the dataset (``leakage: drop``) do not count, augmented
    copies that are in it do.

    Raises:
        InputError: the file that lists them cannot be read.
    """
    if "leakage" not in manifest.counts:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = dataset / NEAR_DUPLICATES
    columns = ["split", "other_split", "other_key", "dropped"]
    try:
        rows = pq.read_table(path, columns=columns).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: a dataset whose leakage was counted lists the pairs there, which cannot be "
            f"read ({error}): materialize the recipe again"
        ) from error
    leaking = {
        (row["other_split"], row["other_key"])
        for row in rows
        if row["split"] == "train" and not row["dropped"]
    }
    return {split: sum(one == split for one, _ in leaking) for split in ("eval", "test")}
