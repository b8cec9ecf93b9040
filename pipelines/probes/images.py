"""The families of image corruptions: the 15 of CIFAR-10-C and its 4 extra ones.

The kinds are those of D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations", ICLR 2019; kernels, textures and severities are our own, so
figures are not to be compared with published ones. ``docs/robustness.md`` says how the severities
were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pipelines.augment.draws import Draws
from pipelines.augment.execute import checked_images
from pipelines.probes import images_blur, images_digital, images_noise, images_weather
from pipelines.probes.family import Corrupt, Family, check_severity
from pipelines.probes.images_fields import Images
from schemas.errors import InputError
from schemas.probes import IMAGE_FAMILIES as NAMES

LEAST_SIDE = 8
"""Below so many rows or columns there is nothing left to tell apart."""

COLOUR_ONLY = frozenset({"saturate"})
"""Families that leave a grey image as it is, so that its answers to them say nothing new."""


def _checked(corrupt: Corrupt) -> Corrupt:
    """Return ``corrupt`` with its arguments checked first."""

    def checked(images: Images, severity: int, draws: Draws) -> Images:
        check_severity(severity)
        if min(checked_images(images).shape[1:3]) < LEAST_SIDE:
            raise InputError(
                f"images of at least {LEAST_SIDE} pixels a side can be corrupted, got "
                f"{images.shape[2]}x{images.shape[1]}: remove robustness"
            )
        if len(draws) != len(images):
            raise InputError(
                f"a generator per image is needed, got {len(draws)} for {len(images)} images"
            )
        made: Images = corrupt(images, severity, draws) if len(images) else images.copy()
        return made

    return checked


def _families() -> Mapping[str, Family]:
    groups = (images_noise, images_blur, images_weather, images_digital)
    found = {one.name: one for group in groups for one in group.FAMILIES}
    return MappingProxyType(
        {name: replace(found[name], corrupt=_checked(found[name].corrupt)) for name in NAMES}
    )


IMAGE_FAMILIES: Mapping[str, Family] = _families()
"""Name to family, in the order of ``schemas.probes``; ``corrupt`` takes ``uint8[N, H, W, C]``
images, H and W of 8 or more, C of 1 or 3, and returns the same. On grey images snow, ice, mist,
water and mud have their luma, and those of ``COLOUR_ONLY`` change nothing. ``InputError`` is raised
for other images, another severity, or where a generator per image is missing."""
