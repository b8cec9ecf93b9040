"""CSV and Parquet files, the images beside them, and the schema beside a recipe."""

import os
from pathlib import Path

import pyarrow as pa

from tests.hostile.harness import Case
from tests.hostile.inputs import (
    CSV,
    MATERIALIZE,
    TABLE,
    png,
    table,
    write_films,
    write_parquet,
    write_recipe,
)


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


def schema(text, says="mine.pbtxt"):
    def make():
        write_films()
        Path("mine.pbtxt").write_bytes(text.encode() if isinstance(text, str) else text)

    return Case(make, MATERIALIZE, says)


def _beside(name, says="leaves the table's folder"):
    rows = f"image,stars\n{name},x\nok.png,y\nok.png,x\n".encode()

    def make():
        Path("ok.png").write_bytes(png())
        source = {key: value for key, value in TABLE.items() if key != "text"}
        Path("films.csv").write_bytes(rows)
        write_recipe(source | {"image": "image"})

    return Case(make, MATERIALIZE, says, late=True)


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
        lambda: write_films(schema=os.path.relpath("/etc/passwd")), MATERIALIZE, "passwd"
    ),
    "schema: unwritable place": Case(
        lambda: write_films(schema="/proc/none/x.pbtxt"), MATERIALIZE, "must be kept", late=True
    ),
}


CASES = TABLES | SCHEMAS
