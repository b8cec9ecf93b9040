"""Manifests: what is written is read back; what is no manifest is refused with a reason."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.manifest import (
    FileInfo,
    Manifest,
    ShardInfo,
    dataset_digest,
    load_manifest,
    parse_manifest,
)

SHARDS = tuple(
    ShardInfo(
        path=f"Split-train/copy{copy:02d}-slice0000.tfrecord",
        split="train",
        copy=copy,
        slice=0,
        examples=3,
        bytes=100 + copy,
        sha256=str(copy) * 64,
        classes={"0": 1, "1": 2},
        ops={"rotate": 3} if copy else {},
    )
    for copy in (0, 1)
)
FILES = (FileInfo(path="survey.json", bytes=10, sha256="a" * 64),)
MANIFEST = Manifest(
    name="tiny",
    fingerprint="f" * 64,
    recipe={"name": "tiny", "description": "été", "splits": {"test": None}},
    source={"kind": "digits"},
    policy={"slots": []},
    schema=ExampleSchema(
        modality="image", label_names=("no", "yes"), encoding="raw", image_shape=(2, 3, 1)
    ),
    versions={"numpy": "2"},
    shards=SHARDS,
    files=FILES,
    counts={"examples": {"train": 6}},
    digest=dataset_digest("f" * 64, SHARDS, FILES),
)


def test_round_trip(tmp_path):
    (tmp_path / "manifest.json").write_text(MANIFEST.to_json(), "utf-8")
    assert load_manifest(tmp_path) == MANIFEST
    assert parse_manifest(MANIFEST.to_json().encode(), "x") == MANIFEST
    assert MANIFEST.examples == 6


def test_digest_covers_every_entry_and_no_order():
    assert dataset_digest("f" * 64, SHARDS[::-1], FILES) == MANIFEST.digest
    seen = {MANIFEST.digest, dataset_digest("e" * 64, SHARDS, FILES)}
    seen.add(dataset_digest("f" * 64, SHARDS[:1], FILES))
    for change in ({"path": "x"}, {"sha256": "b" * 64}, {"examples": 4}, {"copy": 5}):
        changed = ShardInfo(**(vars(SHARDS[1]) | change))
        seen.add(dataset_digest("f" * 64, (SHARDS[0], changed), FILES))
    assert len(seen) == 7


GARBAGE = {
    "empty": b"",
    "not JSON": b"hello",
    "binary": bytes(range(256)),
    "other JSON": b"[]",
    "a number": b"3",
    "empty object": b"{}",
    "very deep": b"[" * 200_000,
    "cut short": MANIFEST.to_json().encode()[:-40],
    "key missing": json.dumps({"format_version": 1}).encode(),
    "schema is text": json.dumps(json.loads(MANIFEST.to_json()) | {"schema": "x"}).encode(),
    "shards are numbers": json.dumps(json.loads(MANIFEST.to_json()) | {"shards": [1]}).encode(),
    "half a character": MANIFEST.to_json().replace('"yes"', '"\\ud800"').encode(),
    "unknown key": json.dumps(json.loads(MANIFEST.to_json()) | {"more": 1}).encode(),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_no_manifest(tmp_path, case):
    (tmp_path / "manifest.json").write_bytes(GARBAGE[case])
    with pytest.raises(InputError, match=r"manifest\.json: not a dataset manifest"):
        load_manifest(tmp_path)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_cause_another_error(data):
    with pytest.raises(InputError):
        parse_manifest(data, "here")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_version_is_refused(version):
    value = json.loads(MANIFEST.to_json()) | {"format_version": version}
    with pytest.raises(InputError, match=r"format version .*; this program reads 1\."):
        parse_manifest(json.dumps(value), "here")


def test_no_manifest_means_no_dataset(tmp_path):
    with pytest.raises(InputError, match="no finished dataset"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(InputError, match="cannot read the manifest"):
        load_manifest(tmp_path)
