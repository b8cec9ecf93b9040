"""Small datasets in the form that TFDS prepares, and recipes over them."""

import json
from pathlib import Path

import numpy as np
import yaml

from pipelines.dataset.images import encode_png
from pipelines.dataset.records import encode_example, frame
from schemas.recipe import parse_recipe

_FEATURES = "tensorflow_datasets.core.features."
SHAPE = (8, 6, 3)


def pictures(count, seed=0, shape=SHAPE):
    """Return random images, all different."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def image_records(images, classes=2):
    """Return serialized examples: label i % classes, and a text feature as CIFAR-10 has one."""
    return [
        encode_example({"image": png, "label": i % classes, "id": f"picture {i}".encode()})
        for i, png in enumerate(encode_png(images))
    ]


def text_records(texts, classes=2):
    return [encode_example({"text": t.encode(), "label": i % classes}) for i, t in enumerate(texts)]


def write_tfds(
    root, splits, *, dataset="tiny", version="1.0.0", classes=2, shape=SHAPE, label_names=None
):
    """Write a prepared dataset.

    Args:
        root: The TFDS directory.
        splits: Name of a split to its files: lists of serialized examples.
        dataset: Its name, with a config where it has one.
        version: Its version.
        classes: Number of classes.
        shape: Shape of the images; None makes it a text dataset.
        label_names: Names of the classes, where the dataset carries them.

    Returns:
        The dataset's folder.
    """
    name = dataset.split("/")[0]
    folder = Path(root) / dataset / version
    folder.mkdir(parents=True)
    for split, parts in splits.items():
        for i, records in enumerate(parts):
            path = folder / f"{name}-{split}.tfrecord-{i:05d}-of-{len(parts):05d}"
            path.write_bytes(frame(records)[0])
    info = {
        "name": name,
        "version": version,
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": split,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "numBytes": "0",
                "shardLengths": [str(len(records)) for records in parts],
            }
            for split, parts in splits.items()
        ],
    }
    label = {
        "pythonClassName": f"{_FEATURES}class_label_feature.ClassLabel",
        "classLabel": {"numClasses": str(classes)},
    }
    text = {"pythonClassName": f"{_FEATURES}text_feature.Text", "text": {}}
    described = {"label": label, "text": text}
    if shape is not None:
        image = {"dtype": "uint8", "shape": {"dimensions": [str(n) for n in shape]}}
        kind = f"{_FEATURES}image_feature.Image"
        described = {"label": label, "image": {"pythonClassName": kind, "image": image}, "id": text}
    features = {
        "pythonClassName": f"{_FEATURES}features_dict.FeaturesDict",
        "featuresDict": {"features": described},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps(features))
    if label_names is not None:
        (folder / "label.labels.txt").write_text("".join(f"{one}\n" for one in label_names))
    return folder


def tfds_recipe(data_dir, **changes):
    """Return the plain mapping of a recipe over `write_tfds`'s dataset."""
    recipe = {
        "name": "tiny",
        "modality": "image",
        "source": {"kind": "tfds", "dataset": "tiny", "data_dir": str(data_dir)},
        "policy": {"preset": "classic"},
        "copies": 1,
        "slice_size": 16,
        "seed": 7,
    }
    return recipe | changes


def parsed(content):
    return parse_recipe(content, origin="test recipe")


def write_recipe(path, content):
    Path(path).write_text(yaml.safe_dump(content))
    return str(path)
