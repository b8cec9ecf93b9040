"""Scores on corrupted images, how they are grouped, and how they are shown."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import robustness
from benchmarks.result import figures_of
from pipelines.probes.images import IMAGE_FAMILIES
from schemas.fitting import ImageModel
from schemas.probes import SEVERITIES

ROOT = Path(__file__).parents[2]
NOISE = {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"}


def made_up(clean, noise, rest):
    scores = {(robustness.CLEAN, 0): clean}
    for name in IMAGE_FAMILIES:
        for severity in SEVERITIES:
            level = noise if name in NOISE else rest
            scores[name, severity] = level - severity
    return scores


def figures(*seeds):
    runs = {key: {} for key in robustness.FIGURES}
    for plain, noisy in seeds:
        robustness._note(runs, {robustness.PLAIN: plain, robustness.NOISY: noisy})
    return figures_of(robustness.FIGURES, runs)


def test_the_recipes_differ_in_the_noise_alone():
    plain, noisy = (robustness.POLICIES[one]["slots"] for one in robustness.POLICIES)
    assert noisy[:-1] == plain
    assert robustness.seen_by(robustness.PLAIN) == set()
    assert robustness.seen_by(robustness.NOISY) == NOISE


def test_families_are_grouped_by_what_the_noise_has_shown():
    found = figures(
        (made_up(70, 43, 53), made_up(69, 63, 54)), (made_up(72, 43, 53), made_up(69, 65, 53))
    )
    accuracy, gated = found["accuracy"].parts, found["gated_accuracy"].parts
    assert accuracy["classic: seen with noise"].runs == [40, 40]
    assert accuracy["classic and gaussian_noise: seen with noise"].runs == [60, 62]
    assert found["gain"].parts["clean"].runs == [-1, -3]
    assert found["gain"].parts["unseen by both"].runs == [1, 0]
    assert found["family_gain"].parts["shot_noise"].runs == [20, 22]
    assert gated["classic"].runs == pytest.approx([(4 * 40 + 15 * 50) / 19] * 2, rel=1e-3)
    assert gated["classic and gaussian_noise"].runs == [51, 50]
    by_severity = found["severity_accuracy"].parts
    assert by_severity["classic: unseen by both, severity 5"].runs == [48, 48]


def test_tables_have_a_row_per_group_and_per_family():
    lines = robustness.table_lines(figures((made_up(70, 43, 53), made_up(69, 63, 54))))
    assert "| clean | 70.0 % ± 0.0 | 69.0 % ± 0.0 | -1.0 ± 0.0 |" in lines
    assert lines[3].startswith("| 4 families seen with noise: gaussian_noise, shot_noise, impulse")
    assert lines[4] == "| 15 families unseen by both | 50.0 % ± 0.0 | 51.0 % ± 0.0 | +1.0 ± 0.0 |"
    assert len(lines) == 9 + len(IMAGE_FAMILIES)
    assert sum("(seen with noise)" in line for line in lines) == 4


def test_what_cannot_change_is_not_scored():
    names = [one.name for one in robustness.families_for(1)]
    assert names == [name for name in IMAGE_FAMILIES if name != "saturate"]
    assert len(robustness.families_for(3)) == len(IMAGE_FAMILIES)


def test_a_network_is_asked_in_every_family_and_severity(digits_dataset):
    from components.data import batches, open_dataset
    from components.models import build_model
    from components.stages import be_deterministic

    data = open_dataset(digits_dataset.path)
    be_deterministic(1)
    model = build_model(ImageModel(width=4), data)
    found = robustness.scores(model, data, 6, 1)
    assert set(found) == {("clean", 0)} | {(n, s) for n in IMAGE_FAMILIES for s in SEVERITIES}
    right = [value * 6 / 100 for value in found.values()]
    assert right == pytest.approx(np.rint(right))
    assert len(set(found.values())) > 1

    images, keys, labels = robustness._test_examples(data, 10_000)
    stored = [one for some, _ in batches(data, "test", model) for one in some.numpy()]
    assert np.array_equal(images, stored)
    assert labels.tolist() == [int(one) for _, some in batches(data, "test", model) for one in some]
    some, few, _ = robustness._test_examples(data, 6)
    assert np.array_equal(some, images[[keys.index(one) for one in few]])


@pytest.mark.full
def test_quick_measures_the_declared_figures():
    program = (
        "import json; from benchmarks import robustness as r; from benchmarks.result import "
        "figures_of; f = figures_of(r.FIGURES, r.measure(quick=True).runs); print(json.dumps("
        "[list(f), len(r.table_lines(f))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == [list(robustness.FIGURES), 28]
