"""What ships: preprocessing inside the signatures, empty batches, what the record says of it."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.data import batches, inputs_of, open_dataset, records
from components.export import export
from components.models import build_model, input_record
from components.models.image import PREPROCESSING
from components.stages import load_model, load_report, run_stage
from schemas.fitting import ImageModel, TextModel

FAST = {"epochs": 1, "batch_size": 50, "examples": 100}


def after_preprocessing(model):
    """Return the network without its first layer."""
    scaled = model.get_layer(PREPROCESSING).output
    return keras.Model(scaled, model.output)


@pytest.mark.parametrize("preprocessing", ["standardize", "normalize"])
def test_raw_bytes_are_preprocessed_inside_the_served_model(preprocessing, digits_dir, tmp_path):
    data = open_dataset(digits_dir)
    survey = json.loads((digits_dir / "survey.json").read_text())
    model = {"family": "image_resnet", "width": 8, "preprocessing": preprocessing}
    run_stage(
        "train", dataset=digits_dir, config={"model": model, **FAST}, output=tmp_path / "m", seed=2
    )
    network = load_model(tmp_path / "m")
    signatures = tf.saved_model.load(str(tmp_path / "m" / "Format-Serving")).signatures
    examples = next(iter(records(data, "test", 0).batch(9)))
    images = inputs_of(examples, data.schema).numpy()

    by_hand = {
        "standardize": (images - np.array(survey["channel_mean"])) / survey["channel_std"],
        "normalize": images / 255,
    }[preprocessing].astype(np.float32)
    expected = after_preprocessing(network)(by_hand, training=False).numpy()

    assert signatures["raw"].structured_input_signature[1]["images"].dtype == tf.uint8
    assert images.dtype == np.uint8
    for answer in (signatures["raw"](images=images), signatures["serving_default"](examples)):
        np.testing.assert_allclose(answer["logits"], expected, atol=1e-4)
        np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(expected), atol=1e-5)
    told = load_report(tmp_path / "m")
    assert told["config"]["model"]["preprocessing"] == preprocessing
    named = {
        "standardize": (survey["channel_mean"], survey["channel_std"]),
        "normalize": ([0.0] * 3, [255.0] * 3),
    }[preprocessing]
    assert told["inputs"]["channel_mean"] == pytest.approx(named[0], abs=1e-5)
    assert told["inputs"]["channel_std"] == pytest.approx(named[1], abs=1e-5)


def test_statistics_are_those_of_the_training_originals(digits_dataset):
    """A materialized dataset's survey against its own shards, and both against the network."""
    data = open_dataset(digits_dataset.path)
    model = build_model(ImageModel(width=8), data)
    images = np.concatenate([x.numpy() for x, _ in batches(data, "train", model)]).astype(float)
    told = input_record(model, data)

    assert data.survey["channel_mean"] == pytest.approx(images.mean((0, 1, 2)))
    assert data.survey["channel_std"] == pytest.approx(images.std((0, 1, 2)))
    assert told["channel_mean"] == pytest.approx(data.survey["channel_mean"], abs=1e-5)
    assert told["channel_std"] == pytest.approx(data.survey["channel_std"], abs=1e-5)


def test_a_later_stage_keeps_the_preprocessing_of_its_base(digits_dir, raw_digits_dir, tmp_path):
    model = {"family": "image_resnet", "width": 8, "preprocessing": "normalize"}
    config = {**FAST, "epochs": 0}
    base = run_stage(
        "train",
        dataset=digits_dir,
        config={"model": model, **config},
        output=tmp_path / "b",
        seed=2,
    )
    later = run_stage(
        "prune",
        dataset=raw_digits_dir,
        base=tmp_path / "b",
        config={**config, "calibration": 100},
        output=tmp_path / "p",
        seed=2,
    )

    assert later["inputs"] == base["inputs"] == {
        "channel_mean": [0.0] * 3, "channel_std": [255.0] * 3
    }  # fmt: skip


def test_the_record_says_how_inputs_are_read(reviews_dir, digits_dir):
    data = open_dataset(reviews_dir)
    model = build_model(TextModel(tokens=7, truncate="tail", vocabulary=5), data)

    assert input_record(model, data) == {
        "tokens": 7, "truncate": "tail", "pad": "right", "vocabulary": 5, "words": None
    }  # fmt: skip
    images = keras.Input((16, 16, 3))
    plain = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    assert input_record(plain, open_dataset(digits_dir)) is None


@pytest.mark.parametrize("kind", ["digits_dir", "raw_digits_dir", "reviews_dir"])
def test_an_empty_batch_is_answered(kind, request, tmp_path):
    data = open_dataset(request.getfixturevalue(kind))
    text = data.schema.modality == "text"
    options = TextModel(width=4, bigrams=8, tokens=6) if text else ImageModel(width=4)
    export(build_model(options, data), data, tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    raw = {"texts": tf.constant([], tf.string)}
    if not text:
        raw = {"images": tf.zeros([0, *data.schema.image_shape], tf.uint8)}

    for answer in (
        signatures["raw"](**raw),
        signatures["serving_default"](examples=tf.constant([], tf.string)),
    ):
        for value in answer.values():
            assert value.dtype == tf.float32
            assert value.shape == (0, len(data.schema.label_names))
