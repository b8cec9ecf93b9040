"""What is live when its folder is not as a push left it: never a silent first run, never stuck."""

import shutil

import pytest

from components.push import live_model
from components.serving.baseline import find_baseline
from components.serving.verify import verify_serving
from tests.serving.support import push_text


@pytest.fixture
def serving(tmp_path):
    """A serving folder with two versions."""
    for text in ("first", "second"):
        push_text(tmp_path, text)
    return tmp_path / "serving"


def test_a_live_version_that_is_gone_can_be_replaced(serving, tmp_path):
    shutil.rmtree(serving / "2")
    found = find_baseline(serving)
    assert (found.state, found.version) == ("missing", 2)
    assert push_text(tmp_path, "third", instead_of=found.version).version == 3
    assert live_model(serving).intact


def test_versions_without_pointer_and_history_are_no_first_run(serving, tmp_path):
    shutil.rmtree(serving / ".promotions")
    (serving / "CURRENT").unlink()
    found = find_baseline(serving)
    assert (found.state, found.version) == ("missing", 0), "TensorFlow Serving serves version 2"
    assert push_text(tmp_path, "third", instead_of=found.version).version == 3


def test_a_live_model_whose_bundle_was_deleted_is_pushed_again_with_one(serving, tmp_path):
    shutil.rmtree(serving / ".promotions" / "2")
    found = find_baseline(serving)
    assert (found.state, found.version) == ("missing", 2)
    assert push_text(tmp_path, "second", instead_of=2).version == 3
    versions = {one.version: one.problems for one in verify_serving(serving).versions}
    assert not versions[3]


def test_a_version_that_the_history_knows_no_bundle_of_needs_none(serving):
    shutil.rmtree(serving / ".promotions")
    assert live_model(serving).intact, "an older program pushed it"
