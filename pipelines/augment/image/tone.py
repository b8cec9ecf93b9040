"""Tone: each level becomes another by a table of 256 entries, exactly as PIL's ImageOps do it.

Tables are made in integers, in ``decimal`` or with IEEE's exactly rounded operations alone, so the
bytes are the same on every machine.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.augment.image.recolour import LUMA
from pipelines.augment.params import Flag, Integers, Symmetric, Uniform
from pipelines.augment.registry import image_op

Images = NDArray[np.uint8]
Tables = NDArray[np.uint8]
Integral = NDArray[np.int64]

_LEVELS = np.arange(256, dtype=np.int32)
_PER_GAMMA = 64
_FACTOR_BITS = 12
_LUMA_BITS = 16
_CHUNK_BYTES = 1 << 16


@image_op(
    "gamma",
    family="tone",
    kind="pixel",
    version=1,
    params={"exponent": Uniform(0.7, 1.4, identity=1.0, limits=(0.125, 8.0), steps=_PER_GAMMA)},
)
def gamma(images: Images, *, exponent: NDArray[np.float64]) -> Images:
    """Raise each level, as a share of 255, to the power ``exponent``; above 1 darkens."""
    parts = np.rint(exponent * _PER_GAMMA).astype(np.int64).tolist()
    return _look_up(images, [gamma_table(part) for part in parts])


@image_op(
    "posterize",
    family="tone",
    kind="pixel",
    version=1,
    params={"bits": Integers(3, 6, identity=8, limits=(1, 8))},
)
def posterize(images: Images, *, bits: Integral) -> Images:
    """Keep the upper ``bits`` of each level."""
    masks = (0xFF00 >> bits) & 0xFF
    return images & masks.astype(np.uint8)[:, None, None, None]


@image_op(
    "solarize",
    family="tone",
    kind="pixel",
    version=1,
    params={"threshold": Integers(96, 224, identity=256, limits=(0, 256))},
)
def solarize(images: Images, *, threshold: Integral) -> Images:
    """Invert the levels from ``threshold`` up; 256 leaves all as they are."""
    return _look_up(images, np.where(_LEVELS < threshold[:, None], _LEVELS, 255 - _LEVELS))


@image_op(
    "solarize_add",
    family="tone",
    kind="pixel",
    version=1,
    params={"amount": Integers(0, 110, identity=0, limits=(0, 255))},
)
def solarize_add(images: Images, *, amount: Integral) -> Images:
    """Add ``amount`` to the levels of the darker half (below 128)."""
    raised = np.minimum(_LEVELS + amount[:, None], 255)
    return _look_up(images, np.where(_LEVELS < 128, raised, _LEVELS))


@image_op("autocontrast", family="tone", kind="pixel", version=1, params={"on": Flag(1.0)})
def autocontrast(images: Images, *, on: Integral) -> Images:
    """Stretch each channel so that its darkest level becomes 0 and its brightest 255."""
    low = images.min(axis=1).min(axis=1).astype(np.float64)
    high = images.max(axis=1).max(axis=1).astype(np.float64)
    flat = (high <= low) | (on[:, None] == 0)
    # PIL computes in double precision and cuts off, hence no integers here.
    scale = 255.0 / np.where(flat, 255.0, high - low)
    offset = np.where(flat, 0.0, -low * scale)
    tables = scale[:, None, :] * _LEVELS[:, None] + offset[:, None, :]
    return _look_up(images, np.clip(np.trunc(tables), 0, 255))


@image_op("equalize", family="tone", kind="pixel", version=1, params={"on": Flag(1.0)})
def equalize(images: Images, *, on: Integral) -> Images:
    """Spread the levels of each channel evenly, by its histogram.

    As in PIL, the histogram is divided into 255 steps of whole pixels: images of fewer pixels stay
    as they are.
    """
    pixels = images.shape[1] * images.shape[2]
    histograms = _histograms(images)
    brightest = 255 - (histograms[:, :, ::-1] > 0).argmax(axis=2)[:, :, None]
    step = (pixels - np.take_along_axis(histograms, brightest, axis=2)) // 255
    below = np.cumsum(histograms, axis=2, dtype=np.int32) - histograms
    tables = (step // 2 + below) // np.maximum(step, 1)
    same = (step == 0) | (on[:, None, None] == 0)
    tables = np.where(same, _LEVELS, np.minimum(tables, 255))
    return _look_up(images, tables.transpose(0, 2, 1))


@image_op(
    "contrast_mean",
    family="tone",
    kind="pixel",
    version=1,
    params={"factor": Symmetric(0.4, centre=1.0, limit=1.0)},
)
def contrast_mean(images: Images, *, factor: NDArray[np.float64]) -> Images:
    """Multiply each level's distance from the image's mean luma by ``factor`` (PIL's Contrast)."""
    mean = _mean_luma(images)[:, None]
    parts = np.rint(factor * (1 << _FACTOR_BITS)).astype(np.int64)[:, None]
    half = 1 << (_FACTOR_BITS - 1)
    tables = mean + (((_LEVELS - mean) * parts + half) >> _FACTOR_BITS)
    return _look_up(images, np.clip(tables, 0, 255))


@image_op(
    "sharpness",
    family="tone",
    kind="pixel",
    version=1,
    params={"factor": Symmetric(0.9, centre=1.0, limit=4.0)},
)
def sharpness(images: Images, *, factor: NDArray[np.float64]) -> Images:
    """Multiply the distance from a smoothed image by ``factor``: below 1 softens, above sharpens.

    The smoothed image is PIL's: a 3 x 3 mean in which the centre counts 5 times of 13. The
    outermost pixels have no whole neighbourhood and stay.
    """
    sharp = images.copy(order="C")
    if min(images.shape[1:3]) < 3:
        return sharp
    parts = np.rint(factor * (1 << _FACTOR_BITS)).astype(np.int32)[:, None, None, None]
    chunk = max(1, _CHUNK_BYTES // images[:1].size)
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        given = images[part, 1:-1, 1:-1]
        smooth = _smoothed(images[part])[:, 1:-1, 1:-1]
        changed = np.multiply(np.subtract(given, smooth, dtype=np.int16), parts[part])
        changed += 1 << (_FACTOR_BITS - 1)
        changed >>= _FACTOR_BITS
        changed += smooth
        np.clip(changed, 0, 255, out=changed)
        sharp[part, 1:-1, 1:-1] = changed
    return sharp


def _smoothed(images: Images) -> NDArray[np.int16]:
    """Return PIL's ``ImageFilter.SMOOTH``, rounded; whatever at the outermost pixels."""
    count, height, width, channels = images.shape
    tall = np.ascontiguousarray(images).reshape(count * height, width, channels)
    boxes = cv2.boxFilter(tall, cv2.CV_16S, (3, 3), normalize=False)
    sums = np.asarray(boxes, dtype=np.int16).reshape(images.shape)
    sums += np.multiply(images, 4, dtype=np.int16)
    sums *= 2
    sums += 13
    sums //= 26
    return sums


@lru_cache(maxsize=1024)
def gamma_table(parts: int) -> Tables:
    """Return the ``uint8[256]`` table of the exponent ``parts / 64``, exactly rounded."""
    context = Context(prec=24)
    exponent = Decimal(parts) / _PER_GAMMA
    shares = [context.power(context.divide(level, 255), exponent) for level in range(1, 256)]
    levels = [int((255 * share).quantize(Decimal(1), ROUND_HALF_UP)) for share in shares]
    table = np.array([0, *levels], dtype=np.uint8)
    table.flags.writeable = False
    return table


def _look_up(images: Images, tables: NDArray[np.generic] | list[Tables]) -> Images:
    """Map images by tables: one for each, ``[N, 256]``, or one per channel, ``[N, 256, C]``."""
    mapped = np.empty_like(images, order="C")
    entries = np.asarray(tables).astype(np.uint8)
    if entries.ndim == 3:
        entries = entries.reshape(len(entries), 256, 1, -1)
    for image, table, out in zip(images, entries, mapped, strict=True):
        cv2.LUT(image, table, dst=out)
    return mapped


def _histograms(images: Images) -> NDArray[np.int32]:
    """Return ``int32[N, C, 256]``: how many pixels have each level."""
    counts = np.empty((len(images), images.shape[3], 256), np.int32)
    for image, of_image in zip(images, counts, strict=True):
        for channel, of_channel in enumerate(of_image):
            of_channel[:] = cv2.calcHist([image], [channel], None, [256], [0, 256]).reshape(-1)
    return counts


def _mean_luma(images: Images) -> Integral:
    """Return ``int64[N]``: the mean luma of each image, rounded half up, all in integers."""
    size = images.shape[1] * images.shape[2]
    if images.shape[3] == 1:
        totals = images.sum(axis=(1, 2, 3), dtype=np.int64)
    else:
        weights = np.array([round(w * (1 << _LUMA_BITS)) for w in LUMA], np.float32)
        totals = np.empty(len(images), np.int64)
        chunk = max(1, _CHUNK_BYTES // images[:1].size)
        for start in range(0, len(images), chunk):
            part = slice(start, start + chunk)
            # Whole numbers below 2**24: exact in whatever order a matrix library adds them up.
            luma = images[part].reshape(-1, 3).astype(np.float32) @ weights
            luma += 1 << (_LUMA_BITS - 1)
            luma *= 1.0 / (1 << _LUMA_BITS)
            whole = luma.astype(np.uint8).reshape(-1, size)
            totals[part] = whole.sum(axis=1, dtype=np.uint32)
    means: Integral = (2 * totals + size) // (2 * size)
    return means
