"""Changed copies of test examples: what leaks in practice, drawn anew by every run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipelines.augment.policy import parse_policy

Generator = np.random.Generator
Image = np.ndarray


@dataclass(frozen=True)
class Kind:
    """A kind of plant: what it is, and how a copy is made of a list or array of originals."""

    summary: str
    make: Callable[[Any, Generator], Any]


def _each(change: Callable[[Image, Generator], Image]) -> Callable[[Any, Generator], Any]:
    return lambda images, rng: np.stack([change(image, rng) for image in images])


def _mirrored(image: Image, rng: Generator) -> Image:
    return image[:, ::-1]


def _padded_crop(image: Image, rng: Generator) -> Image:
    """Pad by an eighth with black, crop at random, as is customary for 32x32 images with 4."""
    height, width = image.shape[:2]
    pad = max(height // 8, 1)
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    top, left = rng.integers(0, 2 * pad + 1, 2)
    return padded[top : top + height, left : left + width]


def _resized_crop(image: Image, rng: Generator) -> Image:
    """Cut out 90 to 100 % of each side, resize it back; to a fraction of a pixel."""
    height, width = image.shape[:2]
    scale = rng.uniform(0.9, 1.0)
    down, right = rng.uniform(0, 1 - scale, 2) * (height, width)
    corner = (scale - 1) / 2
    matrix = np.array([[scale, 0, right + corner], [0, scale, down + corner]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(
        image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return cut.reshape(image.shape)


def _noised(image: Image, rng: Generator) -> Image:
    noise = rng.normal(0, rng.uniform(2, 10), image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def _reencoded(image: Image, rng: Generator) -> Image:
    quality = int(rng.integers(50, 91))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED).reshape(image.shape)


def _brightened(image: Image, rng: Generator) -> Image:
    levels = int(rng.integers(15, 41)) * int(rng.choice((-1, 1)))
    return np.clip(image.astype(np.int16) + levels, 0, 255).astype(np.uint8)


def _policy(modality: Any, preset: str, **arguments: Any) -> Callable[[Any, Generator], Any]:
    policy = parse_policy({"preset": preset, **arguments}, modality)

    def make(values: Any, rng: Generator) -> Any:
        keys = [f"{i:08d}" for i in range(len(values))]
        return policy.apply(values, keys, seed=int(rng.integers(2**32)), copy=1)[0]

    return make


def _all(*changes: Callable[[Any, Generator], Any]) -> Callable[[Any, Generator], Any]:
    def make(values: Any, rng: Generator) -> Any:
        for change in changes:
            values = change(values, rng)
        return values

    return make


IMAGES = {
    "mirrored": Kind("left and right exchanged", _each(_mirrored)),
    "padded crop": Kind("padded by 1/8 with black, cropped at random", _each(_padded_crop)),
    "resized crop": Kind("90-100 % of each side, anywhere, resized back", _each(_resized_crop)),
    "noised": Kind("Gaussian noise of 2-10 grey levels", _each(_noised)),
    "re-encoded": Kind("JPEG, quality 50-90", _each(_reencoded)),
    "brightness": Kind("15-40 grey levels more or less", _each(_brightened)),
    "all but noise": Kind(
        "mirrored, padded crop, brightness and JPEG in turn",
        _all(_each(_mirrored), _each(_padded_crop), _each(_brightened), _each(_reencoded)),
    ),
    "policy classic": Kind(
        "the preset: turned by up to 20 degrees, moved and scaled by up to 20 %, sheared",
        _policy("image", "classic"),
    ),
    "policy randaugment": Kind("the preset, by default", _policy("image", "randaugment")),
}


def _halved(texts: list[str], rng: Generator) -> list[str]:
    """Keep 50 to 90 % of the words, from the start or up to the end."""
    made = []
    for text in texts:
        words = text.split(" ")
        kept = max(1, round(len(words) * rng.uniform(0.5, 0.9)))
        made.append(" ".join(words[:kept] if rng.integers(2) else words[-kept:]))
    return made


def _marked_up(texts: list[str], rng: Generator) -> list[str]:
    """Write line breaks as paragraphs, escape entities, and set words in bold."""
    made = []
    for text in texts:
        text = text.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#39;")
        words = re.sub(r"<br\s*/?>", "</p><p>", text).split(" ")
        for i in rng.integers(0, len(words), max(1, len(words) // 20)):
            words[i] = f"<b>{words[i]}</b>"
        made.append(f"<p>{' '.join(words)}</p>")
    return made


def _recased(texts: list[str], rng: Generator) -> list[str]:
    changes = (str.upper, str.lower, str.title)
    return [changes[int(rng.integers(3))](text) for text in texts]


TEXTS = {
    "synonyms": Kind("the preset: safe synonyms", _policy("text", "synonyms")),
    "eda": Kind("the preset: synonyms, insertion, swap, deletion", _policy("text", "eda")),
    "text_strong": Kind("the preset", _policy("text", "text_strong")),
    "truncated": Kind("50-90 % of the words, first or last", _halved),
    "HTML": Kind("paragraphs, entities and bold words instead of line breaks", _marked_up),
    "case": Kind("all upper, all lower or title case", _recased),
    "eda, truncated, case": Kind(
        "one after the other", _all(_policy("text", "eda"), _halved, _recased)
    ),
}


def upside_down(images: Image) -> Image:
    """Return images that no one took, as lifelike as the originals in all but their gravity."""
    return np.ascontiguousarray(images[:, ::-1])


def sewn(texts: list[str], rng: Generator, pieces: int = 8) -> list[str]:
    """Return as many texts, each of an eighth of eight of these: related to all, a copy of none."""
    words = [text.split(" ") for text in texts]
    made = []
    for _ in texts:
        parts: list[str] = []
        for other in rng.permutation(len(words))[:pieces]:
            length = len(words[other]) // pieces
            start = int(rng.integers(0, len(words[other]) - length + 1))
            parts += words[other][start : start + length]
        made.append(" ".join(parts))
    return made
