"""The dataset that a new one is compared with: what proves its profile, and what does not."""

import dataclasses
import json
import shutil

import pytest

from components import data_checks
from components.data_checks import FIRST_RUN, DatasetProfile, profiles
from components.data_checks.features import EDGES
from components.push import push
from components.serving.baseline import find_baseline
from components.serving.bundle import Decision, Promotion
from components.serving.rollback import rollback
from pipelines.refresh_store import last_accepted
from schemas.report import Check, GateDecision


def profile(digest="d" * 64):
    part = profiles.SplitProfile(
        examples=3,
        classes={"cat": 1, "dog": 2},
        profiled=3,
        features={
            name: (3, *[0] * (len(edges) - 2)) for name, edges in EDGES["image"].items()
        },
    )  # fmt: skip
    splits = dict.fromkeys(("train", "eval", "test"), part)
    return DatasetProfile(digest=digest, modality="image", splits=splits)


def push_one(tmp_path, serving, content, kept=None):
    """Push a model; with a profile as evidence of the data gate."""
    model = tmp_path / content
    model.mkdir()
    (model / "saved_model.pb").write_text(content)
    decisions = []
    if kept is not None:
        check = Check(measure="examples in train", kind="at_least", limit=1, value=3)
        decision = GateDecision(gate="data", checks=(check,))
        data_checks.write(tmp_path / f"{content}-checks", kept, decision)
        evidence = {"profile": tmp_path / f"{content}-checks" / "profile.json"}
        decisions.append(Decision(record=decision.to_json(), evidence=evidence))
    push(model, serving, record={}, promotion=Promotion(decisions=decisions))


@pytest.fixture
def serving(tmp_path):
    push_one(tmp_path, tmp_path / "serving", "first", profile())
    return tmp_path / "serving"


def found(serving):
    return last_accepted(serving, find_baseline(serving))


def kept(serving):
    return serving / ".promotions" / "1" / "evidence" / "01-data" / "profile"


def test_a_profile_that_its_bundle_proves(serving):
    previous = found(serving)
    assert (previous.state, previous.profile) == ("present", profile())
    assert data_checks.Previous.from_json(json.loads(json.dumps(previous.to_json()))) == previous


def test_nothing_was_ever_live(tmp_path):
    assert found(tmp_path / "serving") == FIRST_RUN


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: content.replace(b'"classes"', b'"classez"'),
        lambda content: content.replace(b'"dog": 2', b'"dog": 1').replace(b'"cat": 1', b'"cat": 2'),
        lambda content: b"",
    ],
)
def test_a_profile_that_was_changed_is_missing(serving, damage):
    kept(serving).write_bytes(damage(kept(serving).read_bytes()))
    previous = found(serving)
    assert (previous.state, previous.profile) == ("missing", None)
    assert previous.why == "the profile of version 1's dataset is not the one that was pushed"


def test_a_profile_that_is_gone_or_a_link_is_missing(serving, tmp_path):
    kept(serving).rename(tmp_path / "elsewhere")
    kept(serving).symlink_to(tmp_path / "elsewhere")
    assert "cannot be used: " in found(serving).why
    kept(serving).unlink()
    assert found(serving).why == "the bundle of version 1 keeps no profile of its dataset"
    assert found(serving).state == "missing"


def test_a_bundle_that_is_damaged_proves_nothing(serving):
    bundle = serving / ".promotions" / "1" / "bundle.json"
    bundle.write_text(bundle.read_text().replace("saved_model.pb", "saved_model.pc"))
    previous = found(serving)
    assert previous.state == "missing"
    assert "cannot be used: .promotions/1/bundle.json: " in previous.why


def test_damage_to_the_model_alone_leaves_the_profile(serving):
    (serving / "1" / "saved_model.pb").write_text("damaged")
    assert find_baseline(serving).state == "missing"
    assert found(serving).profile == profile()


def test_a_live_version_that_no_data_gate_saw_is_no_first_run(tmp_path):
    push_one(tmp_path, tmp_path / "serving", "by_hand")
    previous = found(tmp_path / "serving")
    assert previous.state == "missing"
    assert previous.why == "the bundle of version 1 keeps no profile of its dataset"


def test_a_live_version_that_cannot_be_named_is_no_first_run(serving):
    (serving / "CURRENT").write_text("")
    shutil.rmtree(serving / "1")
    previous = found(serving)
    assert previous.state == "missing"
    assert "names no readable version" in previous.why


def test_a_roll_back_takes_the_profile_along(serving, tmp_path):
    push_one(tmp_path, serving, "second", profile("e" * 64))
    assert found(serving).profile == profile("e" * 64)
    rollback(serving, reason="slow")
    assert found(serving).profile == profile()


def test_a_profile_of_an_earlier_program_is_missing_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "FORMAT_VERSION", 0)
    push_one(tmp_path, tmp_path / "serving", "older", profile())
    monkeypatch.undo()
    previous = found(tmp_path / "serving")
    assert previous.state == "missing"
    assert previous.why.endswith(
        "cannot be used: a profile of format 0; this program compares with format 1"
    )
    edges = {"image": {**EDGES["image"], "contrast": (0.0, *EDGES["image"]["contrast"][2:])}}
    monkeypatch.setattr(profiles, "EDGES", edges)
    other = dataclasses.replace(profile(), digest="f" * 64)
    push_one(tmp_path, tmp_path / "serving", "bins", other)
    monkeypatch.undo()
    assert "a profile with other bins than this program's" in found(tmp_path / "serving").why
