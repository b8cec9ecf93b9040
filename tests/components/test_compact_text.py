"""Compact text models: the pairs that were chosen count, and no others."""

import keras
import numpy as np
import pytest

from components.compact_text import choose
from components.lite import LiteModel, convert
from components.models.compact import EMPTY, CheckedPairs, _slot_and_check, build
from components.ngrams import NgramModel
from schemas.errors import InputError
from schemas.teaching import NgramConfig
from schemas.text import OOV

TEXTS = ["not good film", "good film", "not bad film", "bad film", "a film", "the film"] * 4
LABELS = np.array([0, 1, 1, 0, 0, 1] * 4)


@pytest.fixture(scope="module")
def chosen():
    model = NgramModel(TEXTS, LABELS, 2, NgramConfig(minimum=1))
    return choose(TEXTS, model, words=2, pairs=2)


def test_the_words_of_chosen_pairs_are_known_too(chosen):
    assert chosen.words[0] == OOV
    words = set(chosen.words)
    assert set(chosen.pairs[:2]) == {("not", "good"), ("not", "bad")}
    assert {"not", "good", "bad"} <= words
    assert all(one in words and two in words for one, two in chosen.pairs)


def test_only_pairs_in_the_table_get_a_slot():
    layer = CheckedPairs(50)
    layer.build(None)
    assert layer(np.array([[3, 4, 5]], np.int32)).numpy().tolist() == [[0, 0]]
    assert layer.put([(3, 4), (7, 3)]) == 2
    slots = layer(np.array([[3, 4, 3, 7, 3, 0, 0]], np.int32)).numpy()
    assert slots.shape == (1, 6)
    assert (slots[0] > 0).tolist() == [True, False, False, True, False, False]
    assert slots[0, 0] == _slot_and_check(3, 4, 50)[0] + 1
    again = CheckedPairs.from_config(layer.get_config())
    assert again.slots == 50


def test_the_first_pair_of_a_slot_stays():
    layer = CheckedPairs(1)
    layer.build(None)
    assert layer.put([(3, 4), (5, 6)]) == 1
    assert layer(np.array([[3, 4]], np.int32)).numpy().tolist() == [[1]]
    assert layer(np.array([[5, 6]], np.int32)).numpy().tolist() == [[0]]


def test_pairs_absent_from_a_full_table_are_told_apart_but_for_one_in_250():
    layer = CheckedPairs(4000)
    layer.build(None)
    generator = np.random.default_rng(1)
    pairs = list(map(tuple, generator.integers(2, 3000, (20_000, 2)).tolist()))
    assert layer.put(pairs) > 3900
    others = generator.integers(3000, 6000, (5_000, 2)).astype(np.int32)
    assert (layer(others).numpy() > 0).mean() < 0.01
    assert (layer.checks.numpy() != EMPTY).sum() > 3900


def test_sums_by_hand_and_the_same_from_file_and_from_tflite(chosen, tmp_path):
    model = build(chosen, classes=2, slots=64, length=6)
    ids = np.array([[2, 3, 4, 2, 0, 0], [3, 3, 1, 1, 2, 2], [0] * 6], np.int32)
    words = model.get_layer("words").get_weights()[0][:, 0]
    pairs = model.get_layer("pairs").get_weights()[0][:, 0]
    slots = model.get_layer("checked_pairs")(ids).numpy()
    sums = [
        (words[row[row > 0]].sum() + pairs[slot[slot > 0]].sum()) / max((row > 0).sum(), 1) ** 0.5
        for row, slot in zip(ids, slots, strict=True)
    ]
    kernel, bias = model.get_layer("logits").get_weights()
    expected = np.array(sums)[:, None] * kernel + bias
    assert model(ids).numpy() == pytest.approx(expected, abs=1e-6)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(ids), model(ids))
    lite = LiteModel(convert(model, "float32"))
    assert lite.logits(ids) == pytest.approx(expected, abs=1e-6)


def test_words_alone_and_too_many_classes(chosen):
    assert [one.name for one in build(chosen, classes=2, slots=0).layers] == [
        "token_ids", "known_words", "words", "sum_of_words", "logits",
    ]  # fmt: skip
    with pytest.raises(InputError, match="tells 2 classes apart, not 3"):
        build(chosen, classes=3, slots=8)
