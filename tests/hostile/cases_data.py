"""A user's own data: images, tables, prepared TFDS datasets, schemas."""

import gzip
import os
import pickle
from pathlib import Path

import pyarrow as pa

from pipelines.dataset.images import encode_png
from pipelines.dataset.records import encode_example, frame
from tests.dataset.support import image_records, pictures, write_tfds
from tests.hostile.harness import Case
from tests.hostile.inputs import (
    CSV,
    FOLDER,
    MATERIALIZE,
    TABLE,
    TFDS,
    bomb,
    chunk,
    edit_json,
    png,
    table,
    write_films,
    write_parquet,
    write_pictures,
    write_prepared,
    write_recipe,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PLANTED = Path("pictures/a/0.png")


def picture(data, says="pictures/", late=True):
    """One of six images holds ``data``: found when its slice is read."""

    def make():
        write_pictures()
        PLANTED.write_bytes(data)

    return Case(make, MATERIALIZE, says if late is False else "bad record a/0.png: ", late=late)


def folder(change, says="", **recipe):
    def make():
        write_pictures(**recipe)
        change()

    return Case(make, MATERIALIZE, says)


def csv(data, says="films.csv", late=False, **source):
    data = data.encode() if isinstance(data, str) else data
    return Case(lambda: write_films(data, source), MATERIALIZE, says, late=late)


def parquet(rows, says="films.parquet", late=False, **source):
    return Case(lambda: write_parquet(rows, source), MATERIALIZE, says, late=late)


def damaged(change, says="films.parquet"):
    """A Parquet file whose bytes are changed."""

    def make():
        write_parquet()
        path = Path("films.parquet")
        path.write_bytes(change(path.read_bytes()))

    return Case(make, MATERIALIZE, says)


def prepared(change, says="", late=False):
    def make():
        change(write_prepared())

    return Case(make, MATERIALIZE, says, late=late)


def info(change, says="tiny"):
    return prepared(lambda folder: edit_json(folder / "dataset_info.json", change), says)


def features(change, says="tiny"):
    return prepared(lambda folder: edit_json(folder / "features.json", change), says)


def shard(change, says="record", late=True):
    def rewrite(folder):
        path = folder / "tiny-train.tfrecord-00000-of-00001"
        path.write_bytes(change(path.read_bytes()))

    return prepared(rewrite, says, late)


def record(data, says="bad record train-00000000: "):
    """The first record of a TFDS file is ``data``."""

    def make():
        records = image_records(pictures(20))
        write_tfds("tfds", {"train": [[data, *records[1:]]]})
        write_recipe(TFDS)

    return Case(make, MATERIALIZE, says, late=True)


def replace(path, make):
    Path(path).unlink()
    make(path)


def schema(text, says="mine.pbtxt"):
    def make():
        write_films()
        Path("mine.pbtxt").write_bytes(text.encode() if isinstance(text, str) else text)

    return Case(make, MATERIALIZE, says)


def _swap(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def _beside(name, says="leaves the table's folder"):
    rows = f"image,stars\n{name},x\nok.png,y\nok.png,x\n".encode()

    def make():
        Path("ok.png").write_bytes(png())
        source = {key: value for key, value in TABLE.items() if key != "text"}
        Path("films.csv").write_bytes(rows)
        write_recipe(source | {"image": "image"})

    return Case(make, MATERIALIZE, says, late=True)


def _outside():
    (Path("..") / "secret.png").write_bytes(png())


PNG = png()
IMAGES = {
    # Content: one bad image among six
    "png: empty": picture(b""),
    "png: signature alone": picture(SIGNATURE),
    "png: truncated": picture(PNG[: len(PNG) // 2]),
    "png: cut in the header": picture(PNG[:20]),
    "png: wrong CRC of the header": picture(_swap(PNG, 29, b"\0\0\0\0")),
    "png: garbage in the data": picture(_swap(PNG, 45, bytes(30))),
    "png: no data": picture(SIGNATURE + PNG[8:33] + chunk(b"IEND", b"")),
    "png: zero width": picture(bomb(0, 10)),
    "png: negative size": picture(bomb(0xFFFFFFFF, 0xFFFFFFFF)),
    "png: 50,000 x 50,000": picture(bomb(50_000, 50_000)),
    "png: 16 bits, 50,000 x 50,000": picture(bomb(50_000, 50_000, 6, 16)),
    "png: one line of 4 billion": picture(bomb(2**31 - 1, 1)),
    "png: another size": picture(png(1, (9, 6, 3))),
    "png: a chunk of 4 gigabytes": picture(SIGNATURE + b"\xff\xff\xff\xffIDAT" + bytes(50)),
    "png: colour type 7": picture(bomb(8, 8, colour=7)),
    "gif bomb": picture(b"GIF89a\xff\xff\xff\xff\xf0\0\0" + bytes(60)),
    "bmp bomb": picture(b"BM" + bytes(12) + b"\x28\0\0\0\x50\xc3\0\0\x50\xc3\0\0" + bytes(60)),
    "tiff of a directory at the end": picture(b"II*\0\xff\xff\xff\x7f" + bytes(40)),
    "jpeg of endless fill": picture(b"\xff\xd8" + b"\xff" * 10_000),
    "jpeg: header alone": picture(b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(20)),
    "webp bomb": picture(b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0" + b"\xff" * 10 + bytes(40)),
    "ppm bomb": picture(b"P6 99999999 99999999 255\n" + bytes(90)),
    "svg named .png": picture(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
    "svg with entities": picture(b'<!DOCTYPE s [<!ENTITY a "&b;">]><svg>&a;</svg>'),
    "html named .png": picture(b"<html><body>404 not found</body></html>"),
    "zip named .png": picture(b"PK\x03\x04" + bytes(200)),
    "pickle named .png": picture(pickle.dumps({"image": [1, 2]})),
    "script named .png": picture(b"#!/bin/sh\ntouch owned\n"),
    "text named .png": picture(b"not an image"),
    # Layout
    "folder: fifo": folder(lambda: replace(PLANTED, os.mkfifo), "0.png"),
    "folder: device by a link": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("/dev/zero", path)), "0.png"
    ),
    "folder: socket": folder(lambda: replace(PLANTED, _socket), "0.png"),
    "folder: link to itself": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("0.png", path)), "0.png"
    ),
    "folder: link to nothing": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("gone.png", path)), "0.png"
    ),
    "folder: link to a file outside": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("/etc/passwd", path)), "is a link to"
    ),
    "folder: link to a folder outside": folder(
        lambda: os.symlink("/etc", "pictures/c"), "is a link to"
    ),
    "folder: loop of folders": folder(lambda: os.symlink("..", "pictures/a/up"), "is a link to"),
    "folder: root in itself": folder(lambda: os.symlink(".", "pictures/c"), "is a link to"),
    "folder: too deep": folder(lambda: _deep("pictures/a", 100), "pictures"),
    "folder: name that is no text": folder(
        lambda: Path(os.fsdecode(b"pictures/a/\xff.png")).write_bytes(PNG), "not UTF-8"
    ),
    "folder: newline in a name": Case(
        lambda: _planted("pictures/a/x\nerror: forged.png", b"no"), MATERIALIZE, "bad", late=True
    ),
    "folder: escape sequence in a class": folder(
        lambda: os.makedirs("pictures/\x1b[31mred"), "holds no image"
    ),
    "folder: is a fifo": Case(lambda: _other(os.mkfifo), MATERIALIZE, "not a folder"),
    "folder: is a device": Case(
        lambda: write_recipe(FOLDER | {"path": "/dev/null"}), MATERIALIZE, "not a folder"
    ),
    "folder: has a NUL": Case(
        lambda: write_recipe(FOLDER | {"path": "pic\0tures"}), MATERIALIZE, "mine.yaml"
    ),
    "folder: empty path": Case(
        lambda: write_recipe(FOLDER | {"path": ""}), MATERIALIZE, "mine.yaml"
    ),
    "folder: unknown store": Case(
        lambda: write_recipe(FOLDER | {"path": "nowhere://a/b"}), MATERIALIZE, "nowhere"
    ),
    "folder: a limit of no pixels": folder(
        lambda: write_recipe(FOLDER | {"max_pixels": 0}), "max_pixels"
    ),
    "folder: all beyond the limit": folder(
        lambda: write_recipe(FOLDER | {"max_pixels": 3}), "none of its records is an image"
    ),
}


def _socket(path):
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def _deep(path, levels):
    here = os.getcwd()
    os.chdir(path)
    for _ in range(levels):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)


def _planted(path, data):
    write_pictures()
    Path(path).write_bytes(data)


def _other(make):
    write_recipe()
    make("pictures")


LONG = "x" * 300_000
TABLES = {
    "csv: NUL in a text": csv(CSV.replace(b"two", b"t\0o"), "holds a NUL", late=True),
    "csv: NUL in the header": csv(CSV.replace(b"text", b"te\0xt")),
    "csv: nothing": csv(b"", "is empty"),
    "csv: header alone": csv(b"id,text,stars\n", ""),
    "csv: blank lines": csv(b"\n\n\n", "films.csv"),
    "csv: zeros": csv(bytes(1_000)),
    "csv: binary": csv(bytes(range(256)) * 8, "not utf-8"),
    "csv: UTF-16": csv(CSV.decode().encode("utf-16"), "not utf-8"),
    "csv: half a character": csv(CSV + b"e,caf\xc3", "not utf-8"),
    "csv: open quote": csv(CSV + b'e,"open,x\n', "not valid CSV"),
    "csv: text after a quote": csv(CSV + b'e,"a"b,x\n', "not valid CSV"),
    "csv: open quote of 8 megabytes": csv(CSV + b'e,"' + b"x" * (8 << 20), "not valid CSV"),
    "csv: too many values": csv(CSV + b"e,a,b,c,d,x\n", "bad record", late=True),
    "csv: too few values": csv(CSV + b"e\n", "bad record", late=True),
    "csv: 100,000 columns": csv(b"a," * 100_000 + b"\n", "unknown column"),
    "csv: column twice": csv(CSV.replace(b"id,", b"text,"), "several columns"),
    "csv: label of 300,000 characters": csv(f"text,stars\na,{LONG}\nb,x\n", "the class name"),
    "csv: carriage return in a label": csv(b'text,stars\na,"x\ry"\nb,z\n', "the class name"),
    "csv: old Mac line ends": csv(CSV.replace(b"\n", b"\r") + b'"', "films.csv"),
    "csv: encoding that is none": csv(CSV, "unknown encoding", encoding="utf-9"),
    "csv: encoding that is code": csv(CSV, "unknown encoding", encoding="zlib_codec"),
    "csv: encoding idna": csv(CSV + b"e,\xff\xfe,x\n", encoding="idna"),
    "csv: encoding undefined": csv(CSV, "unknown encoding", encoding="undefined"),
    "csv: encoding with a NUL": csv(CSV, "unknown encoding", encoding="utf\0"),
    "csv: delimiter of two": csv(CSV, "delimiter must be", delimiter=",,"),
    "csv: delimiter is a quote": csv(CSV, "delimiter must be", delimiter='"'),
    "csv: delimiter is a NUL": csv(CSV, "mine.yaml", delimiter="\0"),
    "csv: path is a fifo": Case(
        lambda: (write_recipe(TABLE), os.mkfifo("films.csv")), MATERIALIZE, "films.csv"
    ),
    "csv: path is a folder": Case(
        lambda: (write_recipe(TABLE), os.mkdir("films.csv")), MATERIALIZE, "is a folder"
    ),
    "csv: path is a device": csv(CSV, "/dev/zero", path="/dev/zero"),
    "csv: path with a NUL": csv(CSV, "mine.yaml", path="fil\0ms.csv"),
    "csv: path of 10,000 characters": csv(CSV, "no such file", path="f" * 10_000),
    "csv: a pattern that matches itself": csv(CSV, "two splits", path={"a": "*.csv", "b": "f*"}),
    "csv: image above the folder": _beside("../secret.png"),
    "csv: image by an absolute path": _beside("/etc/passwd"),
    "csv: image by a URI": _beside("file:///etc/passwd"),
    "csv: image in the home folder": _beside("~/x.png"),
    "csv: image with backslashes": _beside("..\\secret.png"),
    "csv: image is a folder": _beside(".", "no file"),
    "csv: image name of 10,000": _beside("i" * 10_000, "no file"),
    "parquet: nothing": damaged(lambda data: b"", "not a whole Parquet file"),
    "parquet: magic alone": damaged(lambda data: b"PAR1PAR1", "not a whole Parquet file"),
    "parquet: truncated": damaged(lambda data: data[:-10], "not a whole Parquet file"),
    "parquet: first half": damaged(lambda data: data[: len(data) // 2], "not a whole Parquet"),
    "parquet: second half": damaged(lambda data: data[len(data) // 2 :]),
    "parquet: footer of 4 gigabytes": damaged(
        lambda data: data[:-8] + b"\xff\xff\xff\xffPAR1", "not a whole Parquet file"
    ),
    "parquet: footer of nothing": damaged(lambda data: data[:-8] + b"\0\0\0\0PAR1"),
    "parquet: zeroed pages": damaged(lambda data: b"PAR1" + bytes(200) + data[204:]),
    "parquet: zeroed footer": damaged(lambda data: _no_footer(data)),
    "parquet: an Arrow file": Case(
        lambda: (write_parquet(), _arrow_file()), MATERIALIZE, "not a whole Parquet file"
    ),
    "parquet: a CSV file": damaged(lambda data: CSV, "not a whole Parquet file"),
    "parquet: nested text": parquet(table(text=[["a"], ["b"], ["c"], ["d"]]), "must hold strings"),
    "parquet: a mapping": parquet(
        pa.table({"text": pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int64())),
                  "stars": ["x", "y", "x", "y"]}),
        "must hold strings",
    ),
    "parquet: labels are floats": parquet(table(stars=[1.0, 2.0, float("nan"), 1.0]), "stars"),
    "parquet: labels are times": parquet(
        table(stars=pa.array([1, 2, 1, 2], pa.timestamp("s"))), "stars"
    ),
    "parquet: labels are missing": parquet(table(stars=pa.array([None] * 4, pa.string())), "class"),
    "parquet: text is null": parquet(table(text=pa.nulls(4)), "must hold strings"),
    "parquet: text is binary": parquet(table(text=[b"a", b"\xff", b"c", b"d"]), "must hold"),
    "parquet: no rows": parquet(table().slice(0, 0), ""),
    "parquet: no columns": parquet(pa.table({}), "unknown column"),
    "parquet: column twice": Case(
        lambda: write_parquet(pa.Table.from_arrays(
            [pa.array(["a", "b"])] * 2 + [pa.array(["x", "y"])], ["text", "text", "stars"])),
        MATERIALIZE, "several columns",
    ),
    "parquet: text that is not UTF-8": Case(
        lambda: write_parquet(_wrong_text()), MATERIALIZE, "not UTF-8", late=True
    ),
    "parquet: class names that are none": Case(
        lambda: _hugging_face({"info": {"features": {"stars": {"names": [["a"], {}]}}}}),
        MATERIALIZE, status=(0,),
    ),
    "parquet: class names nested deeply": Case(
        lambda: _hugging_face("[" * 100_000), MATERIALIZE, status=(0,)
    ),
}  # fmt: skip


def _no_footer(data):
    size = int.from_bytes(data[-8:-4], "little")
    return data[: -8 - size] + bytes(size) + data[-8:]


def _arrow_file():
    with pa.OSFile("films.parquet", "wb") as sink, pa.ipc.new_file(sink, table().schema) as out:
        out.write_table(table())


def _wrong_text():
    rows = pa.array([b"a", b"\xff\xfe", b"c", b"d"], pa.binary())
    return table(text=pa.StringArray.from_buffers(4, *rows.buffers()[1:], rows.buffers()[0]))


def _hugging_face(value):
    import json

    text = value if isinstance(value, str) else json.dumps(value)
    rows = table(stars=pa.array([0, 1, 0, 1]))
    write_parquet(rows.replace_schema_metadata({"huggingface": text}))


def _first(info):
    return info["splits"][0]


HEADER = 12
PREPARED = {
    "tfds: path above": Case(
        lambda: write_recipe(TFDS | {"dataset": "../../etc"}), MATERIALIZE, "source.dataset"
    ),
    "tfds: absolute path": Case(
        lambda: write_recipe(TFDS | {"dataset": "/etc"}), MATERIALIZE, "source.dataset"
    ),
    "tfds: version is a path": Case(
        lambda: write_recipe(TFDS | {"version": "../1.0.0"}), MATERIALIZE, "source.dataset"
    ),
    "tfds: file template leaves the folder": info(
        lambda value: _first(value).update(filepathTemplate="../../../../../../etc/passwd"), "etc"
    ),
    "tfds: absolute file template": info(
        lambda value: _first(value).update(filepathTemplate="/etc/passwd"), "passwd"
    ),
    "tfds: template with attributes": info(
        lambda value: _first(value).update(filepathTemplate="{SPLIT.__class__.__mro__}"), "__mro__"
    ),
    "tfds: template with unknown names": info(
        lambda value: _first(value).update(filepathTemplate="{HOME}")
    ),
    "tfds: template of a gigabyte": info(
        lambda value: _first(value).update(filepathTemplate="{DATASET:>1000000000}")
    ),
    "tfds: open brace": info(lambda value: _first(value).update(filepathTemplate="{")),
    "tfds: template is a number": info(lambda value: _first(value).update(filepathTemplate=3)),
    "tfds: lengths are text": info(lambda value: _first(value).update(shardLengths="forty")),
    "tfds: lengths are negative": info(lambda value: _first(value).update(shardLengths=["-40"])),
    "tfds: length of a billion": info(
        lambda value: _first(value).update(shardLengths=[str(10**9)]), "holds 0 to 739"
    ),
    "tfds: length of 5,000 digits": info(
        lambda value: _first(value).update(shardLengths=["9" * 5_000])
    ),
    "tfds: a million files": info(lambda value: _first(value).update(shardLengths=[1] * 10**5)),
    "tfds: splits are a mapping": info(lambda value: value.update(splits={"train": 1})),
    "tfds: no splits": info(lambda value: value.pop("splits") and None),
    "tfds: name is a list": info(lambda value: value.update(name=[1])),
    "tfds: split without a name": info(lambda value: _first(value).pop("name") and None),
    "tfds: info is a list": info(lambda value: [value]),
    "tfds: another format": info(lambda value: value.update(fileFormat="riegeli"), "riegeli"),
    "tfds: info is no JSON": prepared(
        lambda folder: (folder / "dataset_info.json").write_text("{"), "dataset_info.json"
    ),
    "tfds: info is nested deeply": prepared(
        lambda folder: (folder / "dataset_info.json").write_text("[" * 100_000), "dataset_info"
    ),
    "tfds: info is a fifo": prepared(
        lambda folder: replace(folder / "dataset_info.json", os.mkfifo), "tiny"
    ),
    "tfds: features are null": features(lambda value: value.update(featuresDict=None)),
    "tfds: features are text": features(lambda value: value.update(featuresDict={"features": "x"})),
    "tfds: shape of text": features(
        lambda value: value["featuresDict"]["features"]["image"]["image"]["shape"].update(
            dimensions=["a", "b", "3"])
    ),
    "tfds: shape of a petabyte": features(
        lambda value: value["featuresDict"]["features"]["image"]["image"]["shape"].update(
            dimensions=[str(10**6), str(10**9), "3"]),
        "pixels",
    ),
    "tfds: 10**12 classes": features(
        lambda value: value["featuresDict"]["features"]["label"].update(
            classLabel={"numClasses": str(10**12)}),
        "classes",
    ),
    "tfds: classes are text": features(
        lambda value: value["featuresDict"]["features"]["label"].update(
            classLabel={"numClasses": "two"})
    ),
    "tfds: labels are not UTF-8": prepared(
        lambda folder: (folder / "label.labels.txt").write_bytes(b"\xff\n\xfe\n"), "utf-8"
    ),
    "tfds: file is a fifo": prepared(
        lambda folder: replace(folder / "tiny-train.tfrecord-00000-of-00001", os.mkfifo),
        "tiny-train",
    ),
    "tfds: file is missing": prepared(
        lambda folder: (folder / "tiny-train.tfrecord-00000-of-00001").unlink(), "tiny-train"
    ),
    "tfrecord: empty": shard(lambda data: b""),
    "tfrecord: cut in a record": shard(lambda data: data[:-7], "truncated"),
    "tfrecord: cut in a header": shard(lambda data: data[:5], "a file of 5 bytes"),
    "tfrecord: length of 2**63": shard(lambda data: b"\xff" * 7 + b"\x7f" + data[8:]),
    "tfrecord: length of 2**64": shard(lambda data: b"\xff" * 8 + data[8:]),
    "tfrecord: length of zero": shard(lambda data: bytes(8) + data[8:]),
    "tfrecord: flipped byte in a record": shard(
        lambda data: _swap(data, 60, bytes([data[60] ^ 1])), "checksum"
    ),
    "tfrecord: flipped byte in a checksum": shard(
        lambda data: _swap(data, 9, bytes([data[9] ^ 1])), "checksum"
    ),
    "tfrecord: gzipped": shard(gzip.compress),
    "tfrecord: zeros": shard(lambda data: bytes(len(data))),
    "tfrecord: twice": shard(lambda data: data + data, "holds 80 records"),
    "example: garbage": record(b"\xff\xff\xff\xff"),
    "example: nothing": record(b""),
    "example: image missing": record(encode_example({"label": 1})),
    "example: two images": record(encode_example({"image": [PNG, PNG], "label": 1})),
    "example: image is a number": record(encode_example({"image": 3, "label": 1})),
    "example: label is text": record(encode_example({"image": PNG, "label": b"1"})),
    "example: label of 2**62": record(encode_example({"image": PNG, "label": 2**62})),
    "example: negative label": record(encode_example({"image": PNG, "label": -1})),
    "example: image bomb": record(encode_example({"image": bomb(50_000, 50_000), "label": 1})),
    "example: grey image of another size": record(
        encode_example({"image": encode_png(pictures(1, shape=(3, 3, 1)))[0], "label": 1})
    ),
    "example: a TFRecord in a TFRecord": record(frame([PNG])[0]),
}  # fmt: skip

SCHEMAS = {
    "schema: not text": schema(bytes(range(128, 256))),
    "schema: other format": schema("feature: {"),
    "schema: a megabyte of braces": schema("feature { " * 20_000),
    "schema: no classes": schema('feature { name: "label" type: BYTES }'),
    "schema: empty": schema(""),
    "schema: class missing": schema(
        'feature { name: "label" type: BYTES domain: "l" }\n'
        'feature { name: "text" type: BYTES }\n'
        'string_domain { name: "l" value: "y" value: "z" }\n'
    ),
    "schema: a folder": Case(
        lambda: (write_films(), os.mkdir("mine.pbtxt")), MATERIALIZE, "mine.pbtxt", late=True
    ),
    "schema: path above": Case(
        lambda: write_films(schema="../../../../etc/passwd"), MATERIALIZE, "passwd"
    ),
    "schema: unwritable place": Case(
        lambda: write_films(schema="/proc/none/x.pbtxt"), MATERIALIZE, "must be kept", late=True
    ),
}

CASES = IMAGES | TABLES | PREPARED | SCHEMAS
