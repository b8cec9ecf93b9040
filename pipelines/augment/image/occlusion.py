"""Occlusion: parts of the image hidden, so that no single part decides the class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Ratio, Seed, Setting, Uniform
from pipelines.augment.registry import image_op

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
Whole = NDArray[np.int64]

_ANYWHERE = Uniform(0.0, 1.0, identity=None, limits=(0.0, 1.0))
_COVERS = ("constant", "mean", "noise")
_MID_GREY = Setting(128, limits=(0, 255))


@image_op(
    "cutout",
    family="occlusion",
    kind="pixel",
    version=1,
    params={
        "size": Uniform(0.25, 0.5, identity=0.0, limits=(0.0, 1.0)),
        "x": _ANYWHERE,
        "y": _ANYWHERE,
        "seed": Seed(),
    },
    settings={"fill": Setting("constant", choices=_COVERS), "fill_value": _MID_GREY},
)
def cutout(
    images: Images, *, size: Values, x: Values, y: Values, seed: Whole, fill: str, fill_value: int
) -> Images:
    """Hide a square of ``size`` times the shorter side; it may reach over the border.

    After DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout" (2017): its middle lies anywhere in the image. Hidden pixels become ``fill_value``
    (``constant``), the mean colour of the image (``mean``) or random colours (``noise``).
    """
    height, width = images.shape[1:3]
    side = np.rint(size * min(height, width)).astype(np.int64)
    left = np.floor(x * width).astype(np.int64) - side // 2
    top = np.floor(y * height).astype(np.int64) - side // 2
    boxes = np.stack([top, top + side, left, left + side], axis=1).clip(min=0)
    return _cover(images, boxes, seed, fill, fill_value)


@image_op(
    "random_erasing",
    family="occlusion",
    kind="pixel",
    version=1,
    params={
        "area": Uniform(0.02, 0.33, identity=0.0, limits=(0.0, 1.0)),
        "aspect": Ratio(3.3),
        "x": _ANYWHERE,
        "y": _ANYWHERE,
        "seed": Seed(),
    },
    settings={"fill": Setting("noise", choices=_COVERS), "fill_value": _MID_GREY},
)
def random_erasing(
    images: Images,
    *,
    area: Values,
    aspect: Values,
    x: Values,
    y: Values,
    seed: Whole,
    fill: str,
    fill_value: int,
) -> Images:
    """Hide a rectangle of a share of the ``area``, all of it inside the image.

    After Zhong et al., "Random Erasing Data Augmentation" (AAAI 2020). ``aspect`` is width over
    height, limited so that the rectangle fits; ``fill`` as in ``cutout``.
    """
    height, width = images.shape[1:3]
    pixels = area * (height * width)
    fitting = np.clip(aspect, pixels / (height * height), width * width / np.maximum(pixels, 1e-9))
    wide = np.rint(np.sqrt(pixels * fitting)).astype(np.int64)
    high = np.rint(np.sqrt(pixels / fitting.clip(min=1e-9))).astype(np.int64)
    left = np.floor(x * (width - wide + 1)).astype(np.int64)
    top = np.floor(y * (height - high + 1)).astype(np.int64)
    boxes = np.stack([top, top + high, left, left + wide], axis=1)
    return _cover(images, boxes, seed, fill, fill_value)


@image_op(
    "grid_mask",
    family="occlusion",
    kind="pixel",
    version=1,
    params={
        "share": Uniform(0.4, 0.6, identity=0.0, limits=(0.0, 1.0)),
        "period": Uniform(0.25, 0.5, identity=None, limits=(0.02, 1.0)),
        "x": _ANYWHERE,
        "y": _ANYWHERE,
        "seed": Seed(),
    },
    settings={"fill": Setting("constant", choices=_COVERS), "fill_value": _MID_GREY},
)
def grid_mask(
    images: Images,
    *,
    share: Values,
    period: Values,
    x: Values,
    y: Values,
    seed: Whole,
    fill: str,
    fill_value: int,
) -> Images:
    """Hide a grid of squares, one per ``period``, each a ``share`` of the period wide.

    After Chen et al., "GridMask Data Augmentation" (2020), without its rotation. ``period`` is a
    share of the shorter side; ``x`` and ``y`` shift the grid; ``fill`` as in ``cutout``.
    """
    height, width = images.shape[1:3]
    step = np.rint(period * min(height, width)).astype(np.int64).clip(min=2)[:, None]
    hole = np.rint(share[:, None] * step).astype(np.int64)
    rows = (np.arange(height) + np.floor(y[:, None] * step).astype(np.int64)) % step < hole
    columns = (np.arange(width) + np.floor(x[:, None] * step).astype(np.int64)) % step < hole
    if fill == "noise":
        covers = _random_bytes(seed, images[:1].size).reshape(images.shape)
    else:
        covers = _colours(images, fill, fill_value).repeat(width, axis=2)
    covered = images.copy(order="C")
    # Channels side by side with columns: long runs, which NumPy copies much faster.
    flat = covered.reshape(len(images), height, -1)
    hidden = rows[:, :, None] & columns.repeat(images.shape[3], axis=1)[:, None, :]
    np.copyto(flat, covers.reshape(len(images), -1, flat.shape[2]), where=hidden)
    return covered


def _cover(images: Images, boxes: Whole, seed: Whole, fill: str, fill_value: int) -> Images:
    """Return images with boxes ``int64[N, 4]`` (top, bottom, left, right) hidden."""
    height, width, channels = images.shape[1:]
    bottom, right = boxes[:, 1].clip(max=height), boxes[:, 3].clip(max=width)
    high, wide = bottom - boxes[:, 0], right - boxes[:, 2]
    covered = images.copy(order="C")
    if fill == "noise":
        sizes = high * wide * channels
        covers: NDArray[Any] = _random_bytes(seed, int(sizes.max(initial=0)))
        shapes = zip(high.tolist(), wide.tolist(), sizes.tolist(), strict=True)
        patches = [
            cover[:size].reshape(rows, columns, channels)
            for cover, (rows, columns, size) in zip(covers, shapes, strict=True)
        ]
    else:
        patches = list(_colours(images, fill, fill_value))
    for out, patch, (top, end, left, last) in zip(covered, patches, boxes.tolist(), strict=True):
        out[top:end, left:last] = patch
    return covered


def _colours(images: Images, fill: str, fill_value: int) -> Images:
    """Return the one colour that hides parts of each image, ``uint8[N, 1, 1, C]``."""
    count, height, width, channels = images.shape
    if fill == "constant":
        return np.full((count, 1, 1, channels), fill_value, dtype=np.uint8)
    pixels = height * width
    total = images.sum(axis=(1, 2), dtype=np.int64)
    colours: Images = ((total + pixels // 2) // pixels).astype(np.uint8)
    return colours.reshape(count, 1, 1, channels)


def _random_bytes(seed: Whole, size: int) -> Images:
    """Return ``uint8[N, size]``; a row's first values do not depend on ``size``."""
    bits = Draws.from_seeds(seed).bits((size + 7) // 8).astype("<u8", copy=False)
    return bits.view(np.uint8)[:, :size]
