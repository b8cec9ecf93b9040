"""docs/own_data.md, run from top to bottom: what it says a reader gets is what a reader gets.

A block ``sh`` must succeed and ``sh fails`` end with status 2; ``sh full`` is left to the slow
test. A block ``text`` shows lines that the block before printed, with … for anything.
"""

import glob
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import beam_runner

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "own_data.md"
_FENCE = re.compile(r"^```([a-z][a-z ]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = "beam-refinery "


@dataclass(frozen=True)
class Block:
    code: str
    kind: str
    line: int
    shown: tuple[str, ...] = ()


def blocks():
    """Return the commands of the document, each block with the output shown below it."""
    text = DOC.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        info, body = match[1].strip(), match[2]
        if info == "text":
            last = found.pop()
            found.append(Block(last.code, last.kind, last.line, tuple(body.splitlines())))
        else:
            assert info in ("sh", "sh fails", "sh full"), info
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(body, info, line))
    return found


def check(block, status, output):
    assert status == (2 if block.kind == "sh fails" else 0), f"line {block.line}:\n{output}"
    for line in block.shown:
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        assert re.search(pattern, output), f"line {block.line}: {line!r} is not in\n{output}"


def test_the_document_is_read():
    kinds = [block.kind for block in blocks()]
    assert kinds.count("sh full") >= 3
    assert kinds.count("sh fails") >= 4
    assert sum(bool(block.shown) for block in blocks()) >= 8


def test_the_settings_it_lists_are_those_there_are():
    from pipelines.dataset.sources import SOURCES

    for kind in ("image_folder", "csv", "parquet", "tfds"):
        row = next(x for x in DOC.read_text("utf-8").splitlines() if x.startswith(f"| `{kind}` |"))
        named = set(re.findall(r"`\[?(\w+)\]?`", row)) - {kind}
        assert named == {one.strip("[]") for one in SOURCES[kind].settings()}


def split_commands(code):
    """Yield our own command lines, and what stands between them as one script."""
    script = []
    for line in code.splitlines():
        if line.startswith(_COMMAND):
            if script:
                yield "\n".join(script)
            script = []
            yield line
        else:
            script.append(line)
    if script:
        yield "\n".join(script)


def run_here(line):
    """Run one of our commands in this process, its wildcards expanded as a shell would."""
    arguments = []
    for part in shlex.split(line)[1:]:
        arguments += sorted(glob.glob(part)) if part.endswith("*") else [part]
    return beam_runner.main(arguments)


@pytest.fixture
def programs(tmp_path):
    """A folder with ``python`` and ``beam-refinery`` of this environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    runner = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'beam_runner.py'))}"
    for name, command in [("python", shlex.quote(sys.executable)), ("beam-refinery", runner)]:
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def shell(code, environment):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout


def test_the_quick_commands(tmp_path, programs, monkeypatch, capfd):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for block in blocks():
        if block.kind == "sh full":
            continue
        status, output = 0, ""
        for part in split_commands(block.code):
            assert status == 0, f"line {block.line}:\n{output}"
            if part.startswith(_COMMAND):
                capfd.readouterr()
                status = run_here(part)
                output += "".join(capfd.readouterr())
            else:
                status, printed = shell(part, programs)
                output += printed
        check(block, status, output)


@pytest.mark.full
def test_all_commands_as_a_reader_types_them(tmp_path, programs, monkeypatch):
    pytest.importorskip("tfx", reason="refresh needs the extra [tfx]")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for block in blocks():
        check(block, *shell(block.code, programs))
    assert list(Path("models").glob("my_digits-full/serving/*/saved_model.pb"))
    assert list(Path("models").glob("films-full/serving/*/saved_model.pb"))
