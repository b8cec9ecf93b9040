"""Blurs: out of focus, through glass, moving, zooming, Gaussian."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.image import warp
from pipelines.augment.image.blur import blur_gaussian
from pipelines.probes.family import Family
from pipelines.probes.images_fields import Images, Whole, detail_scale, filtered, splat

DEFOCUS = (0.64, 1.0, 1.45, 2.05, 2.9)
GLASS = (0.36, 0.55, 0.77, 1.03, 1.48)
MOTION = (1.65, 2.7, 3.7, 5.4, 7.6)
ZOOM = (1.05, 1.08, 1.115, 1.16, 1.23)
GAUSSIAN = (0.55, 0.69, 0.89, 1.22, 1.67)

_GLASS_SMOOTHING = 0.3
_DEGREES = 180
# A low-pass filter that treats all directions alike; sharpness below 1 is one, too.
_LOW_PASS = ("blur_gaussian", "blur_box", "blur_median", "sharpness")


def _defocus(images: Images, severity: int, draws: Draws) -> Images:
    kernel = _disc(DEFOCUS[severity - 1] * detail_scale(images))
    return _stacked(images, [kernel] * len(images))


def _motion(images: Images, severity: int, draws: Draws) -> Images:
    length = MOTION[severity - 1] * detail_scale(images)
    degrees = draws.stream("degrees").integers(0, _DEGREES, 1)[:, 0]
    return _stacked(images, [_line(length, turn) for turn in degrees.tolist()])


def _stacked(images: Images, kernels: list[Whole]) -> Images:
    made = np.empty_like(images, order="C")
    for image, kernel, out in zip(images, kernels, made, strict=True):
        out[:] = filtered(image, kernel)
    return made


@lru_cache(maxsize=32)
def _disc(radius: float) -> Whole:
    steps = 4 + 2 * int(np.ceil(radius))
    y, x = np.indices((2 * steps + 1,) * 2) - steps
    inside = x * x + y * y <= steps * steps
    return splat(x[inside] * (radius / steps), y[inside] * (radius / steps))


@lru_cache(maxsize=1024)
def _line(length: float, degrees: int) -> Whole:
    count = 4 * int(np.ceil(length))
    along = (np.arange(count) - (count - 1) / 2) * (length / count)
    radians = degrees * (np.pi / 180.0)
    return splat(along * np.cos(radians), along * -np.sin(radians))


def _glass(images: Images, severity: int, draws: Draws) -> Images:
    """Let every pixel show a random near one, then smooth a little."""
    scale = detail_scale(images)
    reach = max(1, round(GLASS[severity - 1] * scale * warp.SUBPIXELS))
    height, width = images.shape[1:3]
    y, x = warp.SUBPIXELS * np.indices((height, width), dtype=np.int32)

    def coordinates(part: slice) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        some = Draws(draws.state[part]).stream("offsets")
        moves = some.integers(-reach, reach + 1, 2 * height * width).astype(np.int32)
        moves = moves.reshape(-1, 2, height, width)
        return x + moves[:, 0], y + moves[:, 1]

    scattered = warp.resample(np.ascontiguousarray(images), coordinates, fill="reflect")
    sigma = np.full(len(images), _GLASS_SMOOTHING * scale)
    made: Images = blur_gaussian(scattered, sigma=sigma)
    return made


def _zoom(images: Images, severity: int, draws: Draws) -> Images:
    """Average the image with itself magnified, in steps too small to be told apart."""
    largest = ZOOM[severity - 1]
    reach = (1.0 - 1.0 / largest) * max(images.shape[1:3]) / 2
    count = max(3, int(np.ceil(reach)) + 1)
    total = images.astype(np.uint32)
    matrices = np.zeros((len(images), 2, 3))
    source = np.ascontiguousarray(images)
    for step in range(1, count):
        matrices[:, 0, 0] = matrices[:, 1, 1] = 1.0 / (1.0 + (largest - 1.0) * step / (count - 1))
        total += warp.warp(source, matrices, fill="reflect")
    return ((2 * total + count) // (2 * count)).astype(np.uint8)


def _gaussian(images: Images, severity: int, draws: Draws) -> Images:
    sigma = np.full(len(images), GAUSSIAN[severity - 1] * detail_scale(images))
    made: Images = blur_gaussian(images, sigma=sigma)
    return made


FAMILIES = (
    Family(
        name="defocus_blur",
        summary="Every point becomes a disc, as of a lens out of focus.",
        ops=_LOW_PASS,
        corrupt=_defocus,
    ),
    Family(
        name="glass_blur",
        summary="Every pixel shows a random near one, as through frosted glass.",
        ops=(),
        corrupt=_glass,
    ),
    Family(
        name="motion_blur",
        summary="Every point becomes a line, in a direction drawn for each image.",
        ops=("blur_motion",),
        corrupt=_motion,
    ),
    Family(
        name="zoom_blur",
        summary="The camera moves towards the middle while the picture is taken.",
        ops=(),
        corrupt=_zoom,
    ),
    Family(
        name="gaussian_blur",
        summary="The weights of a normal distribution, as of haze or a coarse lens.",
        ops=_LOW_PASS,
        corrupt=_gaussian,
    ),
)
