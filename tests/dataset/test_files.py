"""Files are written whole or not at all, and a folder can be listed while it is written."""

import os
import threading

import pytest

from pipelines.dataset import files
from schemas.errors import FailedError, InputError


def test_write_replaces_the_whole_file(tmp_path):
    path = str(tmp_path / "a" / "b.bin")
    files.write_atomic(path, b"first, longer")
    files.write_atomic(path, memoryview(b"second"))
    assert files.read_bytes(path) == b"second"
    assert os.listdir(tmp_path / "a") == ["b.bin"]


def test_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").touch()
    with pytest.raises(FailedError, match=r"cannot write .*taken: Is a directory"):
        files.write_atomic(str(tmp_path / "taken"), b"x")
    with pytest.raises(FailedError, match="cannot write .*below: "):
        files.write_atomic(str(tmp_path / "taken" / "inside" / "below"), b"x")
    assert files.sizes(str(tmp_path)) == {"taken/inside": 0}


def test_sizes_names_every_file_and_link(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "x").write_bytes(b"123")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert list(files.sizes(str(tmp_path))) == ["a", "b/c/x", "broken", "link"]
    assert files.sizes(str(tmp_path))["b/c/x"] == 3
    assert files.sizes(str(tmp_path / "nowhere")) == {}
    assert files.sizes(str(tmp_path / "a")) == {}


def test_folder_is_listed_while_files_are_renamed_in_it(tmp_path):
    """A temporary file that was listed may be gone when it is looked at."""
    done = threading.Event()

    def write():
        for i in range(60):
            files.write_atomic(str(tmp_path / f"{i % 7}"), b"x")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert all(size in (0, 1) for size in files.sizes(str(tmp_path)).values())
    writer.join()
    assert list(files.sizes(str(tmp_path))) == [str(i) for i in range(7)]


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot create the folder .*file/x: .*writable place"):
        files.make_folder(str(tmp_path / "file" / "x"))


def test_removing_what_is_not_there_is_fine(tmp_path):
    files.remove(str(tmp_path / "none"))
    files.remove_tree(str(tmp_path / "none"))


def test_remote_paths_are_told_from_local_ones():
    assert files.is_remote("gs://bucket/x")
    assert not files.is_remote("/some/path")
    assert not files.is_remote("file:///some/path")
    assert files.join("gs://bucket/", "a", "b") == "gs://bucket/a/b"
    with pytest.raises(InputError, match="cannot open the store of nosuch://x"):
        files.read_bytes("nosuch://x")
