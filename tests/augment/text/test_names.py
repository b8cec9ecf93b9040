from __future__ import annotations

import numpy as np
import pytest

from pipelines.augment.policy import parse_policy
from pipelines.augment.text import name_table
from pipelines.augment.text.edit import is_movable
from pipelines.augment.text.names import entity_swap, find_names, is_name, possessor
from pipelines.augment.text.tokenize import join, tokenize, words
from schemas.errors import InputError


def swapped(text: str, *, rate: float = 1.0, seed: int = 0) -> tuple[str, int]:
    (tokens,), edits = entity_swap([tokenize(text)], rate=np.array([rate]), seed=np.array([seed]))
    return join(tokens), int(edits[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The film has Tom Hanks in it.", ["Tom", "Hanks"]),
        ("Tom was good. Nobody else was.", ["Tom"]),
        ("Gwyneth Paltrow was good", ["Gwyneth", "Paltrow"]),
        ("Mr. Smith met Dr. Who.", ["Mr", "Smith", "Dr", "Who"]),
        ("Spielberg's film. It's good.", ["Spielberg's"]),
        ("I liked it, I'm sure. I'd go.", []),
        ("THE WORST MOVIE EVER", []),
        ("the CIA and an iPhone", ["CIA", "iPhone"]),
        ("Good. Never again.<br />Yes", []),
        ("9/10 from me", []),
        ("", []),
    ],
)
def test_names_are_told_by_their_capitals(text: str, expected: list[str]) -> None:
    tokens = tokenize(text)
    assert [tokens[i] for i in range(1, len(tokens), 2) if is_name(tokens, i)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I saw Tom Hanks and Meg Ryan.", {"Tom": "given", "Hanks": "surname"}),
        ("Then King Arthur died.", {"Arthur": "given"}),
        ("John F. Kennedy died.", {"John": "given", "Kennedy": "surname"}),
        ("With Dr. Jones in Paris", {"Jones": "surname", "Paris": "city"}),
        ("Will this end? Mark my words.", {}),
        ("Nobody but Will Smith", {"Will": "given", "Smith": "surname"}),
        ("Young people. Tom Young is young.", {"Tom": "given", "Young": "surname"}),
    ],
)
def test_known_names_have_a_kind(text: str, expected: dict[str, str]) -> None:
    assert {stem: kind for kind, stem in find_names(tokenize(text)).values()} == expected


def test_a_name_is_exchanged_for_the_same_one_everywhere() -> None:
    text = "Tom Hanks is Tom's best. Hanks, said Tom in Paris, left Paris for Rome."
    made, edits = swapped(text)
    old, new = words(tokenize(text)), words(tokenize(made))
    assert edits == 8
    assert tokenize(made)[::2] == tokenize(text)[::2]
    exchanged = {possessor(a): possessor(b) for a, b in zip(old, new, strict=True) if a != b}
    assert list(exchanged) == ["Tom", "Hanks", "Paris", "Rome"]
    assert len(set(exchanged.values())) == 4
    assert exchanged["Tom"] in name_table.NEUTRAL
    assert exchanged["Hanks"] in name_table.SURNAMES
    assert exchanged["Paris"] in name_table.CITIES
    assert sum(b == exchanged["Tom"] for b in map(possessor, new)) == 3


def test_a_new_name_does_not_occur_in_the_text_already() -> None:
    text = " ".join(["in", "Paris", *(f"- {name}" for name in name_table.CITIES[:-1])])
    for seed in range(20):
        (tokens,), _ = entity_swap([tokenize(text)], rate=np.array([0.05]), seed=np.array([seed]))
        assert len(set(words(tokens))) == len(set(words(tokenize(text))))


def test_the_rate_is_a_share_of_the_names() -> None:
    rows = 400
    documents = [tokenize("Tom and Mary and Peter and Susan")] * rows
    _, edits = entity_swap(documents, rate=np.full(rows, 0.5), seed=np.arange(rows))
    assert edits.mean() == pytest.approx(2.0, abs=5 * (4 * 0.25 / rows) ** 0.5)
    assert swapped("Tom and Mary", rate=0.0) == ("Tom and Mary", 0)


def test_tables_are_sorted_out() -> None:
    for table in (name_table.NEUTRAL, name_table.SURNAMES, name_table.CITIES):
        assert len(set(table)) == len(table)
        assert all(name[0].isupper() and name.isalpha() for name in table)
    assert not name_table.GIVEN & set(name_table.CITIES)


def test_entities_of_a_policy() -> None:
    slots = [{"op": "random_delete", "rate": 1.0}]
    plain = parse_policy({"slots": slots}, "text")
    protect = parse_policy({"slots": slots, "entities": "protect"}, "text")
    off = parse_policy({"slots": slots, "entities": False}, "text")
    assert protect.to_json() == plain.to_json()
    assert parse_policy(off.to_json(), "text").to_json() == off.to_json()
    texts = ["Then Tom Hanks went."]
    assert plain.apply(texts, ["k"], seed=1, copy=1)[0] == ["Then Tom Hanks."]
    assert off.apply(texts, ["k"], seed=1, copy=1)[0] == ["Then."]
    swap = parse_policy({"preset": "none", "entities": "swap"}, "text")
    made, trace = swap.apply(texts, ["k"], seed=1, copy=1)
    assert made != texts
    assert trace["slot0.op"].tolist() == ["entity_swap"]
    with pytest.raises(InputError, match="unknown entities value 'of'"):
        parse_policy({"slots": slots, "entities": "of"}, "text")
    with pytest.raises(InputError, match="for text data only"):
        parse_policy({"preset": "none", "entities": "swap"}, "image")


def test_names_are_movable_only_where_they_are_not_protected() -> None:
    tokens = tokenize("Then Tom went")
    assert not is_movable(tokens, 3)
    assert is_movable(tokens, 3, protect_names=False)
    assert not is_movable(tokens, 1, protect_names=False)
