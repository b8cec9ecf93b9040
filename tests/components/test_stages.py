"""Whole stages on small real datasets: what they learn, write, repeat and refuse."""

import json

import numpy as np
import pytest
import tensorflow as tf

from components import train
from components.artifact import folder_bytes
from components.data import batches, open_dataset, records
from components.evaluate import evaluate
from components.export import check_export
from components.stages import (
    STAGES,
    be_deterministic,
    load_model,
    load_report,
    model_digest,
    run_stage,
)
from components.train import Context
from schemas.errors import FailedError, InputError
from schemas.stages import STAGE_KINDS, parse_config

FAST = {"epochs": 2, "batch_size": 50, "examples": 300}
IMAGE = {"model": {"family": "image_resnet", "width": 8}, **FAST}
WORDS = {"epochs": 6, "batch_size": 50, "optimizer": "adam", "learning_rate": 0.05}
WORDS |= {"weight_decay": 0.0}


def text(**options):
    return {"model": {"family": "text_embedding", "width": 8, "tokens": 20, **options}, **WORDS}


@pytest.fixture(scope="module")
def teacher(digits_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "teacher"
    settings = {**IMAGE, "epochs": 6, "examples": None}
    run_stage("train", dataset=digits_dir, config=settings, output=output, seed=3, name="teacher")
    return output


@pytest.fixture(scope="module")
def pruned(teacher, digits_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "pruned"
    lines = []
    run_stage(
        "prune",
        dataset=digits_dir,
        base=teacher,
        teacher=teacher,
        config={**FAST, "ratio": 0.4, "calibration": 300, "learning_rate": 0.05},
        output=output,
        seed=3,
        progress=lines.append,
    )
    return output, lines


def test_every_kind_of_the_schema_runs():
    assert set(STAGES) == set(STAGE_KINDS)
    assert all(STAGES[kind].config is STAGE_KINDS[kind] for kind in STAGES)


def test_teacher_learns_and_reports_itself(teacher, digits_dir):
    report = load_report(teacher)
    model = load_model(teacher)

    assert report["accuracy"] > 0.7
    assert report["examples"] == 120
    assert report["accuracy"] == evaluate(model, open_dataset(digits_dir)).accuracy
    assert report["parameters"] == model.count_params()
    assert report["bytes"] == folder_bytes(teacher / "Format-Serving")
    assert report["keras_bytes"] == (teacher / "keras/model.keras").stat().st_size
    assert report["digest"] == model_digest(model)
    assert report["dataset"] == "d" * 64
    assert report["base"] is report["teacher"] is None
    assert report["versions"]["tensorflow"] == tf.__version__
    assert report["keras_bytes"] < 5 * report["parameters"] + 150_000  # no optimizer state


def test_pruned_model_is_smaller_and_still_knows(pruned, teacher):
    output, lines = pruned
    before, after = load_report(teacher), load_report(output)

    assert after["parameters"] == after["notes"]["parameters_after"] < 0.8 * before["parameters"]
    assert after["bytes"] < before["bytes"]
    assert after["base"] == after["teacher"] == before["digest"]
    assert after["accuracy_before"] == before["accuracy"]
    assert after["accuracy"] > 0.6
    assert after["notes"]["largest_difference"] < 1e-4
    assert after["notes"]["frozen_by"] == []
    assert any("channel groups" in line for line in lines)
    assert any(line.startswith("prune: epoch 2/2") for line in lines)


def test_distilled_student_and_finetune(teacher, digits_dir, tmp_path):
    student = run_stage(
        "distill", dataset=digits_dir, teacher=teacher, config=IMAGE, output=tmp_path / "s", seed=1
    )
    longer = run_stage(
        "finetune",
        dataset=digits_dir,
        base=tmp_path / "s",
        config=FAST,
        output=tmp_path / "f",
        seed=1,
    )

    assert student["teacher"] == load_report(teacher)["digest"]
    assert longer["base"] == student["digest"] != longer["digest"]
    assert longer["parameters"] == student["parameters"]
    assert longer["accuracy_before"] == student["accuracy"]


def test_same_seed_same_weights(digits_dir):
    data = open_dataset(digits_dir)
    config = parse_config("train", {**IMAGE, "epochs": 1})

    def digest(seed):
        be_deterministic(seed)
        context = Context(
            data=data, base=None, teacher=None, seed=seed, progress=lambda line: None, notes={}
        )
        return model_digest(train.run(context, config))

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_image_signatures(pruned, digits_dir):
    output, _ = pruned
    data = open_dataset(digits_dir)
    model = load_model(output)
    signatures = tf.saved_model.load(str(output / "Format-Serving")).signatures
    images, _ = next(iter(batches(data, "test", model, batch_size=7)))
    examples = next(iter(records(data, "test", 0).batch(7)))
    expected = model(images, training=False).numpy()

    for answer in (
        signatures["serving_default"](examples=examples),
        signatures["raw"](images=images),
    ):
        np.testing.assert_allclose(answer["logits"], expected, atol=1e-4)
        np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(expected), atol=1e-5)


def test_raw_encoding_is_served_too(raw_digits_dir, tmp_path):
    report = run_stage(
        "train",
        dataset=raw_digits_dir,
        config={**IMAGE, "epochs": 1},
        output=tmp_path / "m",
        seed=0,
    )

    assert report["bytes"] > 0


def test_text_road(reviews_dir, tmp_path):
    run_stage(
        "train",
        dataset=reviews_dir,
        config=text(bigrams=64),
        output=tmp_path / "teacher",
        seed=1,
    )
    student = run_stage(
        "distill",
        dataset=reviews_dir,
        teacher=tmp_path / "teacher",
        config=text(vocabulary=12),
        output=tmp_path / "student",
        seed=1,
    )
    small = run_stage(
        "prune",
        dataset=reviews_dir,
        base=tmp_path / "student",
        teacher=tmp_path / "teacher",
        config={**WORDS, "ratio": 0.5},
        output=tmp_path / "small",
        seed=1,
    )

    assert load_report(tmp_path / "teacher")["accuracy"] > 0.9
    assert student["accuracy"] > 0.8
    assert student["parameters"] == 13 * 8 + 8 * 2 + 2
    assert small["parameters"] == 13 * 4 + 4 * 2 + 2
    serving = tmp_path / "small" / "Format-Serving"
    assert len((serving / "assets/vocabulary.txt").read_text().split()) == 12
    raw = tf.saved_model.load(str(serving)).signatures["raw"]
    answer = raw(texts=tf.constant(["the WONDERFUL,<br />superb plot", "wooden!", ""]))
    assert answer["probabilities"].shape == (3, 2)
    np.testing.assert_allclose(tf.reduce_sum(answer["probabilities"], 1), 1, atol=1e-5)


def test_export_check_notices_another_model(teacher, pruned, digits_dir):
    with pytest.raises(FailedError, match="not fit to serve"):
        check_export(load_model(teacher), open_dataset(digits_dir), pruned[0] / "Format-Serving")


def test_output_is_replaced_whole(digits_dir, tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    (output / "left-over").touch()
    run_stage("train", dataset=digits_dir, config={**IMAGE, "epochs": 0}, output=output, seed=0)

    assert sorted(one.name for one in output.iterdir()) == ["Format-Serving", "keras", "stage.json"]
    assert [one.name for one in tmp_path.iterdir()] == ["model"]
    assert json.loads((output / "stage.json").read_text())["kind"] == "train"


def test_failure_leaves_the_old_output(digits_dir, tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    wild = {**IMAGE, "learning_rate": 10.0, "weight_decay": 0.99, "epochs": 3}
    with pytest.raises(FailedError, match="lower learning_rate"):
        run_stage("train", dataset=digits_dir, config=wild, output=output, seed=0)

    assert [one.name for one in tmp_path.iterdir()] == ["model"]


def test_refusals(digits_dir, reviews_dir, teacher, tmp_path):
    def refused(match, kind="train", dataset=digits_dir, config=IMAGE, **roles):
        with pytest.raises(InputError, match=match):
            run_stage(kind, dataset=dataset, config=config, output=tmp_path / "m", seed=0, **roles)

    refused("Did you mean 'prune'", kind="prunes")
    refused("takes a teacher: required", kind="distill")
    refused("takes a base: none", base=teacher)
    refused("Did you mean 'epochs'", config={**IMAGE, "epoch": 3})
    refused("does not take text", dataset=reviews_dir)
    refused("model directory holds", kind="finetune", config=FAST, base=tmp_path)
    assert list(tmp_path.iterdir()) == []
