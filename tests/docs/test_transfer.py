"""docs/transfer.md: its recipes are valid, and it names every key."""

import re
from pathlib import Path

import yaml

from schemas.fitting import Teachable
from schemas.recipe import load_recipe, parse_recipe
from schemas.stages import FinetuneConfig, config_settings, parse_config

TEXT = (Path(__file__).parents[2] / "docs" / "transfer.md").read_text("utf-8")
BLOCKS = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def test_its_recipes_are_valid():
    stages, options, warm = BLOCKS
    content = load_recipe("digits").content
    written = [*stages["stages"], *warm]
    names = [f"{one['name']}{at}" for at, one in enumerate(written)]
    written = [{**one, "name": name} for one, name in zip(written, names, strict=True)]
    written[1]["base"] = names[0]
    content["refresh"] = {
        "model": "image_resnet",
        "push": names[-1],
        "gates": {"floors": {"accuracy": 0.5}, "ceilings": {"bytes": 10**8}},
        "stages": written,
    }
    plan = parse_recipe(content, origin="docs/transfer.md").recipe.refresh.for_profile("full")
    assert plan.stage(names[5]).config.application == "MobileNetV2"
    assert parse_config("finetune", options["config"]).unfreeze == 4


def test_it_names_every_key():
    own = set(config_settings(FinetuneConfig())) - set(Teachable.__dataclass_fields__)
    named = set(re.findall(r"`([a-z_]+)`", TEXT)) | set(re.findall(r"[a-z_]+(?=:)", TEXT))
    assert not own - named
