import hashlib
import pickle
import random

import numpy as np
import pytest

from pipelines.dataset.near import Entries, Index, TextSketcher
from pipelines.dataset.near.texts import words_of

SKETCHER = TextSketcher()
WORDS = [
    a + b
    for a in ("ba", "do", "ki", "lu", "me", "no", "pa", "ri")
    for b in ("ta", "sol", "rin", "vek", "mo", "fa")
]


def review(seed, length=120):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + rng.choice(["", "", ",", "."]) for _ in range(length))


REVIEWS = [review(i) for i in range(150)]


def paraphrased(text):
    words = text.split()
    return " ".join("other" if i % 10 == 3 else word for i, word in enumerate(words))


CHANGES = {
    "case": str.upper,
    "html": lambda t: "<p>" + t.replace(". ", ".<br /><br />") + "</p>",
    "spaces": lambda t: t.replace(" ", "  \n"),
    "paraphrase": paraphrased,
    "truncated": lambda t: t[: len(t) * 6 // 10],
    "extended": lambda t: t + " " + review(999, 60),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_texts_are_found(name):
    sketches = SKETCHER.sketch(REVIEWS)
    keys = tuple(f"{i:03d}" for i in range(len(REVIEWS)))
    index = Index.of(SKETCHER, Entries(sketches, ("test",) * len(keys), keys))
    matches = index.query(SKETCHER.sketch([CHANGES[name](one) for one in REVIEWS]))
    assert len(set(matches.rows[matches.rows == matches.positions])) >= 0.97 * len(REVIEWS)
    assert (matches.rows == matches.positions).all()


def test_words():
    assert words_of("<b>Don&#39;t</b> STOP<br/>now_then, 2 < 3") == [
        "don",
        "t",
        "stop",
        "now",
        "then",
        "2",
        "3",
    ]
    assert words_of("Straße Ⅳ") == ["strasse", "iv"]
    assert words_of("映画 good") == ["映", "画", "good"]
    assert words_of("... !!") == []


def test_the_estimate_is_that_of_the_sets():
    a, b = REVIEWS[0], paraphrased(REVIEWS[0])
    pairs = [set(zip(words_of(t), words_of(t)[1:], strict=False)) for t in (a, b)]
    exact = len(pairs[0] & pairs[1]) / len(pairs[0] | pairs[1])
    _, score = SKETCHER.similar(SKETCHER.sketch([a]), SKETCHER.sketch([b]))
    assert score[0] == pytest.approx(exact, abs=0.13)  # three standard errors of 128 hashes
    sizes = SKETCHER.sketch([a, b]).view("<u4")[:, 128]
    assert sizes.tolist() == [len(one) for one in pairs]


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("Great movie!", "great movie", True),
        ("great movie", "bad movie", False),
        ("not a good movie at all", "a good movie at all", False),
        ("not a good movie", "a good movie", False),
        ("", "  ...", True),
        ("", "great movie", False),
        ("good", "GOOD", True),
        ("good", "bad", False),
    ],
)
def test_short_texts(a, b, alike):
    ok, score = SKETCHER.similar(SKETCHER.sketch([a]), SKETCHER.sketch([b]))
    assert bool(ok[0]) == alike
    assert (score[0] > 0) == alike


def test_rows_do_not_depend_on_their_neighbours():
    whole = SKETCHER.sketch(REVIEWS[:40])
    assert np.array_equal(SKETCHER.sketch(REVIEWS[:40][::-1]), whole[::-1])
    assert np.array_equal(
        np.concatenate([SKETCHER.sketch([one]) for one in REVIEWS[:5]]), whole[:5]
    )
    assert SKETCHER.sketch([]).shape == (0, SKETCHER.size)


def test_sketches_stay_what_they_are():
    """A change here is another VERSION: the survey of every text recipe may change."""
    sketches = SKETCHER.sketch(REVIEWS[:20])
    keys, codes = SKETCHER.query_codes(sketches)
    digests = [
        hashlib.blake2b(np.ascontiguousarray(one).tobytes(), digest_size=6).hexdigest()
        for one in (sketches, keys, codes)
    ]
    assert (SKETCHER.VERSION, digests) == (2, GOLDEN)


GOLDEN = ["a87f7c317271", "1503bfebcc41", "8ce50358b40b"]


def test_a_sketcher_is_small_and_can_be_sent():
    assert pickle.loads(pickle.dumps(SKETCHER)) == SKETCHER
    assert len(pickle.dumps(SKETCHER)) < 1000
