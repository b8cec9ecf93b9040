"""Fixtures shared by all tests: real datasets, built once per session."""

import signal

import pytest

from pipelines.dataset.plan import make_plan
from schemas.recipe import load_recipe
from tests.golden.datasets import DATASETS


def pytest_configure():
    """Heed Ctrl-C's signal, which a shell that starts a job with ``&`` lets it ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _built(name, root):
    from pipelines.dataset.materialize import materialize

    recipe, overrides = DATASETS[name]
    return materialize(make_plan(load_recipe(recipe, overrides), str(root)))


@pytest.fixture(scope="session")
def digits_dataset(tmp_path_factory):
    """The shipped recipe ``digits``, materialized in this process. Read only."""
    return _built("digits", tmp_path_factory.mktemp("digits-dataset"))


@pytest.fixture(scope="session")
def reviews_dataset(tmp_path_factory):
    """The 100 sample reviews without copies. Read only."""
    pytest.importorskip("tfx.examples", reason="the reviews ship with the tfx package")
    return _built("reviews_sample originals", tmp_path_factory.mktemp("reviews-dataset"))
