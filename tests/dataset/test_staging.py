"""A worker that outlives its run can write nothing once the next run has begun."""

import dataclasses

import pytest

from pipelines.dataset import files, store
from pipelines.dataset.plan import make_plan
from pipelines.dataset.slices import read_slice
from schemas.errors import FailedError
from schemas.recipe import load_recipe


@pytest.fixture(scope="module")
def work():
    plan = make_plan(load_recipe("digits", ["copies=0", "slice_size=64"]), "nowhere")
    return plan, plan.tasks[0], read_slice(plan.job, plan.tasks[0])


def job_at(plan, output, staging):
    return dataclasses.replace(plan.job, output=str(output), staging=staging)


def test_shards_are_written_by_way_of_the_runs_own_folder(work, tmp_path):
    plan, task, data = work
    with store.staged(str(tmp_path)) as staging:
        infos = store.run_task(job_at(plan, tmp_path, staging), task, data)
        assert files.sizes(staging) == {}
    found = files.sizes(str(tmp_path))
    assert [one for one in found if one.startswith("Split-")] == sorted(one.path for one in infos)
    assert not [one for one in tmp_path.rglob("*") if files.TEMPORARY in one.name]


def test_an_orphan_of_an_earlier_run_fails_and_leaves_nothing(work, tmp_path):
    plan, task, data = work
    with store.staged(str(tmp_path)) as earlier, store.staged(str(tmp_path)) as later:
        assert files.sizes(str(tmp_path)) == {}
        with pytest.raises(FailedError, match=r"cannot write .*: No such file or directory"):
            store.run_task(job_at(plan, tmp_path, earlier), task, data)
        assert list(tmp_path.rglob("*")) == [tmp_path / store.WORK, tmp_path.joinpath(later)]


def test_a_file_that_an_orphan_has_open_does_not_arrive(tmp_path):
    with store.staged(str(tmp_path)) as earlier:
        with (tmp_path.joinpath(earlier) / f"{files.TEMPORARY}x").open("wb") as file:
            with store.staged(str(tmp_path)):
                file.write(b"half a sha")
            with pytest.raises(FileNotFoundError):
                (tmp_path.joinpath(earlier) / f"{files.TEMPORARY}x").rename(tmp_path / "shard")
    assert files.sizes(str(tmp_path)) == {}


def test_staging_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / store.WORK).write_bytes(b"")
    with pytest.raises(FailedError, match="cannot write .*_work"), store.staged(str(tmp_path)):
        pass


def test_object_stores_need_none():
    with store.staged("gs://bucket/dataset") as staging:
        assert staging is None
