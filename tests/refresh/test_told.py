"""Who hears of a refresh that ends badly: always, once, and what is true."""

import json
import sys

import pytest

from components.serving.history import read_history
from components.serving.store import current_version
from pipelines import refresh as refreshing
from pipelines.refresh_store import only_one
from schemas.errors import FailedError, InputError
from tests.refresh.support import refresh

ALL = ["pushed", "nothing_new", "refused", "failed"]
APPEND = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
KILL = "import os, sys\nif 'infra' in ' '.join(sys.orig_argv):\n    os._exit(9)\n"


class Told:
    """A notify command, and what it heard."""

    def __init__(self, path):
        self._path = path
        command = [sys.executable, "-c", APPEND, str(path)]
        self.settings = {"command": command, "on": ALL}

    def once(self):
        """Return the only report that was told since the last call."""
        (line,) = self._path.read_text().splitlines()
        self._path.unlink()
        return json.loads(line)


@pytest.fixture
def told(tmp_path):
    return Told(tmp_path / "heard")


def test_damaged_metadata_is_told(dataset, tmp_path, told):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "metadata.sqlite").write_bytes(b"x" * 9000)
    with pytest.raises(FailedError, match="move the file away"):
        refresh(dataset, tmp_path / "root", notify=told.settings)
    heard = told.once()
    assert heard["status"] == "failed"
    assert "move the file away" in heard["error"]


def test_a_root_in_use_is_told(dataset, tmp_path, told):
    with only_one(tmp_path / "root"), pytest.raises(InputError, match="works in"):
        refresh(dataset, tmp_path / "root", notify=told.settings)
    assert "one refresh at a time" in told.once()["error"]


def test_a_root_that_is_a_file_is_told(dataset, tmp_path, told):
    (tmp_path / "root").write_text("")
    with pytest.raises(InputError, match="must be a writable folder"):
        refresh(dataset, tmp_path / "root", notify=told.settings)
    assert "must be a writable folder" in told.once()["error"]


def test_what_fails_first_is_told_though_healing_fails_too(dataset, tmp_path, told):
    """The metadata is damaged while the probes are written, which fails."""

    def damage(event):
        (tmp_path / "root" / "metadata.sqlite").write_bytes(b"x" * 9000)
        raise OSError("the disk caught fire")

    with pytest.raises(OSError, match="the disk caught fire"):
        refresh(dataset, tmp_path / "root", damage, notify=told.settings)
    assert told.once()["error"] == "the disk caught fire"


def test_an_interrupt_is_told_nobody(dataset, tmp_path, told):
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh(dataset, tmp_path / "root", interrupt, notify=told.settings)
    assert not (tmp_path / "heard").exists()


def at(node, action):
    """Return a progress callback that acts when a node has ended."""

    def watch(event):
        if event.node == node and event.state != "running":
            action()

    return watch


@pytest.mark.full
def test_every_end_is_told_once_though_it_cannot_be_written_down(dataset, tmp_path, told):
    """One model: refused by a fresh process that dies, then pushed, then nothing new."""
    root = tmp_path / "root"
    serving, report = root / "digits-smoke" / "serving", root / "digits-smoke" / "report.json"
    history = serving / ".promotions" / "history.jsonl"
    dying = tmp_path / "dying"
    dying.mkdir()
    (dying / "sitecustomize.py").write_text(KILL)

    def run(watch=None):
        return refresh(dataset, root, watch, notify=told.settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(dying))
        with pytest.raises(FailedError, match="history.jsonl"):
            run(at("SizeGate", lambda: history.mkdir(parents=True)))
        heard = told.once()
        assert heard["status"] == "failed"
        assert heard["error"].startswith("a gate refused, but the history does not say so: ")
        assert "a fresh process was to load" in heard["reasons"][0]
        assert heard == json.loads(report.read_text())
        assert heard["test_uses"] == 1, "it was answered, although no gate judged the answers"

        history.rmdir()
        report.unlink()
        report.mkdir()
        with pytest.raises(FailedError, match="report.json: the report cannot be written"):
            run()
        heard = told.once()
        assert heard["status"] == "refused"
        (event,) = read_history(serving).events
        assert (event.event, event.about["run"]) == ("refused", heard["run"])

    with pytest.raises(FailedError, match=r"ended as pushed \(version 1 is live\)"):
        run()
    heard = told.once()
    assert (heard["status"], heard["push"]["version"]) == ("failed", 1)
    assert "(version 1 is live)" in heard["error"]
    assert heard["test_uses"] == 1, "the same model again"
    assert current_version(serving) == 1
    report.rmdir()

    metadata = root / "metadata.sqlite"
    whole = metadata.read_bytes()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of ml_metadata
        run(at("Pusher", lambda: metadata.write_bytes(b"x" * 9000)))
    heard = told.once()
    assert (heard["status"], heard["error"]) == ("failed", str(caught.value))
    metadata.write_bytes(whole)

    outcome = run()
    assert told.once()["status"] == outcome.status == "nothing_new"


def test_a_refusal_that_the_history_lacks_is_a_failure(dataset, tmp_path, told, monkeypatch):
    """It is in the history before it is reported: a kill leaves one line too many."""
    root, gates = tmp_path / "root", {"min_examples": 5000}
    serving = root / "digits-smoke" / "serving"
    history = serving / ".promotions" / "history.jsonl"
    watch = at("DataGate", lambda: history.mkdir(parents=True))
    with pytest.raises(FailedError, match="history.jsonl"):
        refresh(dataset, root, watch, data=gates, notify=told.settings)
    heard = told.once()
    assert heard["status"] == "failed"
    assert heard["error"].startswith("a gate refused, but the history does not say so: ")
    assert "history.jsonl" in heard["error"]
    assert "5,000" in heard["reasons"][0]
    assert heard == json.loads((root / "digits-smoke" / "report.json").read_text())
    history.rmdir()

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(refreshing, "write_report", killed)
    gates = {"min_examples": 5000}
    with pytest.raises(Killed):
        refresh(dataset, root, data=gates)
    (event,) = read_history(serving).events
    assert event.event == "refused"
