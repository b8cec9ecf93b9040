"""What a shard learns of the whole dataset: built for real, stored, and the same in any order."""

import dataclasses
import json
from collections import Counter

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest

from components import data as training
from pipelines.dataset.balance import REPEAT
from pipelines.dataset.fit import fit_image, to_channels
from pipelines.dataset.images import decode_image
from pipelines.dataset.lookup import replay
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, encode_example, read_shard
from pipelines.dataset.verify import verify
from schemas.errors import InputError
from schemas.tokens import token_ids, vocabulary_ids
from tests.dataset.support import (
    image_records,
    parsed,
    pictures,
    text_records,
    tfds_recipe,
    write_tfds,
)

WORDS = "the film was a good long story and its end came far too soon for us all".split()


def skewed_images(count=80, seed=1):
    """Return records of which every fifth has label 1, the others 0."""
    records = image_records(pictures(count, seed), classes=1)
    for i in range(0, count, 5):
        records[i] = encode_example({**_plain(records[i]), "label": 1})
    return records


def _plain(record):
    return {name: values[0] for name, values in decode_example(record).items()}


def reviews(count=40):
    """Return different texts of plain sentences."""
    random = np.random.default_rng(5)
    texts = []
    for _ in range(count):
        words = [random.permutation(WORDS)[:8] for _ in range(4)]
        texts.append(" ".join(" ".join(some).capitalize() + "." for some in words))
    return texts


@pytest.fixture
def image_dir(tmp_path):
    write_tfds(tmp_path / "tfds", {"train": [skewed_images()], "test": [skewed_images(15, 2)]})
    return tmp_path / "tfds"


@pytest.fixture
def text_dir(tmp_path):
    parts = {"train": [text_records(reviews())], "test": [text_records(reviews(9))]}
    write_tfds(tmp_path / "texts", parts, shape=None)
    return tmp_path / "texts"


def built(recipe, folder, *, backwards=False):
    plan = make_plan(parsed(recipe), str(folder))
    tasks = plan.tasks[::-1] if backwards else plan.tasks
    return materialize(dataclasses.replace(plan, tasks=tasks))


def stored(dataset, split, copy):
    rows = []
    for shard in dataset.manifest.shards:
        if (shard.split, shard.copy) == (split, copy):
            with open(f"{dataset.path}/{shard.path}", "rb") as file:
                rows += [decode_example(one) for one in read_shard(file.read(), shard.path)]
    return rows


def check_the_same_backwards(recipe, dataset, tmp_path):
    assert built(recipe, tmp_path / "again", backwards=True).manifest.digest == (
        dataset.manifest.digest
    )
    assert verify(dataset.path).ok


def test_oversampled_dataset(image_dir, tmp_path):
    recipe = tfds_recipe(image_dir, balance="oversample", copies=2, leakage="off")
    dataset = built(recipe, tmp_path / "out")
    classes = dataset.manifest.counts["classes"]
    assert len(set(classes["train"].values())) == 1
    originals = Counter(row["label"][0] for row in stored(dataset, "train", 0))
    assert classes["train"]["0"] == originals[0] * 3
    assert originals[1] < originals[0] / 2
    rows = stored(dataset, "train", 1)
    pairs = [(row["key"][0], row["copy"][0]) for row in rows]
    assert len(set(pairs)) == len(pairs)
    twice = [row for row in rows if row["copy"] == [1 + REPEAT]]
    assert twice
    assert {row["label"][0] for row in twice} == {1}
    once = {row["key"][0]: row["image"] for row in rows if row["copy"] == [1]}
    assert all(once[row["key"][0]] != row["image"] for row in twice)  # draws of their own
    key = twice[0]["key"][0].decode()
    found = replay(dataset.path, key, 1 + REPEAT)
    assert found.equal, found.differences
    table = pq.read_table(f"{dataset.path}/provenance.parquet").to_pylist()
    assert (key, 1 + REPEAT) in {(row["key"], row["copy"]) for row in table}
    check_the_same_backwards(recipe, dataset, tmp_path)


def test_capped_dataset(image_dir, tmp_path):
    recipe = tfds_recipe(image_dir, balance="cap", copies=1, leakage="off")
    dataset = built(recipe, tmp_path / "out")
    for copy in (0, 1):
        labels = Counter(row["label"][0] for row in stored(dataset, "train", copy))
        assert labels[0] == labels[1] > 5
    survey = json.loads((tmp_path / "out/tiny").glob("*/survey.json").__next__().read_text())
    assert survey["balance"]["kind"] == "cap"
    counts = survey["balance"]["training_examples"]
    assert counts["1"] == labels[1] < counts["0"]  # what there was before
    check_the_same_backwards(recipe, dataset, tmp_path)


def test_weighted_dataset(image_dir, tmp_path):
    dataset = built(tfds_recipe(image_dir, balance="weights", leakage="off"), tmp_path / "out")
    rows = stored(dataset, "train", 0) + stored(dataset, "train", 1)
    counts = Counter(row["label"][0] for row in stored(dataset, "train", 0))
    for row in rows + stored(dataset, "test", 0):
        label = row["label"][0]
        assert row["weight"] == pytest.approx([sum(counts.values()) / (2 * counts[label])])
    assert np.mean([row["weight"][0] for row in rows]) == pytest.approx(1)
    assert 'name: "weight"' in dataset.manifest.schema.pbtxt()


def test_oversampling_without_copies_is_refused(image_dir):
    with pytest.raises(InputError, match="oversample adds augmented copies; set copies to 1"):
        parsed(tfds_recipe(image_dir, balance="oversample", copies=0))


def test_generated_sentences_come_from_the_training_split(text_dir, tmp_path):
    policy = {"slots": [{"op": "generate_sentence", "probability": 1.0}]}
    recipe = tfds_recipe(text_dir, modality="text", policy=policy, leakage="off")
    dataset = built(recipe, tmp_path / "out")
    assert "language_models.jsonl" in {one.path for one in dataset.manifest.files}
    before = {row["key"][0]: row["text"][0].decode() for row in stored(dataset, "train", 0)}
    longer = 0
    for row in stored(dataset, "train", 1):
        text, original = row["text"][0].decode(), before[row["key"][0]]
        longer += len(text) > len(original)
        assert set(text.lower().replace(".", " ").split()) <= set(WORDS)
    assert longer > 10
    for key in list(before)[:3]:
        assert replay(dataset.path, key.decode(), 1).equal
    check_the_same_backwards(recipe, dataset, tmp_path)


@pytest.mark.parametrize("options", [{}, {"truncate": "tail", "pad": "left"}])
def test_stored_tokens_are_the_ids_of_the_text(text_dir, tmp_path, options):
    recipe = tfds_recipe(
        text_dir,
        modality="text",
        policy={"slots": [{"op": "random_swap"}]},
        text={"store_tokens": True, "tokens": 25} | options,
        survey={"vocabulary": 12},
        leakage="off",
    )
    dataset = built(recipe, tmp_path / "out")
    data = training.open_dataset(dataset.path)
    assert len(data.vocabulary) == 12
    ids = vocabulary_ids(data.vocabulary)
    for row in stored(dataset, "train", 1) + stored(dataset, "test", 0):
        text = row["text"][0].decode()
        assert row["tokens"] == token_ids(text, ids, length=25, **options).tolist()
        assert 1 in row["tokens"]  # <OOV>
    key = stored(dataset, "train", 1)[0]["key"][0].decode()
    assert replay(dataset.path, key, 1).equal
    check_the_same_backwards(recipe, dataset, tmp_path)


def test_images_of_one_size(image_dir, tmp_path):
    image = {"size": [12, 10], "fit": "pad", "channels": 1}
    recipe = tfds_recipe(image_dir, image=image, leakage="off")
    dataset = built(recipe, tmp_path / "out")
    assert dataset.manifest.schema.image_shape == (12, 10, 1)
    originals = {f"test-{i:08d}": one for i, one in enumerate(pictures(15, 2))}
    for row in stored(dataset, "test", 0):
        found = decode_image(row["image"][0], 1)
        grey = to_channels(originals[row["key"][0].decode()], 1)
        expected = fit_image(grey, [12, 10], mode="pad")
        assert np.abs(found.astype(int) - expected).max() <= 1  # the decoder has its own luma
    assert stored(dataset, "train", 1)


@pytest.fixture
def model_file(tmp_path):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 6, 3), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    path = tmp_path / "model.keras"
    keras.Model(inputs, keras.layers.Dense(2)(flat)).save(path)
    return path


def test_adversarial_copies(image_dir, model_file, tmp_path):
    section = {"model": str(model_file), "epsilon": 40, "share": 0.5}
    recipe = tfds_recipe(
        image_dir, policy={"preset": "none"}, adversarial=section, copies=1, leakage="off"
    )
    dataset = built(recipe, tmp_path / "out")
    before = {row["key"][0]: row["image"] for row in stored(dataset, "train", 0)}
    rows = stored(dataset, "train", 1)
    table = pq.read_table(f"{dataset.path}/provenance.parquet").to_pylist()
    ops = {row["key"]: row["adversarial.op"] for row in table if row["copy"] == 1}
    changed = 0
    for row in rows:
        old, new = (
            decode_image(one[0], 3).astype(int) for one in (before[row["key"][0]], row["image"])
        )
        assert np.abs(new - old).max() <= 40
        was = ops[row["key"][0].decode()] == "fgsm"
        assert was == (new != old).any()
        changed += was
    assert 0 < changed < len(rows)
    counts = dataset.manifest.counts
    assert counts["ops"]["train"] == {"fgsm": changed}
    assert {"clean_accuracy", "adversarial_accuracy", "examples"} == set(counts["adversarial"])
    assert counts["adversarial"]["adversarial_accuracy"] < counts["adversarial"]["clean_accuracy"]
    assert "tensorflow" in dataset.manifest.versions
    assert replay(dataset.path, rows[0]["key"][0].decode(), 1).equal
    model_file.write_bytes(b"another")
    with pytest.raises(InputError, match="adversarial"):
        built(recipe, tmp_path / "other")


def test_adversarial_is_refused_where_labels_are_mixed(image_dir, model_file):
    section = {"model": str(model_file), "epsilon": 8}
    recipe = tfds_recipe(image_dir, policy={"slots": ["mixup"]}, adversarial=section)
    with pytest.raises(InputError, match="adversarial: .*mixes examples"):
        make_plan(parsed(recipe), "unused")


def test_adversarial_is_refused_for_text(text_dir, model_file):
    section = {"model": str(model_file), "epsilon": 8}
    with pytest.raises(InputError, match="adversarial: it perturbs images"):
        parsed(tfds_recipe(text_dir, modality="text", adversarial=section))


def test_missing_model_is_named(image_dir):
    recipe = tfds_recipe(image_dir, adversarial={"model": "none.keras", "epsilon": 8})
    with pytest.raises(InputError, match=r"adversarial.model: none.keras: .*cannot be read"):
        make_plan(parsed(recipe), "unused")
