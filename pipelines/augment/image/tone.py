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
    count, height, width, channels = images.shape
    sharp = images.copy()
    if min(height, width) < 3:
        return sharp
    tall = np.ascontiguousarray(images).reshape(count * height, width, channels)
    sums = cv2.boxFilter(tall, cv2.CV_16U, (3, 3), normalize=False).reshape(images.shape)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    given = images[inner].astype(np.int32)
    smooth = (2 * (sums[inner].astype(np.int32) + 4 * given) + 13) // 26
    parts = np.rint(factor * (1 << _FACTOR_BITS)).astype(np.int32)[:, None, None, None]
    given -= smooth
    given *= parts
    given += 1 << (_FACTOR_BITS - 1)
    given >>= _FACTOR_BITS
    given += smooth
    sharp[inner] = np.clip(given, 0, 255, out=given)
    return sharp


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
    weights = [round(weight * (1 << _LUMA_BITS)) for weight in LUMA]
    size = images.shape[1] * images.shape[2]
    if images.shape[3] == 1:
        luma = images.astype(np.int32)[..., 0]
    else:
        wide = images.astype(np.int32)
        luma = wide[..., 0] * weights[0] + wide[..., 1] * weights[1] + wide[..., 2] * weights[2]
        luma += 1 << (_LUMA_BITS - 1)
        luma >>= _LUMA_BITS
    totals: Integral = luma.sum(axis=(1, 2), dtype=np.int64)
    means: Integral = (2 * totals + size) // (2 * size)
    return means
