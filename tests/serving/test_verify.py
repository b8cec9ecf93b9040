"""Verifying while somebody pushes: nobody's crash, nobody's damage."""

import contextlib
import os
import shutil

import pytest
from filelock import FileLock, Timeout

from components.serving import store, verify
from components.serving.history import REFUSED, Event, append_event
from components.serving.retention import retire
from components.serving.store import locked, undisturbed
from components.serving.verify import verify_serving
from schemas.errors import FailedError
from tests.serving.support import everything, forked, push_text


@pytest.fixture
def serving(tmp_path):
    """A serving folder with three versions."""
    for text in ("first", "second", "third"):
        push_text(tmp_path, text)
    return tmp_path / "serving"


def test_it_waits_for_a_push_that_is_at_work(serving, monkeypatch):
    half = serving / ".tmp-4-0badc0de"
    half.mkdir()
    with contextlib.ExitStack() as push:
        push.enter_context(locked(serving))

        def end_the_push(_):
            half.rmdir()
            push.close()

        monkeypatch.setattr(store.time, "sleep", end_the_push)
        verdict = verify_serving(serving)
    assert (verdict.ok, verdict.notes) == (True, ())


def test_a_push_that_takes_longer_is_not_called_a_crash(serving):
    (serving / ".tmp-4-0badc0de").mkdir()
    (serving / ".promotions" / "4").mkdir()
    with locked(serving):
        verdict = verify_serving(serving, patience=0)
    assert verdict.ok
    assert verdict.notes == (
        ".tmp-4-0badc0de: left by a crash, or of a push that is at work; the next push removes it",
        ".promotions/4: left by a crash, or of a push that is at work; the next push removes it",
    )
    assert verify_serving(serving).notes[0].endswith(": left by a crash; the next push removes it")


def meanwhile(monkeypatch, times, action):
    """Do something before a version is verified, so many times."""
    real, left = verify.verify_version, [None] * times

    def call(*args, **kwargs):
        if left:
            left.pop()
            action()
        return real(*args, **kwargs)

    monkeypatch.setattr(verify, "verify_version", call)


def test_a_version_that_retention_removes_while_it_is_read_is_not_damaged(serving, monkeypatch):
    with locked(serving):
        meanwhile(monkeypatch, 1, lambda: retire(serving, 1))
        verdict = verify_serving(serving, patience=0)
    assert (verdict.ok, verdict.problems) == (True, ())
    assert [one.version for one in verdict.versions] == [2, 3]


def test_a_folder_that_never_rests_is_no_verdict(serving, monkeypatch):
    refusal = Event(event=REFUSED, time="2026-11-24T14:13:29+00:00", by="ann", reason="no")
    with locked(serving):
        meanwhile(monkeypatch, 99, lambda: append_event(serving, refusal))
        with pytest.raises(FailedError, match="changed each of the 3 times that it was read"):
            verify_serving(serving, patience=0)


def test_readers_do_not_wait_for_one_another_and_pushes_do(serving):
    with undisturbed(serving, 0) as one, undisturbed(serving, 0) as two:
        assert (one, two) == (True, True)
        with pytest.raises(Timeout), FileLock(serving / ".push.lock", timeout=0):
            pass
    with FileLock(serving / ".push.lock", timeout=0):
        pass


@pytest.mark.parametrize("kind", ["none", "pipe", "link"])
def test_a_folder_without_a_lock_that_can_be_had_verifies_too(serving, tmp_path, kind):
    copy = tmp_path / "copy"
    shutil.copytree(serving, copy, ignore=shutil.ignore_patterns(".push.lock"))
    if kind == "pipe":
        os.mkfifo(copy / ".push.lock")
    elif kind == "link":
        (copy / ".push.lock").symlink_to(serving / ".push.lock")
    before = everything(copy) if kind != "pipe" else None
    with undisturbed(copy, 0) as alone:
        assert not alone
    assert verify_serving(copy).ok
    assert (copy / ".push.lock").exists() == (kind != "none")
    assert before is None or everything(copy) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody without rights")
def test_somebody_who_may_only_read_waits_as_well(serving, tmp_path):
    for path in (serving, *serving.parents):
        if not path.stat().st_mode & 0o001:
            path.chmod(0o755)

    def nobody():
        os.setgid(65534)
        os.setuid(65534)
        with undisturbed(serving, 0) as alone:
            assert alone
        assert verify_serving(serving).ok

    assert forked(nobody) == 0


def test_a_version_that_retention_only_announced_is_a_note(serving):
    retired = Event(
        event="retired", time="2026-11-24T14:13:29+00:00", by="ann", reason="keep 2", version=1
    )
    append_event(serving, retired)
    verdict = verify_serving(serving)
    assert (verdict.ok, verdict.notes) == (
        True,
        ("1: retired, and still there; the next push removes it",),
    )
