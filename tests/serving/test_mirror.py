"""A mirror: the same state elsewhere, damage repaired, what is not ours refused."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

import beam_runner
from components.serving.mirror import mirror, mirror_to, result_lines
from components.serving.remote import FolderRemote
from components.serving.rollback import rollback
from components.serving.store import record_refusal
from components.serving.verify import verify_serving
from schemas.errors import FailedError, InputError
from tests.serving.places import Watched, contents, copied_back, in_memory
from tests.serving.support import everything, push_text

HISTORY = ".promotions/history.jsonl"


class Counting(MemoryFileSystem):
    """A store in memory that states MD5s as real ones do, and counts files that are opened."""

    cachable = False
    stated = "ETag"
    reads = 0

    def find(self, path, **settings):
        found = super().find(path, **settings)
        for name, info in found.items():
            digest = hashlib.md5(self.store[name].getvalue())
            if self.stated == "ETag":
                info["ETag"] = f'"{digest.hexdigest()}"'
            elif self.stated == "md5Hash":
                info["md5Hash"] = base64.b64encode(digest.digest()).decode()
            else:
                info["ETag"] = self.stated
        return found

    def open(self, path, mode="rb", **settings):
        self.reads += mode == "rb"
        return super().open(path, mode, **settings)


@pytest.fixture(params=["folder", "object store"])
def remote(request, tmp_path):
    """An empty place of either kind."""
    if request.param == "folder":
        return FolderRemote("there", tmp_path / "there")
    return in_memory()


@pytest.fixture
def root(tmp_path):
    """A folder with ``serving``, in which two versions are."""
    (tmp_path / "root").mkdir()
    for text in ("first", "second"):
        push_text(tmp_path / "root", text)
    return tmp_path / "root"


def test_first_mirror_then_nothing_to_do(root, remote, tmp_path):
    done = mirror_to(root / "serving", remote)
    assert (done.version, done.moved, done.copied, done.removed) == (2, True, (1, 2), ())
    assert contents(remote) == everything(root / "serving")
    assert done.bytes >= sum(map(len, contents(remote).values()))
    assert verify_serving(copied_back(remote, tmp_path / "back")).ok

    watched = Watched(remote)
    again = mirror_to(root / "serving", watched)
    assert (again.changed, again.files, again.bytes, watched.count) == (False, 0, 0, 0)
    assert result_lines(again) == [f"nothing to do: {remote.url} has version 2 live"]


def test_what_happens_here_happens_there(root, remote, tmp_path):
    serving = root / "serving"
    mirror_to(serving, remote)
    push_text(root, "third")
    done = mirror_to(serving, remote)
    assert (done.copied, done.version, done.moved) == ((3,), 3, True)
    rollback(serving, reason="p95 doubled")
    done = mirror_to(serving, remote)
    assert (done.copied, done.version) == ((4,), 4)
    record_refusal(serving, "accuracy 0.6 is below 0.7", {})
    done = mirror_to(serving, remote)
    assert (done.copied, done.files, done.moved) == ((), 1, False)
    push_text(root, "fifth", keep=2)
    done = mirror_to(serving, remote)
    assert (done.copied, done.removed, done.version) == ((5,), (1, 2, 3), 5)
    assert contents(remote) == everything(serving)
    assert verify_serving(copied_back(remote, tmp_path / "back")).ok
    assert not mirror_to(serving, remote).changed


def test_what_retention_removed_is_no_version_that_was_copied(root, remote):
    for text in ("third", "fourth"):
        push_text(root, text, keep=2)
    bundle = root / "serving" / ".promotions" / "1" / "card.md"
    bundle.write_text(bundle.read_text() + "?")
    done = mirror_to(root / "serving", remote)
    assert (done.copied, done.bundles) == ((3, 4), (2,))
    assert result_lines(done)[:-1] == [
        f"note: the bundle of version 1 is damaged here: not copied, and left at {remote.url} as "
        "it is",
        "copied version 3",
        "copied version 4",
        "copied the bundles alone of versions that are removed here: 2",
    ]


def test_files_of_a_version_come_in_an_order_that_never_shows_half_of_one(root, remote):
    watched = Watched(remote)
    mirror_to(root / "serving", watched)
    names = [name for _, name in watched.changed]
    assert watched.changed[0] == ("create", HISTORY), "the place is ours before anything else"
    assert names[-2:] == [HISTORY, "CURRENT"]
    one = [name for name in names if name.startswith(("1/", ".promotions/1/"))]
    assert one[-4:] == [
        ".promotions/1/bundle.json", "1/variables/variables.index", "1/saved_model.pb",
        "1/push.json",
    ]  # fmt: skip
    push_text(root, "third", keep=2)
    watched = Watched(remote)
    mirror_to(root / "serving", watched)
    gone = [name for what, name in watched.changed if what == "delete"]
    assert gone == ["1/push.json", "1/saved_model.pb", "1/variables/variables.index"]
    first_delete = watched.changed.index(("delete", gone[0]))
    assert watched.changed.index(("write", "CURRENT")) < first_delete


@pytest.mark.parametrize(
    "name",
    ["2/saved_model.pb", "1/push.json", ".promotions/2/card.md", ".promotions/1/bundle.json"],
)
@pytest.mark.parametrize("damage", ["other bytes", "longer", "gone"])
def test_damage_there_is_repaired_and_nothing_else_is_written(root, remote, name, damage):
    mirror_to(root / "serving", remote)
    content = remote.read(name)
    if damage == "gone":
        remote.delete(name)
    elif damage == "longer":
        remote.write(name, content + b" ")
    else:
        remote.write(name, bytes([content[0] ^ 1]) + content[1:])
    watched = Watched(remote)
    done = mirror_to(root / "serving", watched)
    assert watched.changed == [("upload", name)]
    assert done.repaired == (() if damage == "gone" else (name,))
    assert contents(remote) == everything(root / "serving")


@pytest.mark.parametrize("name", [HISTORY, "CURRENT"])
def test_a_damaged_history_or_pointer_is_repaired(root, remote, name):
    mirror_to(root / "serving", remote)
    content = remote.read(name)
    remote.write(name, content[:-1] + b"?")
    done = mirror_to(root / "serving", remote)
    assert (done.files, done.version) == (1, 2)
    assert remote.read(name) == content


def test_files_put_into_a_version_go_and_others_stay(root, remote):
    mirror_to(root / "serving", remote)
    for name in ("2/variables/more", ".promotions/1/more", ".tmp-CURRENT", "README", "x/y"):
        remote.write(name, b"mine")
    done = mirror_to(root / "serving", remote)
    assert done.tidied == (".promotions/1/more", ".tmp-CURRENT", "2/variables/more")
    assert result_lines(done)[1] == "removed .tmp-CURRENT, which belongs to no version"
    left = contents(remote)
    assert left.pop("README") == left.pop("x/y") == b"mine"
    assert left == everything(root / "serving")


def test_a_folder_of_another_history_is_refused(root, remote, tmp_path):
    (tmp_path / "other").mkdir()
    push_text(tmp_path / "other", "theirs")
    mirror_to(tmp_path / "other" / "serving", remote)
    before = contents(remote)
    with pytest.raises(InputError, match="belongs to another serving folder.*an empty folder"):
        mirror_to(root / "serving", remote)
    assert contents(remote) == before


def test_a_place_that_went_on_without_us_is_refused(root, remote, tmp_path):
    shutil.copytree(root, tmp_path / "backup")
    push_text(root, "third")
    mirror_to(root / "serving", remote)
    before = contents(remote)
    with pytest.raises(InputError, match="went on without this serving folder: 1 lines.*copy it"):
        mirror_to(tmp_path / "backup" / "serving", remote)
    push_text(tmp_path / "backup", "else")
    with pytest.raises(InputError, match="went on without"):
        mirror_to(tmp_path / "backup" / "serving", remote)
    assert contents(remote) == before


@pytest.mark.parametrize("lost", [False, True], ids=["never ours", "history lost"])
def test_a_place_that_holds_other_things_is_refused(root, remote, lost):
    if lost:
        mirror_to(root / "serving", remote)
        remote.delete(HISTORY)
    else:
        remote.write("photos/cat.png", b"cat")
    before = contents(remote)
    with pytest.raises(InputError, match=r"holds \S+, and no .promotions/history.jsonl"):
        mirror_to(root / "serving", remote)
    assert contents(remote) == before


@pytest.mark.parametrize("name", ["9/saved_model.pb", "007/x", "0/x"])
def test_a_version_that_nobody_pushed_is_refused(root, remote, name):
    mirror_to(root / "serving", remote)
    remote.write(name, b"?")
    with pytest.raises(InputError, match=f"holds {name.split('/')[0]}/, .* remove it there"):
        mirror_to(root / "serving", remote)


def test_somebody_who_claims_the_place_at_the_same_moment(root, remote):
    class Late:
        def __getattr__(self, name):
            return getattr(remote, name)

        def create(self, name, content):
            assert remote.create(name, b"theirs\n")
            return remote.create(name, content)

    with pytest.raises(InputError, match="another serving folder began"):
        mirror_to(root / "serving", Late())
    assert contents(remote) == {HISTORY: b"theirs\n"}


def test_what_is_written_and_read_back_otherwise_never_goes_live(root, remote):
    mirror_to(root / "serving", remote)
    push_text(root, "third")

    class Careless:
        def __getattr__(self, name):
            return getattr(remote, name)

        def upload(self, name, path):
            remote.write(name, path.read_bytes().replace(b"third", b"thjrd"))

    with pytest.raises(FailedError, match="is not what was written .* CURRENT stays"):
        mirror_to(root / "serving", Careless())
    assert remote.read("CURRENT") == b"2\n"


def test_damage_here_is_not_copied(root, remote):
    serving = root / "serving"
    mirror_to(serving, remote)
    before = contents(remote)
    (serving / "1" / "saved_model.pb").write_text("?")
    push_text(root, "third")
    done = mirror_to(serving, remote)
    assert done.notes == (
        f"version 1 is damaged here: not copied, and left at {remote.url} as it is",
    )
    assert (done.copied, remote.read("1/saved_model.pb")) == ((3,), before["1/saved_model.pb"])
    (serving / "3" / "saved_model.pb").write_text("?")
    with pytest.raises(FailedError, match="version 3, which is live, is not what was promoted"):
        mirror_to(serving, remote)
    history = serving / HISTORY
    history.write_bytes(history.read_bytes().replace(b"passed every", b"failed every"))
    with pytest.raises(FailedError, match="the history is damaged .*line 1"):
        mirror_to(serving, remote)


def test_a_version_lost_here_stays_there(root, remote):
    push_text(root, "third")
    mirror_to(root / "serving", remote)
    shutil.rmtree(root / "serving" / "1")
    done = mirror_to(root / "serving", remote)
    assert "version 1 is missing here, though nothing removed it" in done.notes[0]
    assert "1/push.json" in remote.listing()


@pytest.mark.parametrize(
    ("stated", "saves"), [("ETag", True), ("md5Hash", True), ('"9b2cf-3"', False), ("", False)]
)
def test_a_stated_md5_saves_reading(root, stated, saves):
    files = Counting()
    files.stated = stated
    remote = in_memory(files)
    mirror_to(root / "serving", remote)
    files.reads = 0
    assert not mirror_to(root / "serving", remote).changed
    every = len(everything(root / "serving")) - 2  # history and CURRENT are read in any case
    assert files.reads == (0 if saves else every)
    remote.write("2/saved_model.pb", b"sec0nd")
    assert mirror_to(root / "serving", remote).repaired == ("2/saved_model.pb",)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("403"), r"no permission to write \S+ \(PermissionError: 403\): give"),
        (FileNotFoundError("bucket"), "see that the bucket is there, and create it first"),
        (ConnectionError("no\nroute"), r"\(ConnectionError: no route\): see that bucket, network"),
    ],
)
def test_a_store_that_refuses_is_one_line(root, error, message):
    class Refusing(MemoryFileSystem):
        cachable = False

        def pipe_file(self, *_, **__):
            raise error

    with pytest.raises(FailedError, match=f"^memory://m: .*{message}"):
        mirror_to(root / "serving", in_memory(Refusing()))


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = beam_runner.main([str(one) for one in arguments])
        return (status, *capsys.readouterr())

    return call


def test_command(run, root):
    serving, there = root / "serving", root / "there"
    status, out, err = run("mirror", serving, there.as_uri())
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == ["copied version 1", "copied version 2"]
    assert out.splitlines()[2].startswith(f"version 2 is live now at {there.as_uri()} (")
    assert run("verify", there)[0] == 0
    status, out, _ = run("mirror", serving, there)
    assert (status, out) == (0, f"nothing to do: {there} has version 2 live\n")
    (there / "2" / "saved_model.pb").write_text("?")
    assert run("mirror", serving, there)[1].startswith("repaired 2/saved_model.pb\n")


def test_bad_usage_is_one_line(run, root, tmp_path):
    serving = root / "serving"
    (tmp_path / "file").write_text("")
    (tmp_path / "none" / ".promotions").mkdir(parents=True)
    for where, url, message in (
        (tmp_path / "nowhere", tmp_path / "x", "no serving folder"),
        (tmp_path / "none", tmp_path / "x", "no version is live, so there is nothing to mirror"),
        (serving, serving, "lies apart from its serving folder"),
        (serving, root, "lies apart from its serving folder"),
        (serving, serving / "x", "lies apart from its serving folder"),
        (serving, tmp_path / "file", "a mirror is a folder, and this is none"),
        (serving, "ftp://host/x", "unknown scheme of a mirror 'ftp'. Valid: file, gs, s3"),
        (serving, "gs:/bucket/x", "two slashes after the colon"),
        (serving, "gs://", "gs://BUCKET/FOLDER"),
        (serving, "s3://bucket/../x", "s3://BUCKET/FOLDER"),
        (serving, "file://host/x", "three slashes"),
        (serving, "~/x", "write out the home folder"),
        (serving, "", "a folder, gs://BUCKET/FOLDER or s3://BUCKET/FOLDER"),
        (serving, "a\nb", "a folder, gs://BUCKET/FOLDER"),
    ):
        status, out, err = run("mirror", where, url)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert message in err
    assert not (tmp_path / "nowhere").exists()
    status, _, err = run("mirror", serving, "s3://key:secret@bucket/x")
    assert (status, "secret" in err) == (2, False)


def test_versions_of_an_older_program_have_no_history(root, tmp_path):
    serving = tmp_path / "old"
    shutil.copytree(root / "serving", serving)
    shutil.rmtree(serving / ".promotions")
    with pytest.raises(InputError, match="push once more, then mirror"):
        mirror(serving, str(tmp_path / "there"))
    assert not Path(tmp_path / "there").exists()
    assert json.loads((serving / "2" / "push.json").read_text())["version"] == 2
