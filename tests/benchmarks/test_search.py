import json
import subprocess
import sys

import pytest

from benchmarks import search
from benchmarks.result import figures_of
from benchmarks.search import DENSE, METHODS, SEARCH, UNIFORM, Network
from components.search import Point

QUICK = """
import json
from benchmarks import search
from benchmarks.result import figures_of

measured = search.measure(quick=True)
figures_of(search.FIGURES, measured.runs)
print(json.dumps(measured.runs))
"""


def made(accuracy, size, *, test=None, epochs=8, latency=0.1):
    point = Point(accuracy=accuracy, bytes=size, macs=size, latency_ms=latency)
    return Network(point=point, test=accuracy if test is None else test, epochs=epochs)


def networks():
    """Return the dense network of 80 % and 1,600 bytes, and what was made of it."""
    return {
        DENSE: [made(0.80, 1600, epochs=0)],
        SEARCH: [made(0.79, 400, test=0.77), made(0.70, 100), made(0.60, 200, epochs=2)],
        UNIFORM: [made(0.77, 300), made(0.60, 100)],
    }


def test_the_smallest_above_the_floor_is_chosen_on_eval_and_scored_on_test():
    figures = search.compared(networks())

    assert (figures[SEARCH]["bytes"], figures[SEARCH]["accuracy"]) == (400, 77)
    assert figures[UNIFORM]["bytes"] == 1600  # 77 % is below 78 %: the dense network ships
    assert figures[UNIFORM]["accuracy"] == figures[DENSE]["accuracy"] == 80
    assert [figures[name]["spent"] for name in (SEARCH, UNIFORM)] == [18, 16]
    # Common front: 79 % at 400 bytes, 77 % at 300, 70 % at 100.
    assert [figures[name]["front"] for name in METHODS] == [2, 1]


def test_the_hypervolume_is_a_mean_height_over_halvings():
    dense = made(0.80, 3200)

    # 5 of 5 halvings at 80 - 65 = 15 points; 2 of 5 at 10 points, then 1 more at 5.
    assert search.volume([made(0.80, 100)], dense) == pytest.approx(15)
    steps = [made(0.75, 800), made(0.70, 400)]
    assert search.volume(steps, dense) == pytest.approx((2 * 10 + 1 * 5) / 5)
    assert search.volume([made(0.80, 50)], dense) == pytest.approx(15)  # the range ends there
    assert search.volume([made(0.64, 100), made(0.9, 3200)], dense) == 0
    # The front is that of eval: what is surpassed there is not scored on test.
    lucky = [made(0.75, 800), made(0.74, 1600, test=0.99)]
    assert search.volume(lucky, dense) == pytest.approx(2 * 10 / 5)


def test_the_table_has_a_row_per_method_and_per_run():
    runs = {key: {} for key in search.FIGURES}
    for _ in range(2):
        for name, figures in search.compared(networks()).items():
            for key, value in figures.items():
                runs[key].setdefault(name, []).append(value)
    lines = search.table_lines(figures_of(search.FIGURES, runs))

    assert len(lines) == 2 + 3 * len(METHODS) + 3
    assert lines[2].startswith("| **search**, mean | 400 | 77.0 % | 0.100 |")
    assert lines[4].startswith("| search, run 2 | 400 |")
    assert lines[-1] == "| dense, run 2 | 1,600 | 80.0 % | 0.100 |  |  |"


@pytest.mark.full
def test_quick_mode_spends_the_same_epochs_on_every_method():
    command = [sys.executable, "-c", QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    runs = json.loads(done.stdout.splitlines()[-1])

    assert set(runs) == set(search.FIGURES)
    assert {name: values for name, values in runs["spent"].items()} == {
        name: [search.QUICK.budget] for name in METHODS
    }
