"""Fixed inputs for the tests of ops: no op is named here."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np

from pipelines.augment import registry
from pipelines.augment.context import Context
from pipelines.augment.draws import Draws
from pipelines.augment.policy import Policy, parse_policy
from pipelines.augment.text import ngrams
from pipelines.augment.text.ngrams import ClassModels
from schemas.errors import InputError

SENTENCES = (
    "This was, without doubt, one of the best movies I've ever seen; don't miss it!",
    "Not a good film.<br /><br />The plot is thin and the acting is especially poor.",
    "I really liked the story, but the ending wasn't what I had expected at all.",
    "Boring. Never again.",
    "The house on the hill looked old & strange; a beautiful garden lay behind it (in Ohio).",
    "An enormous mistake: the director had no idea how to finish the picture quickly.",
    "Mr. Tom Hanks and Meg Ryan meet in Paris. Then Hanks helped her; nobody knew what happened.",
    "Café scenes from 1959 – “simply wonderful”, said my mother – are the main reason to watch.",
)


def images(count: int, shape: tuple[int, int, int], *, smooth: bool = False) -> np.ndarray:
    """Return fixed random images ``uint8[count, *shape]``, all different."""
    bits = Draws.root(11, [f"image {i}" for i in range(count)], 0).bits(int(np.prod(shape)))
    batch = (bits >> np.uint64(56)).astype(np.uint8).reshape(count, *shape)
    if smooth:
        blurred = [cv2.GaussianBlur(image, (0, 0), 2.5).reshape(shape) for image in batch]
        batch = np.stack([cv2.normalize(i, None, 0, 255, cv2.NORM_MINMAX) for i in blurred])
    return batch.reshape(count, *shape)


def texts(count: int) -> list[str]:
    """Return fixed texts of several sentences, all different."""
    picks = Draws.root(12, [f"text {i}" for i in range(count)], 0).integers(0, len(SENTENCES), 6)
    return [" ".join([f"Review {i}.", *(SENTENCES[p] for p in row)]) for i, row in enumerate(picks)]


def keys(count: int) -> list[str]:
    return [f"train/{i:05d}" for i in range(count)]


def batch_for(op: registry.Op, count: int) -> Any:
    return images(count, (24, 16, 3)) if op.modality == "image" else texts(count)


def rows(batch: Any, indices: Sequence[int]) -> Any:
    """Return some rows of images or texts."""
    if isinstance(batch, np.ndarray):
        return batch[list(indices)]
    return [batch[i] for i in indices]


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def policy_of(op: registry.Op, **call: Any) -> Policy:
    return parse_policy({"slots": [{"op": op.name, **call}]}, op.modality)


@cache
def context() -> Context:
    """Return models of a small training split."""
    labels = [i % 2 for i in range(40)]
    return Context(ngrams=ClassModels.of(ngrams.count(texts(40), labels)))


def needed(policy: Policy, names: Sequence[str]) -> dict[str, Any]:
    """Return what ``policy`` asks for besides batch and keys; a row's label follows its key."""
    given: dict[str, Any] = {}
    if "labels" in policy.needs():
        given["labels"] = [int(name[-1]) % 2 for name in names]
    if "ngrams" in policy.needs():
        given["context"] = context()
    return given


def missing_resource(policy: Policy) -> str | None:
    """Return why a policy cannot run on this machine (a corpus is missing), or None."""
    try:
        policy.resources()
    except InputError as error:
        return str(error)
    return None
