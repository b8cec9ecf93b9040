"""What no push put there, what somebody took away, and what cannot be read: named, never served."""

import errno
import os
import shutil

import pytest

from components.push import live_model
from components.serving import store
from components.serving.history import read_history
from components.serving.mirror import mirror_to
from components.serving.rollback import rollback
from components.serving.show import events_of
from components.serving.store import current_version, record_refusal, version_numbers
from components.serving.verify import verify_serving
from components.tree import write_text
from schemas.errors import FailedError, GateRefusal
from tests.serving.places import contents, in_memory
from tests.serving.support import everything, forked, push_text

HISTORY = ".promotions/history.jsonl"


@pytest.fixture
def serving(tmp_path):
    """A serving folder with three versions."""
    for text in ("first", "second", "third"):
        push_text(tmp_path, text)
    return tmp_path / "serving"


def take_away(serving, version):
    shutil.rmtree(serving / str(version))
    shutil.rmtree(serving / ".promotions" / str(version))


def put_in(source, serving, version):
    for place in (str(version), f".promotions/{version}"):
        shutil.copytree(source / place, serving / place)


def problems(serving):
    verdict = verify_serving(serving)
    return [*verdict.problems, *(text for one in verdict.versions for text in one.problems)]


@pytest.mark.parametrize("history", ["whole", "torn", "damaged"])
def test_a_number_that_the_history_names_is_never_given_again(serving, history):
    path = serving / HISTORY
    if history == "torn":
        path.write_bytes(path.read_bytes() + b'{"event": "pus')
    elif history == "damaged":
        path.write_bytes(path.read_bytes().replace(b"passed every", b"failed every", 1))
    take_away(serving, 3)
    (serving / "CURRENT").write_text("2\n")
    assert push_text(serving.parent, "fourth").version == 4
    assert "3: missing, and no roll-off of old versions removed it" in problems(serving)
    assert ".promotions/3: missing: nothing shows what was promoted" in problems(serving)


def test_no_number_is_left_above_one_that_only_the_history_names(serving):
    highest = store.Event(
        event="retired", time="2026-11-24T14:13:29+00:00", by="ann", reason="?", version=10**18 - 1
    )
    store.append_event(serving, highest)
    with pytest.raises(FailedError, match="no number is left above 9+: .* a new folder where"):
        push_text(serving.parent, "fourth")


@pytest.fixture
def given_twice(serving):
    """As an older program left it: the third version is another one than the history names.

    A mirror has it as it was; it lies beside, in ``there``.
    """
    shutil.copytree(serving, serving.parent / "there")
    history = (serving / HISTORY).read_bytes()
    take_away(serving, 3)
    (serving / "CURRENT").write_text("2\n")
    (serving / HISTORY).write_bytes(b"".join(history.splitlines(keepends=True)[:2]))
    assert push_text(serving.parent, "another").version == 3
    (serving / HISTORY).write_bytes(history)
    return serving


def test_a_number_that_was_given_twice_is_not_written_over_at_a_mirror(tmp_path, given_twice):
    remote = in_memory()
    for name, content in everything(tmp_path / "there").items():
        remote.write(name, content)
    before = contents(remote)
    with pytest.raises(
        FailedError, match="version 3, which is live, is not what was .* push again"
    ):
        mirror_to(given_twice, remote)
    assert contents(remote) == before

    again = push_text(given_twice.parent, "another")
    assert (again.version, again.pushed) == (4, True)
    done = mirror_to(given_twice, remote)
    assert (done.copied, done.repaired, done.version) == ((4,), (), 4)
    assert done.notes == (
        f"version 3 is damaged here: not copied, and left at {remote.url} as it is",
    )
    assert remote.read("3/saved_model.pb") == b"third"


def test_a_kept_bundle_that_the_history_does_not_name_is_not_mirrored(given_twice):
    shutil.rmtree(given_twice / "3")
    push_text(given_twice.parent, "fourth")
    done = mirror_to(given_twice, in_memory())
    assert done.copied == (1, 2, 4)
    assert done.bundles == ()
    assert done.notes[0].startswith("the bundle of version 3 is damaged here: not copied")


@pytest.fixture(params=["another folder", "a copy that went on"])
def put_there(request, tmp_path):
    """A serving folder whose second version comes from elsewhere, and the files it had before."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    push_text(ours, "first")
    if request.param == "another folder":
        theirs.mkdir()
        push_text(theirs, "other")
    else:
        shutil.copytree(ours, theirs)
    push_text(theirs, "bad")
    record_refusal(ours / "serving", "accuracy 0.6 is below 0.7", {})
    before = everything(ours / "serving")
    put_in(theirs / "serving", ours / "serving", 2)
    return ours / "serving", before


def test_a_version_that_no_push_put_there_does_not_go_live(put_there):
    serving, before = put_there
    named = (
        ".promotions/2/bundle.json: no line of the history names it, and no crash leaves it so: "
        "see who put it there, or what the history has lost"
    )
    assert named in problems(serving)
    assert verify_serving(serving).notes == ()
    record_refusal(serving, "once more", {})
    assert current_version(serving) == 1
    assert [one.event for one in events_of(serving)] == ["pushed", "refused", "refused"]
    assert named in problems(serving)
    with pytest.raises(GateRefusal, match="no line of the history names it"):
        rollback(serving, reason="slow", to=2)
    after = everything(serving)
    assert {name: after[name] for name in before if name != HISTORY} == {
        name: content for name, content in before.items() if name != HISTORY
    }


def test_a_version_that_no_push_put_there_is_neither_kept_for_a_roll_back_nor_mirrored(put_there):
    serving, _ = put_there
    assert push_text(serving.parent, "third", keep=2).version == 3
    assert version_numbers(serving) == [1, 2, 3]
    remote = in_memory()
    assert mirror_to(serving, remote).copied == (1, 3)
    assert "2/saved_model.pb" not in remote.listing()
    write_text(serving / "CURRENT", "2\n")
    assert not live_model(serving).intact
    assert push_text(serving.parent, "bad").pushed


@pytest.mark.parametrize("name", ["0", "0099", "1000000000000000000", "\u0664"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_name_that_a_server_may_take_for_a_version_is_named(serving, name, kind):
    if kind == "folder":
        shutil.copytree(serving / "1", serving / name)
    else:
        (serving / name).write_text("?")
    expected = [
        f"{name}: no version that was ever pushed; whoever serves the highest number may serve it: "
        "remove it"
    ]
    assert list(verify_serving(serving).problems) == expected
    assert not verify_serving(serving).ok


def test_the_bundle_of_a_removed_version_is_missed(serving):
    push_text(serving.parent, "fourth", keep=2)
    assert problems(serving) == []
    shutil.rmtree(serving / ".promotions" / "1")
    assert problems(serving) == [".promotions/1: missing: nothing shows what was promoted"]


def test_a_version_of_an_older_program_had_no_bundle_to_miss(serving):
    shutil.rmtree(serving / ".promotions")
    push_text(serving.parent, "fourth", keep=1)
    assert version_numbers(serving) == [3, 4]
    assert problems(serving) == [".promotions/3: missing: nothing shows what was promoted"]


def as_nobody(root, action):
    """Run ``action`` as the owner of ``root`` who is not root, for whom rights count."""
    if os.getuid() != 0:
        action()
        return
    for path in (root, *root.parents):
        if not path.stat().st_mode & 0o001:
            path.chmod(0o755)
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)

    def nobody():
        os.setgid(65534)
        os.setuid(65534)
        action()

    assert forked(nobody) == 0


@pytest.mark.parametrize(
    "name",
    ["3/saved_model.pb", "3/push.json", ".promotions/3/card.md", ".promotions/3/bundle.json"],
)
def test_a_live_version_that_cannot_be_read_is_named_and_filled_again(serving, name):
    (serving / name).chmod(0)

    def look_and_push():
        found = live_model(serving)
        assert found is None or not found.intact
        assert f"{name}: cannot be read (Permission denied)" in problems(serving)
        again = push_text(serving.parent, "third", keep=2)
        assert (again.version, again.pushed) == (4, True)
        assert live_model(serving).intact
        assert version_numbers(serving) == [2, 3, 4], "the one to go back to stays"

    as_nobody(serving.parent, look_and_push)


@pytest.mark.parametrize("name", ["card.md", "bundle.json", "model.sig"])
def test_a_kept_bundle_that_cannot_be_read_is_named_and_not_mirrored(serving, name):
    push_text(serving.parent, "fourth", keep=2)
    path = serving / ".promotions" / "1" / name
    path.touch()
    path.chmod(0)

    def look():
        assert f".promotions/1/{name}: cannot be read (Permission denied)" in problems(serving)
        if name != "model.sig":
            note = mirror_to(serving, in_memory()).notes[0]
            assert note.startswith("the bundle of version 1 is damaged here: not copied")

    as_nobody(serving.parent, look)


def test_a_signature_that_cannot_be_read_is_named(serving):
    path = serving / ".promotions" / "2" / "model.sig"
    path.touch()
    path.chmod(0)

    def look():
        assert problems(serving) == [".promotions/2/model.sig: cannot be read (Permission denied)"]

    as_nobody(serving.parent, look)


def after_the_pointer(monkeypatch, serving, action):
    """Do something at the moment at which ``CURRENT`` was renamed."""
    real = os.replace

    def replace(source, target):
        real(source, target)
        if target == serving / "CURRENT":
            monkeypatch.setattr(os, "replace", real)
            action()

    monkeypatch.setattr(os, "replace", replace)


def test_a_history_that_cannot_be_read_after_the_pointer_changes_no_outcome(serving, monkeypatch):
    path, away = serving / HISTORY, serving.parent / "history"

    def lose():
        path.rename(away)
        path.mkdir()

    after_the_pointer(monkeypatch, serving, lose)
    done = push_text(serving.parent, "fourth", keep=2)
    assert (done.version, done.pushed, done.path) == (4, True, serving / "4")
    path.rmdir()
    away.rename(path)
    assert live_model(serving).digest == done.digest
    assert version_numbers(serving) == [1, 2, 3, 4], "none is retired without a line"
    assert verify_serving(serving).notes == ("4: not in the history yet; the next push adds it",)
    assert not push_text(serving.parent, "fourth", keep=2).pushed
    assert (problems(serving), verify_serving(serving).notes) == ([], ())
    assert version_numbers(serving) == [3, 4]


def test_what_was_pushed_needs_not_to_be_read_back(serving, monkeypatch):
    after_the_pointer(monkeypatch, serving, (serving / "4" / "push.json").unlink)
    done = push_text(serving.parent, "fourth")
    assert (done.version, done.pushed) == (4, True)
    assert live_model(serving) is None


def test_a_disk_that_refuses_the_line_of_a_push_gets_none_of_a_retired_version_first(
    serving, monkeypatch
):
    real = store.append_event
    calls = []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(*arguments)

    monkeypatch.setattr(store, "append_event", once)
    assert push_text(serving.parent, "fourth", keep=3).version == 4
    told = [(one.event, one.version) for one in read_history(serving).events]
    assert told[-2:] == [("pushed", 4), ("retired", 1)]
    assert (problems(serving), verify_serving(serving).notes) == ([], ())


@pytest.mark.parametrize("target", ["file", "none"])
def test_a_pointer_that_is_a_link_counts_for_none_and_becomes_a_file(serving, tmp_path, target):
    (serving / "CURRENT").unlink()
    (serving / "CURRENT").symlink_to(tmp_path / "current")
    if target == "file":
        (tmp_path / "current").write_text("2\n")
    assert current_version(serving) == 0
    named = "CURRENT: is a link, so no version is live; the next push puts a file there"
    assert problems(serving) == [named]
    assert push_text(serving.parent, "third").version == 3
    assert not (serving / "CURRENT").is_symlink()
    assert (problems(serving), current_version(serving)) == ([], 3)
    assert (tmp_path / "current").exists() == (target == "file")
    assert target == "none" or (tmp_path / "current").read_text() == "2\n"


def test_a_push_that_fails_beside_a_pointer_that_is_a_link_leaves_nothing(
    serving, tmp_path, monkeypatch
):
    shutil.rmtree(serving / ".promotions")  # as an older program left it
    (tmp_path / "current").write_text("4\n")
    (serving / "CURRENT").unlink()
    (serving / "CURRENT").symlink_to(tmp_path / "current")

    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="Input/output"):
            push_text(serving.parent, "fourth")
    assert version_numbers(serving) == [1, 2, 3]
    assert push_text(serving.parent, "fourth").version == 4
    assert not (serving / "CURRENT").is_symlink()
