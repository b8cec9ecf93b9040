"""A mirror that is killed: a whole version at every moment, and the next call completes."""

import shutil

import pytest

from components.serving.mirror import mirror, mirror_to
from components.serving.remote import FolderRemote
from tests.serving.places import Killed, Watched, contents, in_memory, served
from tests.serving.support import dying_at, everything, push_text


@pytest.fixture
def root(tmp_path):
    """A folder with ``serving``, in which two versions are."""
    (tmp_path / "root").mkdir()
    for text in ("first", "second"):
        push_text(tmp_path / "root", text)
    return tmp_path / "root"


@pytest.fixture(params=[False, True], ids=["first mirror", "later mirror"])
def begun(request, root):
    """What a place holds, and the version that is live there; here there is another one."""
    if not request.param:
        return {}, None
    remote = in_memory()
    mirror_to(root / "serving", remote)
    push_text(root, "third", keep=2)
    return contents(remote), 2


def filled(content):
    remote = in_memory()
    for name, one in content.items():
        remote.write(name, one)
    return remote


def test_a_reader_finds_a_whole_version_after_every_write(root, begun, tmp_path):
    remote, seen = filled(begun[0]), []
    watched = Watched(remote, look=lambda: seen.append(served(remote, tmp_path / "seen")))
    new = mirror_to(root / "serving", watched).version
    switch = watched.changed.index(("write", "CURRENT"))
    assert seen == [begun[1]] * switch + [new] * (len(seen) - switch)
    assert switch > 10


@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.full)])
def test_killed_at_any_write_the_old_version_is_whole_and_the_next_call_completes(
    root, begun, tmp_path, when
):
    step, seen = 0, set()
    while True:
        step += 1
        remote = filled(begun[0])
        try:
            new = mirror_to(root / "serving", Watched(remote, step=step, when=when)).version
            break
        except Killed:
            seen.add(served(remote, tmp_path / "seen"))
        mirror_to(root / "serving", remote)
        assert contents(remote) == everything(root / "serving")
        assert not mirror_to(root / "serving", remote).changed
    assert seen <= {begun[1], new}
    assert step > 15


def test_the_process_killed_at_any_step_of_a_folder(root, tmp_path):
    serving = root / "serving"
    old = tmp_path / "old"
    mirror(serving, str(old))
    push_text(root, "third", keep=2)
    step, seen = 1, set()
    while True:
        step += 3  # of the four or five of one file every one, in some file
        there = tmp_path / f"there{step}"
        shutil.copytree(old, there)
        code = dying_at(step, "before", lambda there=there: mirror(serving, str(there)))
        seen.add(served(FolderRemote("there", there), tmp_path / "seen"))
        if code == 0:
            break
        assert code == 9
        mirror(serving, str(there))
        assert everything(there) == everything(serving)
        assert not list(there.rglob(".tmp-*"))
        assert not (there / "1").exists()
        assert not mirror(serving, str(there)).changed
        shutil.rmtree(there)
    assert seen == {2, 3}
    assert step > 40
