"""The usual way: a Beam pipeline of one-element steps, as tutorials and code bases write it.

Every step is what its libraries recommend: ``ReadFromTFRecord``, OpenCV to decode, warp and
encode, a NumPy generator seeded per element and copy, the geometry of a policy combined into one
``cv2.warpAffine``, ``tf.train.Example``, ``WriteToTFRecord``. It runs on the same embedded runner.
It writes no provenance, survey or digests, and its files differ from run to run.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator

import apache_beam as beam
import cv2
import numpy as np
import tensorflow as tf

Labelled = tuple[bytes, int, int, np.ndarray]
Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def run_idiomatic(source: str, output: str, *, policy: str, copies: int, seed: int) -> None:
    """Augment a TFRecord file of Examples (``id``, ``image``, ``label``) into others.

    Args:
        source: The file to read.
        output: Prefix of the files to write: per record the original and ``copies`` more.
        policy: Which of `POLICIES` to apply.
        copies: Augmented copies per record.
        seed: Seed of the augmentation.
    """
    options = beam.options.pipeline_options.PipelineOptions(["--runner=FnApiRunner"])
    with beam.Pipeline(options=options) as pipeline:
        (
            pipeline
            | "Read" >> beam.io.ReadFromTFRecord(source)
            | "Decode" >> beam.Map(decode)
            | "Augment" >> beam.FlatMap(augment, policy=policy, copies=copies, seed=seed)
            | "Encode" >> beam.Map(encode)
            | "Write" >> beam.io.WriteToTFRecord(output, file_name_suffix=".tfrecord")
        )


def decode(serialized: bytes) -> tuple[bytes, int, np.ndarray]:
    """Return the key, label and pixels of an Example."""
    feature = tf.train.Example.FromString(serialized).features.feature
    data = np.frombuffer(feature["image"].bytes_list.value[0], np.uint8)
    image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return feature["id"].bytes_list.value[0], feature["label"].int64_list.value[0], image


def augment(
    example: tuple[bytes, int, np.ndarray], *, policy: str, copies: int, seed: int
) -> Iterator[Labelled]:
    """Yield the original and its augmented copies."""
    key, label, image = example
    yield key, 0, label, image
    for copy in range(1, copies + 1):
        rng = np.random.default_rng([seed, zlib.crc32(key), copy])
        yield key, copy, label, POLICIES[policy](image, rng)


def classic(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate by up to 20 degrees, shift, shear and zoom by up to 0.2, mirror half of the images."""
    return warp(image, rng, degrees=20, shift=0.2, shear=0.2, zoom=0.2)


def four_ops(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Warp, recolour, add noise, and hide a square: the ranges of `policies.FOUR_OPS`."""
    image = warp(image, rng, degrees=15, shift=0.1, shear=0, zoom=0.1)
    image = recolour(image, rng)
    noise = rng.normal(0, rng.uniform(0, 16), image.shape)
    image = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    return cutout(image, rng)


POLICIES: dict[str, Augment] = {"classic": classic, "4 ops": four_ops}


def warp(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    degrees: float,
    shift: float,
    shear: float,
    zoom: float,
) -> np.ndarray:
    """Rotate, shift, shear and zoom by up to so much, and mirror half of the images."""
    height, width = image.shape[:2]
    angle = math.radians(rng.uniform(-degrees, degrees))
    shift_x, shift_y = rng.uniform(-shift, shift, 2) * (width, height)
    slanted = rng.uniform(-shear, shear)
    zoom_x, zoom_y = rng.uniform(1 - zoom, 1 + zoom, 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    slant = np.array([[1, -slanted, shift_x], [0, 1, shift_y], [0, 0, 1]])
    scale = np.diag([zoom_x * flip, zoom_y, 1])
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    matrix = centre @ rotation @ slant @ scale @ np.linalg.inv(centre)
    return cv2.warpAffine(image, matrix[:2], (width, height), borderMode=cv2.BORDER_REPLICATE)


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn the hue by up to 18 degrees, then change saturation, brightness and contrast."""
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    turn = round(rng.uniform(-18, 18) / 2)  # OpenCV counts hues in steps of two degrees
    hue = ((hue.astype(np.int16) + turn) % 180).astype(np.uint8)
    saturation = cv2.convertScaleAbs(saturation, alpha=rng.uniform(0.7, 1.3))
    image = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB)
    image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.8, 1.2))
    contrast = rng.uniform(0.8, 1.2)
    table = np.clip((np.arange(256) - 128) * contrast + 128, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table)


def cutout(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide a square of a quarter to half of the side, its middle anywhere."""
    height, width = image.shape[:2]
    side = round(rng.uniform(0.25, 0.5) * min(height, width))
    left, top = (int(rng.integers(length)) - side // 2 for length in (width, height))
    image[max(top, 0) : top + side, max(left, 0) : left + side] = 128
    return image


def encode(example: Labelled) -> bytes:
    """Return a serialized Example with the image as PNG."""
    key, copy, label, image = example
    _, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    feature = {
        "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[key])),
        "copy": tf.train.Feature(int64_list=tf.train.Int64List(value=[copy])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png.tobytes()])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
