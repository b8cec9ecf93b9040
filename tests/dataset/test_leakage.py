"""Planted leaks: training examples and copies that resemble eval or test examples."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_sample_images

from pipelines.dataset.lookup import replay
from pipelines.dataset.materialize import materialize
from pipelines.dataset.near import index
from pipelines.dataset.plan import make_plan
from pipelines.dataset.show import guards
from pipelines.dataset.verify import verify
from tests.dataset.support import image_records, parsed, text_records, tfds_recipe, write_tfds

SIDE = 32
KEYS = [f"train-{i:08d}" for i in range(4)]
"""The planted ones come first."""

REVIEW = (
    "I saw this film with my brother last winter and we both came out smiling. The plot is thin, "
    "but the two leads carry every scene, and the music never gets in the way of the story."
)


def photographs():
    """Return 32x32 parts of two photographs, all different."""
    parts = []
    for photo in load_sample_images().images:
        for top in range(0, photo.shape[0] - 150, 90):
            for left in range(0, photo.shape[1] - 150, 90):
                part = photo[top : top + 150, left : left + 150]
                parts.append(cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return np.stack(parts)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """Return a TFDS folder: of the test images, the training split holds four in disguise."""
    root = tmp_path_factory.mktemp("leaky")
    every = photographs()
    test, train = every[::3], np.concatenate([every[1::3], every[2::3]])
    noise = np.random.default_rng(1).integers(-6, 7, test[2].shape)
    planted = [
        test[0],
        test[1][:, ::-1],
        np.clip(test[2].astype(int) + noise, 0, 255).astype(np.uint8),
        np.rot90(test[3]),  # the copies may turn it back
    ]
    records = image_records(np.concatenate([planted, train]))
    parts = {"train": [records], "test": [image_records(test)]}
    write_tfds(root, parts, shape=(SIDE, SIDE, 3))
    return root


def built(folder, out, **changes):
    plan = make_plan(parsed(tfds_recipe(folder, **changes)), str(out))
    return materialize(plan), plan


def in_training():
    """Return the planted keys that the split puts into training."""
    from pipelines.dataset.slices import split_of
    from schemas.recipe import Splits

    return [key for key in KEYS if split_of(key, "train", Splits()) == "train"]


def near_duplicates(dataset):
    return pq.read_table(f"{dataset.path}/near_duplicates.parquet").to_pylist()


def copies_of(dataset, key):
    table = pq.read_table(f"{dataset.path}/provenance.parquet").to_pylist()
    return sorted(row["copy"] for row in table if row["key"] == key)


TURNS = {"slots": [{"op": "rotate_90", "probability": 1.0}]}


@pytest.fixture(scope="module")
def reported(leaky, tmp_path_factory):
    out = tmp_path_factory.mktemp("reported")
    return built(leaky, out, policy=TURNS, copies=6, leakage="report")[0]


def test_the_planted_keys_are_in_training():
    assert in_training() == KEYS


def test_originals_are_found_by_what_they_show(reported):
    found = [row for row in near_duplicates(reported) if row["by"] == "original"]
    leaks = {row["key"]: row["other_key"] for row in found if row["other_split"] == "test"}
    assert {key: leaks.get(key) for key in KEYS[:3]} == {
        key: f"test-{i:08d}" for i, key in enumerate(KEYS[:3])
    }
    assert KEYS[3] not in leaks
    assert not any(row["dropped"] for row in near_duplicates(reported))


def test_copies_are_found_by_parent_and_then_by_content(reported):
    found = [row for row in near_duplicates(reported) if row["copy"] > 0]
    by_parent = {(row["key"], row["copy"]) for row in found if row["by"] == "parent"}
    assert {(key, copy) for key in KEYS[:3] for copy in range(1, 7)} <= by_parent
    turned_back = [row for row in found if row["key"] == KEYS[3]]
    assert turned_back
    assert {row["by"] for row in turned_back} == {"content"}
    assert {row["other_key"] for row in turned_back} == {"test-00000003"}
    assert len(turned_back) < 6


def test_counts_agree_with_the_table(reported):
    counts = reported.manifest.counts["leakage"]
    found = near_duplicates(reported)
    assert counts["mode"] == "report"
    assert counts["copies_by_content"] == sum(row["by"] == "content" for row in found)
    assert counts["copies_by_parent"] == sum(row["by"] == "parent" for row in found)
    assert counts["test_examples"] >= 3
    survey = json.loads(Path(reported.path, "survey.json").read_text("utf-8"))
    assert survey["leakage"] == counts
    leaking = {
        (row["other_split"], row["other_key"]) for row in found if row["other_split"] != "train"
    }
    assert counts["test_leaking"] == sum(split == "test" for split, _ in leaking)
    assert counts["eval_leaking"] == sum(split == "eval" for split, _ in leaking)
    assert counts["test_not_compared"] == counts["eval_not_compared"] == 0
    (line,) = guards(reported.manifest)
    assert f"resemble {counts['eval_leaking']} eval and {counts['test_leaking']} test" in line
    assert survey["near_duplicates"]["candidates_not_compared"] == 0


def test_drop_leaves_out_originals_and_copies(leaky, reported, tmp_path):
    changes = {"policy": TURNS, "copies": 6, "leakage": "drop"}
    dropped, plan = built(leaky, tmp_path / "out", **changes)
    for key in KEYS[:3]:
        assert copies_of(dropped, key) == []
    found = {row["copy"] for row in near_duplicates(reported) if row["key"] == KEYS[3]}
    assert copies_of(dropped, KEYS[3]) == sorted(set(range(7)) - found)
    assert all(
        row["dropped"] == (row["split"] == "train" and row["other_split"] != "train")
        for row in near_duplicates(dropped)
    )
    gone = reported.manifest.examples - dropped.manifest.examples
    counts = dropped.manifest.counts["leakage"]
    assert gone == counts["training_originals"] * 7 + counts["copies_by_content"]
    assert (counts["eval_leaking"], counts["test_leaking"]) == (0, 0)
    assert verify(dropped.path).ok
    assert replay(dropped.path, KEYS[3], 0).equal
    backwards = dataclasses.replace(
        make_plan(parsed(tfds_recipe(leaky, **changes)), str(tmp_path / "again")),
        tasks=plan.tasks[::-1],
    )
    assert materialize(backwards).manifest.digest == dropped.manifest.digest


def test_dropped_examples_do_not_count_when_classes_are_levelled(leaky, tmp_path):
    dataset = built(leaky, tmp_path / "out", leakage="drop", balance="cap", policy=TURNS)[0]
    rows = pq.read_table(f"{dataset.path}/provenance.parquet").to_pylist()
    labels = [row["label"] for row in rows if row["split"] == "train" and row["copy"] == 0]
    assert labels.count(0) == labels.count(1) > 10


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Return a TFDS folder whose test split is of two scenes, 40 frames of each, almost equal.

    Training holds one frame of the first as it is, and one of the second turned.
    """
    root = tmp_path_factory.mktemp("frames")
    every = photographs()
    steps = np.random.default_rng(4).integers(-2, 3, (80, *every[0].shape))
    scenes = np.repeat(every[[0, 9]].astype(int), 40, axis=0)
    test = np.clip(scenes + steps, 0, 255).astype(np.uint8)
    planted = [every[0], np.rot90(every[9])]
    train = np.concatenate([planted, every[20:70]])
    parts = {"train": [image_records(train)], "test": [image_records(test)]}
    write_tfds(root, parts, shape=(SIDE, SIDE, 3))
    return root


def counted(dataset):
    """Return the test examples that leak and those that were not compared with all."""
    counts = dataset.manifest.counts["leakage"]
    return counts["test_leaking"], counts["test_not_compared"]


def test_crowds_hide_no_leak(frames, tmp_path, monkeypatch):
    """What the search gives up is counted, for originals and for copies; it is the same any way."""
    originals = {"copies": 0}
    copies = {"policy": TURNS, "copies": 6}
    assert counted(built(frames, tmp_path / "all", **originals)[0]) == (40, 0)
    assert counted(built(frames, tmp_path / "both", **copies)[0]) == (80, 0)
    monkeypatch.setattr(index, "CAP", 4)
    found, unknown = counted(built(frames, tmp_path / "few", **originals)[0])
    assert found < 40 <= found + unknown
    dataset, plan = built(frames, tmp_path / "few both", **copies)
    found, unknown = counted(dataset)
    assert found < 80 == found + unknown
    assert f"eval and {unknown} test examples were not compared" in guards(dataset.manifest)[-1]
    backwards = dataclasses.replace(
        make_plan(parsed(tfds_recipe(frames, **copies)), str(tmp_path / "again")),
        tasks=plan.tasks[::-1],
    )
    assert materialize(backwards).manifest.digest == dataset.manifest.digest


def test_equal_examples_leak_each(tmp_path):
    """The search finds the first of equal ones alone."""
    every = photographs()
    train, test = every[20:40], np.repeat(every[20:22], 5, axis=0)
    parts = {"train": [image_records(train)], "test": [image_records(test)]}
    write_tfds(tmp_path / "in", parts, shape=(SIDE, SIDE, 3))
    dataset = built(tmp_path / "in", tmp_path / "out", policy=TURNS, copies=1)[0]
    assert counted(dataset) == (10, 0)
    assert dataset.manifest.counts["leakage"]["test_examples"] == 10


def test_what_was_dropped_is_compared_with_nothing(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "CAP", 4)
    dropped = built(frames, tmp_path / "out", copies=0, leakage="drop")[0]
    assert copies_of(dropped, KEYS[0]) == []
    assert counted(dropped) == (0, 0)


def test_off_looks_for_nothing(leaky, tmp_path):
    dataset = built(leaky, tmp_path / "out", leakage="off")[0]
    assert "leakage" not in dataset.manifest.counts
    assert not Path(dataset.path, "near_duplicates.parquet").exists()
    assert len(copies_of(dataset, KEYS[0])) == 2


def test_yaml_reads_a_bare_off_as_false(leaky):
    assert parsed(tfds_recipe(leaky, leakage=False)).recipe.leakage == "off"


def test_reviews(tmp_path):
    words, random = REVIEW.split(), np.random.default_rng(3)
    others = [" ".join(random.permutation(words)) for _ in range(40)]
    edited = REVIEW.replace("last winter", "last summer").replace(" and ", "<br /> AND ")
    parts = {"train": [text_records([edited, *others])], "test": [text_records([REVIEW])]}
    write_tfds(tmp_path / "texts", parts, shape=None)
    changes = {"modality": "text", "policy": {"preset": "none"}, "copies": 0}
    dataset = built(tmp_path / "texts", tmp_path / "out", leakage="drop", **changes)[0]
    assert copies_of(dataset, KEYS[0]) == []
    found = {row["key"]: row["other_key"] for row in near_duplicates(dataset) if row["dropped"]}
    assert found == {KEYS[0]: "test-00000000"}
