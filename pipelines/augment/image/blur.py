"""Blurs: local averages, edges replicated."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Integers
from pipelines.augment.registry import image_op


@image_op(
    "blur_box",
    family="blur",
    kind="pixel",
    version=1,
    params={"radius": Integers(1, 2, identity=0, limits=(0, 64))},
)
def blur_box(images: NDArray[np.uint8], *, radius: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Average each pixel with its neighbours up to ``radius`` rows and columns away."""
    blurred = np.empty_like(images, order="C")
    for image, reach, out in zip(images, radius.tolist(), blurred, strict=True):
        side = 2 * reach + 1
        cv2.blur(image, (side, side), dst=out, borderType=cv2.BORDER_REPLICATE)
    return blurred
