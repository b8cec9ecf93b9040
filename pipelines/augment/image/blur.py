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

_WEIGHT_BITS = 10
_PLACE_BITS = 6


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
    """Average with the weights of a normal distribution of ``sigma`` pixels."""
    blurred = images.copy(order="C")
    for image, spread, out in zip(images, sigma.tolist(), blurred, strict=True):
        if spread:
            cv2.GaussianBlur(image, (0, 0), spread, dst=out, borderType=cv2.BORDER_REPLICATE)
    return blurred


@image_op(
    "blur_median",
    family="blur",
    kind="pixel",
    version=1,
    params={"radius": Integers(1, 2, identity=0, limits=(0, 64))},
)
def blur_median(images: Images, *, radius: Whole) -> Images:
    """Take the median of each channel over up to ``radius`` rows and columns either way."""
    blurred = np.empty_like(images, order="C")
    for image, reach, out in zip(images, radius.tolist(), blurred, strict=True):
        cv2.medianBlur(image, 2 * reach + 1, dst=out)
    return blurred


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
