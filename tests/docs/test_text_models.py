"""The recipes for texts in docs/distillation.md and docs/pruning.md are valid, their keys named."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from schemas.fitting import Teachable, TextConvModel
from schemas.recipe import load_recipe, parse_recipe
from schemas.stages import CompactConfig

DOCS = Path(__file__).parents[2] / "docs"
CASES = [
    ("distillation.md", ["ngrams", "compact", "quantize"], CompactConfig),
    ("pruning.md", ["ngrams", "distill", "prune", "vocabulary", "quantize"], TextConvModel),
]


@pytest.mark.parametrize(("page", "kinds", "section"), CASES)
def test_the_recipe_is_valid_and_its_keys_are_named(page, kinds, section):
    text = (DOCS / page).read_text("utf-8")
    blocks = [one for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "refresh:" in one]
    (refresh,) = (yaml.safe_load(one) for one in blocks)
    recipe = parse_recipe(load_recipe("reviews_sample").content | refresh, origin=page).recipe
    plan = recipe.refresh.for_profile("full")
    assert [stage.kind for stage in plan.stages] == kinds
    assert (plan.artifact, plan.push) == ("tflite", "lite")

    named = set(re.findall(r"`([a-z_]+)`", text))
    own = {field.name for field in dataclasses.fields(section)}
    own -= {field.name for field in dataclasses.fields(Teachable)} | {"family"}
    assert not own - named
