"""Crops: a part of the image, back at the full size; fused with whatever else is affine.

The matrices map output to input pixels about the centre, as in ``geometry``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Ratio, Setting, Symmetric, SymmetricIntegers, Uniform
from pipelines.augment.registry import FILLS, image_op

Values = NDArray[np.float64]
Whole = NDArray[np.int64]


@image_op(
    "random_crop",
    family="crop",
    kind="affine",
    version=1,
    params={"x": SymmetricIntegers(4), "y": SymmetricIntegers(4)},
    settings={"fill": Setting("constant", choices=FILLS)},
)
def random_crop(*, height: int, width: int, x: Whole, y: Whole) -> Values:
    """Pad by ``x`` and ``y`` pixels on every side, then crop to size anywhere: a whole shift.

    Padding of 4 is the custom for CIFAR (He et al., "Deep Residual Learning", 2016, section 4.2).
    """
    return _boxes(np.ones(len(x)), np.ones(len(x)), x.astype(np.float64), y.astype(np.float64))


@image_op(
    "random_resized_crop",
    family="crop",
    kind="affine",
    version=1,
    params={
        "area": Uniform(0.25, 1.0, identity=1.0, limits=(0.01, 1.0)),
        "aspect": Ratio(4 / 3),
        "x": Symmetric(0.5, limit=0.5),
        "y": Symmetric(0.5, limit=0.5),
    },
)
def random_resized_crop(
    *, height: int, width: int, area: Values, aspect: Values, x: Values, y: Values
) -> Values:
    """Cut out a rectangle of a share of the ``area`` and bring it to the full size.

    After Szegedy et al., "Going Deeper with Convolutions" (2015), whose range of areas, from 0.08,
    suits photographs of 224 pixels and more. ``aspect`` is how much wider than the image the
    rectangle is, limited so that it fits; ``x`` and ``y`` place it in the room that is left, 0 in
    the middle.
    """
    fitting = np.clip(aspect, area, 1.0 / area)
    wide, high = np.sqrt(area * fitting), np.sqrt(area / fitting)
    return _boxes(wide, high, x * (1.0 - wide) * width, y * (1.0 - high) * height)


@image_op(
    "centre_crop",
    family="crop",
    kind="affine",
    version=1,
    params={"share": Uniform(0.875, 0.875, identity=1.0, limits=(0.05, 1.0))},
)
def centre_crop(*, height: int, width: int, share: Values) -> Values:
    """Cut out the middle, a ``share`` of either side, and bring it to the full size."""
    nothing = np.zeros_like(share)
    return _boxes(share, share, nothing, nothing)


def _boxes(wide: Values, high: Values, x: Values, y: Values) -> Values:
    """Return the matrices that show boxes of shares ``wide`` and ``high``, off centre by pixels."""
    matrices = np.zeros((len(wide), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 2] = wide, x
    matrices[:, 1, 1], matrices[:, 1, 2] = high, y
    return matrices
