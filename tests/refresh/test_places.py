"""What a refresh removes below its root before it starts, and what it leaves to others."""

from pipelines.refresh_store import Places, heal

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
