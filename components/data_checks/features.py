"""What a profile counts of an example: a few figures of an image or a text, in fixed bins.

Sums are of whole numbers and the rest is single IEEE operations, so that a figure, and with it the
bin, is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from schemas.features import ExampleSchema, Modality
from schemas.text import tokens

_SIXTEENTHS = tuple(k / 16 for k in range(17))
EDGES: Mapping[Modality, Mapping[str, tuple[float, ...]]] = {
    "image": {
        "brightness": tuple(255 * k for k in _SIXTEENTHS),
        "contrast": tuple(127.5 * k for k in _SIXTEENTHS),
        "saturation": _SIXTEENTHS,
    },
    "text": {
        "length": (
            *(0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96),
            *(128, 192, 256, 384, 512, 768, 1024, 2048, 4096),
        ),
        "unknown_words": (0, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1),
        "upper_case": (0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.4, 0.6, 1),
    },
}
"""Bins of every feature: edge k up to, but not including, edge k + 1; the outer ones are open."""

# ITU-R BT.601, in thousandths.
_LUMA = (299, 587, 114)
_UPPER = bytes(range(ord("A"), ord("Z") + 1))
_LETTERS = _UPPER + _UPPER.lower()


def histogram(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Count values per bin of `EDGES`; what lies beyond the outer edges is in the outer bins.

    Args:
        values: ``float64[N]``.
        edges: ``bins + 1`` of them, rising.

    Returns:
        ``int64[bins]``.
    """
    at = np.searchsorted(np.asarray(edges[1:-1], np.float64), values, side="right")
    return np.bincount(at, minlength=len(edges) - 1)


def image_features(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of ``uint8[N, H, W, C]`` (C is 1, 3 or 4), each ``float64[N]``.

    ``brightness`` is the mean luma (BT.601) and ``contrast`` its standard deviation, in grey levels
    0 to 255; ``saturation`` the mean of (max - min) / max over the pixels (0 where max is), 0 to 1.
    """
    count = len(images)
    pixels = images.reshape(count, -1, images.shape[-1])
    if images.shape[-1] < 3:
        luma = 1000 * pixels[..., 0].astype(np.int64)
        saturation = np.zeros(count)
    else:
        parts = pixels[..., :3].astype(np.int32)
        luma = (parts @ np.array(_LUMA, np.int32)).astype(np.int64)
        most = parts.max(-1)
        shares = 1000 * (most - parts.min(-1)) // np.maximum(most, 1)
        saturation = shares.sum(1, dtype=np.int64) / (1000 * pixels.shape[1])
    mean = luma.sum(1) / pixels.shape[1]
    squares = (luma * luma).sum(1) / pixels.shape[1]
    contrast = np.sqrt(np.maximum(squares - mean * mean, 0))
    return {"brightness": mean / 1000, "contrast": contrast / 1000, "saturation": saturation}


def text_features(texts: Sequence[str], vocabulary: Collection[str]) -> dict[str, np.ndarray]:
    """Return the features of N texts, each ``float64[N]``.

    ``length`` is the number of tokens (`schemas.text`), ``unknown_words`` the share of them that
    the vocabulary lacks, ``upper_case`` the share of ASCII letters that are capitals; a share of
    nothing is 0.
    """
    rows = []
    for text in texts:
        words = tokens(text)
        unknown = sum(word not in vocabulary for word in words)
        data = text.encode("utf-8")
        letters = len(data) - len(data.translate(None, _LETTERS))
        upper = len(data) - len(data.translate(None, _UPPER))
        rows.append((len(words), unknown / max(len(words), 1), upper / max(letters, 1)))
    columns = np.array(rows, np.float64).reshape(-1, 3).T
    return dict(zip(EDGES["text"], columns, strict=True))


def histograms_of(
    values: np.ndarray, schema: ExampleSchema, vocabulary: Collection[str]
) -> dict[str, np.ndarray]:
    """Return the `histogram` of every feature of a batch: images, or UTF-8 texts ``object[N]``."""
    if schema.modality == "image":
        found = image_features(values)
    else:
        found = text_features([value.decode("utf-8", "replace") for value in values], vocabulary)
    return {name: histogram(found[name], edges) for name, edges in EDGES[schema.modality].items()}
