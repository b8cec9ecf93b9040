"""Figures as people read them."""

import math

import pytest

from schemas.figures import number, quantile


@pytest.mark.parametrize(
    ("value", "beside", "shown"),
    [
        (0.25, None, "0.2500"),
        (0.89999, 0.9, "0.89999"),
        (0.9, 0.89999, "0.90000"),
        (1_000_001, 1_000_000, "1,000,001"),
        (3, 5, "3"),
        (3, 0.5, "3.0000"),
        (1000.0, 1001, "1,000"),
        (1000.0, 1000.5, "1000.0000"),
        (3.0, None, "3.0000"),
        (0.1 + 0.2, 0.3, "0.30000000000000004"),
        (math.inf, 1.0, "unlimited"),
        (math.nan, 1.0, "nan"),
    ],
)
def test_numbers_have_the_digits_that_tell_them_apart(value, beside, shown):
    assert number(value, beside) == shown


def test_signs_are_written_where_asked():
    assert [number(one, signed=True) for one in (0.5, -0.5, 20)] == ["+0.5000", "-0.5000", "+20"]


def test_a_quantile_is_the_smallest_value_that_the_share_keeps_to():
    assert quantile(range(1, 21), 0.95) == 19
    assert quantile([3.0, 1.0], 0.5) == 1
    assert quantile([3.0, 1.0], 0.51) == 3
    assert quantile([2.0], 0.95) == 2
