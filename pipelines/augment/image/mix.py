"""Mixing: an example blended with, or patched by, another one of its batch; labels mix alike.

The partner is the other example's original, whatever the policy does to that one elsewhere; a
mixing op at the head of a policy has both parts augmented alike by what follows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.beta import SHARES, Beta
from pipelines.augment.params import Uniform
from pipelines.augment.registry import image_op

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
_CHUNK_BYTES = 1 << 16


@image_op("mixup", family="mixing", kind="mix", version=1, params={"share": Beta(1.0)})
def mixup(images: Images, partners: Images, *, share: Values) -> tuple[Images, Values]:
    """Blend with another example, ``share`` of the result from that one.

    H. Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018. ``share`` is drawn from
    Beta(alpha, alpha); the option sets alpha (the paper: 1 on CIFAR-10, 0.2 on ImageNet).
    """
    parts = np.rint(share * SHARES).astype(np.uint16)[:, None, None, None]
    mixed = np.empty_like(images, order="C")
    chunk = max(1, _CHUNK_BYTES // images[:1].size)
    for start in range(0, len(images), chunk):
        rows = slice(start, start + chunk)
        sums = images[rows] * (np.uint16(SHARES) - parts[rows])
        sums += partners[rows] * parts[rows]
        sums += np.uint16(SHARES // 2)
        sums //= np.uint16(SHARES)
        mixed[rows] = sums
    return mixed, share


@image_op(
    "cutmix",
    family="mixing",
    kind="mix",
    version=1,
    params={
        "share": Beta(1.0),
        "x": Uniform(0.0, 1.0, identity=None, limits=(0.0, 1.0)),
        "y": Uniform(0.0, 1.0, identity=None, limits=(0.0, 1.0)),
    },
)
def cutmix(
    images: Images, partners: Images, *, share: Values, x: Values, y: Values
) -> tuple[Images, Values]:
    """Replace a rectangle by the same one of another example.

    S. Yun et al., "CutMix", ICCV 2019: the rectangle has the image's proportions, ``share`` of its
    area (from Beta(alpha, alpha); the option sets alpha, 1 in the paper) and its centre anywhere;
    what sticks out is cut off, and the label is weighted by the pixels that were replaced.
    """
    height, width = images.shape[1:3]
    left, right = _span(share, x, width)
    top, bottom = _span(share, y, height)
    mixed = images.copy()
    boxes = zip(left.tolist(), right.tolist(), top.tolist(), bottom.tolist(), strict=True)
    for out, partner, (west, east, north, south) in zip(mixed, partners, boxes, strict=True):
        out[north:south, west:east] = partner[north:south, west:east]
    return mixed, (right - left) * (bottom - top) / (height * width)


def _span(share: Values, centre: Values, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and behind-last index of the rectangle along an axis."""
    half = np.floor(np.sqrt(share) * side).astype(np.int64) // 2
    middle = np.minimum(np.floor(centre * side).astype(np.int64), side - 1)
    return np.clip(middle - half, 0, side), np.clip(middle + half, 0, side)
