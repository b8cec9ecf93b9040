"""Where examples come from. A new kind is one module here and one line in `SOURCES`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from pipelines.dataset.sources.base import BadRecord, Record, Source
from schemas.errors import InputError, unknown_name
from schemas.recipe import Recipe
from schemas.validation import validated

__all__ = ["SOURCES", "BadRecord", "Record", "Source", "open_source"]


@dataclass(frozen=True)
class SourceKind:
    """A kind of source: its module (with `Config` and `prepare`) and one line for listings."""

    module: str
    summary: str


SOURCES = {
    "tfds": SourceKind("tfds", "any TFDS dataset with one image or text and a label"),
    "digits": SourceKind("digits", "scikit-learn's 1,797 scanned digits, scaled to 32x32x3"),
    "reviews_sample": SourceKind("reviews_sample", "the 100 IMDB reviews shipped with tfx"),
}


def open_source(recipe: Recipe) -> Source:
    """Find (or fetch) the data that a recipe names, once, in the launching process.

    Raises:
        InputError: Unknown kind, wrong settings (``path`` starts with ``source``), no data.
    """
    settings: dict[str, Any] = dict(recipe.source)
    kind = settings.pop("kind")
    if not isinstance(kind, str) or kind not in SOURCES:
        raise InputError(unknown_name("source kind", kind, SOURCES), path=("source", "kind"))
    module = importlib.import_module(f"pipelines.dataset.sources.{SOURCES[kind].module}")
    try:
        source: Source = module.prepare(validated(module.Config, settings))
    except InputError as error:
        raise error.under("source") from error
    if source.modality != recipe.modality:
        raise InputError(
            f"the source holds {source.modality} examples, the recipe says {recipe.modality!r}.",
            path=("modality",),
        )
    for role in ("train", "test"):
        split = getattr(recipe.splits, role)
        if split is not None and split not in source.sizes:
            raise InputError(
                unknown_name("source split", split, source.sizes)
                + (" Write `test: null` if there is none." if role == "test" else ""),
                path=("splits", role),
            )
    return source
