"""Where examples come from. A new kind is one module here and one line in `SOURCES`."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Any

from pipelines.dataset.sources.base import MAX_CLASSES, BadRecord, Record, Source
from pipelines.dataset.sources.enforce import Opened, enforced, keep
from schemas.errors import InputError, unknown_name
from schemas.recipe import Recipe
from schemas.validation import validated

__all__ = [
    "MAX_CLASSES",
    "SOURCES",
    "BadRecord",
    "Opened",
    "Record",
    "Source",
    "keep",
    "open_enforced",
    "open_source",
]


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes:
        module: Its module, with `Config` and `prepare`.
        summary: One line for listings.
        infers: Whether its schema is inferred, written and enforced without being asked for.
    """

    module: str
    summary: str
    infers: bool = False

    def settings(self) -> list[str]:
        """Return the names of its settings, those that may be left out in brackets."""
        module = importlib.import_module(f"{__name__}.{self.module}")
        return [
            one.name if one.default is dataclasses.MISSING else f"[{one.name}]"
            for one in dataclasses.fields(module.Config)
        ]


SOURCES = {
    "tfds": SourceKind("tfds", "any TFDS dataset with one image or text and a label"),
    "image_folder": SourceKind(
        "image_folder", "your images: one folder per class, or splits of such", infers=True
    ),
    "csv": SourceKind("csv", "your CSV files: a label, and a text or an image path", infers=True),
    "parquet": SourceKind(
        "parquet", "your Parquet files: a label, and a text or an image", infers=True
    ),
    "digits": SourceKind("digits", "scikit-learn's 1,797 scanned digits, scaled to 32x32x3"),
    "reviews_sample": SourceKind("reviews_sample", "the 100 IMDB reviews shipped with tfx"),
}


def open_enforced(recipe: Recipe, origin: str) -> Opened:
    """Find the data that a recipe names and hold it to its schema.

    The schema is the file that the recipe names by ``schema``; the kinds that hold a user's own
    data have one in any case: beside the recipe's file, with its name and ``.pbtxt``. Where it
    is missing it is inferred, and written by `keep`. A dataset's own schema counts where
    ``origin`` is its manifest.

    Args:
        recipe: The recipe.
        origin: Its file, or a manifest.

    Raises:
        InputError: As `open_source`, or the schema is unusable or not met.
    """
    source = open_source(recipe)
    return enforced(source, recipe, origin, infers=SOURCES[recipe.source["kind"]].infers)


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
