"""The atomic push, killed at every step."""

import errno
import json
import os
import shutil

import pytest

from components.push import live_model, push
from components.tree import tree_digest
from schemas.errors import FailedError
from tests.serving.support import dying_at, write_model


@pytest.fixture
def models(tmp_path):
    return [write_model(tmp_path / name, name) for name in ("first", "second")]


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving"


def names(serving):
    return sorted(entry.name for entry in serving.iterdir() if not entry.name.startswith("."))


def test_first_push_is_version_1_with_its_digest_and_record(models, serving):
    result = push(models[0], serving, record={"recipe": "digits"})
    assert (result.version, result.pushed) == (1, True)
    assert (serving / "CURRENT").read_text() == "1\n"
    assert (serving / "1" / "variables" / "variables.index").read_text() == "index of first"
    record = json.loads((serving / "1" / "push.json").read_text())
    digest = tree_digest(models[0])
    assert record == {"recipe": "digits", "version": 1, "digest": digest, "identity": digest}


def test_same_model_is_not_pushed_twice(models, serving):
    push(models[0], serving, record={})
    again = push(models[0], serving, record={})
    assert (again.version, again.pushed) == (1, False)
    assert names(serving) == ["1", "CURRENT"]


def test_equal_identity_is_not_pushed_twice_though_the_files_differ(models, serving):
    push(models[0], serving, record={}, identity="net")
    again = push(models[1], serving, record={}, identity="net")
    assert (again.pushed, again.digest) == (False, tree_digest(models[0]))


def test_versions_only_grow_also_when_an_old_model_returns(models, serving):
    versions = [push(models[i], serving, record={}).version for i in (0, 1, 0)]
    assert versions == [1, 2, 3]
    assert live_model(serving).digest == tree_digest(models[0])


@pytest.mark.parametrize("damage", ["flip", "remove file", "remove version", "extra file"])
def test_a_damaged_live_version_is_replaced_by_the_next(models, serving, damage):
    push(models[0], serving, record={})
    live = serving / "1"
    if damage == "flip":
        (live / "saved_model.pb").write_text("fIrst")
    elif damage == "remove file":
        (live / "variables" / "variables.index").unlink()
    elif damage == "remove version":
        shutil.rmtree(live)
    else:
        (live / "assets.txt").write_text("?")
    result = push(models[0], serving, record={})
    assert (result.version, result.pushed) == (2, True)
    assert live_model(serving).intact


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_leaves_the_old_or_the_new_model(models, serving, when, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # still counts as a step
    push(models[0], serving, record={})
    old, new = tree_digest(models[0]), tree_digest(models[1])
    step, seen = 0, set()
    while True:
        step += 1
        copy = serving.with_name(f"serving-{step}")
        shutil.copytree(serving, copy)
        code = dying_at(step, when, lambda copy=copy: push(models[1], copy, record={}))
        live = live_model(copy)
        assert live.intact
        seen.add(live.digest)
        for version in (entry for entry in copy.iterdir() if entry.name.isdecimal()):
            assert (version / "push.json").exists(), "a numeric folder is a complete version"
            record = json.loads((version / "push.json").read_text())
            assert tree_digest(version, leave_out=frozenset({"push.json"})) == record["digest"]
        if code == 0:
            break
        assert code == 9
        push(models[1], copy, record={})
        assert live_model(copy).digest == new
        assert names(copy) == ["1", "2", "CURRENT"], "the interrupted version is taken over"
        assert not list(copy.glob(".tmp-*"))
    assert seen == {old, new}
    assert step > 10


def test_a_full_disk_leaves_the_old_model_and_nothing_half(models, serving, monkeypatch):
    push(models[0], serving, record={})

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        push(models[1], serving, record={})
    assert live_model(serving).digest == tree_digest(models[0])
    assert names(serving) == ["1", "CURRENT"]
    assert not list(serving.glob(".tmp-*"))


def test_links_are_refused(models, serving):
    (models[0] / "link").symlink_to("/etc/hostname")
    with pytest.raises(FailedError, match="plain files and folders"):
        push(models[0], serving, record={})


def test_a_pointer_that_cannot_be_read_counts_as_no_live_model(models, serving):
    push(models[0], serving, record={})
    (serving / "CURRENT").write_text("one")
    assert live_model(serving) is None
    assert push(models[0], serving, record={}).version == 1, "the complete version is taken over"
    assert (serving / "CURRENT").read_text() == "1\n"
