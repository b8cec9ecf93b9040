"""Perspective: the image seen at an angle, resampled as ``warp`` does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.image import warp
from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import FILL_SETTINGS, image_op

Values = NDArray[np.float64]
_FARTHEST = np.float32(1 << 24)


@image_op(
    "perspective",
    family="geometry",
    kind="pixel",
    version=1,
    params={
        "distortion": Uniform(0.0, 0.15, identity=0.0, limits=(0.0, 0.24)),
        "seed": Seed(),
    },
    settings=FILL_SETTINGS,
)
def perspective(
    images: NDArray[np.uint8],
    *,
    distortion: Values,
    seed: NDArray[np.int64],
    fill: str,
    fill_value: int,
) -> NDArray[np.uint8]:
    """Move each corner on its own, by up to ``distortion`` times the side along either axis."""
    offsets = Draws.from_seeds(seed).uniform(8).reshape(-1, 4, 2) * 2.0 - 1.0
    return project(images, offsets * distortion[:, None, None], fill=fill, fill_value=fill_value)


def project(
    images: NDArray[np.uint8], offsets: Values, *, fill: str, fill_value: int = 0
) -> NDArray[np.uint8]:
    """Return ``images`` with their corners taken from elsewhere, and all between in perspective.

    Only IEEE's exactly rounded operations are used up to the rounding to whole subpixels, so the
    bytes are the same on every machine; ``float32`` is far finer than those.

    Args:
        images: ``uint8[N, H, W, C]``, contiguous.
        offsets: ``float64[N, 4, 2]``: where each corner's content comes from, in shares of the
            width and height from that corner; top left, top right, bottom right, bottom left.
        fill: What lies outside, as in ``warp``.
        fill_value: Grey level for ``constant``.
    """
    height, width = images.shape[1:3]
    matrices = square_to_quadrilateral(offsets + _CORNERS)
    u = (np.arange(width) + 0.5) / width
    v = (np.arange(height) + 0.5) / height
    units = np.array([[width * warp.SUBPIXELS], [height * warp.SUBPIXELS], [1]])

    def coordinates(part: slice) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        some = matrices[part, :, :, None]
        along_x = (some[:, :, 0] * u + some[:, :, 2]) * units
        along_y = some[:, :, 1] * v * units
        down, across = along_y.astype(np.float32), along_x.astype(np.float32)
        scale = np.float32(1.0) / (down[:, 2, :, None] + across[:, 2, None, :])
        located = []
        for axis in (0, 1):
            position = down[:, axis, :, None] + across[:, axis, None, :]
            position *= scale
            position -= np.float32(warp.SUBPIXELS / 2)
            np.clip(position, -_FARTHEST, _FARTHEST, out=position)
            located.append(np.rint(position, out=position).astype(np.int32))
        return located[0], located[1]

    return warp.resample(images, coordinates, fill=fill, fill_value=fill_value)


_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def square_to_quadrilateral(corners: Values) -> Values:
    """Return the homographies ``float64[N, 3, 3]`` from the unit square to quadrilaterals.

    In closed form (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989,
    section 2.2.3): a linear solver rounds differently from library to library.

    Args:
        corners: ``float64[N, 4, 2]``, the images of (0, 0), (1, 0), (1, 1) and (0, 1).
    """
    x, y = corners[:, :, 0].T, corners[:, :, 1].T
    side_x, side_y = x[1] - x[2], y[1] - y[2]
    base_x, base_y = x[3] - x[2], y[3] - y[2]
    sum_x = x[0] - x[1] + x[2] - x[3]
    sum_y = y[0] - y[1] + y[2] - y[3]
    determinant = side_x * base_y - base_x * side_y
    g = (sum_x * base_y - base_x * sum_y) / determinant
    h = (side_x * sum_y - sum_x * side_y) / determinant
    homographies = np.empty((len(corners), 3, 3))
    for row, z in enumerate((x, y)):
        homographies[:, row, 0] = z[1] - z[0] + g * z[1]
        homographies[:, row, 1] = z[3] - z[0] + h * z[3]
        homographies[:, row, 2] = z[0]
    homographies[:, 2, 0], homographies[:, 2, 1], homographies[:, 2, 2] = g, h, 1.0
    return homographies
