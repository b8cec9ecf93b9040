"""Reading a dataset directory: order, decoding, tokens, shuffling."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data import (
    batches,
    open_dataset,
    steps_per_epoch,
    training_batches,
)
from components.tokens import standardized, token_ids, vocabulary_table
from schemas.errors import InputError
from schemas.text import tokens


def image_model(data):
    inputs = keras.Input(data.schema.image_shape, dtype="uint8")
    return keras.Model(inputs, keras.layers.Flatten()(inputs))


def read(rows):
    """Return inputs and labels; the weights of training rows are left out."""
    inputs, labels = zip(*[(x.numpy(), y.numpy()) for x, y, *_ in rows], strict=True)
    return np.concatenate(inputs), np.concatenate(labels)


def test_png_and_raw_give_the_same_images(digits_dir, raw_digits_dir):
    png, raw = open_dataset(digits_dir), open_dataset(raw_digits_dir)
    one = read(batches(png, "train", image_model(png), batch_size=50))
    two = read(batches(raw, "train", image_model(raw), batch_size=50))

    assert one[0].shape == (600, 16, 16, 3)
    assert one[0].dtype == np.uint8
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_fixed_order_takes_one_record_of_each_shard_in_turn(digits_dir):
    from sklearn.datasets import load_digits

    data = open_dataset(digits_dir)
    _, labels = read(batches(data, "train", image_model(data)))
    target = load_digits().target[:600]

    slices = {0: target[:300], 1: target[300:]}
    order = [shard.slice for shard in data.of("train", 0)]
    np.testing.assert_array_equal(labels, np.stack([slices[one] for one in order], 1).ravel())


def test_splits_and_copies(digits_dir):
    data = open_dataset(digits_dir)

    assert data.copies() == [0, 1]
    assert data.copies("eval") == [0]
    assert [data.examples(split) for split in ("train", "eval", "test")] == [600, 120, 120]
    with pytest.raises(InputError, match="no examples of copy 7"):
        data.of("train", 7)


def test_not_a_dataset(tmp_path):
    with pytest.raises(InputError, match="no finished dataset"):
        open_dataset(tmp_path)


def test_shuffle_is_a_permutation_decided_by_the_seed(digits_dir):
    data = open_dataset(digits_dir)
    model = image_model(data)
    stored, _ = read(batches(data, "train", model))

    def shuffled(seed):
        return read(training_batches(data, model, copy=0, batch_size=100, seed=seed))[0]

    def rows(images):
        return sorted(image.tobytes() for image in images)

    np.testing.assert_array_equal(shuffled(1), shuffled(1))
    assert not np.array_equal(shuffled(1), shuffled(2))
    assert rows(shuffled(1)) == rows(stored)


def test_what_is_stored_beside_stays_with_its_example(digits_dir):
    data = open_dataset(digits_dir)
    model = image_model(data)
    _, labels = read(batches(data, "train", model))
    rows = training_batches(
        data, model, copy=0, batch_size=64, seed=3, beside=[labels.astype(np.float32)]
    )

    for _, label, weights, beside in rows:
        assert label.shape == (64,)
        np.testing.assert_array_equal(label.numpy(), beside.numpy())
        assert weights.numpy().tolist() == [1.0] * 64


def test_a_limit_reads_the_first_of_the_fixed_order(digits_dir):
    data = open_dataset(digits_dir)
    model = image_model(data)
    stored, _ = read(batches(data, "train", model))
    few, _ = read(batches(data, "train", model, examples=70))
    seen, _ = read(training_batches(data, model, copy=0, batch_size=70, seed=1, examples=70))

    np.testing.assert_array_equal(few, stored[:70])
    assert sorted(one.tobytes() for one in seen) == sorted(one.tobytes() for one in few)


@pytest.mark.parametrize(
    ("batch_size", "examples", "steps"), [(64, None, 9), (64, 100, 1), (512, 40, 1), (64, 9999, 9)]
)
def test_steps_per_epoch_counts_the_batches(digits_dir, batch_size, examples, steps):
    data = open_dataset(digits_dir)
    rows = training_batches(
        data, image_model(data), copy=0, batch_size=batch_size, seed=0, examples=examples
    )

    assert steps_per_epoch(data, batch_size, examples) == steps == sum(1 for _ in rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8))
def test_graph_and_python_agree_on_tokens(texts):
    words = tf.strings.split(standardized(tf.constant([one.encode() for one in texts])), " ")
    words = tf.ragged.boolean_mask(words, words != "").to_list()

    assert [[word.decode() for word in row] for row in words] == [tokens(one) for one in texts]


@pytest.mark.parametrize(
    "text",
    ["It's GREAT!<br /><BR>don't", "\x00a\x7fb", "Ünïcode ÀÉ naïve日本", "", " ' ", "<br//>"],
)
def test_graph_and_python_agree_on_awkward_texts(text):
    words = tf.strings.split(standardized(tf.constant([text.encode()])), " ").to_list()[0]

    assert [word.decode() for word in words if word] == tokens(text)


def test_token_ids_count_lines_from_one(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("<OOV>\nthe\ncafé\n", encoding="utf-8")
    table = vocabulary_table(tmp_path / "vocabulary.txt")

    ids = token_ids(tf.constant(["The café, the bar", "", "the"]), table, 3)

    assert ids.dtype == tf.int32
    assert ids.numpy().tolist() == [[2, 3, 2], [0, 0, 0], [2, 0, 0]]


def test_text_batches(reviews_dir):
    data = open_dataset(reviews_dir)
    ids = keras.Input((20,), dtype="int32")
    inputs, labels = read(batches(data, "eval", keras.Model(ids, ids)))

    assert inputs.shape == (120, 20)
    assert inputs.max() <= len(data.vocabulary)
    assert labels.tolist() == [0, 1] * 60
