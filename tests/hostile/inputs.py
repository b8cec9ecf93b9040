"""Small valid inputs, written into the current folder; the cases damage them."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipelines.dataset.images import encode_png
from tests.dataset.support import image_records, pictures, write_tfds

MATERIALIZE = ("materialize", "mine.yaml", "--output", "out")
CSV = b"id,text,stars\na,one film,x\nb,two films,y\nc,three films,x\nd,four films,y\n"
FOLDER = {"kind": "image_folder", "path": "pictures"}
TABLE = {"kind": "csv", "path": "films.csv", "label": "stars", "text": "text"}
PARQUET = {"kind": "parquet", "path": "films.parquet", "label": "stars", "text": "text"}
TFDS = {"kind": "tfds", "dataset": "tiny", "data_dir": "tfds"}


def content(source=FOLDER, **changes):
    """Return the plain mapping of a recipe without copies."""
    base = {
        "name": "mine",
        "modality": "text" if "text" in source else "image",
        "source": dict(source),
        "splits": {"test": None},
        "policy": {"preset": "none"},
        "copies": 0,
    }
    return base | changes


def write_recipe(source=FOLDER, **changes):
    text = yaml.safe_dump(content(source, **changes), sort_keys=False)
    Path("mine.yaml").write_text(text)


def png(seed=0, shape=(8, 6, 3)):
    return encode_png(np.random.default_rng(seed).integers(0, 256, (1, *shape), np.uint8))[0]


def chunk(kind, body, crc=None):
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def bomb(width, height, colour=2, depth=8):
    """Return a PNG of a few kilobytes that declares these dimensions."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def write_pictures(**extra):
    """Write six images of two classes, and a recipe over them.

    ``extra``: keys of the recipe.
    """
    for seed in range(6):
        path = Path("pictures", "ab"[seed % 2], f"{seed}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    write_recipe(FOLDER, **extra)


def write_films(data=CSV, source=None, **changes):
    Path("films.csv").write_bytes(data)
    write_recipe(TABLE | (source or {}), **changes)


def table(**columns):
    base = {"text": ["one", "two", "three", "four"], "stars": ["x", "y", "x", "y"]}
    return pa.table(base | columns)


def write_parquet(rows=None, source=None, **changes):
    pq.write_table(table() if rows is None else rows, "films.parquet")
    write_recipe(PARQUET | (source or {}), **changes)


def write_prepared(**changes):
    """Write a TFDS dataset of forty images and a recipe over it; return its folder."""
    records = image_records(pictures(40))
    folder = write_tfds("tfds", {"train": [records]})
    write_recipe(TFDS, **changes)
    return folder


def edit_json(path, change):
    """Replace a JSON file's value by what ``change`` makes of it (in place, or returned)."""
    value = json.loads(Path(path).read_text())
    changed = change(value)
    Path(path).write_text(json.dumps(value if changed is None else changed))


def swapped(data, at, new):
    """Return the data with something else at a place."""
    return data[:at] + new + data[at + len(new) :]


def replace(path, make):
    """Put something that is no file in its place."""
    Path(path).unlink()
    make(path)
