"""TFLite models: conversion of small networks, the interpreter, what is refused."""

import hashlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from components.lite import LiteModel, agreement, convert, reading_json
from components.lite_input import with_integer_scaling
from schemas.errors import FailedError, InputError
from schemas.text import tokens
from schemas.tokens import token_ids, vocabulary_ids

METHODS = ("float32", "float16", "dynamic", "int8")


def image_net(shape):
    """Return a small network with every kind of tensor that quantisation touches."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input(shape, dtype="uint8", name="images")
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(16, 3, padding="same", strides=2)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(7)(x))


def images(count, shape):
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize("shape", [(32, 32, 3), (9, 14, 1)], ids=["colour", "grey, oblong"])
def test_every_method_answers_like_the_network(shape):
    model, inputs = image_net(shape), images(70, shape)
    expected = model(inputs, training=False).numpy()
    spread = np.ptp(expected)
    found = {}
    for method in METHODS:
        lite = LiteModel(convert(model, method, calibration=inputs[:50]))
        assert (lite.input_shape, lite.input_dtype, lite.classes) == (shape, np.uint8, 7)
        answers = lite.logits(inputs)
        assert answers.dtype == np.float32
        found[method] = agreement(expected, answers)
        np.testing.assert_allclose(lite.logits(inputs[3:4]), answers[3:4], atol=1e-6)
    assert found["float32"].largest < 1e-5
    assert found["float32"].same_class == 1
    for method, one in found.items():
        assert one.largest < 0.2 * spread, method
        assert one.mean <= one.largest
        assert one.examples == 70


def test_conversion_is_deterministic_in_other_processes_too(tmp_path):
    """A name or a count that differs between processes would make every run a new model."""
    model, inputs = image_net((8, 8, 3)), images(20, (8, 8, 3))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "inputs.npy", inputs)
    program = (
        "import sys, hashlib, keras, numpy as np\n"
        "from components.lite import convert\n"
        "keras.layers.Dense(2)(keras.Input((3,)))  # moves Keras's counters\n"
        "model = keras.saving.load_model(sys.argv[1] + '/model.keras', compile=False)\n"
        "made = convert(model, 'int8', calibration=np.load(sys.argv[1] + '/inputs.npy'))\n"
        "print(hashlib.sha256(made).hexdigest())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    here = [hashlib.sha256(convert(model, "int8", calibration=inputs)).hexdigest() for _ in "ab"]
    assert here == [there.strip()] * 2


@pytest.mark.parametrize("method", ["float32", "float16"])
def test_zeros_are_stored_as_zeros(method):
    """Nine of ten weights are 0, as masks leave them."""
    model, inputs = image_net((8, 8, 3)), images(20, (8, 8, 3))
    wide = keras.Model(model.inputs, layers.Dense(100)(layers.Dense(500)(model.output)))
    kernels = [layer.kernel for layer in wide.layers[-2:]]
    chance = np.random.default_rng(1)
    for kernel in kernels:
        kernel.assign(kernel.numpy() * (chance.random(kernel.shape) < 0.1))
    dense, sparse = (convert(wide, method, sparse=choice) for choice in (False, True))
    assert len(sparse) < 0.5 * len(dense)
    np.testing.assert_allclose(
        LiteModel(sparse).logits(inputs), LiteModel(dense).logits(inputs), atol=1e-5
    )


def test_no_rows_and_more_than_one_batch():
    model = image_net((8, 8, 3))
    lite = LiteModel(convert(model, "float32"))
    assert lite.logits(images(0, (8, 8, 3))).shape == (0, 7)
    inputs = images(130, (8, 8, 3))
    expected = model(inputs, training=False).numpy()
    np.testing.assert_allclose(lite.logits(inputs), expected, atol=1e-5)


def test_inputs_of_another_kind_are_refused():
    lite = LiteModel(convert(image_net((8, 8, 3)), "float32"))
    with pytest.raises(InputError, match="takes uint8.*8, 8, 3.*not uint8.*9"):
        lite.logits(images(2, (9, 8, 3)))
    with pytest.raises(InputError, match="not float32"):
        lite.logits(images(2, (8, 8, 3)).astype(np.float32))
    with pytest.raises(InputError, match="ships with reading.json"):
        lite.ids(["a text"])


def test_latency_counts_its_runs():
    lite = LiteModel(convert(image_net((8, 8, 3)), "float32"))
    for batch in (1, 32):
        told = lite.latency(batch, runs=9)
        assert (told.batch, told.runs) == (batch, 9)
        assert 0 < told.median_ms <= told.p95_ms
    assert len(lite.logits(images(2, (8, 8, 3)))) == 2, "the batch of the timing is forgotten"


def test_what_cannot_be_converted_is_named():
    inputs = keras.Input((4,))
    two = keras.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(2)(inputs)], name="two")
    with pytest.raises(InputError, match="one input and one output, not of 1 and 2"):
        convert(two, "float32")

    class Odd(layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return tf.raw_ops.Erfinv(x=x)  # TFLite has no such operation

    odd = keras.Model(inputs, Odd()(inputs), name="odd")
    with pytest.raises(FailedError, match="network 'odd' cannot become a TFLite model .float32."):
        convert(odd, "float32")
    with pytest.raises(InputError, match="int8 needs inputs"):
        convert(image_net((8, 8, 3)), "int8")


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a TFLite model"):
        LiteModel.load(tmp_path)
    (tmp_path / "model.tflite").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="does not take this TFLite model"):
        LiteModel.load(tmp_path)


def test_answers_that_are_no_numbers_are_refused():
    with pytest.raises(FailedError, match="not numbers"):
        agreement(np.zeros((2, 3)), np.full((2, 3), np.nan))


@pytest.mark.parametrize("truncate", ["head", "tail"])
@pytest.mark.parametrize("pad", ["left", "right"])
def test_a_folder_reads_texts_by_its_own_rule(tmp_path, truncate, pad):
    ids = keras.Input((5,), dtype="int32", name="token_ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(4, 2)(ids))
    (tmp_path / "model.tflite").write_bytes(
        convert(keras.Model(ids, layers.Dense(2)(x)), "dynamic")
    )
    lines = ["<OOV>", "a", "plot"]
    (tmp_path / "vocabulary.txt").write_text("\n".join(lines) + "\n")
    rule = reading_json(tokens=5, truncate=truncate, pad=pad)
    (tmp_path / "reading.json").write_text(rule)
    texts = ["A plot,<br />twisted", "", "a b c d e plot", "café a"]
    assert len(tokens(texts[2])) == 6
    lite = LiteModel.load(tmp_path)
    read = lite.ids(texts)
    words = vocabulary_ids(lines)
    for row, text in zip(read, texts, strict=True):
        assert row.tolist() == token_ids(
            text, words, length=5, truncate=truncate, pad=pad
        ).tolist()  # fmt: skip
    assert lite.logits(read).shape == (4, 2)
    assert lite.ids([]).shape == (0, 5)


def test_running_a_model_needs_no_tensorflow():
    program = "import sys, components.lite; print({'tensorflow', 'keras'} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"set()\n"


def test_int8_scales_images_in_integers():
    """No float operation but the last, which answers in floats."""
    model, rows = image_net((8, 8, 3)), images(20, (8, 8, 3))
    details = LiteModel(convert(model, "int8", calibration=rows))._interpreter._get_ops_details()
    names = [one["op_name"] for one in details]
    assert names[:2] == ["QUANTIZE", "CONV_2D"]
    assert not {"CAST", "MUL"} & set(names)


def test_int8_reads_levels_that_calibration_did_not_show():
    model, rows = image_net((8, 8, 3)), images(50, (8, 8, 3))
    expected = model(rows, training=False).numpy()
    dark = LiteModel(convert(model, "int8", calibration=rows // 2 + 30))
    assert dark._input["quantization"] == (1.0, 0)
    grey = rows // 4 + 60  # inside of what was seen, so that nothing else saturates
    expected = model(grey, training=False).numpy()
    assert agreement(expected, dark.logits(grey)).largest < 0.1 * np.ptp(expected)


def test_networks_without_such_a_scaling_are_converted_as_they_are():
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    scaled = layers.Rescaling(1 / 255)(inputs)
    twice = layers.Concatenate()([scaled, layers.Rescaling(1 / 127.5, -1)(inputs)])
    outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(twice))
    model, rows = keras.Model(inputs, outputs), images(20, (8, 8, 3))
    assert with_integer_scaling(model) is None
    lite = LiteModel(convert(model, "int8", calibration=rows))
    assert agreement(model(rows).numpy(), lite.logits(rows)).same_class > 0.9


@pytest.mark.parametrize("scale", [1 / 255, [0.1, 0.2, 0.3]], ids=["one", "per channel"])
def test_the_scaling_is_the_same_numbers(scale):
    inputs = keras.Input((4, 5, 3), dtype="uint8", name="images")
    model = keras.Sequential(
        [inputs, layers.Rescaling(scale, -0.5), layers.Flatten(), layers.Dense(2)]
    )
    rows = images(6, (4, 5, 3))
    found = with_integer_scaling(model)(rows.astype(np.float32)).numpy()
    np.testing.assert_allclose(found, model(rows).numpy(), rtol=1e-5, atol=1e-5)
