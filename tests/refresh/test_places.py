"""What a refresh removes below its root, what it leaves to others, and where it cannot be."""

import os

import pytest

from pipelines.refresh_pipeline import build_pipeline
from pipelines.refresh_store import Places, heal, only_one
from schemas.errors import InputError

OURS = (
    "digits-smoke/artifacts/schemas/0123456789ab/.tmp-schema.pbtxt-01234567",
    "digits-smoke/artifacts/AccuracyGate/blessing/7/.tmp-record.json-01234567",
    "digits-smoke/reports/.tmp-2026.json-01234567",
    "digits-smoke/.tmp-report.json-01234567",
)
OTHERS = (
    # a materialize at work: `store.begin` and `files.write_atomic` stage below the output
    "data/digits/fedcba987654/_work/.tmp-0123/.tmp-4567-copy00-slice0000.tfrecord",
    "data/_work/.tmp-0123/.tmp-4567-copy00-slice0000.tfrecord",
    "data/.tmp-0123-manifest.json",
    "digits-smoke/data/.tmp-0123-manifest.json",
    "digits-smoke/.tmp-0123-manifest.json",
    # a push at work
    "digits-smoke/serving/.tmp-3-01234567/3/push.json",
    "digits-smoke/serving/.tmp-CURRENT-01234567",
    "digits-smoke/serving/.promotions/.tmp-CURRENT-01234567",
)


def test_temporary_files_go_where_refreshes_alone_write(tmp_path):
    for name in (*OURS, *OTHERS):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    heal(Places(tmp_path, "digits-smoke"))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(OTHERS)


def test_paths_that_are_no_text_are_refused_before_anything_runs(tmp_path):
    path = tmp_path / os.fsdecode(b"J\xf6rg")
    with pytest.raises(InputError, match="path of the root must be UTF-8"), only_one(path):
        pytest.fail("held")
    assert not path.exists()
    others = ("recipe", "manifest", "places", "sources", "probes", "baseline")
    with pytest.raises(InputError, match=r"path of the dataset must be UTF-8; .*J\\udcf6rg is"):
        build_pipeline(None, dataset=path, **dict.fromkeys(others))
