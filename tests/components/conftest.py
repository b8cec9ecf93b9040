"""Small finished datasets in the layout that materialize writes, made from real digits."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from schemas.features import ExampleSchema
from schemas.manifest import Manifest, ShardInfo

COUNTS = {"train": 600, "eval": 120, "test": 120}


def write_dataset(root, schema, rows, *, survey, vocabulary=None):
    """Write a dataset; ``rows`` maps (split, copy, slice) to [(key, label, value bytes)].

    A fourth item of a row is its weight.
    """
    import tensorflow as tf

    def feature(value):
        if isinstance(value, float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))

    shards = []
    for (split, copy, part), examples in rows.items():
        path = f"Split-{split}/copy{copy:02d}-slice{part:04d}{schema.file_suffix}"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        kind = "GZIP" if path.endswith(".gz") else ""
        with tf.io.TFRecordWriter(str(root / path), kind) as writer:
            for key, label, value, *weight in examples:
                fields = {"key": key, "copy": copy, "label": label, schema.feature: value}
                fields |= dict(zip(["weight"], weight, strict=False))
                example = tf.train.Example(
                    features=tf.train.Features(
                        feature={name: feature(one) for name, one in fields.items()}
                    )
                )
                writer.write(example.SerializeToString(deterministic=True))
        shards.append(
            ShardInfo(
                path=path,
                split=split,
                copy=copy,
                slice=part,
                examples=len(examples),
                bytes=(root / path).stat().st_size,
                sha256="",
                classes={},
                ops={},
            )
        )
    (root / "survey.json").write_text(json.dumps(survey))
    if vocabulary is not None:
        (root / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    manifest = Manifest(
        name="fixture",
        fingerprint="f" * 64,
        recipe={},
        source={},
        policy={},
        schema=schema,
        versions={},
        shards=tuple(shards),
        files=(),
        counts={},
        digest="d" * 64,
    )
    (root / "manifest.json").write_text(manifest.to_json())
    return root


def write_digits(root, encoding):
    import cv2

    digits = load_digits()
    images = np.kron(digits.images / 16 * 255, np.ones((2, 2))).astype(np.uint8)
    images = np.repeat(images[..., None], 3, axis=-1)

    def encoded(image):
        if encoding == "raw":
            return image.tobytes()
        return cv2.imencode(".png", image[..., ::-1])[1].tobytes()

    rows, first = {}, 0
    for split, count in COUNTS.items():
        chosen = range(first, first + count)
        first += count
        for copy in (0, 1) if split == "train" else (0,):
            examples = [
                (f"{split}/{i}".encode(), digits.target[i], encoded(np.roll(images[i], copy, 1)))
                for i in chosen
            ]
            half = count // 2
            rows[split, copy, 0], rows[split, copy, 1] = examples[:half], examples[half:]
    train = images[: COUNTS["train"]].astype(np.float64)
    survey = {
        "channel_mean": train.mean((0, 1, 2)).tolist(),
        "channel_std": train.std((0, 1, 2)).tolist(),
    }
    schema = ExampleSchema(
        modality="image",
        label_names=tuple("0123456789"),
        encoding=encoding,
        image_shape=(16, 16, 3),
    )
    return write_dataset(root, schema, rows, survey=survey)


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), "png")


@pytest.fixture(scope="session")
def raw_digits_dir(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("raw_digits"), "raw")


@pytest.fixture(scope="session")
def reviews_dir(tmp_path_factory):
    good = "lovely wonderful superb moving brilliant don't-miss".split()
    bad = "awful dreary boring wooden lifeless tedious".split()
    plain = "the film a plot<br />of Actors, scene and café it was".split()
    generator = np.random.default_rng(5)
    rows = {}
    for split, count in COUNTS.items():
        examples = []
        for i in range(count):
            label = i % 2
            words = [*generator.choice(plain, 8), *generator.choice(good if label else bad, 3)]
            text = " ".join(generator.permutation(words))
            examples.append((f"{split}/{i}".encode(), label, text.encode()))
        rows[split, 0, 0] = examples
    vocabulary = ["<OOV>", *plain[:3], "plot", "of", "actors", "café", *good[:4], *bad]
    schema = ExampleSchema(modality="text", label_names=("neg", "pos"), encoding="utf8")
    root = tmp_path_factory.mktemp("reviews")
    return write_dataset(root, schema, rows, survey={}, vocabulary=vocabulary)
