"""The document on searches names what the code has."""

import dataclasses
import re
from pathlib import Path

import yaml

from components.search import plan
from schemas.fitting import Teachable
from schemas.refresh import RefreshConfig
from schemas.stages import SearchConfig

DOC = (Path(__file__).parents[2] / "docs" / "search.md").read_text("utf-8")


def test_every_key_is_named():
    inherited = {field.name for field in dataclasses.fields(Teachable)}
    own = {field.name for field in dataclasses.fields(SearchConfig)} - inherited
    named = set(re.findall(r"`([a-z_]+)`", DOC))
    assert own | {"epochs", "attention"} <= named


def test_the_recipe_is_valid_and_its_budget_is_as_told():
    (block,) = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)
    written = yaml.safe_load(block)
    gates = {"floors": {"accuracy": 0.7}, "ceilings": {"bytes": 100_000}}
    refresh = RefreshConfig(
        model="image_resnet", push="shipped", artifact="tflite", gates=gates, **written
    )
    config = refresh.for_profile("full").stage("small").config

    assert (config.rungs, config.reduction, config.shift) == (2, 4, 0.25)
    told = plan(config.budget, epochs=config.epochs, rungs=config.rungs, reduction=config.reduction)
    assert (told.rungs, told.networks, config.budget - told.spent) == ((2, 8), (27, 7), 0)
