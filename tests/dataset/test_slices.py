"""Which split a record belongs to, which shards a slice gives, and what is in them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dataset.images import decode_image
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, read_shard
from pipelines.dataset.slices import plan_tasks, shard_path, split_of
from pipelines.dataset.sources.digits import DigitsSource, upscale
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.recipe import Splits, load_recipe

WITH_TEST = Splits()
WITHOUT_TEST = Splits(test=None)
KEYS = [f"train-{i:08d}" for i in range(10_000)]
GOLDEN = "eerervrevrrerrevrrvrrvee"  # second letters: tRain, eVal, tEst
GOLDEN_UNICODE = "train"


def test_splits_are_golden():
    """A changed hash would silently move test examples into training."""
    splits = [split_of(key, "train", WITHOUT_TEST) for key in KEYS[:24]]
    assert "".join(split[1] for split in splits) == GOLDEN
    assert split_of("é—日本", "train", WITHOUT_TEST) == GOLDEN_UNICODE


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_shares_are_kept(share):
    """Within five standard deviations of a binomial."""
    splits = Splits(test=None, eval_share=share, test_share=0.3)
    found = [split_of(key, "train", splits) for key in KEYS]
    for name, expected in (("eval", share), ("test", 0.3), ("train", 0.7 - share)):
        tolerance = 5 * (expected * (1 - expected) * len(KEYS)) ** 0.5
        assert abs(found.count(name) - expected * len(KEYS)) < tolerance


@given(st.text(st.characters(exclude_categories=("Cs",))), st.floats(0.01, 0.49))
def test_a_larger_share_takes_from_train_alone(key, share):
    """An eval example stays one; with a test split of its own, nothing else is set aside."""
    small = split_of(key, "train", Splits(eval_share=share))
    large = split_of(key, "train", Splits(eval_share=share + 0.5))
    assert small in ("train", "eval")
    assert large == "eval" or small == "train"
    assert split_of(key, "test", WITH_TEST) == "test"
    assert split_of(key, "train", WITH_TEST) in ("train", "eval")


def test_tasks_cover_every_record_once_and_name_every_shard_once():
    tasks = plan_tasks(DigitsSource(), WITHOUT_TEST, copies=2, slice_size=500)
    assert [(t.source_split, t.number, t.start, t.stop) for t in tasks] == [
        ("train", 0, 0, 500),
        ("train", 1, 500, 1000),
        ("train", 2, 1000, 1500),
        ("train", 3, 1500, 1797),
    ]
    wanted = (("train", 0), ("train", 1), ("train", 2), ("eval", 0), ("test", 0))
    assert {task.shards for task in tasks} == {wanted}


def test_paths_are_the_layout_of_a_tfx_examples_artifact():
    text = ExampleSchema(modality="text", label_names=("a", "b"), encoding="utf8")
    assert shard_path(text, "train", 1, 7) == "Split-train/copy01-slice0007.tfrecord.gz"
    assert shard_path(text, "eval", 0, 12345) == "Split-eval/copy00-slice12345.tfrecord.gz"


@pytest.fixture(scope="module")
def stored(digits_dataset):
    """Every stored example of the digits: (split, copy, key, label, pixels)."""
    rows = []
    for shard in digits_dataset.manifest.shards:
        path = f"{digits_dataset.path}/{shard.path}"
        with open(path, "rb") as file:
            records = read_shard(file.read(), path)
        assert len(records) == shard.examples
        for record in records:
            fields = decode_example(record)
            assert set(fields) == {"key", "copy", "label", "image"}
            assert fields["copy"] == [shard.copy]
            image = decode_image(fields["image"][0], 3)
            rows.append(
                (shard.split, shard.copy, fields["key"][0].decode(), *fields["label"], image)
            )
    return rows


def test_every_record_is_stored_in_one_split_with_all_its_copies(stored):
    copies = {}
    for split, copy, key, *_ in stored:
        copies.setdefault(key, []).append((split, copy))
    assert sorted(copies) == [f"train-{i:08d}" for i in range(1797)]
    for key, places in copies.items():
        split = split_of(key, "train", WITHOUT_TEST)
        expected = range(4) if split == "train" else range(1)
        assert sorted(places) == [(split, copy) for copy in expected]


def test_originals_are_the_source_s_pixels_and_copies_are_not(stored):
    from sklearn.datasets import load_digits

    digits = load_digits()
    originals = upscale(digits.images.astype(np.uint8))
    changed = {1: 0, 2: 0, 3: 0}
    for _, copy, key, label, image in stored:
        index = int(key.removeprefix("train-"))
        assert label == digits.target[index]
        if copy == 0:
            assert np.array_equal(image, originals[index])
        else:
            changed[copy] += not np.array_equal(image, originals[index])
    trained = sum(copy == 0 and split == "train" for split, copy, *_ in stored)
    assert all(count > 0.98 * trained for count in changed.values())


def test_copies_differ_from_each_other(stored):
    by_key = {}
    for split, copy, key, _, image in stored:
        if split == "train" and copy:
            by_key.setdefault(key, set()).add(image.tobytes())
    assert sum(len(images) == 3 for images in by_key.values()) > 0.98 * len(by_key)


def test_manifest_counts_are_the_records_counts(stored, digits_dataset):
    counts = digits_dataset.manifest.counts
    for split in ("train", "eval", "test"):
        labels = [row[3] for row in stored if row[0] == split]
        assert counts["examples"][split] == len(labels)
        assert counts["classes"][split] == {str(i): labels.count(i) for i in range(10)}
    assert set(counts["ops"]) == {"train"}
    augmented = sum(row[1] > 0 for row in stored)
    assert counts["ops"]["train"] == dict.fromkeys(("rotate", "shear", "shift", "zoom"), augmented)


def test_provenance_leads_to_every_record(digits_dataset, stored):
    import pyarrow.parquet as pq

    table = pq.read_table(f"{digits_dataset.path}/provenance.parquet").to_pylist()
    assert [(r["split"], r["copy"], r["key"], r["label"]) for r in table] == [r[:4] for r in stored]
    contents = {}
    for row in table[::97]:
        path = f"{digits_dataset.path}/{row['shard']}"
        if path not in contents:
            with open(path, "rb") as file:
                contents[path] = file.read()
        (length,) = np.frombuffer(contents[path], "<u8", 1, row["offset"])
        start = row["offset"] + 12
        record = decode_example(contents[path][start : start + int(length)])
        assert record["key"][0].decode() == row["key"]
        assert row["source_index"] == int(row["key"].removeprefix("train-"))
        if row["copy"]:
            assert -15 <= row["slot0.rotate.degrees"] <= 15
        else:
            assert row["slot0.op"] is None


def test_survey_agrees_with_numpy(stored, digits_dataset):
    with open(f"{digits_dataset.path}/survey.json") as file:
        survey = json.load(file)
    originals = np.stack([row[4] for row in stored if row[0] == "train" and row[1] == 0])
    pixels = originals.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(survey["channel_mean"], pixels.mean(0), rtol=1e-10)
    np.testing.assert_allclose(survey["channel_std"], pixels.std(0), rtol=1e-10)
    first = [row for row in stored if row[1] == 0]
    for split in ("train", "eval", "test"):
        labels = [row[3] for row in first if row[0] == split]
        assert survey["examples"][split] == len(labels)
        assert survey["classes"][split] == {str(i): labels.count(i) for i in range(10)}
    distinct = {row[4].tobytes() for row in first}
    assert survey["duplicates"]["groups"] == 1797 - len(distinct) == 0


def test_reviews_are_stored_as_they_are(reviews_dataset):
    source = reviews_dataset.manifest
    assert source.examples == 100
    found = {}
    for shard in source.shards:
        path = f"{reviews_dataset.path}/{shard.path}"
        with open(path, "rb") as file:
            for record in read_shard(file.read(), path):
                fields = decode_example(record)
                found[fields["key"][0].decode()] = (fields["text"][0], fields["label"][0])
    from pipelines.dataset.sources.reviews_sample import ReviewsSample

    records = ReviewsSample().read("train", 0, 100)
    assert found == {one.key: (one.value, one.label) for one in records}


def test_a_worker_with_another_corpus_is_refused(tmp_path):
    plan = make_plan(load_recipe("digits"), str(tmp_path))
    plan.job.check_resources()
    job = dataclasses.replace(plan.job, resources={"wordnet": "of another release"})
    with pytest.raises(InputError, match="wordnet on this worker is not the one .* same corpus"):
        materialize(dataclasses.replace(plan, job=job))
    assert not Path(plan.job.output, "manifest.json").exists()
