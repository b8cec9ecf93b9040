"""Weather and dirt, all drawn by procedure: snow, frost, fog, spatter."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.probes.family import Family
from pipelines.probes.images_fields import (
    ONE,
    Images,
    Values,
    Whole,
    blended,
    blobs,
    chunks,
    detail_scale,
    painted,
    plasma,
    side_scale,
    stretched,
)

SNOW = (19.0, 33.5, 49.5, 68.5, 90.5)
FROST = (30.0, 50.0, 72.0, 98.0, 128.0)
FOG = (0.255, 0.37, 0.48, 0.585, 0.71)
SPATTER = (0.06, 0.105, 0.155, 0.205, 0.255)

_SHIFT = 4
_SUBPIXELS = 1 << _SHIFT
_FLAKE = np.array(250)
_OVERCAST = (214, 218, 224)
_ICE = (222, 236, 248)
_MIST = (226, 228, 230)
_WATER = (178, 200, 216)
_MUD = (86, 66, 44)


def _snow(images: Images, severity: int, draws: Draws) -> Images:
    """Lay a bright veil over the image, then flakes that the wind blows one way, near and far."""
    height, width, channels = images.shape[1:]
    # As many in a square of the shorter side, and more and smaller ones in a larger image.
    squares = height * width / min(height, width) ** 2
    flakes = round(SNOW[severity - 1] * squares * detail_scale(images) ** 2)
    veil = np.array(round(0.9 * SNOW[severity - 1]))
    made = np.empty_like(images, order="C")
    for part in chunks(images):
        some = Draws(draws.state[part])
        layers = _flakes(some, height, width, flakes, detail_scale(images))
        pale = blended(images[part], painted(_OVERCAST, channels), veil)
        made[part] = blended(pale, _FLAKE, layers[..., None].astype(np.int64))
    return made


def _flakes(draws: Draws, height: int, width: int, count: int, scale: float) -> Images:
    """Return ``uint8[N, height, width]``: how much of every pixel is snow."""
    wind = draws.stream("wind").uniform(1) * 100.0 + 40.0
    gusts = draws.stream("gusts").uniform(count) * 24.0 - 12.0
    depth = draws.stream("depth").uniform(count)
    radians = (wind + gusts) * (np.pi / 180.0)
    length = (0.8 + 2.4 * depth * depth) * scale * _SUBPIXELS
    x = draws.stream("x").integers(-_SUBPIXELS, (width + 1) * _SUBPIXELS, count)
    y = draws.stream("y").integers(-_SUBPIXELS, (height + 1) * _SUBPIXELS, count)
    ends = np.stack([np.rint(length * np.cos(radians)), np.rint(length * np.sin(radians))], axis=2)
    begins = np.stack([x, y], axis=2)
    lines = np.stack([begins, begins + ends.astype(np.int64)], axis=2).astype(np.int32)
    thick = np.maximum(1, np.rint((0.2 + 0.7 * depth) * scale)).astype(np.int64)
    light = np.rint(120 + 120 * depth).astype(np.int64)
    layers = np.zeros((len(draws), height, width), np.uint8)
    for layer, of_layer, widths, lights in zip(
        layers, lines, thick.tolist(), light.tolist(), strict=True
    ):
        for (begin, end), wide, bright in zip(of_layer.tolist(), widths, lights, strict=True):
            cv2.line(layer, begin, end, bright, wide, cv2.LINE_AA, _SHIFT)
    return layers


def _frost(images: Images, severity: int, draws: Draws) -> Images:
    """Grow feathers of ice from the border inwards, with a haze between them."""
    height, width, channels = images.shape[1:]
    made = np.empty_like(images, order="C")
    border, haze_parts = _nearness(height, width), round(FROST[severity - 1])
    for part in chunks(images):
        some = Draws(draws.state[part])
        layers = _feathers(some, images, round(FROST[severity - 1] * detail_scale(images) / 15))
        grain = plasma(some.stream("haze"), height, width, roughness=0.7)
        haze = grain * (border + ONE // 2) * haze_parts // (1024 * ONE)
        share = np.minimum(haze + layers, ONE - 20)
        made[part] = blended(images[part], painted(_ICE, channels), share[..., None])
    return made


def _nearness(height: int, width: int) -> Whole:
    """Return ``int64[height, width]``: 0 in the middle to ``ONE`` at the border."""
    y = np.abs(2 * np.arange(height) + 1 - height) * ONE // height
    x = np.abs(2 * np.arange(width) + 1 - width) * ONE // width
    nearness: Whole = np.maximum(y[:, None], x)
    return nearness


def _feathers(draws: Draws, images: Images, count: int) -> Whole:
    """Return ``int64[N, H, W]``: how much of every pixel is ice, in parts of ``ONE``.

    Ice branches at 60 degrees: every stem has branches, every branch has barbs.
    """
    height, width = images.shape[1:3]
    detail = detail_scale(images)
    place = draws.stream("place").uniform(count)
    inward = draws.stream("inward").uniform(count)
    turn = draws.stream("turn").uniform(count)
    x, y, heading = _on_border(place, inward, height, width)
    heading = heading + (turn - 0.5) * 2.0
    length = (8.0 + 10.0 * draws.stream("length").uniform(count)) * detail * math.sqrt(detail)
    stems = np.stack([x, y, heading, length])
    branches = _grown(stems, max(2, round(4 * detail)), 0.45)
    barbs = _grown(branches, max(1, round(2 * detail)), 0.22)
    layers = np.zeros((len(draws), height, width), np.uint8)
    wide = max(1, round(0.4 * detail))
    for kind, light, thick in ((barbs, 90, 1), (branches, 120, 1), (stems, 180, wide)):
        for layer, lines in zip(layers, _segments(kind), strict=True):
            cv2.polylines(layer, list(lines), False, light, thick, cv2.LINE_AA, _SHIFT)
    return layers.astype(np.int64)


def _on_border(
    place: Values, inward: Values, height: int, width: int
) -> tuple[Values, Values, Values]:
    """Return x, y and the direction inwards of places along the border, some way inside of it."""
    along = place * (2 * (height + width))
    depth = inward * inward * 0.3 * min(height, width)
    top, right = along < width, (along >= width) & (along < width + height)
    bottom = (along >= width + height) & (along < 2 * width + height)
    x = np.select([top, right, bottom], [along, width - depth, along - width - height], depth)
    y = np.select([top, right, bottom], [depth, along - width, height - depth])
    y = np.where(top | right | bottom, y, along - 2 * width - height)
    quarter = np.pi / 2
    heading = np.select([top, right, bottom], [quarter, 2 * quarter, 3 * quarter], 0.0)
    return x, y, heading


def _grown(stems: Values, pairs: int, share: float) -> Values:
    """Return the branches of stems: x, y, heading, length in ``float64[4, N, count]``."""
    x, y, heading, length = (part[:, :, None, None] for part in stems)
    along = (np.arange(pairs) + 0.6)[:, None] / pairs
    side = np.array([-1.0, 1.0]) * (np.pi / 3)
    branches = np.broadcast_arrays(
        x + length * along * np.cos(heading),
        y + length * along * np.sin(heading),
        heading + side,
        length * share * (1.0 - 0.8 * along) + 0.0 * side,
    )
    return np.stack([part.reshape(len(part), -1) for part in branches])


def _segments(lines: Values) -> NDArray[np.int32]:
    """Return ``int32[N, count, 2, 2]``: begin and end of every line, in subpixels."""
    x, y, heading, length = lines
    begins = np.stack([x, y], axis=2)
    ends = begins + np.stack([length * np.cos(heading), length * np.sin(heading)], axis=2)
    places = np.rint(np.stack([begins, ends], axis=2) * _SUBPIXELS)
    segments: NDArray[np.int32] = places.astype(np.int32)
    return segments


def _fog(images: Images, severity: int, draws: Draws) -> Images:
    """Let mist of uneven thickness, a plasma fractal, hide the image."""
    height, width, channels = images.shape[1:]
    density = round(FOG[severity - 1] * ONE)
    made = np.empty_like(images, order="C")
    for part in chunks(images):
        some = Draws(draws.state[part])
        field = plasma(some.stream("mist"), height, width, roughness=0.55)
        share = density * (512 + field) // 1280
        made[part] = blended(images[part], painted(_MIST, channels), share[..., None])
    return made


def _spatter(images: Images, severity: int, draws: Draws) -> Images:
    """Splash drops of water or mud, drawn for each image, over a share of the lens."""
    height, width, channels = images.shape[1:]
    scale = side_scale(images)
    muddy = draws.stream("kind").integers(0, 2, 1)[:, 0] == 1
    covered = max(1, round(SPATTER[severity - 1] * height * width))
    made = np.empty_like(images, order="C")
    for part in chunks(images):
        some = Draws(draws.state[part])
        field = 2 * blobs(some.stream("coarse"), height, width, cell=3.5 * scale)
        field += blobs(some.stream("fine"), height, width, cell=1.2 * scale)
        field = stretched(field, 4096)
        ranked = np.partition(field.reshape(len(field), -1), height * width - covered, axis=1)
        above = field - ranked[:, height * width - covered, None, None]
        mud = muddy[part, None, None]
        share = np.clip(64 + above, 0, np.where(mud, 240, 150)) * (above >= 0)
        made[part] = blended(images[part], _splash(field, mud, channels), share[..., None])
    return made


def _splash(field: Whole, mud: NDArray[np.bool_], channels: int) -> Whole:
    """Return the drops' colours, ``int64[N, H, W, C]``: lit from the top left."""
    slope = np.zeros_like(field)
    slope[:, 1:, 1:] = field[:, 1:, 1:] - field[:, :-1, :-1]
    slope = np.clip(slope // 8, -60, 60)[..., None]
    colour = np.where(mud[..., None], painted(_MUD, channels), painted(_WATER, channels))
    lit: Whole = np.clip(colour + np.where(mud[..., None], slope // 3, slope), 0, 255)
    return lit


FAMILIES = (
    Family(
        name="snow",
        summary="Flakes blown one way, near and far, in a bright veil.",
        ops=(),
        corrupt=_snow,
    ),
    Family(
        name="frost",
        summary="Feathers of ice that grow from the border inwards, and haze between them.",
        ops=(),
        corrupt=_frost,
    ),
    Family(
        name="fog",
        summary="Mist of uneven thickness, a plasma fractal.",
        ops=(),
        corrupt=_fog,
    ),
    Family(
        name="spatter",
        summary="Drops of water or mud over a share of the image.",
        ops=("cutout", "random_erasing", "grid_mask", "cutmix"),
        corrupt=_spatter,
    ),
)
