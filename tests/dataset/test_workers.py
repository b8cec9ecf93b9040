"""A worker process that dies ends the run, and is named."""

import os
import signal
import threading

import pytest

from pipelines.dataset import workers
from pipelines.dataset.materialize import translated
from schemas.errors import FailedError


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 0.01)


def die(message="Worker subprocess exited with return code -9"):
    def fail():
        raise RuntimeError(message)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def run(*steps):
    with workers.watched():
        for step in steps:
            step()


def fail(error):
    raise error


def wait():
    threading.Event().wait()


def test_a_run_that_waits_for_a_dead_worker_ends():
    with pytest.raises(FailedError, match=r"ended early \(status -9") as found:
        run(die, wait)
    assert str(translated(found.value)).endswith("the same command resumes.")


def test_it_ends_in_the_background_too():
    """Where a shell has started it with ``&``, Ctrl-C's signal is ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(FailedError, match="ended early"):
            run(die, wait)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_that_ends_by_itself_names_the_worker(monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 60)
    with pytest.raises(FailedError, match="a worker process"):
        run(die, lambda: fail(RuntimeError("Channel closed prematurely.")))


def test_other_errors_and_interrupts_pass(monkeypatch):
    monkeypatch.setattr(workers, "GRACE", 60)
    with pytest.raises(OSError, match="disk"):
        run(die, lambda: fail(OSError("disk full")))
    with pytest.raises(KeyboardInterrupt):
        run(die, lambda: os.kill(os.getpid(), signal.SIGINT), wait)
    before = threading.excepthook
    run()
    assert threading.excepthook is before


def test_what_other_threads_raise_goes_where_it_went(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(str(args.exc_value)))
    run(lambda: die("something else"))
    assert seen == ["something else"]
