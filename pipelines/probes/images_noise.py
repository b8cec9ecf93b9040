"""Noise of every pixel on its own: the kernels of our ops at five amplitudes."""

from __future__ import annotations

import numpy as np

from pipelines.augment.draws import Draws
from pipelines.augment.image import noise
from pipelines.probes.family import Family
from pipelines.probes.images_fields import Images, Values, pixel_scale, seeds

GAUSSIAN = (5.2, 9.2, 14.8, 22.0, 31.0)
SHOT = (0.3, 0.94, 2.4, 5.4, 10.7)
IMPULSE = (0.024, 0.039, 0.063, 0.09, 0.118)
SPECKLE = (0.05, 0.087, 0.142, 0.212, 0.302)

# All three add independent normal values of mean 0 and differ in how their spread follows the
# level alone; who trained on one has seen the kind. Impulses count as shown by them too: a model
# trained on Gaussian noise gained even more there (`benchmarks.robustness`).
_ADDITIVE = ("gaussian_noise", "shot_noise", "speckle_noise")


def _gaussian(images: Images, severity: int, draws: Draws) -> Images:
    sigma = _all(draws, GAUSSIAN[severity - 1] * pixel_scale(images))
    made: Images = noise.gaussian_noise(images, sigma=sigma, seed=seeds(draws))
    return made


def _shot(images: Images, severity: int, draws: Draws) -> Images:
    gain = _all(draws, SHOT[severity - 1] * pixel_scale(images) ** 2)
    made: Images = noise.shot_noise(images, gain=gain, seed=seeds(draws))
    return made


def _impulse(images: Images, severity: int, draws: Draws) -> Images:
    amount = _all(draws, IMPULSE[severity - 1] * pixel_scale(images))
    # Channels side by side are struck one by one.
    lines = images.reshape(*images.shape[:2], -1, 1)
    made: Images = noise.salt_and_pepper(lines, amount=amount, seed=seeds(draws))
    return made.reshape(images.shape)


def _speckle(images: Images, severity: int, draws: Draws) -> Images:
    sigma = _all(draws, SPECKLE[severity - 1] * pixel_scale(images))
    made: Images = noise.speckle_noise(images, sigma=sigma, seed=seeds(draws))
    return made


def _all(draws: Draws, value: float) -> Values:
    return np.full(len(draws), value)


FAMILIES = (
    Family(
        name="gaussian_noise",
        summary="Normal noise of the same spread everywhere, as of a sensor in poor light.",
        ops=_ADDITIVE,
        corrupt=_gaussian,
    ),
    Family(
        name="shot_noise",
        summary="Noise of counting photons: its variance is in proportion to the level.",
        ops=_ADDITIVE,
        corrupt=_shot,
    ),
    Family(
        name="impulse_noise",
        summary="Some values of single channels become 0 or 255.",
        ops=("impulse_noise", "salt_and_pepper", *_ADDITIVE),
        corrupt=_impulse,
    ),
    Family(
        name="speckle_noise",
        summary="Normal noise whose spread is in proportion to the level.",
        ops=_ADDITIVE,
        corrupt=_speckle,
    ),
)
