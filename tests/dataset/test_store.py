"""A finished dataset: nothing to do, damage is named and repaired, foreign files are refused."""

import io
import json
import os
import shutil

import pytest

from pipelines.dataset import files
from pipelines.dataset.materialize import materialize, pipeline_options
from pipelines.dataset.plan import make_plan
from pipelines.dataset.verify import verify
from schemas.errors import InputError
from schemas.manifest import load_manifest
from tests.dataset.support import image_records, parsed, pictures, tfds_recipe, write_tfds


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A dataset of 60 images with one copy, and the recipe's content."""
    root = tmp_path_factory.mktemp("store")
    write_tfds(
        root, {"train": [image_records(pictures(50))], "test": [image_records(pictures(10))]}
    )
    content = tfds_recipe(root)
    return materialize(make_plan(parsed(content), str(root / "out"))), content


@pytest.fixture
def dataset(built, tmp_path):
    """A copy of the dataset that a test may damage; its plan finds it there."""
    outcome, content = built
    plan = make_plan(parsed(content), str(tmp_path / "out"))
    shutil.copytree(outcome.path, plan.job.output)
    return plan


def path_of(plan, name):
    return os.path.join(plan.job.output, name)


def problems(plan):
    verdict = verify(plan.job.output)
    assert verdict.ok == (not verdict.problems)
    return verdict.problems


def test_holds_what_its_manifest_lists_and_no_more(built):
    outcome, _ = built
    manifest = outcome.manifest
    named = {one.path for one in (*manifest.shards, *manifest.files)}
    assert set(files.sizes(outcome.path)) == named | {"manifest.json", ".lock"}
    assert {one.path for one in manifest.files} == {
        "survey.json",
        "provenance.parquet",
        "near_duplicates.parquet",
    }
    assert load_manifest(outcome.path) == manifest
    assert len(outcome.manifest.fingerprint) == 64
    assert outcome.path.endswith(f"tiny/{manifest.fingerprint[:12]}")


def test_second_run_changes_nothing(dataset):
    before = {name: os.stat(path_of(dataset, name)) for name in files.sizes(dataset.job.output)}
    outcome = materialize(dataset)
    assert outcome.status == "up_to_date"
    after = {name: os.stat(path_of(dataset, name)) for name in files.sizes(dataset.job.output)}
    assert set(after) == set(before)
    for name in before.keys() - {".lock"}:
        assert (after[name].st_ino, after[name].st_mtime_ns) == (
            before[name].st_ino,
            before[name].st_mtime_ns,
        )


def flip(path):
    with open(path, "r+b") as file:
        file.seek(30)
        byte = file.read(1)[0]
        file.seek(30)
        file.write(bytes([byte ^ 1]))


SHARD = "Split-train/copy01-slice0002.tfrecord"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: flip(path), f"{SHARD}: content differs from the manifest (SHA-256)"),
        (lambda path: os.truncate(path, 50), f"{SHARD}: 50 bytes, not "),
        (os.unlink, f"{SHARD}: missing"),
        (lambda path: (os.unlink(path), os.mkdir(path)), f"{SHARD}: missing"),
        (
            lambda path: (os.unlink(path), os.symlink("/nowhere", path)),
            f"{SHARD}: reached by a link",
        ),
    ],
)
def test_damage_is_named(dataset, damage, problem):
    assert problems(dataset) == []
    damage(path_of(dataset, SHARD))
    (found,) = problems(dataset)
    assert found.startswith(problem)


def test_damage_is_repaired_to_the_same_dataset(dataset):
    digest = load_manifest(dataset.job.output).digest
    flip(path_of(dataset, SHARD))
    os.unlink(path_of(dataset, "survey.json"))
    assert len(problems(dataset)) == 2
    stream = io.StringIO()
    outcome = materialize(dataset, stream=stream)
    assert (outcome.status, outcome.manifest.digest) == ("built", digest)
    assert f"the dataset is damaged ({SHARD}: content differs" in stream.getvalue()
    assert problems(dataset) == []


def edit_manifest(plan, change):
    path = path_of(plan, "manifest.json")
    with open(path) as file:
        value = json.load(file)
    change(value)
    with open(path, "w") as file:
        json.dump(value, file)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(digest="0" * 64),
        lambda m: m.update(fingerprint="0" * 64),
        lambda m: m["shards"][0].update(examples=1),
        lambda m: m["shards"][0].update(classes={"0": 1}),
        lambda m: m["shards"].reverse() or m["shards"].pop(),
        lambda m: m["files"].pop(),
    ],
)
def test_an_edited_manifest_is_seen(dataset, change):
    edit_manifest(dataset, change)
    assert "manifest.json: the digest does not match the files it lists" in problems(dataset)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"format_version": 2}'])
def test_an_unreadable_manifest_is_seen_and_rebuilt(dataset, content):
    with open(path_of(dataset, "manifest.json"), "wb") as file:
        file.write(content)
    verdict = verify(dataset.job.output)
    assert verdict.to_json()["ok"] is False
    assert verdict.to_json()["digest"] is None
    assert len(verdict.problems) == 1
    assert verdict.problems[0].startswith("manifest.json: ")


def test_verdict_as_json(dataset):
    os.unlink(path_of(dataset, SHARD))
    manifest = load_manifest(dataset.job.output)
    assert verify(dataset.job.output).to_json() == {
        "ok": False,
        "digest": manifest.digest,
        "examples": manifest.examples,
        "problems": [f"{SHARD}: missing"],
    }


@pytest.mark.parametrize("name", ["Split-train/copy09-slice0000.tfrecord", "notes.txt", "a/b"])
def test_foreign_files_are_named_and_never_deleted(dataset, name):
    path = path_of(dataset, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("mine")
    assert problems(dataset) == [f"{name}: not named in the manifest"]
    with pytest.raises(InputError, match=f"holds '{name}', which is no part of the dataset"):
        materialize(dataset)
    os.unlink(path)
    assert materialize(dataset).status == "up_to_date"


def test_what_a_killed_job_left_half_written_is_deleted(dataset):
    path = path_of(dataset, "Split-eval/.tmp-12ab-copy00-slice0000.tfrecord")
    with open(path, "w") as file:
        file.write("half")
    assert materialize(dataset).status == "up_to_date"
    assert not os.path.exists(path)


def test_side_files_of_other_library_versions_do_not_count(built, tmp_path):
    """What another version of a library wrote is built again, not mixed in."""
    import dataclasses

    from pipelines.dataset import store
    from pipelines.dataset.slices import read_slice

    _, content = built
    plan = make_plan(parsed(content), str(tmp_path))
    other = dataclasses.replace(plan.job, stamp="0" * 64)
    task = plan.tasks[0]
    store.run_task(other, task, read_slice(other, task))
    assert len(store.finished(other, plan.tasks)) == len(task.shards)
    assert store.finished(plan.job, plan.tasks) == {}
    store.run_task(plan.job, task, read_slice(plan.job, task))
    done = store.finished(plan.job, plan.tasks)
    assert len(done) == len(task.shards)
    left = store.remaining(plan.job, plan.tasks, done)
    assert [one.number for one in left if one.source_split == "train"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"description": "other words"}, True),
        ({"seed": 8}, False),
        ({"copies": 2}, False),
        ({"slice_size": 17}, False),
        ({"policy": {"preset": "classic", "rotation": 1}}, False),
        ({"image": {"encoding": "raw"}}, False),
        ({"splits": {"eval_share": 0.3}}, False),
        ({"on_bad_record": "quarantine"}, False),
        ({"survey": {"vocabulary": 9}}, True),
    ],
)
def test_fingerprint_follows_what_decides_the_bytes(built, change, same):
    outcome, content = built
    plan = make_plan(parsed(content | change), "/nowhere")
    assert (plan.fingerprint == outcome.manifest.fingerprint) == same


def test_raw_images_are_stored_as_bytes(built, tmp_path):
    from pipelines.dataset.lookup import find, open_manifest
    from pipelines.dataset.records import decode_example

    _, content = built
    raw = content | {"image": {"encoding": "raw"}, "copies": 0}
    outcome = materialize(make_plan(parsed(raw), str(tmp_path)))
    one = find(outcome.path, open_manifest(outcome.path), "test-00000003")[0]
    assert decode_example(one.record)["image"] == [pictures(10)[3].tobytes()]
    assert (one.value == pictures(10)[3]).all()


def test_copies_without_ops_are_refused(built):
    _, content = built
    with pytest.raises(InputError, match="test recipe: copies: 1 copies by a policy without ops"):
        make_plan(parsed(content | {"policy": {"preset": "none"}}), "/nowhere")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runer=DirectRunner"], r"knows '--runer=DirectRunner'\. Did you mean --runner\?"),
        (["--direct_num_workers=two"], "Beam refuses a flag: .*invalid int value: 'two'"),
        (["--runner=NoSuchRunner"], "--runner=NoSuchRunner: "),
        (["stray"], "knows 'stray'"),
    ],
)
def test_wrong_beam_flags_are_refused(flags, message):
    with pytest.raises(InputError, match=message):
        pipeline_options(flags)


def test_several_workers_are_processes():
    from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

    several = pipeline_options(["--direct_num_workers=2"])
    assert several.view_as(DirectOptions).direct_running_mode == "multi_processing"
    assert several.view_as(StandardOptions).runner == "FnApiRunner"
    one = pipeline_options([])
    assert one.view_as(DirectOptions).direct_running_mode != "multi_processing"
    threads = pipeline_options(["--direct_num_workers=2", "--direct_running_mode=multi_threading"])
    assert threads.view_as(DirectOptions).direct_running_mode == "multi_threading"


def test_output_that_cannot_be_a_folder(built, tmp_path):
    _, content = built
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot create the folder .*writable place"):
        materialize(make_plan(parsed(content), str(tmp_path / "file")))
