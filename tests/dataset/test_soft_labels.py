"""A dataset of mixed examples: what is stored, what training reads, what can be replayed."""

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest

from components.data import batches, open_dataset, training_batches
from components.train import label_loss
from pipelines.dataset.lookup import replay
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, read_shard
from tests.dataset.support import image_records, parsed, pictures, tfds_recipe, write_tfds

POLICY = {"slots": [{"choose": ["mixup", "cutmix"]}, "rotate"]}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed")
    parts = {
        "train": [image_records(pictures(40, 1), classes=3)],
        "test": [image_records(pictures(9, 2), classes=3)],
    }
    write_tfds(root / "tfds", parts, classes=3)
    recipe = tfds_recipe(root / "tfds", policy=POLICY)
    return materialize(make_plan(parsed(recipe), str(root / "out")))


def stored(dataset, split, copy):
    rows = []
    for shard in dataset.manifest.shards:
        if (shard.split, shard.copy) == (split, copy):
            path = f"{dataset.path}/{shard.path}"
            with open(path, "rb") as file:
                rows += [decode_example(record) for record in read_shard(file.read(), path)]
    return rows


def test_originals_have_their_own_label(mixed):
    for split in ("train", "eval", "test"):
        for row in stored(mixed, split, 0):
            assert row["soft_label"] == np.eye(3)[row["label"][0]].tolist()


def test_labels_are_mixed_as_provenance_says(mixed):
    table = pq.read_table(f"{mixed.path}/provenance.parquet").to_pylist()
    label_of = {row["key"]: row["label"] for row in table}
    told = {row["key"]: row for row in table if row["copy"] == 1}
    rows = stored(mixed, "train", 1)
    assert len(rows) == len(told) > 20
    for row in rows:
        source = told[row["key"][0].decode()]
        name = f"slot0.{source['slot0.op']}"
        weight, partner = source[f"{name}.weight"], source[f"{name}.partner"]
        expected = np.eye(3)[row["label"][0]] * (1 - weight) + np.eye(3)[label_of[partner]] * weight
        assert row["soft_label"] == pytest.approx(expected, abs=1e-6)
        assert row["label"] == [source["label"]]


def test_training_reads_soft_labels_and_scoring_hard_ones(mixed):
    data = open_dataset(mixed.path)
    inputs = keras.Input(data.schema.image_shape, dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    hard = np.concatenate([labels.numpy() for _, labels in batches(data, "train", model, copy=1)])
    soft = [row[1] for row in batches(data, "train", model, copy=1, training=True)]
    assert hard.dtype == np.int64
    assert soft[0].shape[1] == 3
    fixed = np.concatenate(soft).sum(axis=0)
    shuffled = training_batches(data, model, copy=1, batch_size=len(hard), seed=1)
    images, labels, weights = next(iter(shuffled))
    assert labels.numpy().sum(axis=0) == pytest.approx(fixed, abs=1e-4)
    assert np.isfinite(label_loss(0.1)(model(images), labels)).all()
    assert weights.numpy().tolist() == [1.0] * len(hard)


def test_mixed_examples_can_be_replayed(mixed):
    key = stored(mixed, "train", 1)[3]["key"][0].decode()
    again = replay(mixed.path, key, 1)
    assert again.equal
    assert any("partner=" in op for op in again.ops)
