"""What the cases damage, built once: a dataset of six images, a serving folder of two versions."""

import os

import pytest

import beam_runner
from tests.hostile import cases_datasets, cases_serving
from tests.hostile.inputs import MATERIALIZE, write_pictures
from tests.serving.support import push_text


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    here = os.getcwd()
    os.chdir(root)
    try:
        write_pictures()
        assert beam_runner.main(list(MATERIALIZE)) == 0
    finally:
        os.chdir(here)
    cases_datasets.BUILT["images"] = next(root.glob("out/mine/*"))
    push_text(root, "one")
    push_text(root, "two")
    cases_serving.BUILT["serving"] = root / "serving"


@pytest.fixture(autouse=True)
def no_power_failure(monkeypatch):
    """Nothing here cuts the power, and a busy disk takes seconds to sync."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
