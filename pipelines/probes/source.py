"""The test split that probes are made of: its originals, and how an example of it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.dataset import files, store
from pipelines.dataset.lookup import decode_value
from pipelines.dataset.records import read_shard
from schemas.canonical import sha256
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.manifest import Manifest, ShardInfo, load_manifest
from schemas.recipe import TextOptions
from schemas.tokens import vocabulary_ids

_REPAIR = "`verify` names all damage, `materialize` repairs it."


@dataclass(frozen=True)
class Source:
    """The originals of a test split, and how an example of it is stored."""

    dataset: Path
    schema: ExampleSchema
    shards: tuple[ShardInfo, ...]
    text: TextOptions
    vocabulary: Mapping[str, int]

    def records(self) -> Iterator[bytes]:
        """Yield the serialized examples, one shard after the other.

        Raises:
            InputError: A shard is not what the manifest says.
        """
        for shard in self.shards:
            path = str(self.dataset / shard.path)
            data = _read(path)
            if sha256(data) != shard.sha256:
                raise InputError(f"{path}: it changed since the manifest was written. {_REPAIR}")
            yield from read_shard(data, path)

    def value(self, features: Mapping[str, list[Any]]) -> Any:
        """Return the pixels or the text of a parsed example."""
        return decode_value(features[self.schema.feature][0], self.schema)


def open_source(dataset: Path) -> Source:
    """Return the test split of a dataset.

    Raises:
        InputError: It is empty, missing or damaged.
    """
    manifest = load_manifest(dataset)
    schema = manifest.schema
    text, vocabulary = TextOptions(), {}
    if schema.tokens:
        text = TextOptions(**manifest.recipe["text"])
        lines = _read(str(dataset / store.VOCABULARY)).decode("utf-8").split("\n")
        vocabulary = vocabulary_ids(lines[:-1])
    return Source(dataset, schema, _test_shards(manifest), text, vocabulary)


def _test_shards(manifest: Manifest) -> tuple[ShardInfo, ...]:
    """Return the shards of the test split's originals, ordered by path.

    Raises:
        InputError: They hold no examples.
    """
    found = [one for one in manifest.shards if (one.split, one.copy) == ("test", 0)]
    if not any(one.examples for one in found):
        raise InputError(
            f"the test split of {manifest.name} holds no examples, so no model can be judged on "
            "it; materialize a recipe with a test split (splits.test, or splits.test_share)"
        )
    return tuple(sorted(found, key=lambda one: one.path))


def _read(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). {_REPAIR}") from error
