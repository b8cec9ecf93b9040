"""Refreshes that ship TFLite: evaluated through the interpreter, weighed and pushed as a folder."""

import json

import numpy as np
import pytest

from components.lite import LiteModel
from components.push import live_model
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.refresh import run_refresh
from pipelines.refresh_report import CACHED
from schemas.recipe import load_recipe, parse_recipe
from tests.refresh.support import FITTING, Watch, recipe

QUANTIZED = {"name": "small", "kind": "quantize", "base": "teacher"}
STAGES = [
    {"name": "teacher", "kind": "train", "config": {**FITTING, "model": {"width": 4}}},
    {**QUANTIZED, "config": {"calibration": 50}},
]


def refreshed(content, dataset, root, watch=None):
    return run_refresh(
        recipe=parse_recipe(content, origin="tests").recipe,
        dataset_dir=dataset,
        root=root,
        profile="smoke",
        progress=watch or Watch(),
    )


def scored(folder, dataset):
    """Return the accuracy on test of the folder that is served, by its own means alone."""
    import tensorflow as tf

    from components.data import inputs_of, open_dataset, records

    data = open_dataset(dataset)
    (batch,) = records(data, "test", 0).batch(10_000)
    spec = {"label": tf.io.FixedLenFeature([], tf.int64)}
    labels = tf.io.parse_example(batch, spec)["label"].numpy()
    inputs = inputs_of(batch, data.schema).numpy()
    lite = LiteModel.load(folder)
    if data.schema.modality == "text":
        inputs = lite.ids([text.decode() for text in inputs])
    return float(np.mean(lite.logits(inputs).argmax(1) == labels)), len(labels)


@pytest.fixture(scope="module")
def content():
    """The content of a recipe that quantises its teacher and ships that."""
    plain = recipe(stages=STAGES[:1]).content
    refresh = plain["refresh"] | {"stages": STAGES, "push": "small", "artifact": "tflite"}
    return {**plain, "refresh": refresh}


def test_images_are_evaluated_weighed_and_pushed_as_tflite(content, dataset, tmp_path):
    outcome = refreshed(content, dataset, tmp_path)
    assert outcome.status == "pushed"
    live = live_model(tmp_path / "digits-smoke" / "serving")
    assert sorted(path.name for path in live.path.iterdir()) == ["model.tflite", "push.json"]
    assert live.intact
    assert (live.record["artifact"], live.record["stage"]) == ("tflite", "small")

    gates = {one.gate: one.findings for one in outcome.report.decisions if one.gate != "data"}
    (accuracy,), (size, golden) = gates["accuracy"], gates["size"]
    assert (accuracy.value, accuracy.numbers["examples"]) == scored(live.path, dataset)
    assert (size.name, golden.value) == ("bytes", 0)
    assert size.value == (live.path / "model.tflite").stat().st_size
    teacher, small = outcome.report.stages
    assert small.size_before == teacher.size
    assert (teacher.size.format, small.size.format) == ("saved_model", "tflite")
    assert "tflite" in outcome.summary
    assert json.loads(outcome.report_path.read_text())["stages"][1]["size"]["macs"] > 0

    watch = Watch()
    again = refreshed(content, dataset, tmp_path, watch)
    assert again.status == "nothing_new"
    assert watch.states["Evaluator"] == watch.states["small"] == CACHED

    # The same network as a SavedModel is another model, and goes live beside.
    refresh = content["refresh"] | {"push": "teacher", "artifact": "saved_model"}
    assert refreshed({**content, "refresh": refresh}, dataset, tmp_path).status == "pushed"
    live = live_model(tmp_path / "digits-smoke" / "serving")
    assert live.version == 2
    assert (live.path / "saved_model.pb").is_file()


def test_texts_ship_with_their_words(tmp_path):
    fitting = {**FITTING, "optimizer": "adam", "batch_size": 16}
    model = {"width": 4, "vocabulary": 50, "tokens": 60}
    stages = [
        {"name": "teacher", "kind": "train", "config": {**fitting, "model": model}},
        {**QUANTIZED, "config": {"method": "dynamic"}},
    ]
    content = load_recipe("reviews_sample").content | {
        "policy": {"slots": []},
        "copies": 0,
        "refresh": {
            "model": "text_embedding",
            "stages": stages,
            "push": "small",
            "artifact": "tflite",
            "gates": {"floors": {"accuracy": 0.01}, "ceilings": {"bytes": 10_000}},
        },
    }
    plan = make_plan(parse_recipe(content, origin="tests"), str(tmp_path / "data"))
    dataset = materialize(plan).path
    outcome = refreshed(content, dataset, tmp_path / "root")
    live = live_model(tmp_path / "root" / "reviews_sample-smoke" / "serving")
    names = sorted(path.name for path in live.path.iterdir())
    assert names == ["model.tflite", "push.json", "reading.json", "vocabulary.txt"]
    gates = {one.gate: one for one in outcome.report.decisions}
    (accuracy,) = gates["accuracy"].findings
    assert (accuracy.value, accuracy.numbers["examples"]) == scored(live.path, dataset)
