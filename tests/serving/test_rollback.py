"""Going back, and what keeps from going back to the wrong thing."""

import json
import os

import pytest

import beam_runner
from components.push import live_model
from components.serving.bundle import read_bundle
from components.serving.history import read_history
from components.serving.rollback import rollback
from components.serving.seals import one_line, sealed
from components.serving.show import history_lines
from components.serving.store import record_refusal
from components.serving.verify import verify_serving
from components.tree import tree_digest
from schemas.errors import GateRefusal, InputError
from tests.serving.support import push_text


@pytest.fixture
def serving(tmp_path):
    """A serving folder with three versions."""
    for text in ("first", "second", "third"):
        push_text(tmp_path, text)
    return tmp_path / "serving"


def text_of(serving):
    return (live_model(serving).path / "saved_model.pb").read_text()


def test_the_old_model_is_live_again_under_a_new_number(serving):
    done = rollback(serving, reason="p95 doubled")
    assert (done.version, done.origin, done.replaced) == (4, 2, 3)
    assert (serving / "CURRENT").read_text() == "4\n"
    assert text_of(serving) == "second"
    assert live_model(serving).digest == read_bundle(serving, 2).digest == done.digest
    assert live_model(serving).record["rolled_back_to"] == 2
    event = read_history(serving).events[-1]
    assert (event.event, event.version, event.replaced, event.origin, event.reason) == (
        "rolled back", 4, 3, 2, "p95 doubled",
    )  # fmt: skip
    folder = serving / ".promotions" / "4"
    assert tree_digest(folder / "decisions") == tree_digest(serving / ".promotions/2/decisions")
    origin = (folder / "origin" / "bundle.json").read_text()
    assert origin == (serving / ".promotions/2/bundle.json").read_text()
    assert verify_serving(serving).ok


def test_bytes_that_are_no_text_stop_nothing(tmp_path, monkeypatch):
    """A terminal of Latin-1 wrote them; Python hands them on as lone surrogates."""
    name = os.fsdecode(b"J\xf6rg")
    monkeypatch.setenv("BEAM_REFINERY_BY", name)
    (tmp_path / name).mkdir()
    push_text(tmp_path / name, "first")
    serving = tmp_path / name / "serving"
    monkeypatch.delenv("BEAM_REFINERY_BY")
    monkeypatch.setenv("LOGNAME", name)
    monkeypatch.setattr("socket.gethostname", lambda: f"{name}-s")
    push_text(tmp_path / name, "second")
    record_refusal(serving, "accuracy is below", {"recipe": "digits"})
    rollback(serving, reason=f"{name} says so")
    events = read_history(serving).events
    assert [(one.by, one.reason) for one in events] == [
        ("J\\udcf6rg", "passed every gate"),
        ("J\\udcf6rg@J\\udcf6rg-s", "passed every gate"),
        ("J\\udcf6rg@J\\udcf6rg-s", "accuracy is below"),
        ("J\\udcf6rg@J\\udcf6rg-s", "J\\udcf6rg says so"),
    ]
    assert verify_serving(serving).ok
    assert "by J\\udcf6rg" in "\n".join(history_lines(serving))
    (serving / "2" / "saved_model.pb").write_text("changed")
    with pytest.raises(GateRefusal, match="version 2 does not verify"):
        rollback(serving, to=2, reason=f"{name} again")
    assert "(J\\udcf6rg again)" in read_history(serving).events[-1].reason


def test_a_second_roll_back_goes_further_and_never_to_the_bad_one(serving):
    assert rollback(serving, reason="third is slow").origin == 2
    assert rollback(serving, reason="second is slow too").origin == 1
    assert text_of(serving) == "first"
    with pytest.raises(InputError, match="no version before 5 that .* --to; .*: 2, 3, 4$"):
        rollback(serving, reason="and first")
    assert rollback(serving, reason="it was the network", to=3).version == 6
    assert text_of(serving) == "third"
    assert verify_serving(serving).ok


def test_what_was_rolled_back_is_not_pushed_again_until_somebody_says_so(serving):
    rollback(serving, reason="p95 doubled")
    with pytest.raises(GateRefusal, match=r"was version 3 until .* \(p95 doubled\); .* --to 3"):
        push_text(serving.parent, "third")
    assert text_of(serving) == "second"
    rollback(serving, reason="fixed", to=3)
    assert not push_text(serving.parent, "third").pushed
    push_text(serving.parent, "fourth")
    assert push_text(serving.parent, "third").pushed


@pytest.mark.parametrize("place", ["2/saved_model.pb", ".promotions/2/decisions/01-accuracy.json"])
def test_a_version_that_does_not_verify_stays_away_and_that_is_noted(serving, place):
    content = (serving / place).read_bytes()
    (serving / place).write_bytes(content.replace(b"e", b"E", 1))
    with pytest.raises(
        GateRefusal, match=f"version 2 does not verify, so .*{place}: content.*; version 1 .*--to 1"
    ):
        rollback(serving, reason="p95 doubled")
    assert text_of(serving) == "third"
    event = read_history(serving).events[-1]
    assert (event.event, event.version) == ("refused", None)
    assert event.reason.startswith(f"roll-back to 2 (p95 doubled): {place}: content")
    assert rollback(serving, reason="p95 doubled", to=1).version == 4


def test_a_damaged_live_version_is_no_obstacle(serving):
    (serving / "3" / "saved_model.pb").write_text("?")
    assert rollback(serving, reason="disk").origin == 2
    assert text_of(serving) == "second"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": 3}, "version 3 is live already; versions to go back to: 1, 2"),
        ({"to": 9}, "version 9 is not there; versions to go back to: 1, 2"),
        ({"reason": " "}, "needs a reason"),
    ],
)
def test_usage_that_is_refused(serving, settings, message):
    with pytest.raises(InputError, match=message):
        rollback(serving, **{"reason": "x", **settings})
    assert len(read_history(serving).events) == 3


@pytest.mark.parametrize(("keep", "left"), [(1, [4, 5]), (2, [4, 5]), (3, [3, 4, 5])])
def test_retention_keeps_the_live_one_and_one_to_go_back_to(serving, keep, left):
    push_text(serving.parent, "fourth")
    push_text(serving.parent, "fifth", keep=keep)
    assert sorted(int(one.name) for one in serving.iterdir() if one.name.isdecimal()) == left
    assert read_history(serving).retired(1)
    verdict = verify_serving(serving)
    assert verdict.ok, verdict
    with pytest.raises(InputError, match="version 1 was removed by retention"):
        rollback(serving, reason="x", to=1)
    assert push_text(serving.parent, "sixth").version == 6


def test_retention_skips_damaged_versions_when_it_looks_for_one_to_go_back_to(serving):
    (serving / "3" / "saved_model.pb").write_text("?")
    push_text(serving.parent, "fourth", keep=1)
    assert sorted(int(one.name) for one in serving.iterdir() if one.name.isdecimal()) == [2, 4]


def test_retention_keeps_an_old_live_version(serving):
    rollback(serving, reason="x", to=1)
    assert not push_text(serving.parent, "first", keep=1).pushed
    assert text_of(serving) == "first"


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = beam_runner.main([str(one) for one in arguments])
        return (status, *capsys.readouterr())

    return call


def test_commands(run, serving, monkeypatch):
    monkeypatch.setenv("BEAM_REFINERY_BY", "ann@example")
    status, out, err = run("verify", serving)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "ok: 3 versions are what was promoted"
    assert "ok        live pushed" in out.splitlines()[2]

    status, out, err = run("rollback", serving, "--reason", "p95 doubled")
    assert (status, err) == (0, "")
    assert out.startswith("version 4 is live: the model of version 2 (")

    status, out, _ = run("history", serving)
    assert status == 0
    assert "rolled back  version 4 (the model of version 2), after version 3" in out
    assert out.splitlines()[-1] == "    p95 doubled"
    events = json.loads(run("history", serving, "--json")[1])
    assert [one["event"] for one in events] == ["pushed"] * 3 + ["rolled back"]
    assert events[-1]["by"] == "ann@example"

    (serving / "3" / "saved_model.pb").write_text("th1rd")
    status, out, _ = run("verify", serving)
    assert status == 1
    assert "  3/saved_model.pb: content differs from the bundle (SHA-256)" in out
    assert out.splitlines()[-1].startswith("not ok: 1 problem; `rollback`")
    status, out, _ = run("verify", serving, "--json")
    verdict = json.loads(out)
    assert (status, verdict["ok"], verdict["versions"][3]["live"]) == (1, False, True)
    status, out, err = run("rollback", serving, "--to", "3", "--reason", "again")
    assert (status, out) == (3, "")
    assert err.startswith("error: version 3 does not verify")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rollback", "/nowhere", "--reason", "x"], "/nowhere: no serving folder"),
        (["rollback", "/nowhere"], "required: --reason"),
        (["history", "/nowhere"], "/nowhere: no serving folder"),
        (["verify", "/nowhere", "--public-key", "x"], "/nowhere: no manifest.json"),
    ],
)
def test_bad_usage(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err


def versions(serving):
    return {
        int(one.name): (one / "saved_model.pb").read_text()
        for one in serving.iterdir()
        if one.name.isdecimal()
    }


def test_retention_keeps_what_a_roll_back_goes_to_and_not_what_was_rolled_back(serving):
    rollback(serving, reason="third is slow")  # 4: second
    assert not push_text(serving.parent, "second", keep=1).pushed
    assert versions(serving) == {1: "first", 4: "second"}
    assert rollback(serving, reason="second is slow too").origin == 1


def test_retention_keeps_no_second_copy_of_the_live_model_instead(serving):
    rollback(serving, reason="x", to=1)  # 4: first
    push_text(serving.parent, "first", keep=2)
    assert versions(serving) == {2: "second", 3: "third", 4: "first"}


def test_a_roll_back_never_goes_by_itself_to_a_model_that_was_taken_away(serving):
    rollback(serving, reason="third is slow")  # 4: second
    push_text(serving.parent, "fifth")
    assert rollback(serving, reason="fifth too").origin == 4
    assert rollback(serving, reason="second at last").origin == 1, "not 3, which came before 4"
    assert text_of(serving) == "first"


def test_one_that_somebody_went_past_is_better_than_none(serving):
    rollback(serving, reason="third is slow", to=1)
    assert rollback(serving, reason="first is no better").origin == 2
    with pytest.raises(InputError, match="no version before 5 that"):
        rollback(serving, reason="nothing helps")


def test_what_was_rolled_back_is_known_when_nothing_of_it_is_left(serving):
    rollback(serving, reason="p95 doubled")
    for text in ("fourth", "fifth", "sixth"):
        push_text(serving.parent, text, keep=1)
    assert set(versions(serving)) == {6, 7}
    bundle = serving / ".promotions" / "3" / "bundle.json"
    bundle.write_text(bundle.read_text()[:-5])
    with pytest.raises(GateRefusal, match=r"was version 3 until .* \(p95 doubled\)"):
        push_text(serving.parent, "third")


def test_a_history_of_an_older_program_leaves_identities_to_the_bundles(serving):
    rollback(serving, reason="p95 doubled")
    path = serving / ".promotions" / "history.jsonl"
    previous, lines = None, []
    for line in path.read_text().splitlines():
        value = {**json.loads(line), "previous": previous}
        del value["identity"]
        lines.append(one_line(sealed(value)))
        previous = sealed(value)["sha256"]
    path.write_text("".join(lines))
    with pytest.raises(GateRefusal, match="was version 3 until"):
        push_text(serving.parent, "third")
    assert rollback(serving, reason="second too").origin == 1
