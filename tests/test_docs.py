"""The documents name what the code has."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from pipelines.augment.policy import parse_policy
from schemas.adversarial import AdversarialConfig
from schemas.recipe import ImageOptions, Recipe, Splits, SurveyOptions, TextOptions, parse_recipe

DOC = Path(__file__).parents[1] / "docs" / "recipe.md"


@pytest.mark.parametrize(
    "section", [Recipe, Splits, ImageOptions, TextOptions, SurveyOptions, AdversarialConfig]
)
def test_the_recipe_document_names_every_key(section):
    text = DOC.read_text("utf-8")
    named = set(re.findall(r"[a-z_]+(?=:)", text)) | set(re.findall(r"`([a-z_]+)`", text))
    missing = {field.name for field in dataclasses.fields(section)} - named
    assert not missing


def test_the_recipes_of_the_document_are_valid():
    image, text = (
        yaml.safe_load(block)
        for block in re.findall(r"```yaml\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
    )
    recipe = parse_recipe(image, origin="docs/recipe.md").recipe
    assert parse_policy(recipe.policy, recipe.modality).calls()
    del image["image"], image["adversarial"]
    merged = image | text | {"modality": "text", "policy": {"preset": "eda"}}
    assert parse_recipe(merged, origin="docs/recipe.md").recipe.text.store_tokens
