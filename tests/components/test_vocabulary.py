"""Vocabulary pruning: which words stay, and that all that ships reads them as the network does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.data import batches, open_dataset
from components.lite import LiteModel
from components.models import build_model
from components.models.compact import Chosen, build
from components.prune.vocabulary import best_words, contributions, frequencies, keep_words
from components.stages import load_model, run_stage
from components.tokens import Reading
from schemas.errors import InputError
from schemas.fitting import TextModel

FAST = {"batch_size": 50, "learning_rate": 0.5, "weight_decay": 0.0, "epochs": 4}
TEXTS = ["the WONDERFUL,<br />superb plot", "", "awful café unknown", "lovely the the film"]


@pytest.fixture(scope="module")
def base(reviews_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "model"
    model = {"family": "text_embedding", "width": 4, "tokens": 12}
    run_stage("train", dataset=reviews_dir, config=FAST | {"model": model}, output=folder, seed=1)
    return folder


def pruned(reviews_dir, base, output, **settings):
    return run_stage(
        "vocabulary",
        dataset=reviews_dir,
        base=base,
        config=FAST | {"words": 8, "epochs": 0} | settings,
        output=output,
        seed=1,
    )


def test_contribution_of_an_averaged_word_is_its_way_from_the_unknown_one(base):
    model = load_model(base)
    rows = model.get_layer("words").get_weights()[0]
    moved = (rows - rows[1]) @ model.get_layer("logits").get_weights()[0]
    moved -= moved.mean(axis=1, keepdims=True)
    found = contributions(model)
    np.testing.assert_allclose(found[1:], np.linalg.norm(moved, axis=1)[1:], atol=1e-5)


def test_the_best_words_weigh_contribution_by_root_of_frequency():
    contribution = np.array([0, 0, 1.0, 3.0, 9.0, 1.0])
    frequency = np.array([50, 5, 16, 4, 0, 16])
    assert best_words(contribution, frequency, 3).tolist() == [1, 2, 3]
    for words in (1, 5):
        with pytest.raises(InputError, match="words must be"):
            best_words(contribution, frequency, words)


def test_words_are_counted_as_they_are_read(base):
    ids = np.array([[1, 2, 2, 0], [900, 3, 0, 0]])
    assert frequencies(load_model(base), [ids])[:4].tolist() == [3, 2, 2, 1]


def test_all_that_ships_answers_like_the_network(base, reviews_dir, tmp_path):
    report = pruned(reviews_dir, base, tmp_path / "v")
    run_stage(
        "quantize",
        dataset=reviews_dir,
        base=tmp_path / "v",
        config={"method": "float32"},
        output=tmp_path / "q",
        seed=1,
    )
    data, model = open_dataset(reviews_dir), load_model(tmp_path / "v")
    lines = next((tmp_path / "v").rglob("assets/*")).read_text().splitlines()
    table = {word: number for number, word in enumerate(lines, 1)}
    inputs, _ = next(iter(batches(data, "eval", model)))
    served = tf.saved_model.load(str(tmp_path / "v" / "Format-Serving")).signatures["raw"]
    lite = LiteModel.load(tmp_path / "q" / "tflite")
    ids = lite.ids(TEXTS)

    assert lines[0] == "<OOV>"
    assert len(lines) == 8
    assert list(Reading.of(model).words) == lines
    assert ids[2].tolist()[:3] == [table.get(word, 1) for word in ("awful", "café", "unknown")]
    assert 1 < int(np.asarray(inputs).max()) <= 8
    expected = model(ids).numpy()
    np.testing.assert_allclose(served(texts=tf.constant(TEXTS))["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(lite.logits(ids), expected, atol=1e-5)
    notes = report["notes"]
    assert (notes["words_before"], notes["words_after"]) == (18, 8)
    assert notes["accuracy_before"] == report["accuracy_before"]
    assert notes["accuracy_cut"] == report["accuracy"] > 0.8


def test_pruning_again_still_means_lines_of_the_dataset(base, reviews_dir, tmp_path):
    pruned(reviews_dir, base, tmp_path / "v")
    pruned(reviews_dir, tmp_path / "v", tmp_path / "w", words=5, epochs=1)
    first, second = (Reading.of(load_model(tmp_path / name)).words for name in "vw")
    assert set(second) < set(first)
    assert len(second) == 5


def test_hashed_bigrams_and_networks_without_words_are_refused(reviews_dir):
    data = open_dataset(reviews_dir)
    model = build_model(TextModel(bigrams=16, tokens=5), data)
    with pytest.raises(InputError, match="hashed_bigrams.*bigrams: 0"):
        keep_words(model, np.array([1, 3]), data.vocabulary)
    chosen = Chosen(("<OOV>", "a", "b"), (("a", "b"),))
    with pytest.raises(InputError, match="checked_pairs.*compact stage chooses its words itself"):
        keep_words(build(chosen, classes=2, slots=4, length=5), np.array([1, 3]), chosen.words)
    small = keep_words(build(chosen, classes=2, slots=0, length=5), np.array([1, 3]), chosen.words)
    assert Reading.of(small).words == ("<OOV>", "b")
    inputs = keras.Input((4,))
    with pytest.raises(InputError, match="reads no words"):
        contributions(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
