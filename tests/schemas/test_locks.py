"""Lock files: held by one process, refused where the file system knows no locks."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from filelock import Timeout

from components.search.study import open_study
from components.serving.store import locked
from pipelines.dataset import materialize
from pipelines.refresh_store import only_one
from schemas.errors import InputError
from schemas.locks import held

ROOT = Path(__file__).parents[2]
USERS = {
    "any": lambda folder: held(folder / ".lock"),
    "refresh": only_one,
    "serving folder": locked,
    "dataset": lambda folder: materialize._locked(str(folder)),
    "search": lambda folder: open_study(folder, {"seed": 1}),
}


def without_locks(number):
    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    return flock


def lock_of(folder):
    (lock,) = (one for one in folder.iterdir() if one.name.endswith("lock"))
    return lock


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
@pytest.mark.parametrize("user", USERS)
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, user, number):
    """A lock that is the existence of a file would outlive the process that was killed."""
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", without_locks(number))
        with pytest.raises(InputError, match="file system with file locks") as caught:
            with USERS[user](tmp_path):
                pytest.fail("held without a lock")
    assert str(caught.value).startswith(f"{tmp_path} must lie on")
    with USERS[user](tmp_path):  # nothing is left that would be taken for a lock
        pass


@pytest.mark.parametrize("user", USERS)
def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path, user):
    precious = tmp_path / "precious"
    precious.write_text("gold")
    folder = tmp_path / "folder"
    folder.mkdir()
    with USERS[user](folder):
        pass
    lock = lock_of(folder)
    lock.unlink()
    lock.symlink_to(precious)
    with pytest.raises((OSError, InputError)), USERS[user](folder):
        pytest.fail("held by a link")
    assert precious.read_text() == "gold"


@pytest.mark.parametrize("user", USERS)
def test_a_lock_ends_with_its_holder_whatever_the_file_holds(tmp_path, user):
    for _ in range(2):
        with USERS[user](tmp_path):
            pass
        lock_of(tmp_path).write_text("1\n")


def test_who_does_not_wait_hears_of_the_holder(tmp_path):
    lock = tmp_path / ".lock"
    with held(lock):
        lock.write_text("who holds it\n")
        with pytest.raises(Timeout), held(lock, wait=False):
            pytest.fail("held twice")
        assert lock.read_text() == "who holds it\n"
    with held(lock, wait=False):
        pass


def test_locks_are_made_in_one_place():
    """So that none falls back to the mere existence of a file."""
    sources = [one for part in ("schemas", "pipelines", "components", "benchmarks")
               for one in (ROOT / part).rglob("*.py")]  # fmt: skip
    makers = [one for one in sources if "FileLock" in one.read_text("utf-8")]
    assert makers == [ROOT / "schemas" / "locks.py"]
