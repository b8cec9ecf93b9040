"""The shipped recipes against their data: embedded always, TFDS's where it is prepared."""

import os
from pathlib import Path

import pytest

from pipelines.dataset.plan import make_plan
from pipelines.dataset.slices import read_slice
from schemas.recipe import load_recipe
from tests.golden import pbtxt

EXPECTED = {
    "digits": ({"train": 1797}, (32, 32, 3)),
    "reviews_sample": ({"train": 100}, None),
    "cifar10": ({"train": 50_000, "test": 10_000}, (32, 32, 3)),
    "imdb": ({"train": 25_000, "test": 25_000}, None),
}


def plan_of(name):
    """Plan without a policy, so that no corpus is needed; skip where TFDS has not the data."""
    recipe = load_recipe(name, ["policy={preset: none}", "copies=0"])
    if recipe.recipe.source["kind"] == "tfds":
        root = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
        folder = root / recipe.recipe.source["dataset"] / recipe.recipe.source["version"]
        if not folder.is_dir():
            pytest.skip(f"{folder} is not prepared")
    if name == "reviews_sample":
        pytest.importorskip("tfx.examples", reason="the reviews ship with the tfx package")
    return make_plan(recipe, "/nowhere")


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_recipe_fits_its_data(name):
    plan = plan_of(name)
    sizes, shape = EXPECTED[name]
    assert plan.job.source.sizes == sizes
    assert plan.job.schema.image_shape == shape
    assert plan.job.schema.pbtxt() == (pbtxt.FOLDER / f"{name}.pbtxt").read_text("utf-8")
    for task in (plan.tasks[0], plan.tasks[-1]):
        data = read_slice(plan.job, task)
        assert not any(data.bad.values())
        assert sum(map(len, data.splits.values())) == task.stop - task.start
        labels = {int(label) for some in data.splits.values() for label in some.labels}
        assert labels <= set(range(len(plan.job.schema.label_names)))
