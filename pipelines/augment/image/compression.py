"""Loss of detail: JPEG files and coarse pixels."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Integers
from pipelines.augment.registry import image_op

Images = NDArray[np.uint8]
Whole = NDArray[np.int64]

LOSSLESS = 101
"""The JPEG quality that stands for no compression at all."""

_CHUNK_BYTES = 1 << 17
_PROBE_SHAPES = ((32, 32, 3), (21, 50, 3), (40, 17, 1))
_PROBE_QUALITIES = (5, 50, 75, 95, 100)


def jpeg_codec(**_settings: Any) -> dict[str, str]:
    """Return a digest of what OpenCV's JPEG encoder and decoder make of fixed images.

    The standard leaves the rounding to the codec, so another one is another augmentation.
    """
    return {"jpeg codec": _codec_digest()}


@image_op(
    "jpeg",
    family="compression",
    kind="pixel",
    version=1,
    params={"quality": Integers(30, 90, identity=LOSSLESS, limits=(1, LOSSLESS))},
    resources=jpeg_codec,
)
def jpeg(images: Images, *, quality: Whole) -> Images:
    """Write and read the image as JPEG of ``quality`` 1 to 100; 101 leaves it as it is.

    The bytes are those of OpenCV's codec (libjpeg-turbo, halved chroma), whose digest is part of
    a recipe's fingerprint: they are the same wherever that is.
    """
    compressed = images.copy(order="C")
    for out, level in zip(compressed, quality.tolist(), strict=True):
        if level < LOSSLESS:
            _write_and_read(out, level)
    return compressed


@image_op(
    "pixelate",
    family="compression",
    kind="pixel",
    version=1,
    params={"block": Integers(2, 4, identity=1, limits=(1, 256))},
)
def pixelate(images: Images, *, block: Whole) -> Images:
    """Replace squares of ``block`` by ``block`` pixels by their mean colour, from the top left."""
    coarse = np.empty_like(images, order="C")
    for side in np.unique(block).tolist():
        rows = np.flatnonzero(block == side)
        chunk = max(1, _CHUNK_BYTES // max(1, images[:1].size))
        for start in range(0, len(rows), chunk):
            some = rows[start : start + chunk]
            coarse[some] = _block_means(images[some], side)
    return coarse


def _write_and_read(image: Images, quality: int) -> None:
    """Replace ``image`` (RGB or grey) by what JPEG keeps of it."""
    colour = image.shape[2] == 3
    source = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image
    _, data = cv2.imencode(".jpg", source, [cv2.IMWRITE_JPEG_QUALITY, quality])
    mode = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
    image[:] = np.asarray(cv2.imdecode(data, mode)).reshape(image.shape)


@lru_cache(maxsize=1)
def _codec_digest() -> str:
    total = hashlib.sha256()
    for shape in _PROBE_SHAPES:
        noise = Draws.from_seeds(np.array([1])).bits(int(np.prod(shape))) >> np.uint64(56)
        for quality in _PROBE_QUALITIES:
            image = noise.astype(np.uint8).reshape(shape)
            _write_and_read(image, quality)
            total.update(image.tobytes())
    return total.hexdigest()


def _block_means(images: Images, side: int) -> Images:
    count, height, width, channels = images.shape
    rows, columns = np.arange(height) // side, np.arange(width) // side
    high, wide = np.bincount(rows), np.bincount(columns)
    down = np.zeros((count, len(high), len(wide) * side * channels), dtype=np.uint16)
    lines = images.reshape(count, height, width * channels)
    for offset in range(min(side, height)):
        some = lines[:, offset::side]
        down[:, : some.shape[1], : lines.shape[2]] += some
    down = down.reshape(count, len(high), len(wide), side * channels)
    sums = np.zeros((count, len(high), len(wide), channels), dtype=np.int32)
    for place in range(side * channels):
        sums[..., place % channels] += down[..., place]
    pixels = (high[:, None] * wide)[:, :, None].astype(np.int32)
    means: Images = ((sums + pixels // 2) // pixels).astype(np.uint8)
    return means.take(columns, axis=2).take(rows, axis=1)
