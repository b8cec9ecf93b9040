import numpy as np
import pytest

from pipelines.augment.draws import Draws
from pipelines.augment.params import (
    Flag,
    Integers,
    Ratio,
    Seed,
    Setting,
    Signed,
    Symmetric,
    SymmetricIntegers,
    Uniform,
)
from schemas.errors import InputError

DRAWS = Draws.root(1, [str(i) for i in range(5_000)], 1)


@pytest.mark.parametrize(
    ("param", "identity"),
    [
        (Uniform(2.0, 8.0, identity=1.0), 1.0),
        (Symmetric(0.3, centre=1.0), 1.0),
        (Integers(2, 6, identity=0), 0),
        (Flag(0.7), 0),
        (Signed(3.0), 0.0),
        (Ratio(3.0), 1.0),
        (SymmetricIntegers(4), 0),
    ],
)
def test_strength_0_is_the_identity(param, identity):
    assert set(param.sample(DRAWS, 0.0).tolist()) == {identity}


@pytest.mark.parametrize(
    ("param", "strength", "low", "high"),
    [
        (Uniform(2.0, 8.0, identity=0.0), 1.0, 2.0, 8.0),
        (Uniform(2.0, 8.0, identity=0.0), 0.5, 1.0, 4.0),
        (Symmetric(0.4, centre=1.0), 1.0, 0.6, 1.4),
        (Symmetric(20.0), 0.25, -5.0, 5.0),
        (Signed(20.0), 0.25, -5.0, 5.0),
        (Symmetric(0.8, centre=1.0, signed=True), 0.5, 0.6, 1.4),
        (Ratio(5.0), 0.25, 0.5, 2.0),
        (SymmetricIntegers(4), 0.375, -2, 2),
        (Integers(1, 3, identity=None), 0.25, 1, 3),
        (Uniform(0.0, 180.0, identity=None), 0.25, 0.0, 180.0),
        (Integers(-2, 6, identity=0, limits=(-9, 9)), 0.5, -1, 3),
    ],
)
def test_strength_shrinks_the_range_towards_the_identity(param, strength, low, high):
    values = param.sample(DRAWS, strength)
    assert values.min() == pytest.approx(low, abs=0.02 * (high - low))
    assert values.max() == pytest.approx(high, abs=0.02 * (high - low))
    assert values.min() >= low - 2**-17
    assert values.max() <= high + 2**-17


def test_signed_takes_nothing_but_the_ends():
    values = Signed(0.3).sample(DRAWS, np.linspace(0.0, 1.0, len(DRAWS)))
    assert np.abs(values) == pytest.approx(np.linspace(0.0, 0.3, len(DRAWS)), abs=2**-17)
    assert (values > 0).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("param", "strength"), [(Signed(0.3), 0.5), (Ratio(4.0), 1.0), (Ratio(4.0), 0.3)]
)
def test_moments_are_those_of_what_is_drawn(param, strength):
    values, (mean, spread) = param.sample(DRAWS, strength), param.moments(strength)
    assert values.mean() == pytest.approx(mean, abs=4 * spread / len(DRAWS) ** 0.5)
    assert values.std() == pytest.approx(spread, rel=0.04)


def test_ratio_favours_neither_side():
    values = Ratio(4.0).sample(DRAWS, 1.0)
    assert np.median(np.maximum(values, 1 / values)) == pytest.approx(2.5, abs=0.1)
    assert (values > 1).mean() == pytest.approx(0.5, abs=0.03)


def test_values_are_exact_in_float32():
    values = Symmetric(180.0).sample(DRAWS, 1.0)
    assert (values.astype(np.float32).astype(np.float64) == values).all()


def test_signed_options_give_the_two_ends_alone():
    values = Symmetric(0.5, centre=1.0, signed=True).sample(DRAWS, 0.5)
    assert sorted(set(values.tolist())) == [0.75, 1.25]
    assert (values > 1).mean() == pytest.approx(0.5, abs=0.04)


def test_options_replace_bounds():
    assert Uniform(0, 1, identity=0).override([0.25, 0.5]).describe() == [0.25, 0.5]
    assert Uniform(0, 1, identity=0).override(0.25).describe() == [0.25, 0.25]
    assert Symmetric(1.0).override(3).describe() == 3.0
    assert Integers(0, 1, identity=0).override([2, 3]).describe() == [2, 3]
    assert Integers(0, 1, identity=0).override(2).describe() == [2, 2]
    assert Flag().override(0.5).describe() == 0.5
    assert Symmetric(1.0, centre=1.0).override([1.25, 1.5]) == Uniform(
        1.25, 1.5, identity=1.0, limits=(-179.0, 181.0)
    )
    assert Symmetric(1.0).override(["signed", 3]).describe() == ["signed", 3.0]
    assert Symmetric(1.0, signed=True).override(2).describe() == 2.0
    assert Signed(1.0).override(2).describe() == 2.0
    assert SymmetricIntegers(4).override(6).describe() == 6
    assert Ratio(2.0).override(4).describe() == 4.0
    assert Setting("a", choices=("a", "b")).override("b").default == "b"
    assert Setting(0, limits=(0, 255)).override(7).default == 7
    assert Setting(True).override(False).default is False


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        (Uniform(0, 1, identity=0, limits=(0, 1)), [0, 2], r"must be in \[0, 1\], got 2"),
        (Uniform(0, 1, identity=0), [1, 0], "low <= high, got .*: swap them"),
        (Uniform(0, 1, identity=0), [1, 2, 3], "a pair"),
        (Uniform(0, 1, identity=0), "much", "must be a number in"),
        (Uniform(0, 1, identity=0), float("nan"), "must be in"),
        (Symmetric(1.0, limit=2.0), -1, r"must be in \[0, 2\], got -1"),
        (Symmetric(1.0), True, "must be a number"),
        (Symmetric(1.0), ["signed", -1], r"must be in \[0, 180\], got -1"),
        (Symmetric(0.5, centre=1.0, limit=1.0), [-1, 1], r"must be in \[0, 2\], got -1"),
        (Integers(0, 1, identity=0), [0.5, 1], "two integers"),
        (Signed(1.0, limit=2.0), 3, r"must be in \[0, 2\], got 3"),
        (SymmetricIntegers(4), 1.5, "must be an integer, got 1.5"),
        (Ratio(2.0), 0.5, r"must be in \[1, 16\], got 0.5"),
        (Flag(), 1.5, r"must be in \[0, 1\]"),
        (Seed(), 3, "cannot be set"),
        (Setting("near", choices=("near", "far")), "fra", "Did you mean 'far'"),
        (Setting(0, choices=(0, 1)), True, "unknown value"),
        (Setting(0, limits=(0, 255)), 2.5, "must be an integer, got 2.5"),
        (Setting(0, limits=(0, 255)), 256, r"must be in \[0, 255\]"),
        (Setting(True), "yes", "of type bool, got 'yes'"),
    ],
)
def test_refuses_options_out_of_range(param, value, message):
    with pytest.raises(InputError, match=message):
        param.override(value)
