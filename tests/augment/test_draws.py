import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.augment.draws import Draws
from schemas.errors import InputError

MANY = Draws.root(7, [f"k{i}" for i in range(20_000)], 3)
GOLDEN_STATES = [11164222857481413261, 3898148708660932239]
GOLDEN_BITS = [
    [6505775348169044051, 7978818793335873653],
    [10903720584895940324, 960948853562373237],
]
GOLDEN_INTEGERS = [[32, 40, 67], [57, 0, 44]]
GOLDEN_UNIFORM = [0.3526787883093758, 0.5910918773159546]
GOLDEN_SEEDED = [0, 9398003893131893463]


def test_generator_is_splitmix64():
    # Reference outputs of splitmix64.c (Vigna, public domain) for the seed 1234567.
    draws = Draws(np.array([1234567], dtype=np.uint64))
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert draws.bits(4)[0].tolist() == expected


def test_golden_values_never_change():
    draws = Draws.root(42, ["train/0", "Größe"], 1)
    assert draws.state.tolist() == GOLDEN_STATES
    slot = draws.stream("slot0")
    assert slot.bits(2).tolist() == GOLDEN_BITS
    assert slot.integers(-5, 100, 3).tolist() == GOLDEN_INTEGERS
    assert slot.uniform(1)[:, 0].tolist() == GOLDEN_UNIFORM
    assert Draws.from_seeds(np.array([0, 9])).state.tolist() == GOLDEN_SEEDED


def test_uniform_is_uniform():
    values = MANY.uniform(5)
    assert values.min() >= 0
    assert values.max() < 1
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    chi_squared = ((counts - 5000) ** 2 / 5000).sum()
    assert chi_squared < 45  # 19 degrees of freedom: 99.9 % lie below 43.8


def test_streams_positions_keys_copies_and_seeds_are_uncorrelated():
    names = [f"k{i}" for i in range(20_000)]
    columns = [
        MANY.uniform(2)[:, 0],
        MANY.uniform(2)[:, 1],
        MANY.stream("a").uniform(1)[:, 0],
        MANY.stream("b").uniform(1)[:, 0],
        MANY.stream("a").stream("b").uniform(1)[:, 0],
        MANY.stream("b").stream("a").uniform(1)[:, 0],
        Draws.root(7, names, 4).uniform(1)[:, 0],
        Draws.root(8, names, 3).uniform(1)[:, 0],
        np.roll(MANY.uniform(1)[:, 0], 1),
    ]
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 5 / 20_000**0.5


@given(low=st.integers(-(10**9), 10**9), span=st.integers(1, 2**32))
def test_integers_stay_in_range(low, span):
    values = MANY.take(np.arange(50)).integers(low, low + span, 4)
    assert values.dtype == np.int64
    assert values.min() >= low
    assert values.max() < low + span


def test_integers_are_evenly_spread_with_bounds_per_row():
    high = np.where(np.arange(len(MANY)) % 2 == 0, 3, 7)
    values = MANY.integers(0, high, 1)[:, 0]
    assert np.bincount(values[::2]) / 10_000 == pytest.approx([1 / 3] * 3, abs=0.02)
    assert np.bincount(values[1::2]) / 10_000 == pytest.approx([1 / 7] * 7, abs=0.02)


def test_choice_follows_weights():
    counts = np.bincount(MANY.choice([1, 0, 2.5, 0.5]), minlength=4)
    assert counts[1] == 0
    assert counts / 20_000 == pytest.approx([0.25, 0, 0.625, 0.125], abs=0.02)


def test_permutation_holds_every_position_once():
    orders = MANY.permutation(6)
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert orders.mean(axis=0) == pytest.approx([2.5] * 6, abs=0.1)


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_ragged_rows_are_prefixes_of_bits(counts):
    draws = MANY.take(np.arange(len(counts)))
    bits = draws.bits(9)
    expected = [value for row, count in zip(bits, counts, strict=True) for value in row[:count]]
    assert draws.ragged(counts).tolist() == expected
    assert ((draws.ragged_uniform(counts) >= 0) & (draws.ragged_uniform(counts) < 1)).all()


def test_rows_are_functions_of_their_key():
    draws = Draws.root(1, ["a", "b", "c"], 1)
    assert draws.take(np.array([2, 0])).bits(3).tolist() == draws.bits(3)[[2, 0]].tolist()
    assert Draws.root(1, ["c"], 1).bits(3).tolist() == draws.bits(3)[2:].tolist()
    assert draws.bits(8)[:, :3].tolist() == draws.bits(3).tolist()
    assert Draws.root(1, [], 1).bits(3).shape == (0, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Draws.root(-1, ["a"], 0), r"seed must be in \[0, 2\*\*64\), got -1"),
        (lambda: Draws.root(2**64, ["a"], 0), "seed must be in"),
        (lambda: Draws.root(0, ["a"], -1), "copy must be 0 or more, got -1"),
        (lambda: MANY.integers(3, 3, 1), "low < high"),
        (lambda: MANY.integers(0, 2**33, 1), "low < high"),
        (lambda: MANY.choice([]), "weights must be"),
        (lambda: MANY.choice([0, 0]), "not all 0"),
        (lambda: MANY.choice([1, -1]), "weights must be 0 or more"),
    ],
)
def test_refuses_what_cannot_be_drawn(make, message):
    with pytest.raises(InputError, match=message):
        make()
