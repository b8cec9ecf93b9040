"""Blurs: local averages and medians, edges replicated."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Integers, Uniform
from pipelines.augment.registry import image_op

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
Whole = NDArray[np.int64]

_NORMAL_WEIGHT_BITS = 8
_WEIGHT_BITS = 10
_PLACE_BITS = 6
_CHUNK_BYTES = 1 << 16
_CHUNK_COLUMNS = 1 << 11


@image_op(
    "blur_box",
    family="blur",
    kind="pixel",
    version=1,
    params={"radius": Integers(1, 2, identity=0, limits=(0, 64))},
)
def blur_box(images: Images, *, radius: Whole) -> Images:
    """Average each pixel with its neighbours up to ``radius`` rows and columns away."""
    blurred = np.empty_like(images, order="C")
    for image, reach, out in zip(images, radius.tolist(), blurred, strict=True):
        side = 2 * reach + 1
        cv2.blur(image, (side, side), dst=out, borderType=cv2.BORDER_REPLICATE)
    return blurred


@image_op(
    "blur_gaussian",
    family="blur",
    kind="pixel",
    version=1,
    params={"sigma": Uniform(0.0, 1.5, identity=0.0, limits=(0.0, 32.0))},
)
def blur_gaussian(images: Images, *, sigma: Values) -> Images:
    """Average with the weights of a normal distribution of ``sigma`` pixels, cut at 3 sigma."""
    halves = _normal_weights(sigma)
    kernels = np.concatenate([halves[:, :0:-1], halves], axis=1)
    kernels = kernels.astype(np.float32) / (1 << _NORMAL_WEIGHT_BITS)
    middle = halves.shape[1] - 1
    reaches = (np.sign(halves) * np.arange(middle + 1)).max(axis=1).tolist()
    blurred = np.empty_like(images, order="C")
    chunk = max(1, _CHUNK_BYTES // max(1, images[:1].size))
    sums = np.empty((chunk, *images.shape[1:]), dtype=np.float32)
    for start in range(0, len(images), chunk):
        some = images[start : start + chunk]
        for row, (image, out) in enumerate(zip(some, sums, strict=False), start):
            used = kernels[row, middle - reaches[row] : middle + reaches[row] + 1]
            border = cv2.BORDER_REPLICATE
            cv2.sepFilter2D(image, cv2.CV_32F, used, used, dst=out, borderType=border)
        # Exact so far: sums of 2**-16. Left to round them, OpenCV does not treat all halves alike.
        made = sums[: len(some)]
        made += 0.5
        np.copyto(blurred[start : start + chunk], made, casting="unsafe")
    return blurred


def _normal_weights(sigma: Values) -> NDArray[np.int64]:
    """Return ``int64[N, R]``: the weights 0, 1, 2... pixels away, whole parts of 1.

    With both sides they add up to exactly 1: each takes what rounding those farther out left over.
    """
    reach = np.rint(3.0 * sigma)[:, None]
    away = np.arange(int(reach.max(initial=0.0)) + 1)
    squares = away * away / np.maximum(2.0 * sigma * sigma, 1e-9)[:, None]
    bells = _exp_of_minus(squares) * (away <= reach)
    beyond = np.cumsum(bells[:, ::-1], axis=1)[:, ::-1]
    total = 2.0 * beyond[:, :1] - 1.0
    tails = np.zeros((len(sigma), len(away) + 1), dtype=np.int64)
    tails[:, :-1] = np.rint(beyond / total * (1 << _NORMAL_WEIGHT_BITS))
    weights = tails[:, :-1] - tails[:, 1:]
    weights[:, 0] = (1 << _NORMAL_WEIGHT_BITS) - 2 * tails[:, 1]
    return weights


def _exp_of_minus(values: Values) -> Values:
    """Return e to the power of minus ``values``, by operations that every machine rounds alike."""
    small = np.minimum(values, 700.0) * (-1.0 / (1 << 16))
    power = 1.0 + small * (1.0 + small * (0.5 + small * (1.0 / 6.0)))
    for _ in range(16):
        power = power * power
    return power


@image_op(
    "blur_median",
    family="blur",
    kind="pixel",
    version=1,
    params={"radius": Integers(1, 2, identity=0, limits=(0, 64))},
)
def blur_median(images: Images, *, radius: Whole) -> Images:
    """Take the median of each channel over up to ``radius`` rows and columns either way."""
    blurred = images.copy(order="C")
    for reach in (1, 2):
        rows = np.flatnonzero(radius == reach)
        chunk = max(1, _CHUNK_COLUMNS // (images.shape[2] + 2 * reach))
        for start in range(0, len(rows), chunk):
            some = rows[start : start + chunk]
            blurred[some] = _medians_side_by_side(images[some], reach)
    for row in np.flatnonzero(radius > 2).tolist():
        cv2.medianBlur(images[row], 2 * int(radius[row]) + 1, dst=blurred[row])
    return blurred


def _medians_side_by_side(images: Images, reach: int) -> Images:
    """Return medians of images in one row: OpenCV is slow at the ends of rows, and only there."""
    count, height, width, channels = images.shape
    strip = np.empty((height, count, width + 2 * reach, channels), dtype=np.uint8)
    strip[:, :, reach:-reach] = images.transpose(1, 0, 2, 3)
    strip[:, :, :reach] = strip[:, :, reach : reach + 1]
    strip[:, :, -reach:] = strip[:, :, -reach - 1 : -reach]
    medians = np.empty_like(strip)
    line = (height, -1, channels)
    cv2.medianBlur(strip.reshape(line), 2 * reach + 1, dst=medians.reshape(line))
    return medians[:, :, reach:-reach].transpose(1, 0, 2, 3)


@image_op(
    "blur_motion",
    family="blur",
    kind="pixel",
    version=1,
    params={
        "length": Integers(3, 7, identity=1, limits=(1, 63)),
        "degrees": Uniform(0.0, 180.0, identity=None, limits=(-180.0, 180.0)),
    },
)
def blur_motion(images: Images, *, length: Whole, degrees: Values) -> Images:
    """Average ``length`` pixels in a line, as if the camera had moved; 0 degrees is sideways."""
    kernels = line_kernels(length, degrees).astype(np.float32) / (1 << _WEIGHT_BITS)
    middle = kernels.shape[1] // 2
    # Sums are multiples of 1/1024: half a step more, and none lies half-way between two grey
    # levels. In floating point or by Fourier transform, OpenCV then rounds to the same level.
    nudge = 0.5 / (1 << _WEIGHT_BITS)
    blurred = np.empty_like(images, order="C")
    reaches = (length // 2).tolist()
    for image, kernel, reach, out in zip(images, kernels, reaches, blurred, strict=True):
        used = kernel[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        cv2.filter2D(image, -1, used, dst=out, delta=nudge, borderType=cv2.BORDER_REPLICATE)
    return blurred


def line_kernels(length: Whole, degrees: Values) -> NDArray[np.int32]:
    """Return ``int32[N, K, K]`` weights along lines through the middle, whole parts of 1.

    One point per pixel of length, each shared by the four pixels around it. Symmetric about the
    middle, which takes what rounding leaves over.
    """
    count, longest = len(length), int(length.max(initial=1))
    middle, one = longest // 2 + 1, 1 << _PLACE_BITS
    side = 2 * middle + 1
    exists = np.arange(longest) < length[:, None]
    steps = (np.arange(longest) - (length[:, None] - 1) / 2) * exists
    radians = (degrees * (np.pi / 180.0))[:, None]
    x = np.rint(steps * np.cos(radians) * one).astype(np.int64) + middle * one
    y = np.rint(steps * -np.sin(radians) * one).astype(np.int64) + middle * one
    x, right = np.divmod(x, one)
    y, below = np.divmod(y, one)
    kernels = np.zeros(count * side * side)
    for down, high in enumerate((one - below, below)):
        for along, wide in enumerate((one - right, right)):
            places = (np.arange(count)[:, None] * side + y + down) * side + x + along
            shares = high * wide * exists
            kernels += np.bincount(places.ravel(), shares.ravel(), minlength=len(kernels))
    whole = kernels.astype(np.int64).reshape(count, side, side)
    total = length[:, None, None] * one * one
    weights = ((whole << _WEIGHT_BITS) + total // 2) // total
    weights[:, middle, middle] += (1 << _WEIGHT_BITS) - weights.sum(axis=(1, 2))
    return weights.astype(np.int32)
