"""The ids that a dataset may store are the ids that a served model reads, with every option."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.data import batches, open_dataset
from components.export import export
from components.models import build_model
from components.models.text import HashedBigrams
from components.prune import stage as prune
from components.tokens import KnownWords, Reading
from components.train import Context
from schemas.features import ExampleSchema
from schemas.fitting import TextModel
from schemas.stages import parse_config
from schemas.tokens import PADDINGS, TRUNCATIONS, token_ids, vocabulary_ids
from tests.components.conftest import write_dataset

LINES = ["<OOV>", "the", "film", "don't", "café", "9", "É", "br"]
SIZES = ((1, len(LINES)), (2, 4), (8, 100))
OPTIONS = list(itertools.product(TRUNCATIONS, PADDINGS, SIZES))
TEXTS = st.lists(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from([*LINES, "The", "<br />", "É", "!", " ", "\0", "\u2028"]), max_size=24
        ).map("".join),
        st.lists(st.sampled_from(LINES), max_size=12).map(" ".join),
    ),
    min_size=1,
    max_size=4,
)
# What each choice of options makes of the words "the film don't café" (ids 2 to 5).
BY_HAND = {
    ("head", "right", 2): [2, 3],
    ("tail", "right", 2): [4, 5],
    ("head", "right", 6): [2, 3, 4, 5, 0, 0],
    ("tail", "left", 6): [0, 0, 2, 3, 4, 5],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    schema = ExampleSchema(modality="text", label_names=("neg", "pos"), encoding="utf8")
    texts = ["the film", "don't the café É 9 the film", "", "<br/>!", "film " * 9]
    rows = [(f"{i}".encode(), i % 2, text.encode()) for i, text in enumerate(texts)]
    root = tmp_path_factory.mktemp("texts")
    splits = {(split, 0, 0): rows for split in ("train", "eval")}
    return open_dataset(write_dataset(root, schema, splits, survey={}, vocabulary=LINES))


def reader(truncate, pad, tokens, vocabulary):
    """Return a network whose answers are the ids that it reads."""
    inputs = keras.Input((tokens,), dtype="int32")
    words = KnownWords(min(vocabulary, len(LINES)), truncate, pad)(inputs)
    return keras.Model(inputs, keras.layers.Rescaling(1.0)(words))


@pytest.fixture(scope="module")
def served(dataset, tmp_path_factory):
    """Return what is served of a `reader` with each choice of options."""
    root, loaded = tmp_path_factory.mktemp("served"), {}
    for i, (truncate, pad, (tokens, vocabulary)) in enumerate(OPTIONS):
        export(reader(truncate, pad, tokens, vocabulary), dataset, root / str(i))
        loaded[truncate, pad, (tokens, vocabulary)] = tf.saved_model.load(str(root / str(i)))
    return loaded


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(OPTIONS), TEXTS)
def test_stored_and_served_ids_are_equal(served, options, texts):
    truncate, pad, (tokens, kept) = options
    vocabulary = vocabulary_ids(LINES[:kept])
    expected = [
        token_ids(text, vocabulary, length=tokens, truncate=truncate, pad=pad).tolist()
        for text in texts
    ]

    answer = served[options].signatures["raw"](texts=tf.constant([one.encode() for one in texts]))

    assert answer["logits"].numpy().tolist() == expected


@pytest.mark.parametrize(("options", "expected"), BY_HAND.items())
def test_ids_by_hand(dataset, tmp_path, options, expected):
    truncate, pad, tokens = options
    export(reader(truncate, pad, tokens, 100), dataset, tmp_path / "model")
    raw = tf.saved_model.load(str(tmp_path / "model")).signatures["raw"]

    answer = raw(texts=tf.constant(["The film, don't<br />CAFé!".encode()]))["logits"]

    assert answer.numpy().tolist() == [expected]


@pytest.mark.parametrize("options", OPTIONS)
def test_training_reads_what_is_served(dataset, options):
    truncate, pad, (tokens, kept) = options
    network = reader(truncate, pad, tokens, kept)
    texts = ["the film", "don't the café É 9 the film", "", "<br/>!", "film " * 9]
    vocabulary = vocabulary_ids(LINES[:kept])

    ((inputs, _),) = batches(dataset, "train", network)

    assert network(inputs).numpy().tolist() == [
        token_ids(text, vocabulary, length=tokens, truncate=truncate, pad=pad).tolist()
        for text in texts
    ]


def bigrams(rows, buckets=50):
    return HashedBigrams(buckets)(np.array(rows, np.int32)).numpy()


def test_bigrams_never_join_a_word_and_padding():
    right = bigrams([[5, 6, 7, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    left = bigrams([[0, 0, 5, 6, 7], [0, 0, 0, 0, 5], [0, 0, 0, 0, 0]])

    expected = [(a * 1_000_003 + b * 7_919) % 50 + 1 for a, b in ((5, 6), (6, 7))]
    assert right.tolist() == [[*expected, 0, 0], [0] * 4, [0] * 4]
    assert left.tolist() == [[0, 0, *expected], [0] * 4, [0] * 4]


def test_the_side_of_padding_changes_no_answer(dataset):
    keras.utils.set_random_seed(1)
    settings = {"width": 4, "bigrams": 16, "tokens": 5}
    right, left = (build_model(TextModel(**settings, pad=pad), dataset) for pad in PADDINGS[::-1])
    left.set_weights(right.get_weights())
    one, two = (
        model(next(iter(batches(dataset, "eval", model)))[0]).numpy() for model in (right, left)
    )

    assert (Reading.of(right).pad, Reading.of(left).pad) == ("right", "left")
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_how_a_network_reads_is_saved_and_pruned_with_it(dataset, tmp_path):
    options = TextModel(width=8, vocabulary=5, tokens=4, truncate="tail", pad="left")
    model = build_model(options, dataset)
    reading = Reading(tokens=4, truncate="tail", pad="left", vocabulary=5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    context = Context(
        data=dataset, base=loaded, teacher=None, seed=1, progress=lambda line: None, notes={}
    )
    small = prune.run(context, parse_config("prune", {"epochs": 0, "ratio": 0.5}))

    assert small.count_params() < model.count_params()
    assert Reading.of(model) == Reading.of(loaded) == Reading.of(small) == reading
