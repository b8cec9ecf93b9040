import json

import numpy as np
import pytest

from benchmarks import leakage, leakage_plants
from benchmarks.result import figures_of
from tests.dataset.near.photos import patches

TEXTS = [
    f"This was the {i}th film of the evening.<br /><br />I didn't like \"part {i}\", & left early. "
    f"The end, they say, is better than number {i + 1}." for i in range(40)
]  # fmt: skip


@pytest.mark.parametrize("name", leakage_plants.IMAGES)
def test_planted_images_change_and_are_drawn_by_the_generator(name):
    images = patches()[:12].copy()
    before = images.copy()
    make = leakage_plants.IMAGES[name].make
    one, again, other = (make(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(images, before)
    assert one.shape == images.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert (one != images).any(axis=(1, 2, 3)).mean() > 0.6
    assert name == "mirrored" or (one != other).any()


@pytest.mark.parametrize("name", ["truncated", "HTML", "case"])
def test_planted_texts_change_and_are_drawn_by_the_generator(name):
    make = leakage_plants.TEXTS[name].make
    one, again, other = (make(TEXTS, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert len(one) == len(TEXTS)
    assert sum(a != b for a, b in zip(one, TEXTS, strict=True)) >= 39


def test_decoys_are_related_but_no_copies():
    images = patches()[:5]
    assert np.array_equal(leakage_plants.upside_down(images)[:, ::-1], images)
    made = leakage_plants.sewn(TEXTS, np.random.default_rng(1))
    assert len(made) == len(TEXTS)
    words = set(" ".join(TEXTS).split(" "))
    assert all(set(text.split(" ")) <= words for text in made)
    assert not set(made) & set(TEXTS)


@pytest.mark.full
def test_quick_run_measures_the_declared_figures(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    measured = leakage.measure(quick=True)
    figures = figures_of(leakage.FIGURES, measured.runs)
    assert list(figures["image_recall"].parts) == list(leakage_plants.IMAGES)
    assert list(figures["text_recall"].parts) == list(leakage_plants.TEXTS)
    recall = {name: part.median for name, part in figures["image_recall"].parts.items()}
    assert recall["mirrored"] == 100
    assert min(recall[name] for name in ("padded crop", "noised", "re-encoded")) > 90
    assert "digits" in json.dumps(measured.conditions)
