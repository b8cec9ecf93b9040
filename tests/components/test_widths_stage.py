"""The stage of run-time widths: what it writes, serves, reports and refuses."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter, ValidationError

from components.artifact import folder_bytes
from components.data import inputs_of, open_dataset, records
from components.evaluate import evaluate
from components.export import check_export, export
from components.models import build_model
from components.prune import channel_graph, scores
from components.stages import _digest, load_model, load_report, run_stage
from components.train import Context
from components.widths import slimmable
from components.widths.stage import served_width
from schemas.errors import FailedError, InputError
from schemas.fitting import ImageModel
from schemas.refresh import RefreshConfig
from schemas.stages import config_settings, parse_config, width_name

FAST = {"batch_size": 50, "examples": 300, "copies": 1}
SERVING = "Format-Serving"


@pytest.fixture(scope="module")
def trained(digits_dir, tmp_path_factory):
    """Return the folders of a network and of the same in three widths, and the progress."""
    root, lines = tmp_path_factory.mktemp("widths"), []
    model = {"family": "image_resnet", "width": 8}
    common = {"dataset": digits_dir, "seed": 3, "progress": lines.append}
    run_stage("train", config={"model": model, "epochs": 4, **FAST}, output=root / "b", **common)
    config = {"epochs": 4, "calibration": 200, "learning_rate": 0.05, **FAST}
    base = root / "b"
    run_stage(
        "widths", base=base, teacher=base, config=config, output=root / "s", name="slim", **common
    )
    return base, root / "s", lines


@pytest.fixture(scope="module")
def slim(digits_dir):
    """Return an untrained network of two widths, and its dataset."""
    data = open_dataset(digits_dir)
    model = build_model(ImageModel(width=4), data)
    return slimmable(model, (1.0, 0.5), scores(model, channel_graph(model), "l1")), data


def test_each_width_is_a_signature_and_a_network_of_its_own(trained, digits_dir):
    _, folder, _ = trained
    data, report = open_dataset(digits_dir), load_report(folder)
    served = tf.saved_model.load(str(folder / SERVING)).signatures
    examples = next(iter(records(data, "test", 0).batch(20)))
    names = ["serving_default", "width_50", "width_25"]

    assert set(served) == {*names, "raw", "width_50_raw", "width_25_raw"}
    rows = report["notes"]["widths"]
    assert [row["signature"] for row in rows] == names
    for row in rows:
        network = load_model(folder, row["width"])
        answers = served[row["signature"]](examples=examples)
        expected = network(inputs_of(examples, data.schema), training=False).numpy()
        np.testing.assert_allclose(answers["logits"], expected, atol=1e-4)
        np.testing.assert_allclose(answers["probabilities"], tf.nn.softmax(expected), atol=1e-5)
        assert evaluate(network, data).accuracy == row["accuracy"]
        assert network.count_params() == row["parameters"]
        assert row["largest_difference"] <= 1e-5
        empty = served[row["signature"]](examples=tf.constant([], tf.string))
        assert empty["logits"].shape == (0, 10)


def test_the_export_holds_the_shared_weights_once(trained, digits_dir, tmp_path):
    _, folder, _ = trained
    export(load_model(folder), open_dataset(digits_dir), tmp_path / "one")
    one, all_widths = (
        folder_bytes(where / "variables") for where in (tmp_path / "one", folder / SERVING)
    )

    assert one < all_widths < 1.1 * one
    assert load_report(folder)["bytes"] == folder_bytes(folder / SERVING)


def test_the_report_tells_what_each_width_costs(trained):
    _, folder, lines = trained
    report = load_report(folder)
    rows = report["notes"]["widths"]

    assert (report["name"], report["kind"]) == ("slim", "widths")
    assert report["accuracy"] == rows[0]["accuracy"] > 0.6
    assert report["parameters"] == rows[0]["parameters"]
    for key in ("parameters", "macs"):
        values = [row[key] for row in rows]
        assert values == sorted(set(values), reverse=True)
    assert [row["channels"]["stage2_block0_a_conv"] for row in rows] == [32, 16, 8]
    assert all(row["accuracy"] > 0.3 for row in rows)  # by chance: 0.1
    assert all(row["latency"]["median_ms"] > 0 and row["signature_ms"] > 0 for row in rows)
    assert sum("slim: width" in line for line in lines) == 3
    assert json.loads(json.dumps(report)) == report


def test_a_later_stage_takes_one_width(trained, digits_dir, tmp_path):
    _, folder, _ = trained
    rows = {row["width"]: row for row in load_report(folder)["notes"]["widths"]}
    common = {"dataset": digits_dir, "base": folder, "seed": 1}
    small = run_stage(
        "quantize", config={"method": "float32", "width": 0.5}, output=tmp_path / "q", **common
    )
    tuned = run_stage(
        "finetune", config={"epochs": 0, "width": 0.25}, output=tmp_path / "f", **common
    )

    assert (small["parameters"], small["accuracy"]) == (
        rows[0.5]["parameters"], pytest.approx(rows[0.5]["accuracy"], abs=0.01)
    )  # fmt: skip
    assert (tuned["parameters"], tuned["accuracy"]) == (
        rows[0.25]["parameters"], rows[0.25]["accuracy"]
    )  # fmt: skip
    assert evaluate(load_model(folder), open_dataset(digits_dir)).accuracy == rows[1.0]["accuracy"]
    with pytest.raises(InputError, match="no width 0.3: a stage of kind widths"):
        run_stage("finetune", config={"width": 0.3}, output=tmp_path / "x", **common)


def test_the_digest_covers_every_width(slim):
    network, data = slim
    context = Context(
        data=data, base=None, teacher=None, seed=1, progress=print, notes={},
        served={"width_50": served_width(network, 0.5, network.extract(0.5))},
    )  # fmt: skip
    before = _digest(network.model, context)
    changed = context.served["width_50"].network
    changed.get_layer("stem_bn").moving_mean.assign_add([1.0] * 4)

    assert _digest(network.model, context) != before


@pytest.mark.parametrize("wrong", ["answer", "network"])
def test_an_export_with_one_wrong_signature_is_refused(slim, wrong, tmp_path):
    network, data = slim
    served = served_width(network, 0.5, network.extract(0.5))
    export(network.model, data, tmp_path / "m", {"width_50": served})
    check_export(network.model, data, tmp_path / "m", {"width_50": served})
    if wrong == "network":
        served = dataclasses.replace(served, network=network.model)
    else:
        other = dataclasses.replace(served, answer=lambda inputs: network.answer(1.0, inputs))
        export(network.model, data, tmp_path / "m", {"width_50": other})

    with pytest.raises(FailedError, match="width_50 differs by"):
        check_export(network.model, data, tmp_path / "m", {"width_50": served})


@pytest.mark.full
def test_texts_have_widths_too(reviews_dir, tmp_path):
    model = {"family": "text_embedding", "width": 8, "tokens": 12}
    adam = {"optimizer": "adam", "learning_rate": 0.03, "batch_size": 50}
    run_stage(
        "train", dataset=reviews_dir, seed=1, output=tmp_path / "b",
        config={"model": model, "epochs": 3, **adam},
    )  # fmt: skip
    report = run_stage(
        "widths", dataset=reviews_dir, seed=1, base=tmp_path / "b", output=tmp_path / "s",
        config={"widths": [1.0, 0.5], "epochs": 3, **adam},
    )  # fmt: skip
    served = tf.saved_model.load(str(tmp_path / "s" / SERVING)).signatures["width_50_raw"]
    texts = tf.constant(["a lovely wonderful film", "a dreary wooden film", ""])

    assert [row["channels"] for row in report["notes"]["widths"]] == [{"words": 8}, {"words": 4}]
    assert min(row["accuracy"] for row in report["notes"]["widths"]) > 0.9
    assert served(texts=texts)["logits"].numpy().argmax(1)[:2].tolist() == [1, 0]


def test_widths_that_round_to_the_same_channels_are_refused(trained, digits_dir, tmp_path):
    base, _, _ = trained
    config = {"widths": [1.0, 0.5, 0.49], "round_to": 8}
    with pytest.raises(InputError, match="0.5 and 0.49 keep the same channels") as caught:
        run_stage(
            "widths", dataset=digits_dir, base=base, config=config, output=tmp_path, seed=1
        )  # fmt: skip
    assert caught.value.path == ("widths",)


@pytest.mark.parametrize(
    ("widths", "match"),
    [
        ([1.0], "at least one more"),
        ([0.5, 0.25], "begin with 1.0"),
        ([1.0, 0.25, 0.5], "each below the one before"),
        ([1.0, 0.5, 0.5], "each below the one before"),
        ([1.0, 0.5, 0.49999999], "first six digits"),
        ([1.0, 0.0], "greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(widths, match):
    with pytest.raises(ValidationError, match=match) as caught:
        parse_config("widths", {"widths": widths})
    assert caught.value.errors()[0]["loc"][0] == "widths"


def test_names_and_settings_survive():
    assert [width_name(one) for one in (0.5, 0.125, 0.05)] == ["width_50", "width_12_5", "width_5"]
    config = parse_config("widths", {"widths": [1, 0.3]})
    assert parse_config("widths", json.loads(json.dumps(config_settings(config)))) == config


@pytest.mark.parametrize(
    ("width", "base", "match"),
    [
        (0.5, "teacher", "one width of its base, a stage of kind widths, not 'teacher'"),
        (0.3, "slim", r"a width of 'slim' \(1, 0.5\), not 0.3"),
        (0.5, "slim", None),
    ],
)
def test_a_recipe_is_held_to_the_widths_there_are(width, base, match):
    section = {
        "model": "image_resnet",
        "push": "small",
        "artifact": "tflite",
        "gates": {"floors": {"accuracy": 0.9}, "ceilings": {"bytes": 400_000}},
        "stages": [
            {"name": "teacher", "kind": "train", "config": {"model": {"width": 8}}},
            {"name": "slim", "kind": "widths", "base": "teacher", "config": {"widths": [1, 0.5]}},
            {"name": "small", "kind": "quantize", "base": base, "config": {"width": width}},
        ],
    }
    load = TypeAdapter(RefreshConfig).validate_python
    if match is None:
        assert load(section).for_profile("demo").stage("small").config.width == 0.5
        return
    with pytest.raises(ValidationError, match=match) as caught:
        load(section)
    assert caught.value.errors()[0]["loc"] == ("stages", 2, "config", "width")
