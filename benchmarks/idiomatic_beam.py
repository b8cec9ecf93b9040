"""The usual way: a Beam pipeline of one-element steps, as tutorials and code bases write it.

Every step is what its libraries recommend: ``ReadFromTFRecord``, OpenCV to decode, warp and
encode, a NumPy generator seeded per element and copy, the operations of the ``classic`` policy
combined into one ``cv2.warpAffine``, ``tf.train.Example``, ``WriteToTFRecord``. It runs on the same
embedded runner. It writes no provenance, survey or digests, and its files differ from run to run.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import cv2
import numpy as np

from pipelines.dataset.records import example_class

Labelled = tuple[bytes, int, int, np.ndarray]


def run_idiomatic(source: str, output: str, *, copies: int, seed: int) -> None:
    """Augment a TFRecord file of Examples (``id``, ``image``, ``label``) into others.

    Args:
        source: The file to read.
        output: Prefix of the files to write: per record the original and ``copies`` more.
        copies: Augmented copies per record.
        seed: Seed of the augmentation.
    """
    options = beam.options.pipeline_options.PipelineOptions(["--runner=FnApiRunner"])
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "Read" >> beam.io.ReadFromTFRecord(source)
            | "Decode" >> beam.Map(decode)
            | "Augment" >> beam.FlatMap(augment, copies=copies, seed=seed)
            | "Encode" >> beam.Map(encode)
            | "Write" >> beam.io.WriteToTFRecord(output, file_name_suffix=".tfrecord")
        )


def decode(serialized: bytes) -> tuple[bytes, int, np.ndarray]:
    """Return the key, label and pixels of an Example."""
    feature = example_class().FromString(serialized).features.feature
    data = np.frombuffer(feature["image"].bytes_list.value[0], np.uint8)
    image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return feature["id"].bytes_list.value[0], feature["label"].int64_list.value[0], image


def augment(
    example: tuple[bytes, int, np.ndarray], *, copies: int, seed: int
) -> Iterator[Labelled]:
    """Yield the original and its augmented copies."""
    key, label, image = example
    yield key, 0, label, image
    for copy in range(1, copies + 1):
        rng = np.random.default_rng([seed, zlib.crc32(key), copy])
        yield key, copy, label, warp(image, rng)


def warp(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate by up to 20 degrees, shift, shear and zoom by up to 0.2, mirror half of the images."""
    height, width = image.shape[:2]
    angle = math.radians(rng.uniform(-20, 20))
    shift_x, shift_y = rng.uniform(-0.2, 0.2, 2) * (width, height)
    shear = rng.uniform(-0.2, 0.2)
    zoom_x, zoom_y = rng.uniform(0.8, 1.2, 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    slant = np.array([[1, -shear, shift_x], [0, 1, shift_y], [0, 0, 1]])
    scale = np.diag([zoom_x * flip, zoom_y, 1])
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    matrix = centre @ rotation @ slant @ scale @ np.linalg.inv(centre)
    return cv2.warpAffine(image, matrix[:2], (width, height), borderMode=cv2.BORDER_REPLICATE)


def encode(example: Labelled) -> bytes:
    """Return a serialized Example with the image as PNG."""
    key, copy, label, image = example
    _, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    message: Any = example_class()()
    feature = message.features.feature
    feature["key"].bytes_list.value.append(key)
    feature["copy"].int64_list.value.append(copy)
    feature["label"].int64_list.value.append(label)
    feature["image"].bytes_list.value.append(png.tobytes())
    return bytes(message.SerializeToString())
