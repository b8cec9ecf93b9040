"""The fault benchmark: what a handful of faults leaves, and that its checks see what is broken."""

import json
import os
import shutil
import signal
import time
from random import Random

import pyarrow as pa
import pytest

from benchmarks import (
    faults,
    faults_dataset,
    faults_processes,
    faults_refresh,
    faults_serving,
)
from benchmarks.faults_processes import Row, fork, strike
from benchmarks.result import figures_of
from components.serving.store import current_version, record_refusal
from pipelines.dataset import files, store
from schemas.errors import FailedError
from schemas.manifest import MANIFEST


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    return faults_dataset.uninterrupted(folder, ("copies=0", "slice_size=1024"))


@pytest.fixture
def dataset(reference, tmp_path):
    """A copy of the uninterrupted dataset that can be spoilt."""
    path = tmp_path / reference.path
    shutil.copytree(reference.folder, path)
    return path


@pytest.mark.full
def test_quick_run_loses_nothing():
    measured = faults.measure(quick=True)
    figures = figures_of(faults.FIGURES, measured.runs)
    assert sum(one.runs[0] for one in figures["kills"].parts.values()) >= 10
    for key in ("lost", "half_visible"):
        assert {part: one.runs for part, one in figures[key].parts.items() if any(one.runs)} == {}
    lines = faults.table_lines(figures)
    assert lines[-1].startswith("| total | ")
    assert lines[-1].endswith(" | 0 | 0 |")


def test_kills_of_a_push_lose_nothing(tmp_path):
    row = faults_serving.kills(tmp_path, Random(7), 10)
    assert (row.kills, row.found) == (10, [])


def test_kills_of_materialize_lose_nothing(reference, tmp_path):
    row = faults_dataset.kills("killed", reference, tmp_path, Random(7), 2)
    assert (row.kills >= 2, row.found) == (True, [])


def test_a_whole_dataset_is_no_finding(reference, dataset):
    row = Row(fault="none")
    faults_dataset.check_state(row, reference, dataset)
    assert row.found == []
    assert len(faults_dataset.complete(reference, dataset)) == len(reference.manifest.shards)


@pytest.mark.parametrize("name", ["shard", store.PROVENANCE, MANIFEST])
def test_half_a_file_under_its_own_name_is_half_visible(reference, dataset, name):
    path = dataset / (reference.manifest.shards[0].path if name == "shard" else name)
    path.write_bytes(path.read_bytes()[:-1])
    row = Row(fault="torn")
    faults_dataset.check_state(row, reference, dataset)
    assert row.half_visible >= 1
    assert row.lost == 0


def test_half_a_side_file_is_half_visible(reference, dataset):
    (dataset / MANIFEST).unlink()
    side = dataset / store.WORK / "Split-train" / f"copy00{store.SIDE_SUFFIX}"
    side.parent.mkdir(parents=True)
    side.write_bytes(b"ARROW1")
    row = Row(fault="torn")
    faults_dataset.check_state(row, reference, dataset)
    assert row.half_visible == 1


def test_a_finished_shard_that_is_built_again_is_lost(reference, tmp_path):
    """Side files of another stamp are not believed, so that shards are made once more."""
    dataset = tmp_path / "killed" / reference.path
    for shard in reference.manifest.shards:
        path = dataset / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reference.folder / shard.path, path)
        side = dataset / store.WORK / f"{shard.path}{store.SIDE_SUFFIX}"
        side.parent.mkdir(parents=True, exist_ok=True)
        side.write_bytes(_side_file(vars(shard)))
    row = Row(fault="forgotten")
    faults_dataset.finish(row, reference, tmp_path / "killed", tmp_path)
    assert row.lost == 1
    assert "were built again" in row.found[0]


def _side_file(entry):
    schema = pa.schema([("key", pa.string())]).with_metadata(
        {"beam_refinery.shard": json.dumps(entry), "beam_refinery.stamp": "another"}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(schema.empty_table())
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("spoil", ["model", "pointer", "history"])
def test_a_spoilt_serving_folder_is_seen(tmp_path, spoil):
    root = tmp_path / "root"
    faults_serving.act(root, ["push", "push", "refuse"])
    serving = root / "serving"
    before = faults_serving.live_model(serving), 0
    row = Row(fault="none")
    faults_serving.check_state(row, root, *before)
    assert row.found == []
    if spoil == "model":
        (serving / "2" / "part3").write_bytes(b"half")
    elif spoil == "pointer":
        (serving / "CURRENT").write_text("1\n")
    else:
        path = serving / ".promotions" / "history.jsonl"
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    faults_serving.check_state(row, root, *before)
    assert current_version(serving) in (1, 2)
    assert row.lost + row.half_visible >= 1


def test_a_report_that_is_torn_or_alone_with_its_refusal_is_seen(tmp_path):
    serving = tmp_path / "serving"
    (tmp_path / "reports").mkdir()
    told = {"status": "refused", "run": "2026-11-24T14:13:29"}
    record_refusal(serving, "too few", {"run": told["run"]})
    for path in (tmp_path / "report.json", tmp_path / "reports" / "one.json"):
        path.write_text(json.dumps(told))
    row = Row(fault="none")
    faults_refresh.check_reports(row, tmp_path, serving)
    assert row.found == []
    (tmp_path / "report.json").write_text(json.dumps(told | {"run": "another"}))
    (tmp_path / "reports" / "one.json").write_text(json.dumps(told | {"run": "another"}))
    faults_refresh.check_reports(row, tmp_path, serving)
    assert (row.lost, row.half_visible) == (2, 0)
    (tmp_path / "report.json").write_text("{")
    (tmp_path / "reports" / "one.json").write_text("")
    faults_refresh.check_reports(row, tmp_path, serving)
    assert (row.lost, row.half_visible) == (2, 2)


def test_a_kill_ends_the_whole_group(tmp_path):
    def with_a_child():
        os.fork() or time.sleep(60)
        time.sleep(60)
        return 0

    child = fork(with_a_child, tmp_path / "said")
    assert strike(child, lambda: len(faults_processes.members(child.pid)) == 2)
    assert child.status == -signal.SIGKILL
    assert faults_processes.members(child.pid) == []


@pytest.mark.parametrize("said", ["", "error: one\nerror: two\n", "Traceback\nerror: one\n"])
def test_a_failure_says_one_line(tmp_path, said):
    def fail():
        print(said, end="")
        return 1

    with pytest.raises(FailedError, match="status 1"):
        faults_processes.check_failure(
            Row(fault="unclear"), fork(fail, tmp_path / "said"), statuses=(1,)
        )


def test_what_is_finished_on_a_read_only_disk_is_up_to_date(reference, tmp_path):
    if not faults_processes.can_mount():
        pytest.skip("it takes the right to mount")
    row = faults_dataset.read_only(reference, tmp_path)
    assert (row.trials, row.found) == (2, [])


def test_a_disk_runs_full_and_is_enlarged(tmp_path):
    if not faults_processes.can_mount():
        pytest.skip("it takes the right to mount")
    place = tmp_path / "small"
    with faults_processes.disk(place, 1 << 20):
        with pytest.raises(OSError, match="No space left"):
            (place / "large").write_bytes(bytes(2 << 20))
        faults_processes.remount(place, "size=4m")
        (place / "large").write_bytes(bytes(2 << 20))
        assert faults_processes.used(place) >= 2 << 20
    assert not list(place.iterdir())
    assert files.sizes(str(place)) == {}


def test_a_disk_that_is_full_while_an_old_version_is_removed_fails_no_push(tmp_path):
    if not faults_processes.can_mount():
        pytest.skip("it takes the right to mount")
    rows = faults_serving.full_disk(tmp_path, 1)
    assert [(row.trials, row.found) for row in rows] == [(6, []), (6, [])]
    assert all("No space left" in row.message for row in rows)
