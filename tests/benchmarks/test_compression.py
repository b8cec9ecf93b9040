import dataclasses

import numpy as np
import pytest

from benchmarks import compression, compression_arms
from benchmarks.compression_arms import DENSE, FULL, QUICK, SHIPS, Arm, arms, networks
from benchmarks.result import figures_of
from schemas.fitting import ImageModel, Teachable
from schemas.stages import TrainConfig


@pytest.mark.parametrize("size", [FULL, QUICK])
def test_every_arm_comes_after_those_it_needs(size):
    seen = set()
    for arm in arms(size):
        assert arm.name not in seen
        assert {arm.base, arm.teacher} - {None} <= seen
        seen.add(arm.name)
    labels = [arm.label for arm in networks(size)]
    assert len(set(labels)) == len(labels)
    assert all(labels)


def made_up():
    dense, ships = "dense", "ships"
    runs = {key: {} for key in compression.FIGURES}
    for key, before, after in (
        ("accuracy", [80.0, 82.0], [79.0, 82.0]),
        ("float_accuracy", [80.5, 82.5], [79.5, 82.0]),
        ("loss", [0.0, 0.0], [1.0, 0.0]),
        ("parameters", [1000, 1000], [90, 90]),
        ("bytes", [2000, 2000], [200, 160]),
        ("gzip_bytes", [1900, 1900], [190, 150]),
        ("macs", [50.0, 50.0], [5.0, 5.0]),
        ("latency", [0.12, 0.12], [0.02, 0.015]),
    ):
        runs[key] = {dense: before, ships: after}
    losses = [np.array([1, 0, 0, 0]), np.array([1, -1, 0, 0])]
    compression._headline(runs, losses, {DENSE: dense, SHIPS: ships})
    return runs


def test_headline_is_of_the_dense_network_and_what_ships():
    runs = made_up()
    assert runs["bytes_ratio"] == [10, 12.5]
    assert runs["latency_ratio"] == pytest.approx([6, 8])
    assert runs["loss_points"] == [1.0, 0.0]
    # Means of the four examples 100, -50, 0, 0: 12.5, deviation 62.9, standard error 31.5.
    low, high = (runs["loss_interval"][key][0] for key in ("low", "high"))
    assert (low + high) / 2 == pytest.approx(12.5)
    assert high - low == pytest.approx(2 * 1.96 * 62.915 / 2, rel=1e-4)


def test_table_shows_means_and_spread():
    lines = compression.table_lines(figures_of(compression.FIGURES, made_up()))
    assert "**11.2 times** fewer bytes (10.0 to 12.5)" in lines[0]
    assert "**+0.50 points** lost" in lines[0]
    assert lines[-2].startswith("| dense | 81.00 % ± 1.41 |  | 81.50 % | 1,000 | 2,000 |")
    assert "| 80.50 % ± 2.12 | +0.50 ± 0.50 |" in lines[-1]


def test_an_arm_is_made_once_and_again_when_its_settings_change(
    digits_dataset, tmp_path, monkeypatch
):
    config = TrainConfig(model=ImageModel(width=4), epochs=1, batch_size=64, examples=64)
    dense = Arm(name=DENSE, label="dense", kind="train", config=config)
    own = Teachable(epochs=1, batch_size=64, examples=64)
    twin = Arm(name="twin", label="twin", kind="twin", config=own, base=DENSE)
    monkeypatch.setattr(compression_arms, "arms", lambda size: [dense, twin])
    made = []
    monkeypatch.setattr(compression_arms, "say", made.append)

    def train():
        made.clear()
        compression_arms.train_all(digits_dataset.path, tmp_path, QUICK, 1)
        return [line.split()[2] for line in made if " eval " in line]

    assert train() == [DENSE, "twin"]
    assert train() == []
    twin = dataclasses.replace(twin, config=dataclasses.replace(own, epochs=2))
    assert train() == ["twin"]
    dense = dataclasses.replace(dense, config=dataclasses.replace(config, learning_rate=0.1))
    assert train() == [DENSE, "twin"]


@pytest.mark.full
def test_quick_run_measures_every_figure():
    measured = compression.measure(quick=True)
    assert set(measured.runs) == set(compression.FIGURES)
    assert set(measured.runs["accuracy"]) == {arm.label for arm in networks(QUICK)}
