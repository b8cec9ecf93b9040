"""Killed at every step, two at once, a full disk, a read-only one: the old state or the new."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from components.push import live_model
from components.serving.history import read_history
from components.serving.rollback import rollback
from components.serving.show import events_of
from components.serving.store import record_refusal, version_numbers
from components.serving.verify import verify_serving
from schemas.errors import FailedError
from tests.serving.support import (
    dying_at,
    everything,
    forked,
    promotion,
    push_text,
    raising_at,
    write_model,
)


@pytest.fixture
def root(tmp_path):
    """A folder with ``serving``, in which two versions are, of at most two."""
    (tmp_path / "root").mkdir()
    for text in ("first", "second"):
        push_text(tmp_path / "root", text)
    write_model(tmp_path / "root" / "model-third", "third")
    return tmp_path / "root"


def act(action, root):
    if action == "push":  # a third one, and the first one goes
        push_text(root, "third", keep=2)
    elif action == "rollback":
        rollback(root / "serving", reason="slow")
    else:
        record_refusal(root / "serving", "accuracy 0.6 is below 0.7", {"recipe": "digits"})


# Dead after a step is mostly dead before the next one.
@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.full)])
@pytest.mark.parametrize("action", ["push", "rollback", "refusal"])
def test_killed_at_any_step_leaves_the_old_or_the_new_state(root, tmp_path, action, when):
    old = live_model(root / "serving").digest
    done = tmp_path / "done"
    shutil.copytree(root, done)
    act(action, done)
    new, expected = live_model(done / "serving").digest, listed(done / "serving")
    step, seen = 0, set()
    while True:
        step += 1
        copy = tmp_path / str(step)
        shutil.copytree(root, copy)
        code = dying_at(step, when, lambda copy=copy: act(action, copy))
        serving = copy / "serving"
        live = live_model(serving)
        assert live.intact
        seen.add(live.digest)
        verdict = verify_serving(serving)
        assert verdict.ok, (step, verdict)
        assert all(one.event != "unknown" for one in verdict.versions), "no version lacks a bundle"
        published = [one for one in events_of(serving) if one.version is not None]
        newest = max(one.version for one in verdict.versions)
        assert max(one.version for one in published) == newest, "the history names every version"
        if code == 0:
            break
        assert code == 9
        complete = newest == 3  # a roll-back after that would be a second one
        act("refusal" if action == "rollback" and complete else action, copy)
        assert live_model(serving).digest == new
        if action == "push":
            assert listed(serving) == expected
        verdict = verify_serving(serving)
        assert (verdict.ok, verdict.notes) == (True, ()), "nothing is left over"
        shutil.rmtree(copy)
    assert seen == {old, new}
    assert step > (3 if action == "refusal" else 25)


def test_retention_on_a_full_disk_leaves_the_push_that_it_follows(root):
    """There is room for the model and its line, and none for the line of the removed version."""
    serving = root / "serving"
    record_refusal(serving, "x" * 20_000, {})  # nothing else is as large as the history
    history = serving / ".promotions" / "history.jsonl"
    done = root.with_name("done")
    shutil.copytree(root, done)
    push_text(done, "third")
    room = (done / "serving" / ".promotions" / "history.jsonl").stat().st_size

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        assert push_text(root, "third", keep=2).pushed

    assert forked(limited) == 0
    assert live_model(serving).version == 3
    assert history.stat().st_size == room
    assert (verify_serving(serving).ok, verify_serving(serving).notes) == (True, ())
    assert version_numbers(serving) == [1, 2, 3]
    assert not push_text(root, "third", keep=2).pushed
    assert version_numbers(serving) == [2, 3]
    assert verify_serving(serving).ok


@pytest.mark.parametrize("action", ["push", pytest.param("rollback", marks=pytest.mark.full)])
def test_a_disk_that_refuses_any_one_step_is_an_error_or_no_matter(root, tmp_path, action):
    """What fails leaves the old state; what goes on pushes, and the next push tidies up."""
    before, old = everything(root / "serving"), live_model(root / "serving").digest
    step, outcomes, found = 0, set(), True
    while found:
        step += 1
        copy = tmp_path / str(step)
        shutil.copytree(root, copy)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        code, found = raising_at(step, "before", lambda copy=copy: act(action, copy), full)
        serving = copy / "serving"
        outcomes.add(code)
        assert verify_serving(serving).ok, step
        if code == 9:
            assert everything(serving) == before, step
        else:
            assert (code, live_model(serving).intact) == (0, True), step
            assert live_model(serving).digest != old, step
        push_text(copy, "fourth", keep=2)
        verdict = verify_serving(serving)
        assert (verdict.ok, verdict.notes) == (True, ()), step
        shutil.rmtree(copy)
    assert outcomes == {0, 9}
    assert step > 25


@pytest.mark.parametrize("when", ["after", pytest.param("before", marks=pytest.mark.full)])
@pytest.mark.parametrize("action", ["push", pytest.param("rollback", marks=pytest.mark.full)])
def test_an_interrupt_at_any_step_leaves_the_old_or_the_new_state(root, tmp_path, action, when):
    step, seen, found = 0, set(), True
    while found:
        step += 1
        copy = tmp_path / str(step)
        shutil.copytree(root, copy)
        code, found = raising_at(
            step, when, lambda copy=copy: act(action, copy), KeyboardInterrupt()
        )
        assert code == (9 if found else 0), step
        serving = copy / "serving"
        assert live_model(serving) is not None, (step, "CURRENT names a version that is gone")
        assert live_model(serving).intact
        seen.add(live_model(serving).version)
        assert verify_serving(serving).ok, (step, verify_serving(serving))
        record_refusal(serving, "too slow", {})
        verdict = verify_serving(serving)
        assert (verdict.ok, verdict.notes) == (True, ()), step
        shutil.rmtree(copy)
    assert seen == {2, 3}
    assert step > 25


def listed(serving):
    """Return the names of all files; only the history holds what happened on the way."""
    return sorted(everything(serving))


def test_a_torn_last_line_is_passed_over_and_healed(root):
    path = root / "serving" / ".promotions" / "history.jsonl"
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for length in (1, len(last) // 2, len(last) - 1):
        path.write_bytes(whole[: len(whole) - length])
        assert [one.version for one in events_of(root / "serving")] == [1, 2]
        assert verify_serving(root / "serving").ok
        push_text(root, "second")
        assert path.read_bytes() == whole


def test_kill_minus_nine_of_the_command(root):
    """The real thing, at moments nobody chose."""
    code = (
        "import sys; from pathlib import Path; from tests.serving.support import push_text\n"
        "print('go', flush=True)\n"
        "for i in range(10_000): push_text(Path(sys.argv[1]), f'model{i % 7}', keep=3)"
    )
    for turn in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True
        )
        child.stdout.readline()
        path = root / "serving" / ".promotions" / "history.jsonl"
        size = path.stat().st_size
        while path.stat().st_size < size + 1000 * (turn + 1):
            assert child.poll() is None, "it ended by itself"
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert live_model(root / "serving").intact
        assert verify_serving(root / "serving").ok


def test_writers_wait_for_one_another(root):
    """Four processes push and one rolls back: every number once, one line each."""

    shown = promotion(root / "shown")

    def pushes(name):
        for number in range(3):
            push_text(root, f"{name}{number}", promotion=shown)

    children = []
    for name in ("a", "b", "c", "d"):
        process = os.fork()
        if process == 0:
            os._exit(forked(lambda name=name: pushes(name)))
        children.append(process)
    rollback(root / "serving", reason="slow")
    codes = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in children]
    assert codes == [0, 0, 0, 0]
    versions = [one.version for one in read_history(root / "serving").events]
    assert versions == list(range(1, 2 + 12 + 1 + 1))
    assert verify_serving(root / "serving").ok
    assert live_model(root / "serving").version == 15


@pytest.mark.parametrize("size", [0, 10, 100, 1000, 1500])
@pytest.mark.parametrize("action", ["push", "rollback"])
def test_a_full_disk_leaves_the_old_state(root, action, size):
    """Files may not grow past ``size`` bytes, as a full disk would have it."""
    before = {name: content for name, content in everything(root / "serving").items()}

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            act(action, root)
        except (OSError, FailedError):
            os._exit(7)

    assert forked(limited) in (1, 7)
    assert everything(root / "serving") == before
    act(action, root)
    assert verify_serving(root / "serving").ok


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without rights")
@pytest.mark.parametrize("action", ["push", "rollback"])
def test_a_folder_that_cannot_be_written_is_an_error_and_stays(root, action):
    before = everything(root / "serving")
    for path in (root, *root.parents):
        if not path.stat().st_mode & 0o001:
            path.chmod(0o755)

    def nobody():
        os.setgid(65534)
        os.setuid(65534)
        try:
            act(action, root)
        except (OSError, FailedError) as error:
            os._exit(7 if "ermission" in str(error) else 1)

    assert forked(nobody) == 7
    assert everything(root / "serving") == before


def test_only_our_own_leftovers_are_removed(root):
    serving = root / "serving"
    (serving / ".tmp-3-0badc0de").mkdir()
    (serving / ".tmp-3-0badc0de" / "half").write_text("?")
    (serving / ".promotions" / "3").mkdir()
    (serving / ".promotions" / ".tmp-x").write_text("?")
    for name in ("README", ".promotions.bak"):
        (serving / name).write_text("mine")
    notes = verify_serving(serving).notes
    assert len(notes) == 3
    push_text(root, "third")
    assert not list(serving.rglob(".tmp-*"))
    assert live_model(serving).version == 3
    assert (serving / "README").read_text() == (serving / ".promotions.bak").read_text() == "mine"


def test_a_pointer_set_back_by_hand_is_named_and_left(root):
    push_text(root, "third")
    serving = root / "serving"
    (serving / "CURRENT").write_text("2\n")
    verdict = verify_serving(serving)
    assert not verdict.ok
    assert verdict.problems == ("CURRENT: names version 2, but the history made version 3 live",)
    record_refusal(serving, "x", {})
    assert live_model(serving).version == 2
    assert json.loads((serving / "2" / "push.json").read_text())["version"] == 2
