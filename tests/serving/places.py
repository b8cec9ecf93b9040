"""Places of a mirror that are watched, and how a server reads them."""

import shutil
import uuid

from fsspec.implementations.memory import MemoryFileSystem

from components.serving.bundle import file_problems, read_bundle
from components.serving.remote import ObjectRemote
from components.serving.store import version_at


class Killed(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


class Watched:
    """A place that is looked at after every change, and that dies at the n-th one."""

    def __init__(self, remote, *, step=0, when="before", look=lambda: None):
        self._remote, self._step, self._when, self._look = remote, step, when, look
        self.count = 0
        self.changed = []

    def __getattr__(self, name):
        found = getattr(self._remote, name)
        if name not in ("create", "write", "upload", "delete"):
            return found

        def change(file, *arguments):
            self.count += 1
            if self.count == self._step and self._when == "before":
                raise Killed
            answer = found(file, *arguments)
            self.changed.append((name, file))
            self._look()
            if self.count == self._step:
                raise Killed
            return answer

        return change


def in_memory(filesystem=None):
    return ObjectRemote("memory://m", filesystem or MemoryFileSystem(), f"/{uuid.uuid4().hex}/m")


def contents(remote):
    return {name: remote.read(name) for name in remote.listing()}


def copied_back(remote, folder):
    """Write what a place holds below a folder, as ``gsutil rsync`` would; return the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in contents(remote).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def served(remote, folder):
    """Read a place as a server does that follows CURRENT; return the version, None where none."""
    there = copied_back(remote, folder)
    for path in there.glob("[0-9]*"):
        files = {one.name for one in path.rglob("*")}
        if "push.json" in files:
            assert "saved_model.pb" in files, "the record is the last file of a version"
        if "saved_model.pb" in files:
            assert "variables.index" in files, "what makes it loadable comes after the rest"
    if not (there / "CURRENT").exists():
        return None
    version = int((there / "CURRENT").read_text())
    assert version_at(there, version).intact
    assert not file_problems(there, read_bundle(there, version))
    return version
