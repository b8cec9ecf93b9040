"""Folders in the form that TFDS prepares: descriptions, TFRecord files, examples."""

import gzip
import os

from pipelines.dataset.images import encode_png
from pipelines.dataset.records import encode_example, frame
from tests.dataset.support import image_records, pictures, write_tfds
from tests.hostile.harness import Case
from tests.hostile.inputs import (
    MATERIALIZE,
    TFDS,
    bomb,
    edit_json,
    png,
    replace,
    swapped,
    write_prepared,
    write_recipe,
)


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


PNG = png()


def _first(info):
    return info["splits"][0]


HEADER = 12
CASES = {
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
        lambda data: swapped(data, 60, bytes([data[60] ^ 1])), "checksum"
    ),
    "tfrecord: flipped byte in a checksum": shard(
        lambda data: swapped(data, 9, bytes([data[9] ^ 1])), "checksum"
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
