"""Epoch k inside tf.data is copy k of the dataset, on real bytes."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.dataset.decisions import DECISIONS, LANGUAGE_MODELS, Decisions
from pipelines.dataset.images import decode_image
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, read_shard
from pipelines.online import Online
from schemas.errors import InputError
from schemas.recipe import parse_recipe
from tests.dataset.support import parsed, text_records, tfds_recipe, write_tfds

TEXTS = [
    "",
    "Ünlike most, this film is n't bad .<br />See it!",
    "A film.",
    "one two three four",
] * 6
EDITS = {"slots": [{"op": "random_swap", "rate": 0.5}, {"op": "random_delete", "rate": 0.3}]}
IMAGE_POLICIES = {
    "classic": {"preset": "classic"},
    "randaugment": {"preset": "randaugment"},
    "of some classes": {"slots": [{"op": "gaussian_noise", "labels": [3, 5]}]},
    "mixing": {"slots": [{"choose": ["mixup", "cutmix"]}, {"op": "rotate", "probability": 0.5}]},
}


def digits(**changes):
    content = {
        "name": "scans",
        "modality": "image",
        "source": {"kind": "digits"},
        "splits": {"test": None},
        "copies": 2,
        "slice_size": 700,  # 700 + 700 + 397
        "seed": 3,
        "leakage": "off",
    }
    return parse_recipe(content | changes, origin="test recipe")


def stored(outcome, copy):
    """Return the stored training examples of a copy, in the order of the slices."""
    rows = []
    shards = [one for one in outcome.manifest.shards if (one.split, one.copy) == ("train", copy)]
    for shard in sorted(shards, key=lambda one: one.slice):
        with open(f"{outcome.path}/{shard.path}", "rb") as file:
            rows += [decode_example(record) for record in read_shard(file.read(), shard.path)]
    return rows


def settled(outcome):
    """Return the decisions of a materialized dataset."""
    root = Path(outcome.path)
    found = {name: root / name for name in (DECISIONS, LANGUAGE_MODELS)}
    content = {name: path.read_bytes() for name, path in found.items() if path.is_file()}
    return Decisions.from_files(content, ())


def epoch(source, number):
    return list(source.epoch(number).as_numpy_iterator())


def assert_same(online, offline, feature, decode):
    assert [row["key"] for row in online] == [row["key"][0] for row in offline]
    assert [row["label"] for row in online] == [row["label"][0] for row in offline]
    for made, kept in zip(online, offline, strict=True):
        assert np.array_equal(made[feature], decode(kept[feature][0]))
        assert made.get("soft_label", np.empty(0)).tolist() == kept.get("soft_label", [])


@pytest.mark.parametrize("policy", IMAGE_POLICIES.values(), ids=list(IMAGE_POLICIES))
def test_epoch_k_of_real_scans_is_copy_k(policy, tmp_path):
    plan = make_plan(digits(policy=policy), str(tmp_path))
    outcome = materialize(plan)
    source = Online(plan, workers=2)
    for copy in range(3):
        offline = stored(outcome, copy)
        assert len(offline) > 1000
        assert_same(epoch(source, copy), offline, "image", lambda png: decode_image(png, 3))


def test_epoch_k_of_texts_is_copy_k(tmp_path):
    write_tfds(
        tmp_path / "tfds",
        {"train": [text_records(TEXTS)], "test": [text_records(TEXTS[:3])]},
        shape=None,
    )
    recipe = tfds_recipe(
        tmp_path / "tfds", modality="text", policy=EDITS, slice_size=7, leakage="off"
    )
    plan = make_plan(parsed(recipe), str(tmp_path / "out"))
    outcome = materialize(plan)
    source = Online(plan, hold=False)
    for copy in range(2):
        assert_same(epoch(source, copy), stored(outcome, copy), "text", lambda text: text)


def test_balanced_classes_and_language_models_follow_the_decisions_of_the_survey(tmp_path):
    balanced = make_plan(digits(policy=IMAGE_POLICIES["classic"], balance="cap"), str(tmp_path))
    outcome = materialize(balanced)
    online = epoch(Online(balanced, settled(outcome)), 1)
    assert_same(online, stored(outcome, 1), "image", lambda png: decode_image(png, 3))

    words = ("slow", "quick", "warm", "cold", "long", "short")
    plots = [
        f"The plot was {a} and the end was {b}. It had a {b} part." for a in words for b in words
    ]
    texts = [text_records(plots)]
    write_tfds(tmp_path / "tfds", {"train": texts, "test": texts}, shape=None)
    policy = {"slots": ["generate_sentence"]}
    recipe = tfds_recipe(
        tmp_path / "tfds", modality="text", policy=policy, slice_size=7, leakage="off"
    )
    generated = make_plan(parsed(recipe), str(tmp_path / "out"))
    outcome = materialize(generated)
    online = epoch(Online(generated, settled(outcome)), 1)
    assert_same(online, stored(outcome, 1), "text", lambda text: text)


def test_every_epoch_is_drawn_afresh_and_again_the_same(tmp_path):
    plan = make_plan(digits(policy={"preset": "classic"}), str(tmp_path))
    source = Online(plan)
    images = {
        number: np.stack([row["image"] for row in epoch(source, number)]) for number in (1, 9)
    }
    assert (images[1] != images[9]).any(axis=(1, 2, 3)).mean() > 0.99
    again = np.stack([row["image"] for row in epoch(Online(plan), 9)])
    assert np.array_equal(again, images[9])
    assert not list(tmp_path.iterdir())


def test_features_are_known_before_anything_is_read(tmp_path):
    plan = make_plan(digits(policy=IMAGE_POLICIES["mixing"]), str(tmp_path))
    spec = Online(plan).epoch(1).element_spec
    assert {name: tuple(one.shape) for name, one in spec.items()} == {
        "key": (),
        "label": (),
        "image": (32, 32, 3),
        "soft_label": (10,),
    }


def test_what_would_differ_from_the_shards_is_refused(tmp_path):
    classic = {"preset": "classic"}
    dropping = make_plan(digits(policy=classic, leakage="drop"), str(tmp_path))
    with pytest.raises(InputError, match="set leakage to report or off"):
        Online(dropping)
    balanced = make_plan(digits(policy=classic, balance="oversample"), str(tmp_path))
    with pytest.raises(InputError, match="pass decisions="):
        Online(balanced)
    with pytest.raises(InputError, match="not -1"):
        Online(make_plan(digits(policy=classic), str(tmp_path))).epoch(-1)
