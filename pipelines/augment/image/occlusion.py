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
    return _cover(images, boxes, _covers(images, seed, fill, fill_value))


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
    return _cover(images, boxes, _covers(images, seed, fill, fill_value))


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
    covers = _covers(images, seed, fill, fill_value)
    covered = images.copy(order="C")
    # Channels side by side with columns: long runs, which NumPy copies much faster.
    flat = covered.reshape(len(images), height, -1)
    hidden = rows[:, :, None] & columns.repeat(images.shape[3], axis=1)[:, None, :]
    if covers.shape[2] != width:
        covers = covers.repeat(width, axis=2)
    np.copyto(flat, covers.reshape(len(images), -1, flat.shape[2]), where=hidden)
    return covered


def _covers(images: Images, seed: Whole, fill: str, fill_value: int) -> Images:
    """Return what shows where images are hidden: ``uint8[N, H, W, C]`` or ``[N, 1, 1, C]``."""
    count, height, width, channels = images.shape
    if fill == "noise":
        size = height * width * channels
        bits = Draws.from_seeds(seed).bits((size + 7) // 8).astype("<u8", copy=False)
        return bits.view(np.uint8)[:, :size].reshape(images.shape)
    colours: NDArray[Any] = np.full((count, 1, 1, channels), fill_value, dtype=np.uint8)
    if fill == "mean":
        total = images.sum(axis=(1, 2), dtype=np.int64)
        pixels = height * width
        colours = ((total + pixels // 2) // pixels).astype(np.uint8).reshape(colours.shape)
    return colours


def _cover(images: Images, boxes: Whole, covers: Images) -> Images:
    """Return images with boxes ``int64[N, 4]`` (top, bottom, left, right) of ``covers``."""
    covered = images.copy(order="C")
    whole = covers.shape == images.shape
    for out, cover, (top, bottom, left, right) in zip(covered, covers, boxes.tolist(), strict=True):
        out[top:bottom, left:right] = cover[top:bottom, left:right] if whole else cover[0, 0]
    return covered
