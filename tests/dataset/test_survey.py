"""The global pass by hand, against numpy, and independent of the order of merging."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset.plan import make_plan
from pipelines.dataset.slices import read_slice, split_of
from pipelines.dataset.survey import (
    MergeTotals,
    Totals,
    find_duplicates,
    statistics,
    survey_slice,
    vocabulary,
)
from tests.dataset.support import (
    image_records,
    parsed,
    pictures,
    text_records,
    tfds_recipe,
    write_tfds,
)

TEXTS = ["Good film, good fun", "bad film", "good<br />bad", "Zebra 'apple' zebra", "fun fun fun"]


@pytest.fixture
def texts_plan(tmp_path):
    """Sixty texts over five contents, in slices of seven."""
    texts = [TEXTS[i % 5] for i in range(60)]
    test = ["only in the test split", "bad film"]
    write_tfds(
        tmp_path,
        {"train": [text_records(texts)], "test": [text_records(test)]},
        shape=None,
        label_names=["bad", "good"],
    )
    content = tfds_recipe(
        tmp_path, modality="text", policy={"preset": "none"}, copies=0, slice_size=7
    )
    return make_plan(parsed(content), str(tmp_path / "out"))


def survey(job, task):
    found = survey_slice(job, read_slice(job, task))
    return found.totals, found.hashes


def merged(parts):
    combine = MergeTotals()
    total = combine.create_accumulator()
    for one in parts:
        total = combine.add_input(total, one)
    return combine.extract_output(total)


def test_text_survey_by_hand(texts_plan):
    job = texts_plan.job
    results = [survey(job, task) for task in texts_plan.tasks]
    totals = merged(one for one, _ in results)
    groups = find_duplicates(row for _, hashes in results for row in hashes)
    split = [split_of(f"train-{i:08d}", "train", job.splits) for i in range(60)]
    words = Counter()
    by_hand = [
        ["good", "film", "good", "fun"],
        ["bad", "film"],
        ["good", "bad"],
        ["zebra", "'apple'", "zebra"],
        ["fun", "fun", "fun"],
    ]
    for i, where in enumerate(split):
        if where == "train":
            words.update(by_hand[i % 5])
    assert totals.words == words
    found = statistics(job, totals, groups)
    assert found["examples"] == {
        "eval": split.count("eval"),
        "test": 2,
        "train": split.count("train"),
    }
    assert found["classes"]["test"] == {"bad": 1, "good": 1}
    assert (found["words"], found["distinct_words"]) == (sum(words.values()), 6)
    # Each text stands in the data twelve times; "bad film" also in the test split.
    duplicates = found["duplicates"]
    assert (duplicates["groups"], duplicates["examples"]) == (5, 61)
    assert duplicates["groups_across_splits"] == 5
    assert sorted(len(group) for group in duplicates["first_groups"]) == [12, 12, 12, 12, 13]
    assert "channel_mean" not in found


def test_vocabulary_is_by_count_then_by_text():
    totals = Totals(words=Counter({"b": 3, "a": 3, "é": 3, "z": 9, "'": 1, "B": 3}))
    assert vocabulary(totals, 10) == ["<OOV>", "z", "B", "a", "b", "é", "'"]
    assert vocabulary(totals, 3) == ["<OOV>", "z", "B"]
    assert vocabulary(Totals(), 5) == ["<OOV>"]


def test_vocabulary_holds_no_word_of_eval_or_test_alone(texts_plan):
    totals = merged(survey(texts_plan.job, task)[0] for task in texts_plan.tasks)
    assert {"only", "the", "split"}.isdisjoint(vocabulary(totals, 100))


def test_duplicates_by_hand():
    rows = [(b"x", "train", "2"), (b"y", "eval", "3"), (b"x", "test", "1"), (b"z", "eval", "4")]
    rows += [(b"y", "eval", "0")]
    found = sorted(find_duplicates(rows))
    assert found == [[("eval", "0"), ("eval", "3")], [("test", "1"), ("train", "2")]]


@pytest.mark.parametrize("channels", [1, 3])
def test_channel_statistics_against_numpy(tmp_path, channels):
    images = pictures(50, shape=(5, 4, channels))
    images[..., 0] //= 3
    write_tfds(tmp_path, {"train": [image_records(images)]}, shape=(5, 4, channels))
    content = tfds_recipe(tmp_path, splits={"test": None}, copies=0, slice_size=8)
    plan = make_plan(parsed(content), str(tmp_path / "out"))
    found = statistics(plan.job, merged(survey(plan.job, t)[0] for t in plan.tasks), [])
    split = [split_of(f"train-{i:08d}", "train", plan.job.splits) for i in range(50)]
    pixels = images[np.array(split) == "train"].reshape(-1, channels).astype(np.float64)
    np.testing.assert_allclose(found["channel_mean"], pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found["channel_std"], pixels.std(0), rtol=1e-12)


TOTALS = st.builds(
    Totals,
    classes=st.dictionaries(
        st.tuples(st.sampled_from(["train", "eval"]), st.integers(0, 2)), st.integers(1, 99)
    ).map(Counter),
    pixels=st.integers(0, 2**62),
    sums=st.one_of(st.just(()), st.tuples(*[st.integers(0, 2**62)] * 3)),
    squares=st.tuples(*[st.integers(0, 2**62)] * 3),
    words=st.dictionaries(st.text("abé", max_size=2), st.integers(1, 99)).map(Counter),
)


@settings(deadline=None)
@given(st.lists(TOTALS, max_size=6), st.randoms(use_true_random=False), st.data())
def test_no_order_or_grouping_of_merging_changes_a_digit(parts, shuffle: random.Random, data):
    import copy

    combine = MergeTotals()
    one = merged(copy.deepcopy(parts))
    turned = copy.deepcopy(parts)
    shuffle.shuffle(turned)
    cut = data.draw(st.integers(0, len(turned)))
    accumulators = [merged(turned[:cut]), Totals(), merged(turned[cut:])]
    other = combine.extract_output(combine.merge_accumulators(accumulators))
    assert other == one
    assert vocabulary(other, 4) == vocabulary(one, 4)
