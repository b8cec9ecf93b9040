"""The TF Metadata schemas of the shipped recipes, rendered into ``schemas/<recipe>.pbtxt``."""

from pathlib import Path

from pipelines.dataset.sources.digits import DigitsSource
from pipelines.dataset.sources.reviews_sample import ReviewsSample
from schemas.features import ExampleSchema
from schemas.recipe import load_recipe, shipped

FOLDER = Path(__file__).parents[2] / "schemas"
_SOURCES = {"digits": DigitsSource(), "reviews_sample": ReviewsSample()}


def compute() -> dict[str, str]:
    """Return the schema of every shipped recipe; none needs its data."""
    return {name: _schema(name).pbtxt() for name in shipped()}


def renew() -> list[Path]:
    """Write the files and return their paths."""
    paths = []
    for name, text in compute().items():
        paths.append(FOLDER / f"{name}.pbtxt")
        paths[-1].write_text(text, "utf-8")
    return paths


def _schema(name: str) -> ExampleSchema:
    """Return the schema as `make_plan` builds it, with the label names that the recipe gives."""
    recipe = load_recipe(name).recipe
    is_image = recipe.modality == "image"
    names = recipe.source.get("label_names")
    return ExampleSchema(
        modality=recipe.modality,
        label_names=tuple(names or _SOURCES[recipe.source["kind"]].label_names),
        encoding=recipe.image.encoding if is_image else "utf8",
        image_shape=(32, 32, 3) if is_image else None,
    )
