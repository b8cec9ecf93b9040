from __future__ import annotations

import pytest

from pipelines.augment.text.negation import is_negation, is_protected
from pipelines.augment.text.tokenize import tokenize, words


@pytest.mark.parametrize(
    "word",
    "not NOT No never don't DON'T don’t ain't dont cannot hardly barely scarcely neither nor "
    "nothing Nobody none nowhere without couldn't've lacks".split(),
)
def test_negations(word: str) -> None:
    assert is_negation(word)


@pytest.mark.parametrize("word", ["note", "know", "nobleman", "won", "can", "lack-lustre", "it's"])
def test_other_words(word: str) -> None:
    assert not is_negation(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it was not a very good film at all", "was not a very good film"),
        ("It was good. Not really! Just good", "Not really"),
        ("not, as they say, a good film", "not as they say a"),
        ("the end is not<br />near it", "is not"),
        ("I never saw it, nor liked it", "I never saw it nor liked it"),
        ("nothing here", "nothing here"),
        ("A good. Never", "Never"),
        ("a fine film", ""),
    ],
)
def test_scope(text: str, expected: str) -> None:
    tokens = tokenize(text)
    protected = [tokens[i] for i in range(1, len(tokens), 2) if is_protected(tokens, i)]
    assert protected == expected.split()
    assert set(protected) <= set(words(tokens))
