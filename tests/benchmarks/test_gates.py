"""The benchmark of the gates decides as the gate does, and errs no more than alpha."""

import numpy as np
import pytest

from benchmarks import gates
from benchmarks.result import figures_of, load_result
from components.acceptance.paired import Discordance, p_value


def test_quick_run_has_the_declared_figures():
    measured = gates.measure(quick=True)
    figures = figures_of(gates.FIGURES, measured.runs)
    lines = gates.table_lines(figures)
    assert any(line.startswith("| better by 0.5 points, required gain 0 |") for line in lines)
    assert any(line.startswith("| 200 examples: loss, sure mistakes in 0.5 % |") for line in lines)
    assert measured.seeds == {"run 1": 1}


@pytest.mark.parametrize("margin", [0.0, -0.01])
def test_a_comparison_is_promoted_where_the_test_rejects(margin):
    found = np.random.default_rng(2).multinomial(400, [0.05, 0.04, 0.91], size=60)[:, :2]
    expected = [
        p_value(Discordance(gains=int(one[0]), losses=int(one[1]), examples=400), margin) <= 0.05
        for one in found
    ]
    assert gates.promoted(found, 400, margin) == np.mean(expected)


def test_committed_rates_keep_to_alpha():
    figures = load_result("gates").figures
    alpha = figures["alpha"].total.median
    assert all(one.median <= alpha for one in figures["exact_rate"].parts.values())
    rates = figures["false_promotion_rate"].parts
    for part, one in rates.items():
        assert one.median <= alpha + 0.1, part  # 0.1: noise of drawing 100,000 comparisons
        if "the model itself" in part:
            assert one.max == 0, part
    assert sum("whole tables" in part for part in rates) == 2 * len(gates.METRICS)
    bounds = figures["bound_rate"].parts
    assert all(one.max <= alpha for one in bounds.values())
    for figure in ("loss", "calibration error"):
        assert any(f"{figure}, sure mistakes" in part for part in bounds)
    power = figures["power"].parts
    for points in gates.POINTS:
        medians = [power[f"{points:g} points, {size:,} examples"].median for size in gates.SIZES]
        assert medians == sorted(medians)
