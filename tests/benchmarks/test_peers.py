import numpy as np
import pytest

from benchmarks import image_ops, registry, text_ops
from benchmarks.peers.process import peer, python_of
from benchmarks.result import figures_of
from schemas.errors import FailedError, InputError


def test_peers_that_cannot_be_installed_are_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InputError, match=r"(?s)peers cannot be installed.*albumentations.*--quick"):
        python_of("images")


def test_a_peer_that_does_not_start_says_why():
    with pytest.raises(FailedError, match="run_absent"), peer("absent", None, {}):
        pass


@pytest.mark.parametrize("side", image_ops.SIDES)
def test_image_speeds_are_measured_per_policy(side):
    images = image_ops._photographs(2, side)
    assert images.shape == (2, side, side, 3)
    assert images.dtype == np.uint8
    known = image_ops.policies(side)
    measured = {name: known[name] for name in ("rotate", "mixup", "4 ops")}
    speeds = image_ops._speeds(measured, images, {}, runs=1)
    assert list(speeds) == ["images_per_s"]
    assert list(speeds["images_per_s"]) == list(measured)


def test_quick_text_ops_measure_the_declared_figures(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    measured = text_ops.measure(quick=True)
    assert list(measured.runs) == list(text_ops.FIGURES)
    assert list(measured.runs["reviews_per_s"]) == list(text_ops.policies())
    assert "reviews_sample" in measured.conditions["reviews"]
    assert measured.conditions["peers"] == "left out by --quick"


@pytest.mark.full
def test_image_data_generator_measures_what_we_do(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, image_ops._photographs(3, 32))
    with peer("keras_generator", None, {"images": str(path)}) as generator:
        assert set(generator.names) <= set(image_ops.policies(32))
        assert [generator.cpu_seconds(name)[1] for name in generator.names] == [3] * 4


@pytest.mark.full
@pytest.mark.parametrize("name", ["image_ops", "training_input"])
def test_quick_runs_have_the_declared_figures(name, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    module = registry.module_of(name)
    assert set(module.measure(quick=True).runs) == set(module.FIGURES)


def test_figures_that_share_parts_are_shown_side_by_side():
    figures = figures_of(
        {"rate": ("images/s", "ours"), "vs": ("times", "against them")},
        {"rate": {"rotate": [1000.0, 2000.0, 1500.0], "mixup": [70.0]}, "vs": {"rotate": [2.5]}},
    )
    assert image_ops.table_lines(figures) == [
        "| median | ours (images/s) | against them (times) |",
        "| --- | ---: | ---: |",
        "| rotate | 1,500 | 2.50 (2.50 to 2.50) |",
        "| mixup | 70 |  |",
    ]
