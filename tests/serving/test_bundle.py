"""What a version can show for itself, and that every byte of it counts."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from components.acceptance import (
    Ceiling,
    Evidence,
    Floor,
    Predictions,
    decide,
    read_evidence,
    write_evidence,
)
from components.acceptance.records import RECORD
from components.acceptance.rules import RULES_VERSION
from components.artifact import folder_bytes
from components.push import live_model, push
from components.serving.bundle import Decision, read_bundle
from components.serving.card import card_markdown, model_card
from components.serving.decisions import INFRA_REPORT, judged
from components.serving.history import read_history
from components.serving.seals import indented, one_line, sealed
from components.serving.show import verdict_lines
from components.serving.verify import verify_serving
from components.tree import tree_digest
from schemas.canonical import sha256
from schemas.errors import FailedError
from schemas.infra import InfraReport
from tests.serving.support import (
    DECISION,
    everything,
    promotion,
    push_text,
    write_manifest,
    write_model,
    write_stage,
)


@pytest.fixture
def serving(tmp_path):
    """A serving folder with two versions."""
    for text in ("first", "second"):
        push_text(tmp_path, text)
    return tmp_path / "serving"


def lines(serving, **settings):
    verdict = verify_serving(serving, **settings)
    found = [*verdict.problems, *verdict.notes]
    return verdict.ok, found + [one for version in verdict.versions for one in version.problems]


def test_a_push_leaves_a_bundle_that_verifies(serving):
    assert lines(serving) == (True, [])
    folder = serving / ".promotions" / "2"
    assert set(everything(folder)) == {
        "bundle.json", "card.json", "card.md", "dataset.json", "stages/01-teacher.json",
        "stages/02-student.json", "decisions/01-accuracy.json",
        "evidence/01-accuracy/predictions/predictions.parquet",
    }  # fmt: skip
    bundle = read_bundle(serving, 2)
    assert (bundle.event.replaced, bundle.event.reason) == (1, "passed every gate")
    assert bundle.digest == live_model(serving).digest
    assert sum(name.startswith("2/") for name in bundle.files) == 3
    decision = json.loads((folder / "decisions" / "01-accuracy.json").read_text())
    assert decision == {**DECISION, "evidence": ["evidence/01-accuracy/predictions"]}


def test_the_card_says_what_was_recorded(serving):
    card = json.loads((serving / ".promotions" / "1" / "card.json").read_text())
    assert card["model"]["digest"] == "digest of student"
    assert card["data"]["classes"] == ["zero", "one"]
    text = (serving / ".promotions" / "1" / "card.md").read_text()
    assert "| student | train | - | teacher | 0.8000 | 10 | 40 |" in text
    assert "accuracy on test: 0.8100 on 360 examples (least allowed 0.7000)" in text


def test_the_card_shows_mcnemars_table_and_what_the_fresh_process_measured():
    table = {"both_right": 6311, "candidate_alone_right": 437, "live_alone_right": 637}
    table |= {"both_wrong": 2615, "mcnemar_one_sided": 1.0, "mcnemar_two_sided": 1e-9}
    times = tuple(float(one) for one in range(1, 101))
    infra = InfraReport(golden_difference=0, requests=9, load_seconds=1.5, latency_ms=times)
    decisions = [
        {"gate": "data", "checks": [], "notes": ["drift was not compared: gone"]},
        {"gate": "accuracy", "decisions": [{"reason": "it won", "numbers": table}]},
        {"gate": "size", "decisions": [], "measured": infra.summary()},
    ]
    text = card_markdown(model_card({}, manifest={}, stages=[], decisions=decisions))
    assert "- gate data: refused\n  - drift was not compared: gone\n" in text
    assert (
        "  - it won\n    - both right 6,311, candidate alone right 437, live alone right 637, "
        "both wrong 2,615; McNemar p=1 one-sided, 1e-09 two-sided\n"
    ) in text
    assert (
        "  - measured alone in a process:\n    - load seconds: 1.5000\n"
        "    - latency median ms: 51.0000\n    - latency p95 ms: 95.0000\n"
    ) in text
    assert "memory" not in text, "what was not measured is left out"


def test_every_flipped_byte_is_named(serving):
    for name, content in everything(serving).items():
        path = serving / name
        for position in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[position] ^= 1
            path.write_bytes(changed)
            _, found = lines(serving)
            assert any(one.startswith(f"{name}:") for one in found), (name, position, found)
        path.write_bytes(content)
    assert lines(serving) == (True, [])


def test_every_lost_and_every_added_file_is_named(serving):
    for name, content in everything(serving).items():
        path = serving / name
        path.unlink()
        _, found = lines(serving)
        assert any(name in one for one in found) or name.endswith("history.jsonl"), (name, found)
        assert found
        path.write_bytes(content)
    for name in ("1/extra", ".promotions/2/extra", "1/.gitignore"):
        (serving / name).write_text("?")
        ok, found = lines(serving)
        assert not ok
        assert [one.split(":")[0] for one in found] == [name]
        (serving / name).unlink()


def reseal(serving, version, change):
    """Change a file of a bundle and put its new digest into bundle.json, as a forger would."""
    folder = serving / ".promotions" / str(version)
    change(folder)
    value = json.loads((folder / "bundle.json").read_text())
    for name, one in value["files"].items():
        content = (serving / name).read_bytes()
        one.update(bytes=len(content), sha256=sha256(content))
    (folder / "bundle.json").write_text(indented(sealed(value)))


def test_a_bundle_that_was_made_to_fit_is_not_the_one_of_the_history(serving):
    reseal(serving, 1, lambda folder: (folder / "card.md").write_text("a better model"))
    ok, found = lines(serving)
    assert not ok
    assert found == [".promotions/1/bundle.json: not the one that the history names"]


def test_a_removed_and_an_altered_line_of_the_history_are_named(serving):
    path = serving / ".promotions" / "history.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(second)
    assert any("line 1: does not follow" in one for one in lines(serving)[1])
    path.write_text(first.replace("passed", "missed") + second)
    assert any("line 1: changed since" in one for one in lines(serving)[1])
    path.write_text(first)
    ok, found = lines(serving)
    assert (ok, found) == (True, ["2: not in the history yet; the next push adds it"])
    path.unlink()
    assert any(
        "lacks the line that was its last when version 2" in one for one in lines(serving)[1]
    )


@pytest.fixture
def accepted(tmp_path):
    """The evidence of an accepted model: 300 answers, 290 of them right."""
    right = np.arange(300) < 290
    labels = np.arange(300) % 2
    answers = np.where(right, labels, 1 - labels)
    shares = np.where(np.arange(2) == answers[:, None], 0.9, 0.1)
    keys = [f"test-{one:04d}" for one in range(300)]
    table = Predictions.of(shares, labels, keys, classes=("zero", "one"))
    rules, evidence = (Floor(threshold=0.9),), Evidence(tables={"test": table})
    folder = tmp_path / "accepted"
    write_evidence(folder, rules, evidence, decide(rules, evidence))
    return folder


def test_decisions_are_made_again_from_the_predictions(tmp_path, accepted):
    shown = promotion(tmp_path / "shown", decisions=(judged("acceptance", accepted),))
    push_text(tmp_path, "first", promotion=shown)
    serving = tmp_path / "serving"
    assert lines(serving) == (True, [])
    assert "floor 0.9000" in (serving / ".promotions/1/card.md").read_text()

    name = ".promotions/1/decisions/01-acceptance.json"
    value = json.loads((serving / name).read_text())
    stored = json.loads((accepted / "decisions.json").read_text())
    stored["rules"][0]["threshold"] = 0.99  # a limit that it does not keep to
    (accepted / "decisions.json").write_text(json.dumps(stored))
    with pytest.raises(FailedError, match="does not give the stored decision 'accuracy'"):
        judged("acceptance", accepted)
    forged = Decision(record=value, evidence={"predictions": accepted})
    push_text(tmp_path, "second", promotion=promotion(tmp_path / "shown", decisions=(forged,)))
    ok, found = lines(serving)
    assert not ok
    assert len(found) == 1
    assert found[0].startswith(name.replace("/1/", "/2/") + ": evidence/01-acceptance/predictions/")
    bare = Decision(record=value)
    push_text(tmp_path, "third", promotion=promotion(tmp_path / "shown", decisions=(bare,)))
    assert "is missing, which it rests on" in lines(serving)[1][-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blessed": False}, "a model that a gate refused is not pushed: accuracy"),
        ({"blessed": None}, "a model that a gate refused is not pushed: accuracy"),
    ],
)
def test_a_refused_model_gets_no_bundle_and_no_version(tmp_path, change, message):
    refused = Decision(record={**DECISION, **change})
    with pytest.raises(FailedError, match=message):
        push_text(tmp_path, "bad", promotion=promotion(tmp_path / "shown", decisions=(refused,)))
    assert live_model(tmp_path / "serving") is None
    assert not [one for one in (tmp_path / "serving").rglob("*") if one.is_file()
                and one.name != ".push.lock"]  # fmt: skip


@pytest.mark.parametrize("kind", ["figures", "dataset", "teacher", "manifest", "model"])
def test_lineage_that_does_not_hold_is_named(tmp_path, kind):
    shown = promotion(tmp_path / "shown")
    folder = tmp_path / "shown"
    record = {"record": {"model_digest": "digest of student"}}
    if kind == "figures":
        checks = [{**DECISION["checks"][0], "value": 0.6}]
        shown = dataclasses.replace(
            shown, decisions=(Decision(record={**DECISION, "checks": checks}),)
        )
        expected = "decisions/01-accuracy.json: does not follow from its figures: accuracy on test"
    elif kind == "dataset":
        write_stage(folder / "student.json", "student", "other")
        expected = "stages/02-student.json: trained on another dataset"
    elif kind == "teacher":
        write_stage(folder / "student.json", "student", write_manifest(folder / "manifest.json"),
                    teacher="unknown")  # fmt: skip
        expected = "stages/02-student.json: its teacher is none of the stages"
    elif kind == "manifest":
        text = (folder / "manifest.json").read_text()
        (folder / "manifest.json").write_text(text.replace('"bytes": 9', '"bytes": 8'))
        expected = "dataset.json: its digest is not that of the files"
    else:
        record = {"record": {"model_digest": "another"}}
        expected = "1/push.json: its model is none of the stages"
    push(write_model(tmp_path / "model", "m"), tmp_path / "serving", promotion=shown, **record)
    ok, found = lines(tmp_path / "serving")
    assert not ok
    assert len(found) == 1
    assert expected in found[0]


def test_a_version_of_an_older_program_stays_and_is_named(serving):
    shutil.rmtree(serving / ".promotions")
    ok, found = lines(serving)
    assert not ok
    assert found[0] == ".promotions/1: missing: nothing shows what was promoted"
    assert live_model(serving).intact
    assert not push_text(serving.parent, "second").pushed
    assert push_text(serving.parent, "third").version == 3


@pytest.mark.parametrize("place", ["2/saved_model.pb", ".promotions/2/card.md"])
def test_a_live_version_that_is_damaged_is_filled_again_as_the_next_one(serving, place):
    (serving / place).write_text("?")
    again = push_text(serving.parent, "second")
    assert (again.version, again.pushed) == (3, True)
    assert live_model(serving).intact
    assert [one.version for one in verify_serving(serving).versions if one.problems] == [2]


def test_history_tells_who_when_and_why(serving, monkeypatch):
    monkeypatch.setenv("BEAM_REFINERY_BY", "ci")
    push_text(serving.parent, "third")
    events = read_history(serving).events
    assert [one.version for one in events] == [1, 2, 3]
    assert (events[-1].by, events[-1].replaced, events[-1].about["recipe"]) == ("ci", 2, "digits")
    assert events[-1].time.endswith("+00:00")
    assert not push_text(serving.parent, "third").pushed
    assert len(read_history(serving).events) == 3


def judged_on(folder, files):
    """Return the decision of a gate about a model whose files have that digest."""
    labels = np.arange(300) % 2
    table = Predictions.of(
        np.eye(2)[labels], labels, [f"test-{one:04d}" for one in range(300)],
        classes=("zero", "one"), about={"files": files},
    )  # fmt: skip
    rules, evidence = (Floor(threshold=0.9),), Evidence(tables={"test": table})
    write_evidence(folder, rules, evidence, decide(rules, evidence))
    return judged("acceptance", folder)


def test_a_folder_whose_name_is_no_text_verifies_all_the_same(tmp_path, accepted):
    """Evidence is read through Arrow, which takes no such path."""
    folder = tmp_path / os.fsdecode(b"J\xf6rg")
    folder.mkdir()
    push_text(
        folder,
        "first",
        promotion=promotion(folder / "shown", decisions=(judged("acceptance", accepted),)),
    )
    assert lines(folder / "serving") == (True, [])


def test_files_that_no_gate_judged_are_not_pushed(tmp_path):
    push_text(tmp_path, "first")
    digest = live_model(tmp_path / "serving").digest
    decision = judged_on(tmp_path / "found", digest)
    shown = promotion(tmp_path / "shown", decisions=(decision,))
    with pytest.raises(FailedError, match="'acceptance' judged other files than those in"):
        push_text(tmp_path, "second", promotion=shown)
    assert live_model(tmp_path / "serving").version == 1


def test_evidence_about_another_model_is_named(tmp_path):
    decision = judged_on(tmp_path / "found", "d" * 64)
    record = {key: one for key, one in decision.record.items() if key != "files"}
    forged = Decision(record=record, evidence=decision.evidence)
    push_text(tmp_path, "first", promotion=promotion(tmp_path / "shown", decisions=(forged,)))
    ok, found = lines(tmp_path / "serving")
    assert not ok
    assert [one.split(": ", 1)[1] for one in found] == [
        "its evidence is about another model than the one that was pushed"
    ]


def weighed(folder, files, size, **costs):
    """Return the decision of the size gate about files of that digest, weighed as ``size``."""
    rules = (Ceiling(metric="bytes", threshold=1000),)
    evidence = Evidence(tables={}, costs={"bytes": size, **costs}, files=files)
    write_evidence(folder, rules, evidence, decide(rules, evidence))
    infra = InfraReport(golden_difference=0, requests=9, load_seconds=1.5, latency_ms=(1.0, 2.0))
    (folder / INFRA_REPORT).write_text(json.dumps(infra.to_json()))
    return judged("size", folder)


def test_files_that_nobody_weighed_are_not_pushed(tmp_path):
    model = write_model(tmp_path / "model-first", "first")
    size = folder_bytes(model)
    right = weighed(tmp_path / "right", tree_digest(model), size)
    assert right.record["measured"]["latency_p95_ms"] == 2.0
    push_text(tmp_path, "first", promotion=promotion(tmp_path / "shown", decisions=(right,)))
    assert lines(tmp_path / "serving") == (True, [])
    other = weighed(tmp_path / "other", "d" * 64, size)
    with pytest.raises(FailedError, match="'size' judged other files than those in"):
        push_text(tmp_path, "second", promotion=promotion(tmp_path / "shown", decisions=(other,)))


@pytest.mark.parametrize("files", ["own", None, "d" * 64])
def test_evidence_that_weighed_something_else_is_named(tmp_path, files):
    model = write_model(tmp_path / "model-first", "first")
    digest, size = tree_digest(model), folder_bytes(model)
    found = weighed(tmp_path / "found", digest if files == "own" else files, 10)
    record = {key: one for key, one in found.record.items() if key != "files"}
    forged = Decision(record=record, evidence=found.evidence)
    push_text(tmp_path, "first", promotion=promotion(tmp_path / "shown", decisions=(forged,)))
    ok, problems = lines(tmp_path / "serving")
    assert not ok
    said = [one.split(": ", 1)[1] for one in problems]
    assert said[-1] == f"its evidence says 10 bytes, and the version has {size}"
    another = "its evidence is about another model than the one that was pushed"
    assert said[:-1] == ([another] if files == "d" * 64 else [])


def test_evidence_about_the_files_of_two_models_decides_nothing(tmp_path):
    judged_on(tmp_path / "found", "a" * 64)
    rules, evidence, _ = read_evidence(tmp_path / "found")
    evidence = dataclasses.replace(evidence, costs={"bytes": 10}, files="b" * 64)
    write_evidence(tmp_path / "found", rules, evidence, decide(rules, evidence))
    with pytest.raises(FailedError, match="about the files of several models"):
        judged("acceptance", tmp_path / "found")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("decisions", 0, "value"), 0.99),
        (("decisions", 0, "bound"), 0.99),
        (("decisions", 0, "threshold"), 0.99),
        (("decisions", 0, "reason"), "it is the best of all"),
        (("decisions", 0, "numbers", "alpha"), 0.01),
        (("decisions", 0, "passed"), False),
        (("decisions", 0, "outcome"), "itself"),
        (("slices", 0, "accuracy"), 1.0),
        (("slices", 0, "examples"), 10),
        (("corruptions",), [{"name": "unseen", "examples": 1, "accuracy": 1.0, "bound": 0.1}]),
        (("measured",), {"latency_p95_ms": 0.1}),
        (("files",), "d" * 64),
        (("winner",), True),
    ],
)
def test_whatever_a_decision_says_must_follow_from_its_evidence(tmp_path, accepted, place, value):
    record = json.loads(json.dumps(judged("acceptance", accepted).record))
    inner = record
    for name in place[:-1]:
        inner = inner[name]
    assert inner.get(place[-1]) != value
    inner[place[-1]] = value
    forged = Decision(record=record, evidence={"predictions": accepted})
    shown = promotion(tmp_path / "shown", decisions=(forged,))
    if place == ("files",):  # which a push compares
        with pytest.raises(FailedError, match="judged other files"):
            push_text(tmp_path, "first", promotion=shown)
        return
    push_text(tmp_path, "first", promotion=shown)
    ok, found = lines(tmp_path / "serving")
    assert not ok
    assert found == [
        ".promotions/1/decisions/01-acceptance.json: does not follow from its evidence: "
        f"{place[0]} differs"
    ]


def test_last_digits_of_numbers_are_no_lie(tmp_path, accepted):
    record = json.loads(json.dumps(judged("acceptance", accepted).record))
    record["slices"][0]["bound"] *= 1 + 1e-9
    close = Decision(record=record, evidence={"predictions": accepted})
    push_text(tmp_path, "first", promotion=promotion(tmp_path / "shown", decisions=(close,)))
    assert lines(tmp_path / "serving") == (True, [])


def test_a_history_that_names_another_model_is_named(serving):
    path = serving / ".promotions" / "history.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + one_line(sealed({**json.loads(second), "identity": "another"})))
    assert lines(serving) == (
        False,
        [".promotions/2/bundle.json: of another model than the history names"],
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"gate": "accuracy", "blessed": true}', "rests on nothing"),
        ('{"gate": "data", "blessed": true, "checks": [], "problems": []}', "rests on nothing"),
        ("[]", "holds what no push writes"),
        ("no JSON", "holds what no push writes"),
    ],
)
def test_a_bundle_that_was_sealed_around_something_else_is_named(serving, content, message):
    path = serving / ".promotions" / "history.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first)  # so that the history cannot tell
    reseal(serving, 2, lambda one: (one / "decisions/01-accuracy.json").write_text(content))
    ok, found = lines(serving)
    assert not ok
    assert any(message in one for one in found)


@pytest.mark.parametrize("passed", [True, False])
def test_what_other_rules_decided_is_not_decided_again_and_no_damage(tmp_path, accepted, passed):
    record = json.loads(json.dumps(judged("acceptance", accepted).record))
    record["decisions"][0] |= {"bound": 0.91, "reason": "in other words", "passed": passed}
    stored = json.loads((accepted / RECORD).read_text())
    assert stored["rules_version"] == RULES_VERSION
    del stored["rules_version"]  # as before there were versions
    (accepted / RECORD).write_text(json.dumps(stored))
    older = Decision(record=record, evidence={"predictions": accepted})
    push_text(tmp_path, "first", promotion=promotion(tmp_path / "shown", decisions=(older,)))
    verdict = verify_serving(tmp_path / "serving")
    name = ".promotions/1/decisions/01-acceptance.json"
    (one,) = verdict.versions
    assert one.notes == (
        f"{name}: decided by version 0 of the tests, and this program has version "
        f"{RULES_VERSION}: not decided again",
    )
    assert f"  note: {one.notes[0]}" in list(verdict_lines(verdict))
    assert verdict.to_json()["versions"][0]["notes"] == list(one.notes)
    wrong = () if passed else (f"{name}: does not follow from what it lists",)
    assert (verdict.ok, one.problems) == (passed, wrong)
