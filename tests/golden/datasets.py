"""Digests of whole datasets, with the library versions that wrote them."""

import contextlib
import io
import tempfile
from typing import Any

from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from schemas.manifest import Manifest
from schemas.recipe import load_recipe

DATASETS = {
    "digits": ("digits", ()),
    "reviews_sample originals": ("reviews_sample", ("policy={preset: none}", "copies=0")),
}
"""Name to recipe and overrides; none needs a corpus."""


def compute() -> dict[str, Any]:
    """Return the entry of every dataset."""
    entries = {}
    for name, (recipe, overrides) in DATASETS.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            plan = make_plan(load_recipe(recipe, overrides), folder)
            entries[name] = entry(materialize(plan).manifest)
    return entries


def entry(manifest: Manifest) -> dict[str, Any]:
    """Return what is golden of a dataset."""
    return {
        "digest": manifest.digest,
        "fingerprint": manifest.fingerprint,
        "examples": manifest.examples,
        "versions": manifest.versions,
    }
