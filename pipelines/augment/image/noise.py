"""Noise fields in integers: random bits looked up in a table of the normal distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.draws import Draws
from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import image_op

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
Whole = NDArray[np.int64]

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
def gaussian_noise(images: Images, *, sigma: Values, seed: Whole) -> Images:
    """Add independent normal noise of ``sigma`` grey levels to every channel of every pixel."""
    scale = np.rint(sigma * (1 << _SIGMA_BITS)).astype(np.int32)
    return _with_noise(images, seed, lambda part: scale[part, None], bits=_SIGMA_BITS)


@image_op(
    "speckle_noise",
    family="noise",
    kind="pixel",
    version=1,
    params={"sigma": Uniform(0.0, 0.2, identity=0.0, limits=(0.0, 1.0)), "seed": Seed()},
)
def speckle_noise(images: Images, *, sigma: Values, seed: Whole) -> Images:
    """Add normal noise of ``sigma`` times the level of each channel of each pixel."""
    scale = np.rint(sigma * (1 << _SIGMA_BITS)).astype(np.int32)

    def amplitude(part: slice) -> NDArray[np.int32]:
        levels = images[part].reshape(-1, images[:1].size).astype(np.int32)
        levels *= scale[part, None]
        return levels

    return _with_noise(images, seed, amplitude, bits=_SIGMA_BITS)


@image_op(
    "shot_noise",
    family="noise",
    kind="pixel",
    version=1,
    params={"gain": Uniform(0.0, 4.0, identity=0.0, limits=(0.0, 64.0)), "seed": Seed()},
)
def shot_noise(images: Images, *, gain: Values, seed: Whole) -> Images:
    """Add the noise of counting photons, each worth ``gain`` grey levels: variance gain x level.

    The Poisson distribution is replaced by the normal one of its mean and variance: a level of
    100 at a gain of 4 is 25 photons, where the two differ little.
    """
    table = np.rint(np.sqrt(gain[:, None] * np.arange(256)) * (1 << _SIGMA_BITS)).astype(np.int32)

    def amplitude(part: slice) -> NDArray[np.int32]:
        levels = images[part].reshape(-1, images[:1].size)
        places = levels + 256 * np.arange(len(levels))[:, None]
        spreads: NDArray[np.int32] = table[part].reshape(-1).take(places, mode="wrap")
        return spreads

    return _with_noise(images, seed, amplitude, bits=_SIGMA_BITS)


@image_op(
    "salt_and_pepper",
    family="noise",
    kind="pixel",
    version=1,
    params={"amount": Uniform(0.0, 0.1, identity=0.0, limits=(0.0, 1.0)), "seed": Seed()},
)
def salt_and_pepper(images: Images, *, amount: Values, seed: Whole) -> Images:
    """Turn a share of the pixels, ``amount``, black or white, each as often."""
    half = np.rint(amount * (1 << 15)).astype(np.uint16)[:, None]
    noisy = images.copy(order="C")
    for part, some, chance in _chances(noisy, seed):
        some[chance < half[part]] = 0
        some[~chance < half[part]] = 255
    return noisy


@image_op(
    "impulse_noise",
    family="noise",
    kind="pixel",
    version=1,
    params={"amount": Uniform(0.0, 0.1, identity=0.0, limits=(0.0, 1.0)), "seed": Seed()},
)
def impulse_noise(images: Images, *, amount: Values, seed: Whole) -> Images:
    """Replace a share of the pixels, ``amount``, by random colours."""
    limit = np.rint(amount * (1 << 16)).astype(np.int32)[:, None]
    colours = Draws.from_seeds(seed).stream("colours")
    noisy = images.copy(order="C")
    for part, some, chance in _chances(noisy, seed):
        hit = chance < limit[part]
        bits = Draws(colours.state[part]).ragged(np.count_nonzero(hit, axis=1))
        levels = bits.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
        some[hit] = levels[:, : some.shape[2]]
    return noisy


def _chances(images: Images, seed: Whole) -> Iterator[tuple[slice, Images, NDArray[np.uint16]]]:
    """Yield some images at a time: which, ``[n, H * W, C]`` of them, and 16 bits per pixel."""
    state = Draws.from_seeds(seed).state
    pixels = images.shape[1] * images.shape[2]
    for part in _parts(images):
        bits = Draws(state[part]).bits((pixels + 3) // 4).astype("<u8", copy=False)
        some = images[part].reshape(-1, pixels, images.shape[3])
        yield part, some, bits.view("<u2")[:, :pixels]


def _with_noise(
    images: Images, seed: Whole, amplitude: Callable[[slice], NDArray[np.int32]], *, bits: int
) -> Images:
    """Return ``images`` plus normal noise, rounded and saturated.

    ``amplitude`` gives the standard deviation times ``2 ** bits`` of some consecutive images,
    ``int32[n, 1]`` or ``[n, H * W * C]``.
    """
    state = Draws.from_seeds(seed).state
    shift = NORMAL_BITS + bits
    size = images[:1].size
    noisy = np.empty_like(images, order="C")
    for part in _parts(images):
        field = normal_field(Draws(state[part]), size).astype(np.int32)
        field *= amplitude(part)
        field += 1 << (shift - 1)
        field >>= shift
        field += images[part].reshape(field.shape)
        np.clip(field, 0, 255, out=field)
        noisy[part] = field.reshape(images[part].shape)
    return noisy


def _parts(images: Images) -> Iterator[slice]:
    """Yield chunks of the batch whose fields stay in the processor's cache."""
    chunk = max(1, _CHUNK_BYTES // max(1, images[:1].size))
    for start in range(0, len(images), chunk):
        yield slice(start, start + chunk)


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
