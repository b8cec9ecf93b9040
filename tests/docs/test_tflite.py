"""docs/tflite.md: its recipe is valid, its programs run, its rule is the rule."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.lite import convert, reading_json
from schemas.recipe import load_recipe, parse_recipe
from schemas.tokens import token_ids, vocabulary_ids

TEXT = (Path(__file__).parents[2] / "docs" / "tflite.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
WORDS = ["<OOV>", "a", "plot", "café"]


def network(texts):
    import keras
    from keras import layers

    if texts:
        inputs = keras.Input((4,), dtype="int32", name="token_ids")
        x = layers.Embedding(9, 2)(inputs)
        return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    inputs = keras.Input((6, 6, 1), dtype="uint8", name="images")
    x = layers.Conv2D(3, 3)(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def test_the_recipe_is_valid():
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    content = load_recipe("digits").content | yaml.safe_load(block)
    plan = parse_recipe(content, origin="docs/tflite.md").recipe.refresh.for_profile("full")
    assert (plan.artifact, plan.push) == ("tflite", "small")


@pytest.mark.parametrize("texts", [[], ["A plot,<br>a plot: the CAFÉ café", ""]])
def test_the_programs_run(tmp_path, texts, capsys):
    model = network(texts)
    (tmp_path / "model.tflite").write_bytes(convert(model, "float32"))
    if texts:
        (tmp_path / "vocabulary.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
        rule = reading_json(tokens=4, truncate="tail", pad="left")
        (tmp_path / "reading.json").write_text(rule)
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 1)).astype(np.uint8)
    names = {"folder": str(tmp_path), "texts": texts, "images": images, "network": model}
    for program in PROGRAMS:
        exec(program, names)  # noqa: S102 - the document's own programs
    assert names["classes"].shape == (2,)
    np.testing.assert_allclose(names["logits"], names["lite"].logits(names["inputs"][:1]))
    assert "same_class" in capsys.readouterr().out
    for text in texts:
        expected = token_ids(
            text, vocabulary_ids(WORDS), length=4, truncate="tail", pad="left"
        ).tolist()  # fmt: skip
        assert names["token_ids"](text) == expected
