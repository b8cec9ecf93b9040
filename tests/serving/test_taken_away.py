"""A model that was rolled back: what retention leaves of it, and how it comes back, if it does."""

import pytest

import beam_runner
from components.push import live_model, pushed_models
from components.serving.history import read_history
from components.serving.lift import lift
from components.serving.rollback import rollback
from components.serving.show import history_lines
from components.serving.verify import verify_serving
from schemas.errors import GateRefusal, InputError
from tests.serving.support import everything, push_text


@pytest.fixture
def serving(tmp_path):
    """A serving folder with three versions."""
    for text in ("first", "second", "third"):
        push_text(tmp_path, text)
    return tmp_path / "serving"


def versions(serving):
    return {
        int(one.name): (one / "saved_model.pb").read_text()
        for one in serving.iterdir()
        if one.name.isdecimal()
    }


def test_retention_keeps_a_model_that_was_rolled_back_where_there_is_no_other(tmp_path):
    push_text(tmp_path, "good")
    push_text(tmp_path, "bad")
    serving = tmp_path / "serving"
    rollback(serving, reason="slow")  # 3: good
    assert not push_text(tmp_path, "good", keep=1).pushed
    assert versions(serving) == {2: "bad", 3: "good"}
    with pytest.raises(GateRefusal, match="was version 2 until .* roll back to it: --to 2$"):
        push_text(tmp_path, "bad", keep=1)
    assert rollback(serving, reason="the network was slow", to=2).version == 4


def test_retention_keeps_the_one_that_was_rolled_back_last_and_is_whole(serving):
    rollback(serving, reason="third is slow")  # 4: second
    rollback(serving, reason="second too")  # 5: first
    (serving / "4" / "saved_model.pb").write_text("?")
    push_text(serving.parent, "first", keep=1)
    assert versions(serving) == {2: "second", 5: "first"}
    (serving / "2" / "saved_model.pb").write_text("?")
    push_text(serving.parent, "first", keep=1)
    assert versions(serving) == {5: "first"}, "what is damaged is nothing to go back to"


def test_a_model_that_was_not_rolled_back_is_the_better_one_to_keep(serving):
    rollback(serving, reason="third is slow")  # 4: second
    push_text(serving.parent, "second", keep=1)
    assert versions(serving) == {1: "first", 4: "second"}


@pytest.fixture
def gone(serving):
    """Version 3 was rolled back, and retention has removed it since."""
    rollback(serving, reason="p95 doubled")
    push_text(serving.parent, "fourth", keep=1)
    assert versions(serving) == {4: "second", 5: "fourth"}
    return serving


def test_what_is_gone_can_be_let_in_again_and_comes_by_a_push_alone(gone):
    with pytest.raises(
        GateRefusal, match="was version 3 until .*no whole version holds it.* `rollback --lift 3`"
    ):
        push_text(gone.parent, "third")
    with pytest.raises(InputError, match="version 3 was rolled back, and removed .* --lift 3; ver"):
        rollback(gone, reason="x", to=3)
    lift(gone, 3, reason="the network was slow")
    assert (live_model(gone).version, versions(gone)) == (5, {4: "second", 5: "fourth"})
    event = read_history(gone).events[-1]
    assert (event.event, event.version, event.reason) == ("lifted", 3, "the network was slow")
    assert "lifted       version 3" in "\n".join(history_lines(gone))
    assert verify_serving(gone).ok
    assert push_text(gone.parent, "third").version == 6
    assert next(pushed_models(gone)).version == 6
    assert rollback(gone, reason="slow all the same").origin == 5
    with pytest.raises(GateRefusal, match="was version 6 until"):
        push_text(gone.parent, "third")


def test_only_what_was_rolled_back_is_lifted(gone):
    before = everything(gone)
    for version in (1, 5, 9):
        with pytest.raises(InputError, match=f"version {version} is not one .*rolled back were: 3"):
            lift(gone, version, reason="x")
    with pytest.raises(InputError, match="needs a reason"):
        lift(gone, 3, reason=" ")
    with pytest.raises(InputError, match="no serving folder"):
        lift(gone.parent, 3, reason="x")
    assert everything(gone) == before


def test_the_command_lifts(gone, capsys):
    command = ["rollback", str(gone), "--lift", "3", "--reason", "it was the network"]
    assert beam_runner.main(command) == 0
    assert "may push the model of version 3 again, if its gates pass" in capsys.readouterr().out
    assert beam_runner.main(command) == 2
    assert "nothing to lift" in capsys.readouterr().err
    assert beam_runner.main([*command, "--to", "4"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_the_live_model_is_not_published_again(serving):
    rollback(serving, reason="third is slow")  # 4: second
    before = everything(serving)
    with pytest.raises(
        InputError, match="the model of version 2 is live already, as version 4; .* back to: 1, 3$"
    ):
        rollback(serving, reason="x", to=2)
    assert everything(serving) == before
    (serving / "4" / "saved_model.pb").write_text("?")
    assert rollback(serving, reason="disk", to=2).version == 5, "the live files are damaged"


def test_one_version_alone_has_nothing_to_go_back_to(tmp_path):
    push_text(tmp_path, "first")
    with pytest.raises(InputError, match="goes to by itself: there is no other version$"):
        rollback(tmp_path / "serving", reason="x")
    push_text(tmp_path, "second")
    rollback(tmp_path / "serving", reason="x")
    push_text(tmp_path, "first", keep=1)
    (tmp_path / "serving" / "2" / "saved_model.pb").unlink()
    with pytest.raises(InputError, match="was rolled back, .*wants --to; .* back to: 2$"):
        rollback(tmp_path / "serving", reason="x")
