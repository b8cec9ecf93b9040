"""What a refresh removes below its root, what it leaves to others, and where it cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.refresh_pipeline import build_pipeline
from pipelines.refresh_store import Places, heal, only_one
from schemas.errors import InputError

ROOT = Path(__file__).parents[2]
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


HOLD = """
import resource, sys
from pathlib import Path
from pipelines.refresh_store import only_one
from schemas.errors import RefineryError
if "limited" in sys.argv:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    with only_one(Path(sys.argv[1])):
        sys.exit("held")
except RefineryError as error:
    print(error.exit_code, error)
"""
FULL = (
    'mount -t tmpfs -o size=64k tmpfs "$2" && echo mounted >&2 || exit; '
    'cat /dev/zero > "$2/fill"; "$0" -c "$1" "$2/r"'
)


def test_a_disk_that_takes_no_byte_at_the_start_is_named_with_the_way_out(tmp_path):
    lock = tmp_path / "r" / ".refresh.lock"
    command = [sys.executable, "-c", HOLD, str(lock.parent), "limited"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert told == (
        f"2 the root must be a writable folder; {lock.parent}: File too large. Choose another "
        "--root.\n"
    )


def test_a_full_disk_at_the_start_is_named_with_the_way_out(tmp_path):
    lock = tmp_path / "r" / ".refresh.lock"
    command = ["unshare", "-rm", "sh", "-c", FULL, sys.executable, HOLD, str(tmp_path)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no unshare")
    if "mounted" not in done.stderr:
        pytest.skip(f"no file system of its own to fill: {done.stderr.splitlines()[-1:]}")
    assert done.stdout == (
        f"1 {lock} cannot be written, for the disk is full (No space left on device): make room "
        "and repeat the command, or choose another --root\n"
    )


def test_paths_that_are_no_text_are_refused_before_anything_runs(tmp_path):
    path = tmp_path / os.fsdecode(b"J\xf6rg")
    with pytest.raises(InputError, match="path of the root must be UTF-8"), only_one(path):
        pytest.fail("held")
    assert not path.exists()
    others = ("recipe", "manifest", "places", "sources", "probes", "baseline")
    with pytest.raises(InputError, match=r"path of the dataset must be UTF-8; .*J\\udcf6rg is"):
        build_pipeline(None, dataset=path, **dict.fromkeys(others))
