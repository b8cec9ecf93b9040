"""docs/widths.md: its recipe is valid, its programs run."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import yaml
from keras import layers

from schemas.recipe import load_recipe, parse_recipe

TEXT = (Path(__file__).parents[2] / "docs" / "widths.md").read_text("utf-8")
LOAD, REQUEST, TRAIN = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_recipe_and_its_later_stages_are_valid():
    whole, more = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S))
    whole["refresh"]["stages"] += more
    content = load_recipe("digits").content | whole
    plan = parse_recipe(content, origin="docs/widths.md").recipe.refresh.for_profile("full")
    assert plan.push == "slim"
    assert [stage.config.width for stage in plan.stages[2:]] == [0.5, 0.25]


def test_the_programs_run(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def answer(examples):
        return {"probabilities": tf.ones([tf.size(examples), 2])}

    tf.saved_model.save(module, str(tmp_path), signatures={"width_50": answer})
    names = {"folder": str(tmp_path), "serialized": tf.constant(["a", "b"])}
    exec(LOAD, names)  # noqa: S102 - the document's own programs
    assert names["probabilities"].shape == (2, 2)

    exec(REQUEST, given := {"examples": ["YQ=="]})
    assert json.loads(given["body"])["signature_name"] == "width_50"

    inputs = keras.Input((6,))
    x = layers.BatchNormalization()(layers.Dense(8, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(x))
    rows = tf.constant(np.random.default_rng(0).normal(size=(9, 6)), tf.float32)
    names = {
        "tf": tf,
        "model": model,
        "optimizer": keras.optimizers.SGD(0.1),
        "batches": [(rows, tf.constant([0, 1, 2] * 3))],
    }
    exec(TRAIN, names)
    assert names["small"].count_params() < model.count_params()
    np.testing.assert_allclose(names["slim"].answer(0.5, rows), names["small"](rows), atol=1e-5)
