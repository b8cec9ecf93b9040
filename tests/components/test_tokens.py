"""The ids that a dataset may store are the ids that the serving graph computes."""

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import data
from schemas.tokens import token_ids, vocabulary_ids

LENGTH = 8
LINES = ["<OOV>", "the", "film", "don't", "café", "9", "É", "br"]


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """Return the serving graph's function from a text to its ids."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.txt"
    path.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    table = data.vocabulary_table(path)
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(lambda texts: data.token_ids(texts, table, LENGTH), signature)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.text(),
            st.lists(st.sampled_from([*LINES, "The", "<br />", "É", "!", " ", "\0"])).map("".join),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_pure_and_served_ids_are_equal(serving, texts):
    vocabulary = vocabulary_ids(LINES)
    expected = [token_ids(text, vocabulary, length=LENGTH).tolist() for text in texts]
    assert serving(tf.constant([text.encode() for text in texts])).numpy().tolist() == expected
