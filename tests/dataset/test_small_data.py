"""Datasets so small or so odd that a part of them is empty, and runs that read only a part."""

import dataclasses

import pytest

import beam_runner
from pipelines.dataset.decisions import Decisions
from pipelines.dataset.images import encode_png
from pipelines.dataset.materialize import materialize
from pipelines.dataset.near import Entries, sketcher
from pipelines.dataset.plan import make_plan
from pipelines.dataset.shards import _checked, augmented
from pipelines.dataset.slices import read_slice, split_of
from pipelines.dataset.verify import verify
from schemas.errors import InputError
from tests.dataset.support import (
    image_records,
    parsed,
    pictures,
    text_records,
    tfds_recipe,
    write_tfds,
)


def plan_of(folder, out, **changes):
    return make_plan(parsed(tfds_recipe(folder, **changes)), str(out))


def shown(dataset, capsys):
    status = beam_runner.main(["show", dataset.path])
    return status, capsys.readouterr().out


def test_every_training_example_leaks(tmp_path, capsys):
    images = pictures(24)
    parts = {"train": [image_records(images)], "test": [image_records(images)]}
    write_tfds(tmp_path, parts)
    dataset = materialize(plan_of(tmp_path, tmp_path / "out", leakage="drop", balance="cap"))
    counts = dataset.manifest.counts
    assert counts["examples"]["train"] == 0
    assert counts["classes"]["train"] == {"0": 0, "1": 0}
    assert verify(dataset.path).ok
    status, text = shown(dataset, capsys)
    assert status == 0
    assert "the train split holds no example" in text


def test_an_empty_eval_split_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tfds(tmp_path, {"train": [image_records(pictures(6))]})
    splits = {"test": None, "eval_share": 1e-9, "test_share": 0.5}
    dataset = materialize(plan_of(tmp_path, tmp_path / "out", splits=splits))
    assert dataset.manifest.counts["classes"]["eval"] == {"0": 0, "1": 0}
    status, text = shown(dataset, capsys)
    assert status == 0
    assert "the eval split holds no example" in text


@pytest.mark.parametrize("text", ["no capitals here", "\U0001f600", "你好世界"])
def test_sentences_cannot_be_learned_from_such_texts(tmp_path, text):
    records = text_records([f"{text} {i}" for i in range(20)])
    write_tfds(tmp_path, {"train": [records], "test": [records[:3]]}, shape=None)
    policy = {"slots": ["generate_sentence"]}
    plan = plan_of(tmp_path, tmp_path / "out", modality="text", policy=policy)
    with pytest.raises(InputError, match="no sentence to learn from.*Remove the op"):
        materialize(plan)


def test_a_survey_that_missed_a_slice_decides_nothing(tmp_path):
    """Shards built by it would be resumed as finished, though they hold too many examples."""
    for i, png in enumerate(encode_png(pictures(48))):
        path = tmp_path / "data" / ("rare" if i < 8 else "common") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    changes = {
        "source": {"kind": "image_folder", "path": str(tmp_path / "data")},
        "splits": {"test": None, "eval_share": 0.1, "test_share": 0.1},
        "balance": "cap",
    }
    expected = materialize(plan_of(tmp_path, tmp_path / "fresh", **changes))
    plan = plan_of(tmp_path, tmp_path / "out", **changes)
    for path in (tmp_path / "data" / "rare").iterdir():
        split = split_of(f"rare/{path.name}", "train", plan.job.splits)
        if split == "train":
            break
    path.rename(tmp_path / "away")
    with pytest.raises(InputError, match="cannot be read"):
        materialize(plan)
    (tmp_path / "away").rename(path)
    assert materialize(plan).manifest.digest == expected.manifest.digest


def test_equal_references_with_other_keys_are_not_mixed_up(tmp_path):
    """An index is kept per process; it must be the one of the dataset that asks."""
    images = pictures(4)
    write_tfds(tmp_path, {"train": [image_records(images)], "test": [image_records(images)]})
    plan = plan_of(tmp_path, tmp_path / "out", leakage="report")
    task = next(task for task in plan.tasks if task.source_split == "train")
    examples = read_slice(plan.job, task).splits["train"]
    copies = dataclasses.replace(plan.job, policy=plan_of(tmp_path, "", copies=0).job.policy)
    rows = augmented(copies, examples, split="train", copy=0)
    sketches = sketcher("image").sketch(images)
    for prefix in "ab":
        keys = tuple(f"{prefix}{i}" for i in range(4))
        reference = Entries(sketches, ("test",) * 4, keys)
        _, found, _ = _checked(plan.job, rows, Decisions(reference=reference), copied=True)
        assert found
        assert {leak.other[0] for leak in found} == {prefix}
