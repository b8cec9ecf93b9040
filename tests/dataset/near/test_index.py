import numpy as np
import pytest

from pipelines.dataset.near import (
    Entries,
    ImageSketcher,
    Index,
    Pair,
    TextSketcher,
    find_pairs,
    groups,
    index,
    sketcher,
    spread,
)
from tests.dataset.near.photos import cropped, patches


def entries_of(images, split="train", start=0):
    keys = tuple(f"{i + start:04d}" for i in range(len(images)))
    return Entries(ImageSketcher().sketch(images), (split,) * len(keys), keys)


def planted():
    """Return photographs of three splits: test holds some of train, train some of itself."""
    found = patches()[:100]
    train = entries_of(np.concatenate([found[:80], found[:5], found[10:15, :, ::-1]]))
    moved = np.stack([cropped(image, 1, -1) for image in found[20:30]])
    test = entries_of(np.concatenate([found[80:], moved]), "test", 500)
    return Entries.merged([test, train])


def all_pairs(entries, blocks, slices=1, order=None):
    rows = np.arange(len(entries)) if order is None else order
    places = {}
    for some in np.array_split(rows, slices):
        for place, part in spread(entries.take(some), blocks).items():
            places.setdefault(place, []).append(part)
    pairs = []
    for place, parts in places.items():
        found, capped = find_pairs(ImageSketcher(), place, blocks, parts)
        assert capped == 0
        pairs += found
    return sorted(pairs)


def names(pairs):
    return {(pair.a, pair.b) for pair in pairs}


def test_pairs_inside_and_between_splits():
    entries = planted()
    found = names(all_pairs(entries, 1))
    expected = {(("train", f"{i:04d}"), ("train", f"{80 + i:04d}")) for i in range(5)}
    expected |= {(("train", f"{10 + i:04d}"), ("train", f"{85 + i:04d}")) for i in range(5)}
    between = {(("test", f"{520 + i:04d}"), ("train", f"{20 + i:04d}")) for i in range(10)}
    assert expected <= found
    assert len(between & found) >= 6
    assert len(found - expected - between) <= 1


@pytest.mark.parametrize("blocks", [1, 3])
def test_pairs_depend_neither_on_order_nor_on_slices(blocks):
    entries = planted()
    expected = all_pairs(entries, blocks)
    order = np.random.default_rng(1).permutation(len(entries))
    assert all_pairs(entries, blocks, slices=4, order=order) == expected
    assert expected == sorted(set(expected))


def test_blocks_find_the_same_groups():
    entries = planted()
    whole = {tuple(group) for group in groups(all_pairs(entries, 1))}
    blocked = {tuple(group) for group in groups(all_pairs(entries, 3))}
    assert len(whole ^ blocked) <= 2  # a query's window is not a reference's
    equal = {(("train", f"{i:04d}"), ("train", f"{80 + i:04d}")) for i in range(5)}
    assert equal <= whole & blocked


def test_a_query_gives_the_first_of_equal_references_and_every_row():
    found = patches()[:10]
    references = Entries.merged(
        [
            entries_of(found, "test"),
            entries_of(found, "eval", 40),
            entries_of(found[:3], "test", 70),
        ]
    )
    built = Index.of(ImageSketcher(), references)
    sketches = ImageSketcher().sketch(np.concatenate([found, found]))
    matches = built.query(sketches)
    exact = matches.scores == 1
    assert matches.rows[exact].tolist() == list(range(20))
    positions = matches.positions[exact]
    assert {built.entries.splits[p] for p in positions} == {"eval"}
    assert [built.entries.keys[p] for p in positions] == [f"{40 + i % 10:04d}" for i in range(20)]
    assert built.matched(sketches).all()


def test_the_order_of_references_does_not_matter():
    entries = planted()
    order = np.random.default_rng(3).permutation(len(entries))
    one, other = Index.of(ImageSketcher(), entries), Index.of(ImageSketcher(), entries.take(order))
    assert one.entries.keys == other.entries.keys
    a, b = one.query(entries.sketches), other.query(entries.sketches)
    assert np.array_equal(a.rows, b.rows)
    assert np.array_equal(a.positions, b.positions)
    assert np.array_equal(a.scores, b.scores)


def test_nothing_to_compare():
    empty = Entries(np.zeros((0, 288), np.uint8), (), ())
    some = entries_of(patches()[:3])
    assert len(Index.of(ImageSketcher(), empty).query(some.sketches).rows) == 0
    assert len(Index.of(ImageSketcher(), some).query(empty.sketches).rows) == 0
    assert find_pairs(ImageSketcher(), (0, 0), 1, []) == ([], 0)
    assert find_pairs(ImageSketcher(), (0, 0), 1, [empty]) == ([], 0)
    assert spread(empty, 2) == {}


def test_blank_examples_cost_no_quadratic_time():
    """5,000 equal images are 4,999 pairs; nearly equal ones are capped, and counted."""
    white = Entries(
        np.full((5000, 288), 255, np.uint8),
        ("train",) * 5000,
        tuple(f"{i:05d}" for i in range(5000)),
    )
    pairs, capped = find_pairs(ImageSketcher(), (0, 0), 1, [white])
    assert capped == 0
    assert len(pairs) == 4999
    assert {pair.a for pair in pairs} == {("train", "00000")}
    blank = Entries(TextSketcher().sketch(["..."] * 3000), ("train",) * 3000, white.keys[:3000])
    pairs, _ = find_pairs(TextSketcher(), (0, 0), 1, [blank])
    assert len(pairs) == 2999


def test_crowded_keys_are_capped_and_counted(monkeypatch):
    monkeypatch.setattr(index, "CAP", 4)
    nearly = np.full((40, 32, 32, 3), 255, np.uint8)
    nearly[:, 0, 0] = np.arange(40)[:, None] * 3
    built = Index.of(ImageSketcher(), entries_of(nearly))
    matches = built.query(built.entries.sketches)
    assert matches.capped > 0
    assert len(matches.rows) <= 40 * 4 * 32


def test_what_a_crowded_key_hides_is_named(monkeypatch):
    """All that more candidates would have found is among what was left out."""
    one = patches()[7].astype(int)
    steps = np.random.default_rng(3).integers(-2, 3, (60, *one.shape))
    alike = entries_of(np.clip(one + steps, 0, 255).astype(np.uint8), "test")
    others = entries_of(patches()[20:60], "test", 100)
    built = Index.of(ImageSketcher(), Entries.merged([alike, alike.take(np.arange(3)), others]))
    queries = entries_of(np.concatenate([patches()[7:9], patches()[30:32]])).sketches
    everything = built.query(queries)
    assert everything.capped == 0
    assert not built.left_out(queries).any()
    monkeypatch.setattr(index, "CAP", 4)
    found = built.query(queries)
    assert found.capped > 0
    left_out = np.flatnonzero(built.left_out(queries))
    hidden = set(everything.positions.tolist()) - set(found.positions.tolist())
    assert len(hidden) > 30
    assert hidden <= set(left_out.tolist())
    assert not built.left_out(queries[:0]).any()
    assert not built.left_out(queries[2:]).all()
    empty = Index.of(ImageSketcher(), alike.take(np.zeros(0, np.int64)))
    assert len(empty.left_out(queries)) == 0


def test_groups_are_connected():
    a, b, c, d, e = (("train", key) for key in "abcde")
    pairs = [Pair(b, c, 0.9), Pair(d, e, 0.9), Pair(a, b, 1.0)]
    assert groups(pairs) == [[a, b, c], [d, e]]
    assert groups([]) == []


def test_sketchers_by_modality():
    assert sketcher("image") == ImageSketcher()
    assert sketcher("text") == TextSketcher()
