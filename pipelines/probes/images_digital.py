"""Light, colour, shape and storage: what cameras and files do to an image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipelines.augment.draws import Draws
from pipelines.augment.image.colour import saturation
from pipelines.augment.image.compression import jpeg
from pipelines.augment.image.elastic import elastic
from pipelines.augment.image.recolour import recolour
from pipelines.augment.image.tone import contrast_mean
from pipelines.probes.family import Family
from pipelines.probes.images_fields import Images, Values, detail_scale, pixel_scale, seeds

BRIGHTNESS = (15.0, 26.0, 39.0, 54.0, 70.0)
CONTRAST = (0.76, 0.6, 0.455, 0.325, 0.2)
ELASTIC = (0.0092, 0.0144, 0.0205, 0.0305, 0.0435)
PIXELATE = (0.8, 0.65, 0.5, 0.38, 0.28)
JPEG = (39.0, 77.0, 137.0, 222.0, 345.0)
SATURATE_UP = (1.3, 1.57, 1.9, 2.25, 2.65)
SATURATE_DOWN = (0.75, 0.55, 0.35, 0.175, 0.0)

_CELLS = 5


def _brightness(images: Images, severity: int, draws: Draws) -> Images:
    maps = np.zeros((len(images), 3, 4))
    maps[:, range(3), range(3)] = 1.0
    maps[:, :, 3] = BRIGHTNESS[severity - 1]
    return recolour(np.ascontiguousarray(images), maps)


def _contrast(images: Images, severity: int, draws: Draws) -> Images:
    made: Images = contrast_mean(images, factor=np.full(len(images), CONTRAST[severity - 1]))
    return made


def _saturate(images: Images, severity: int, draws: Draws) -> Images:
    """Strengthen or weaken colours, drawn for each image; grey images stay as they are."""
    if images.shape[3] == 1:
        return images.copy(order="C")
    ways = np.array([SATURATE_DOWN[severity - 1], SATURATE_UP[severity - 1]])
    factor = ways[draws.stream("way").integers(0, 2, 1)[:, 0]]
    return recolour(np.ascontiguousarray(images), saturation(factor=factor))


def _elastic(images: Images, severity: int, draws: Draws) -> Images:
    amount = np.full(len(images), ELASTIC[severity - 1])
    made: Images = elastic(
        np.ascontiguousarray(images),
        amount=amount,
        seed=seeds(draws),
        cells=_CELLS,
        fill="reflect",
        fill_value=0,
    )
    return made


def _pixelate(images: Images, severity: int, draws: Draws) -> Images:
    """Average over a coarser grid, then show its cells: a pixel on their border is a mixture."""
    share = PIXELATE[severity - 1] / max(1.0, detail_scale(images))
    height, width = images.shape[1:3]
    down, across = (_overlaps(side, max(1, round(side * share))) for side in (height, width))
    return _averaged(_averaged(images, down, across), down.T, across.T)


def _averaged(images: Images, down: Values, across: Values) -> Images:
    """Return images averaged along both axes with weights: whole numbers of equal sums."""
    count, height, width, channels = images.shape
    # Sums of whole numbers below 2**53: exact in whatever order a matrix library adds them up.
    lines = down @ images.reshape(count, height, -1).astype(np.float64)
    sums = across @ lines.reshape(-1, width, channels)
    total = int(down[0].sum() * across[0].sum())
    means = (2 * sums.astype(np.int64) + total) // (2 * total)
    return means.astype(np.uint8).reshape(count, len(down), len(across), channels)


@lru_cache(maxsize=64)
def _overlaps(side: int, cells: int) -> Values:
    """Return ``float64[cells, side]``: how much of each pixel lies in a cell, parts of 1/cells."""
    pixel, cell = np.arange(side) * cells, np.arange(cells)[:, None] * side
    shared = np.minimum(pixel + cells, cell + side) - np.maximum(pixel, cell)
    overlaps: Values = np.maximum(shared, 0).astype(np.float64)
    overlaps.flags.writeable = False
    return overlaps


def _jpeg(images: Images, severity: int, draws: Draws) -> Images:
    made: Images = jpeg(images, quality=np.full(len(images), _quality(images, severity)))
    return made


def _quality(images: Images, severity: int) -> int:
    """Return the quality whose quantisation steps are so many percent of the standard's."""
    percent = JPEG[severity - 1] * pixel_scale(images)
    return max(1, round(5000 / percent if percent > 100 else (200 - percent) / 2))


FAMILIES = (
    Family(
        name="brightness",
        summary="Every level is raised, up to white.",
        ops=("brightness", "gamma", "solarize_add"),
        corrupt=_brightness,
    ),
    Family(
        name="contrast",
        summary="Levels move towards the mean of the image.",
        ops=("contrast", "contrast_mean", "autocontrast", "equalize"),
        corrupt=_contrast,
    ),
    Family(
        name="elastic_transform",
        summary="Pixels move along a smooth random field.",
        ops=("elastic",),
        corrupt=_elastic,
    ),
    Family(
        name="pixelate",
        summary="A coarser grid, each of its cells in one colour.",
        ops=("pixelate",),
        corrupt=_pixelate,
    ),
    Family(
        name="jpeg_compression",
        summary="Written and read as JPEG of a low quality.",
        ops=("jpeg",),
        corrupt=_jpeg,
    ),
    Family(
        name="saturate",
        summary="Colours become stronger or weaker; a grey image stays as it is.",
        ops=("saturation", "greyscale"),
        corrupt=_saturate,
    ),
)
