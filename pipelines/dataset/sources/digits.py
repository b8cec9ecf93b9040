"""scikit-learn's digits: 1,797 scans of 8x8 pixels with 16 grey levels, scaled to 32x32x3.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), test part.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass as plain_dataclass
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from pipelines.dataset.sources.base import Record, key_of
from schemas.canonical import sha256

_FACTOR = 4


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """The digits source has no settings."""


@plain_dataclass(frozen=True)
class DigitsSource:
    """The scans as uint8[32, 32, 3], upscaled by bilinear interpolation in integers."""

    modality: Literal["image"] = "image"
    label_names: tuple[str, ...] = tuple("0123456789")
    image_shape: tuple[int, int, int] = (32, 32, 3)

    @property
    def sizes(self) -> Mapping[str, int]:
        """One split, ``train``."""
        return {"train": len(_load()[1])}

    def identity(self) -> dict[str, Any]:
        """Return the name and the digest of the scans and labels."""
        scans, labels = _load()
        return {"kind": "digits", "sha256": sha256(scans.tobytes() + labels.tobytes())}

    def read(self, split: str, start: int, stop: int) -> Iterator[Record]:
        """Yield the scans ``start`` to ``stop``."""
        scans, labels = _load()
        images = upscale(scans[start:stop])
        for i, image in enumerate(images, start=start):
            yield Record(key_of(split, i), i, image, int(labels[i]))

    def place_of(self, label: str) -> str:
        """Say where the scans of a class are."""
        return "scikit-learn's digits"


def prepare(config: Config) -> DigitsSource:
    """Return the source."""
    return DigitsSource()


def upscale(scans: np.ndarray) -> np.ndarray:
    """Scale scans by four with bilinear interpolation (half-pixel centres), exact in integers.

    Args:
        scans: uint8[N, H, W] with values 0 to 16.

    Returns:
        uint8[N, 4H, 4W, 3] with values 0 to 255, equal channels.
    """
    rows, columns = _weights(scans.shape[1]), _weights(scans.shape[2])
    scaled = rows @ scans.astype(np.int64) @ columns.T  # values up to 16 * 8 * 8
    grey = (scaled * 255 + 512) // 1024
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=3)


def _weights(size: int) -> np.ndarray:
    """Return the interpolation weights, in eighths: int64[4 * size, size]."""
    weights = np.zeros((size * _FACTOR, size), np.int64)
    for i in range(size * _FACTOR):
        eighths = 2 * i + 1 - _FACTOR  # position in eighths of a source pixel, from its centre
        left, part = divmod(eighths, 2 * _FACTOR)
        for at, weight in ((left, 2 * _FACTOR - part), (left + 1, part)):
            weights[i, min(max(at, 0), size - 1)] += weight
    return weights


@functools.cache
def _load() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    return scans.reshape(-1, 8, 8).astype(np.uint8), labels.astype(np.int64)
