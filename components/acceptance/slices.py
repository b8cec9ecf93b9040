"""Names of the parts of a test split that are reported, and gated if asked.

Each function returns, per example, the names of the slices it belongs to. Thirds are taken over
the examples given, by rank of exact integers, so equal test splits have equal slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.text import tokens

Slices = list[tuple[str, ...]]
_LUMA = np.array([299, 587, 114])  # ITU-R BT.601, thousandths
_THIRDS = ("low", "middle", "high")


def image_slices(images: Iterable[NDArray[np.uint8]]) -> Slices:
    """Return thirds of brightness and of contrast, e.g. ``("brightness=low", "contrast=high")``.

    Brightness is the mean luma, contrast its standard deviation (Peli, "Contrast in complex
    images", JOSA A 7, 1990).

    Args:
        images: ``uint8[H, W, 1 or 3]`` each; sizes may differ. Read once, one by one.
    """
    statistics = np.array([_luma_statistics(image) for image in images]).reshape(-1, 2)
    return _named({"brightness": statistics[:, 0], "contrast": statistics[:, 1]})


def text_slices(
    texts: Sequence[str],
    *,
    negates: Callable[[str], bool],
    entities: Callable[[str], int],
) -> Slices:
    """Return thirds of length, whether a text negates, and how many entities it names.

    E.g. ``("length=low", "negation=yes", "entities=1-3")``.

    Args:
        texts: The texts.
        negates: Whether a text holds a negation.
        entities: How many names a text holds.
    """
    lengths = np.array([len(tokens(text)) for text in texts], np.float64)
    return [
        (*names, f"negation={'yes' if negates(text) else 'no'}", f"entities={_few(entities(text))}")
        for names, text in zip(_named({"length": lengths}), texts, strict=True)
    ]


def thirds(values: NDArray[np.float64]) -> list[str]:
    """Return ``low``, ``middle`` or ``high`` per value; equal values are in the same third."""
    ordered = np.sort(values)
    cuts = [ordered[max(len(values) * part // 3 - 1, 0)] for part in (1, 2)] if len(values) else []
    return [_THIRDS[int(np.searchsorted(cuts, value, side="left"))] for value in values]


def _named(statistics: dict[str, NDArray[np.float64]]) -> Slices:
    parts = [[f"{name}={third}" for third in thirds(some)] for name, some in statistics.items()]
    return list(zip(*parts, strict=True))


def _luma_statistics(image: NDArray[np.uint8]) -> tuple[float, float]:
    pixels = image.astype(np.int64)
    luma = (pixels @ _LUMA + 500) // 1000 if image.shape[-1] == 3 else pixels[..., 0]
    count, total, squares = luma.size, int(luma.sum()), int((luma**2).sum())
    return total / count, (count * squares - total**2) / count**2


def _few(count: int) -> str:
    return "0" if count == 0 else "1-3" if count <= 3 else "4+"
