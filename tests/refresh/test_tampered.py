"""Files that change while a refresh runs, or between two of them: cached verdicts cover none."""

import shutil

import pytest

from components.push import live_model
from components.serving.history import read_history
from components.serving.rollback import rollback
from components.serving.verify import verify_serving
from schemas.errors import FailedError, InputError
from tests.refresh.support import Watch, refresh

GATES = {
    "floors": {"accuracy": 0.05},
    "ceilings": {"bytes": 10_000_000},
    "against_live": {"tolerated_loss": 0.99},
}


class When(Watch):
    """Acts once, when a node starts."""

    def __init__(self, node, action):
        super().__init__()
        self._start, self._then = node, action

    def __call__(self, event):
        super().__call__(event)
        if event.node == self._start and event.state == "running" and self._then:
            then, self._then = self._then, None
            then()


@pytest.fixture(scope="module")
def root(dataset, tmp_path_factory):
    """A root with two versions, the second live."""
    root = tmp_path_factory.mktemp("root")
    for seed in (1, 2):
        assert refresh(dataset, root, seed=seed, gates=GATES).status == "pushed"
    return root


def serving_of(root):
    return root / "digits-smoke" / "serving"


def newest(root, node, key):
    folders = (root / "digits-smoke" / "artifacts" / node / key).iterdir()
    return max(folders, key=lambda one: int(one.name))


@pytest.mark.full
def test_a_model_that_changed_after_it_was_judged_is_not_pushed(root, dataset):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh(dataset, root, When("Pusher", interrupt), seed=3, gates=GATES)
    live = live_model(serving_of(root)).version
    model = newest(root, "student", "model")
    (weights,) = (model / "Format-Serving").rglob("variables.data*")
    weights.write_bytes(bytes(len(weights.read_bytes())))  # a disk that lost what it had not synced
    watch = Watch()
    with pytest.raises(FailedError, match="'accuracy' judged other files than those in"):
        refresh(dataset, root, watch, seed=3, gates=GATES)
    assert watch.states["AccuracyGate"] == watch.states["SizeGate"] == "cached"
    assert live_model(serving_of(root)).version == live
    shutil.rmtree(model)
    assert refresh(dataset, root, seed=3, gates=GATES).status == "pushed"
    assert all(one.problems == () for one in verify_serving(serving_of(root)).versions)


@pytest.mark.full
def test_a_live_model_that_changes_meanwhile_is_no_weaker_opponent(root, dataset):
    live = live_model(serving_of(root))
    other = serving_of(root) / "1" / "variables"

    def exchange():
        shutil.move(live.path / "variables", root / "kept")
        shutil.copytree(other, live.path / "variables")

    outcome = refresh(dataset, root, When("student", exchange), seed=4, gates=GATES)
    shutil.rmtree(live.path / "variables")
    shutil.move(root / "kept", live.path / "variables")
    assert live_model(serving_of(root)).intact
    assert outcome.status == "refused"
    assert f"the files of version {live.version} changed while the refresh ran" in outcome.summary


@pytest.mark.full
def test_a_roll_back_meanwhile_wins(root, dataset):
    serving = serving_of(root)
    done = []
    watch = When("student", lambda: done.append(rollback(serving, reason="slow").version))
    outcome = refresh(dataset, root, watch, seed=5, gates=GATES)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    assert f"version {done[0]} is live by now" in outcome.summary
    assert live_model(serving).version == done[0]
    assert read_history(serving).events[-1].event == "refused"
    assert refresh(dataset, root, seed=5, gates=GATES).status == "pushed", "compared anew"


@pytest.mark.full
def test_two_refusals_of_one_run_are_both_told(root, dataset):
    def damage():
        model = newest(root, "student", "model") / "Format-Serving" / "saved_model.pb"
        model.write_bytes(b"no model")

    gates = {"floors": {"accuracy": 0.98}, "ceilings": {"bytes": 10_000_000}}
    outcome = refresh(dataset, root, When("SizeGate", damage), seed=6, gates=gates)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    accuracy, size = outcome.report.reasons
    assert "is below the floor 0.9800" in accuracy
    assert "the infra check refused" in size
    assert "the infra check refused" in read_history(serving_of(root)).events[-1].reason


@pytest.mark.full
def test_test_examples_that_changed_judge_nobody(root, dataset, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(dataset, copy)
    refresh(copy, tmp_path / "root", seed=1)
    shard = next(copy.glob("Split-test/*"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises((InputError, FailedError), match="changed since the manifest was written"):
        refresh(copy, tmp_path / "root", seed=2)


@pytest.mark.full
def test_a_profile_of_the_live_dataset_that_was_changed_refuses_any_other(root, dataset):
    """Nothing is trained, and the way out is named; a refresh that takes it says what it lacks."""
    live = live_model(serving_of(root)).version
    path = serving_of(root) / ".promotions" / str(live) / "evidence" / "01-data" / "profile"
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    watch = Watch()
    outcome = refresh(dataset, root, watch, seed=2, gates=GATES)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    (reason,) = outcome.report.reasons
    assert reason.startswith("drift could not be compared with the last accepted dataset: the prof")
    for told in (outcome.summary, read_history(serving_of(root)).events[-1].reason):
        assert "refresh.data.on_missing: pass for one refresh" in told
    assert watch.states["DataGate"] == "refused"
    assert "teacher" not in watch.states
    free = {"floors": {"accuracy": 0.05}, "ceilings": {"bytes": 10_000_000}}
    passed = refresh(dataset, root, seed=2, gates=free, data={"on_missing": "pass"})
    assert passed.status == "pushed", "a bundle that is damaged is written again"
    (line,) = [one for one in passed.summary.splitlines() if "drift was not compared" in one]
    assert "is not the one that was pushed" in line
    again = refresh(dataset, root, seed=2, gates=free)
    assert again.status == "nothing_new"
    assert "drift was not compared" not in again.summary
    path.write_bytes(content)
