"""Noise fields in integers: random bits looked up in a table of the normal distribution."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import image_op

NORMAL_BITS = 12
"""The table holds standard deviations times ``2 ** NORMAL_BITS``."""

_SIGMA_BITS = 8
_CHUNK_BYTES = 1 << 16


@image_op(
    "gaussian_noise",
    family="noise",
    kind="pixel",
    version=1,
    params={"sigma": Uniform(0.0, 16.0, identity=0.0, limits=(0.0, 64.0)), "seed": Seed()},
)
def gaussian_noise(
    images: NDArray[np.uint8], *, sigma: NDArray[np.float64], seed: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Add independent normal noise of ``sigma`` grey levels to every channel of every pixel."""
    scale = np.rint(sigma * (1 << _SIGMA_BITS)).astype(np.int32)
    draws = Draws.from_seeds(seed)
    shift = NORMAL_BITS + _SIGMA_BITS
    size = images[:1].size
    noisy = np.empty_like(images, order="C")
    chunk = max(1, _CHUNK_BYTES // max(1, size))
    for start in range(0, len(images), chunk):
        part = slice(start, start + chunk)
        field = normal_field(Draws(draws.state[part]), size).astype(np.int32)
        field *= scale[part, None]
        field += 1 << (shift - 1)
        field >>= shift
        field += images[part].reshape(field.shape)
        np.clip(field, 0, 255, out=field)
        noisy[part] = field.reshape(images[part].shape)
    return noisy


def normal_field(draws: Draws, size: int) -> NDArray[np.int16]:
    """Return ``int16[N, size]`` of standard normal values times ``2 ** NORMAL_BITS``."""
    bits = draws.bits((size + 3) // 4).astype("<u8", copy=False)
    # Every uint16 is a valid index; with mode="wrap" NumPy does not check that first.
    return normal_table().take(bits.view("<u2")[:, :size], mode="wrap")


@lru_cache(maxsize=1)
def normal_table() -> NDArray[np.int16]:
    """Return the 65,536 midpoint quantiles of the normal distribution, as ``int16``."""
    quantile = NormalDist().inv_cdf
    upper = [round(quantile((i + 0.5) / 65536) * (1 << NORMAL_BITS)) for i in range(32768, 65536)]
    table = np.array([-value for value in reversed(upper)] + upper, dtype=np.int16)
    table.flags.writeable = False
    return table
