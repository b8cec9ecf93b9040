"""Streams that outlive their readers."""

import os
import sys

from pipelines.quiet import lasting, quiet


def broken():
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", buffering=1)


def test_what_nobody_reads_is_lost():
    with broken() as stream:
        kept = lasting(stream)
        for _ in range(3):
            print("line", file=kept)
            kept.flush()
        assert kept.fileno() == stream.fileno()
        assert not kept.isatty()


def test_what_is_kept_back_is_lost_too():
    """Nothing is left that would fail when the stream is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        print("line", file=lasting(stream))
        lasting(stream).flush()
        print("line", file=stream)


def test_what_a_terminal_cannot_show_is_escaped(tmp_path):
    """Names of classes and folders come from outside, when the work is done already."""
    for coding, text in (("ascii", "J\xf6rg"), ("utf-8", os.fsdecode(b"J\xf6rg"))):
        with (tmp_path / coding).open("w", encoding=coding) as stream:
            print(text, file=lasting(stream))
        shown = "J\\xf6rg\n" if coding == "ascii" else "J\\udcf6rg\n"
        assert (tmp_path / coding).read_text("ascii") == shown


def test_progress_outlives_its_reader(capfd):
    reader, writer = os.pipe()
    before = os.dup(2)
    os.dup2(writer, 2)
    try:
        with quiet() as terminal:
            os.close(reader)
            os.close(writer)
            os.write(2, b"chatter\n")
            print("a node is done", file=terminal)
    finally:
        os.dup2(before, 2)
        os.close(before)
    print("whole", file=sys.stderr)
    assert capfd.readouterr() == ("", "whole\n")
