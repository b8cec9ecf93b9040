import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InputError
from schemas.text import tokens
from schemas.tokens import token_ids, vocabulary_ids

VOCABULARY = vocabulary_ids(["<OOV>", "the", "film", "café"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"length": 6}, [2, 3, 1, 4, 0, 0]),
        ({"length": 6, "pad": "left"}, [0, 0, 2, 3, 1, 4]),
        ({"length": 2}, [2, 3]),
        ({"length": 2, "truncate": "tail"}, [1, 4]),
        ({"length": 4, "truncate": "tail", "pad": "left"}, [2, 3, 1, 4]),
    ],
)
def test_ids(settings, expected):
    ids = token_ids("The FILM,<br />unknown café!", VOCABULARY, **settings)
    assert ids.tolist() == expected
    assert ids.dtype == np.int64


def test_a_text_without_words_is_padding():
    assert token_ids("...", VOCABULARY, length=3, truncate="tail").tolist() == [0, 0, 0]


@given(st.text(), st.integers(1, 8), st.sampled_from(["head", "tail"]))
def test_padding_and_truncation_keep_a_run_of_the_words(text, length, truncate):
    words = tokens(text)
    known = vocabulary_ids(["<OOV>", *sorted(set(words) - {"<OOV>"})])
    right = token_ids(text, known, length=length, truncate=truncate)
    left = token_ids(text, known, length=length, truncate=truncate, pad="left")
    kept = words[:length] if truncate == "head" else words[-length:]
    assert right[right > 0].tolist() == [known[word] for word in kept]
    assert left[length - len(kept) :].tolist() == right[: len(kept)].tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be 1 or more, got 0"),
        ({"length": 1, "truncate": "left"}, "unknown truncation 'left'.*head, tail"),
        ({"length": 1, "pad": "head"}, "unknown padding 'head'.*left, right"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        token_ids("the", VOCABULARY, **settings)


@pytest.mark.parametrize("lines", [[], ["the"], ["<OOV>", "the", "the"]])
def test_bad_vocabularies_are_refused(lines):
    with pytest.raises(InputError, match="vocabulary must"):
        vocabulary_ids(lines)
