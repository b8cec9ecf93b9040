"""Finished datasets that somebody else made: `verify`, `show` and `replay` of them."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.dataset.records import encode_example, frame
from tests.hostile.harness import Case
from tests.hostile.inputs import bomb, edit_json

MANIFEST = "data/manifest.json"
SHARD = "Split-train/copy00-slice0000.tfrecord"
BUILT: dict[str, Path] = {}
"""Set by the test: a dataset of six images, copied for every case."""


def lay_out():
    shutil.copytree(BUILT["images"], "data")


def dataset(change, command, says="", **expected):
    def make():
        lay_out()
        change()

    return Case(make, command, says, **expected)


def damaged(change, says):
    """`verify` prints a verdict."""
    return dataset(change, ("verify", "data"), says, status=(1,), verdict=True)


def manifest(change, says="not a dataset manifest"):
    return damaged(lambda: edit_json(MANIFEST, change), says)


def text(content, says="not a dataset manifest"):
    data = content.encode() if isinstance(content, str) else content
    return damaged(lambda: Path(MANIFEST).write_bytes(data) and None, says)


def entry(**changes):
    return manifest(lambda value: value["shards"][0].update(changes))


def shown(change, says="", command=("show", "data", "--sheet", "sheet.png")):
    return dataset(change, command, says)


def replaced(path, make):
    def change():
        Path("data", path).unlink()
        make(Path("data", path))

    return change


def provenance(change):
    def rewrite():
        path = "data/provenance.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return rewrite


def shard(data):
    def rewrite():
        path = next(Path("data").glob("Split-train/*"))
        path.write_bytes(frame([data] * 6)[0])

    return rewrite


def column(name, value):
    def change(rows):
        at = rows.column_names.index(name)
        return rows.set_column(at, name, [[value] * rows.num_rows])

    return provenance(change)


REPLAY = ("replay", "data", "a/0.png", "0")
CASES = {
    # What a manifest says
    "manifest: path above": entry(path="../../../etc/passwd"),
    "manifest: absolute path": entry(path="/etc/passwd"),
    "manifest: dots inside": entry(path="Split-train/../../x"),
    "manifest: backslashes": entry(path="..\\x"),
    "manifest: NUL in a path": entry(path="a\0b"),
    "manifest: newline in a path": entry(path="a\nnot ok: b"),
    "manifest: empty path": entry(path=""),
    "manifest: path is a number": entry(path=3),
    "manifest: bytes are text": entry(bytes="many"),
    "manifest: bytes are a float": entry(bytes=1e300),
    "manifest: examples negative": entry(examples=-5),
    "manifest: examples true": entry(examples=True),
    "manifest: digest is null": entry(sha256=None),
    "manifest: classes are a list": entry(classes=[1]),
    "manifest: classes hold text": entry(classes={"0": "1"}),
    "manifest: unknown key": entry(more=1),
    "manifest: huge number": text('{"format_version": ' + "9" * 10_000 + "}"),
    "manifest: infinite version": text('{"format_version": 1e999}', "format version inf"),
    "manifest: another format": manifest(
        lambda value: value.update(format_version=2), "format version 2"
    ),
    "manifest: version is a list": manifest(
        lambda value: value.update(format_version=[1]), "format version"
    ),
    "manifest: nested deeply": text("[" * 200_000),
    "manifest: nested recipe": manifest(
        lambda value: value.update(recipe=json.loads('{"a":' * 200 + "1" + "}" * 200)),
        "nested deeper",
    ),
    "manifest: empty": text(""),
    "manifest: binary": text(bytes(range(256))),
    "manifest: UTF-16": text('{"a": 1}'.encode("utf-16")),
    "manifest: a list": text("[]"),
    "manifest: null": text("null"),
    "manifest: half": damaged(
        lambda: os.truncate(MANIFEST, os.path.getsize(MANIFEST) // 2), "not a dataset manifest"
    ),
    "manifest: name is a path": manifest(lambda value: value.update(name="../../escaped")),
    "manifest: name is absolute": manifest(lambda value: value.update(name="/tmp/escaped")),
    "manifest: name is a list": manifest(lambda value: value.update(name=["mine"])),
    "manifest: shards are a mapping": manifest(lambda value: value.update(shards={"a": 1})),
    "manifest: shards are missing": manifest(lambda value: value.pop("shards") and None),
    "manifest: shape of text": manifest(
        lambda value: value["schema"].update(image_shape=["a", "b", "c"])
    ),
    "manifest: shape of two": manifest(lambda value: value["schema"].update(image_shape=[8, 6])),
    "manifest: negative shape": manifest(
        lambda value: value["schema"].update(image_shape=[-8, -6, 3])
    ),
    "manifest: modality is sound": manifest(lambda value: value["schema"].update(modality="sound")),
    "manifest: labels are a word": manifest(lambda value: value["schema"].update(label_names="ab")),
    "manifest: labels are numbers": manifest(
        lambda value: value["schema"].update(label_names=[1, 2])
    ),
    "manifest: digest of another": manifest(
        lambda value: value.update(digest="0" * 64), "digest does not match"
    ),
    "manifest: link to itself": dataset(
        replaced("manifest.json", lambda path: os.symlink("manifest.json", path)),
        ("verify", "data"),
        "no manifest.json",
    ),
    "manifest: fifo": dataset(
        replaced("manifest.json", os.mkfifo), ("verify", "data"), "no manifest.json"
    ),
    "manifest: folder": dataset(
        replaced("manifest.json", os.mkdir), ("verify", "data"), "no manifest.json"
    ),
    # The files
    "dataset: shard is a link outside": damaged(
        replaced(SHARD, lambda path: os.symlink("/etc/passwd", path)), "reached by a link"
    ),
    "dataset: shard is a fifo": damaged(replaced(SHARD, os.mkfifo), SHARD),
    "dataset: shard is missing": damaged(lambda: os.remove(f"data/{SHARD}"), "missing"),
    "dataset: folder is a link": damaged(
        lambda: (
            os.rename("data/Split-train", "moved"), os.symlink("../moved", "data/Split-train")
        ),
        "missing",
    ),
    "dataset: a loop of links": damaged(lambda: os.symlink(".", "data/loop"), "not named"),
    "dataset: foreign name with an escape": damaged(
        lambda: Path("data/\x1b[2Jx").touch(), r"\x1b[2Jx"
    ),
    "dataset: foreign name that is no text": damaged(
        lambda: Path(os.fsdecode(b"data/\xff")).touch(), r"\udcff"
    ),
    "dataset: foreign name of two lines": damaged(
        lambda: Path("data/a\nok: b").touch(), r"a\nok: b"
    ),
    # show and replay
    "show: manifest without counts": shown(
        lambda: edit_json(MANIFEST, lambda value: value.update(counts={})), "counts"
    ),
    "show: counts are text": shown(
        lambda: edit_json(MANIFEST, lambda value: value["counts"].update(examples="x")), "counts"
    ),
    "show: leakage is a list": shown(
        lambda: edit_json(MANIFEST, lambda value: value["counts"].update(leakage=[1])), "counts"
    ),
    "show: no provenance": shown(lambda: os.remove("data/provenance.parquet"), "provenance"),
    "show: provenance is a fifo": shown(replaced("provenance.parquet", os.mkfifo), "provenance"),
    "show: provenance is text": shown(
        lambda: Path("data/provenance.parquet").write_text("key\n"), "provenance"
    ),
    "show: provenance is cut": shown(
        lambda: os.truncate("data/provenance.parquet", 900), "provenance"
    ),
    "show: provenance without columns": shown(
        provenance(lambda rows: rows.select(["label"])), "cannot be read"
    ),
    "show: provenance without shards": shown(
        provenance(lambda rows: rows.drop_columns(["shard"])), "no column"
    ),
    "show: provenance names a file outside": shown(
        column("shard", "../../../../etc/passwd"), "no shard"
    ),
    "show: provenance names record 10**9": shown(column("record", 10**9), "cannot be read"),
    "show: shard is a link outside": shown(
        replaced(SHARD, lambda path: os.symlink("/etc/passwd", path)), "link that leaves"
    ),
    "show: shard of garbage": shown(lambda: Path("data", SHARD).write_bytes(b"x" * 500), "record"),
    "show: shard is gzip": shown(
        lambda: Path("data", SHARD).write_bytes(gzip.compress(bytes(1 << 20))), "record"
    ),
    "show: records are no examples": shown(shard(b"\xff\xff"), "cannot be read"),
    "show: records are empty": shown(shard(b""), "cannot be read"),
    "show: label of a class that is none": shown(
        shard(encode_example({"key": b"a", "copy": 0, "label": 7, "image": b"x"})), "label 7"
    ),
    "show: image bomb in a shard": shown(
        shard(encode_example({"key": b"a", "copy": 0, "label": 0, "image": bomb(30_000, 30_000)})),
        "not an image of",
    ),
    "show: unknown key": shown(
        lambda: None, "no example with the key", ("show", "data", "--key", "../x\x1b[2J")
    ),
    "show: key of 100,000": shown(
        lambda: None, "no example", ("show", "data", "--key", "k" * 99_999)
    ),
    "show: sheet below a file": dataset(
        lambda: None, ("show", "data", "--sheet", "data/manifest.json/x"), "cannot write",
        status=(1,),
    ),
    "replay: unknown copy": shown(lambda: None, "no copy 7", ("replay", "data", "a/0.png", "7")),
    "replay: copy of 500 digits": shown(
        lambda: None, "has no copy", ("replay", "data", "a/0.png", "9" * 500)
    ),
    "replay: recipe is none": shown(
        lambda: edit_json(MANIFEST, lambda value: value.update(recipe={})), "manifest.json", REPLAY
    ),
    "replay: recipe of another source": shown(
        lambda: edit_json(
            MANIFEST, lambda value: value["recipe"].update(source={"kind": "tfds", "x": 1})
        ),
        "source", REPLAY,
    ),
    "replay: source is gone": shown(
        lambda: edit_json(MANIFEST, lambda value: value["recipe"]["source"].update(path="gone")),
        "no such folder", REPLAY,
    ),
    "replay: recipe of a name above": shown(
        lambda: edit_json(MANIFEST, lambda value: value["recipe"].update(name="../up")),
        "name must be", REPLAY,
    ),
    "refresh: dataset with a setting": dataset(
        lambda: None, ("refresh", "data", "--root", "root", "--set", "seed=1"), "--set"
    ),
}  # fmt: skip
