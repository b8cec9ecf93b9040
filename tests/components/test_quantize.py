"""The quantize stage on small real datasets: what it writes, scores, repeats; its size report."""

import gzip

import keras
import numpy as np
import pytest
from keras import layers

from components.artifact import folder_bytes, gzip_bytes, shipped_folder
from components.data import batches, open_dataset
from components.evaluate import evaluate
from components.lite import LiteModel
from components.quantize import calibration_inputs
from components.size import measure
from components.stages import load_model, load_report, run_stage
from schemas.errors import InputError
from schemas.report import SizeReport

IMAGE = {"model": {"family": "image_resnet", "width": 8}, "epochs": 3, "batch_size": 50}
WORDS = {"epochs": 4, "batch_size": 50, "optimizer": "adam", "learning_rate": 0.05}
WORDS |= {"weight_decay": 0.0}


@pytest.fixture(scope="module")
def images(digits_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "base"
    run_stage("train", dataset=digits_dir, config=IMAGE, output=output, seed=3)
    return output


@pytest.fixture(scope="module")
def texts(reviews_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "base"
    model = {"family": "text_embedding", "width": 8, "tokens": 20, "vocabulary": 12, "bigrams": 16}
    run_stage("train", dataset=reviews_dir, config={"model": model, **WORDS}, output=output, seed=3)
    return output


def quantize(dataset, base, output, **config):
    return run_stage("quantize", dataset=dataset, base=base, config=config, output=output, seed=3)


@pytest.fixture(scope="module")
def in_int8(images, digits_dir, tmp_path_factory):
    """The model directory of the images' network in int8, and what its stage reports."""
    output = tmp_path_factory.mktemp("models") / "int8"
    return output, quantize(digits_dir, images, output, calibration=100)


def test_images_in_int8(in_int8, images, digits_dir):
    output, report = in_int8
    files = sorted(
        path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()
    )
    assert files == ["keras/model.keras", "stage.json", "tflite/model.tflite"]
    before = load_report(images)
    assert report["base"] == before["digest"] != report["digest"]
    assert report["accuracy_before"] == before["accuracy"] > 0.5
    assert report["size_before"] == before["size"]
    assert abs(report["accuracy"] - before["accuracy"]) < 0.03
    assert report["notes"]["agreement"]["same_class"] > 0.95
    assert report["notes"]["calibration"] == 100
    size = SizeReport.from_json(report["size"])
    assert size.to_json() == report["size"]
    assert size.format == "tflite"
    shipped = output / "tflite" / "model.tflite"
    assert size.bytes == size.tflite_bytes == report["bytes"] == shipped.stat().st_size
    assert size.saved_model_bytes is None
    assert size.bytes < 0.5 * report["size_before"]["tflite_bytes"]
    assert size.gzip_bytes == len(gzip.compress(shipped.read_bytes(), 9, mtime=0))
    assert (size.parameters, size.macs) == (report["parameters"], before["size"]["macs"])

    # The accuracy is that of the file, not of the network.
    data = open_dataset(digits_dir)
    lite = LiteModel.load(output / "tflite")
    rows = [(x.numpy(), y.numpy()) for x, y in batches(data, "eval", load_model(images))]
    right = np.concatenate([lite.logits(x).argmax(1) == y for x, y in rows])
    assert report["accuracy"] == right.mean()


def test_the_same_base_and_seed_give_the_same_file(in_int8, images, digits_dir, tmp_path):
    output, first = in_int8
    again = quantize(digits_dir, images, tmp_path / "q", calibration=100)
    assert first["digest"] == again["digest"]
    made = [(folder / "tflite/model.tflite").read_bytes() for folder in (output, tmp_path / "q")]
    assert made[0] == made[1]


def test_floats_keep_every_answer(in_int8, images, digits_dir, tmp_path):
    report = quantize(digits_dir, images, tmp_path / "q", method="float32")
    assert report["notes"]["agreement"]["same_class"] == 1
    assert report["notes"]["calibration"] == 0
    assert report["digest"] != in_int8[1]["digest"]


def test_texts_ship_with_their_words(texts, reviews_dir, tmp_path):
    report = quantize(reviews_dir, texts, tmp_path / "q", method="int8")
    folder = shipped_folder(tmp_path / "q", "tflite")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["model.tflite", "reading.json", "vocabulary.txt"]
    assert report["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert len((folder / "vocabulary.txt").read_text().split()) == 12
    lite = LiteModel.load(folder)
    assert lite.input_dtype == np.int32
    assert lite.input_shape == (20,)
    logits = lite.logits(lite.ids(["the WONDERFUL,<br />superb plot", "", "awful"]))
    assert logits.shape == (3, 2)
    assert np.isfinite(logits).all()
    data, network = open_dataset(reviews_dir), load_model(texts)
    assert abs(report["accuracy"] - evaluate(network, data).accuracy) < 0.03


def test_calibration_sees_originals_of_every_class_in_no_order(digits_dir):
    data = open_dataset(digits_dir)
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))
    some = calibration_inputs(data, model, count=80, seed=1)
    assert some.shape == (80, 16, 16, 3)
    np.testing.assert_array_equal(some, calibration_inputs(data, model, count=80, seed=1))
    assert (some != calibration_inputs(data, model, count=80, seed=2)).any()

    stored = [(x.numpy(), y.numpy()) for x, y in batches(data, "train", model)]
    originals = {
        image.tobytes(): (place, label)
        for place, (image, label) in enumerate(
            zip(*(np.concatenate(one) for one in zip(*stored, strict=True)), strict=True)
        )
    }
    places, labels = zip(*(originals[image.tobytes()] for image in some), strict=True)
    assert len(set(labels)) == 10
    assert list(places) != sorted(places)
    assert max(places) > 500
    everything = calibration_inputs(data, model, count=10_000, seed=1)
    assert len(everything) == 600


def test_measuring_says_what_it_could_not(tmp_path):
    class Odd(layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return tf.raw_ops.Erfinv(x=x)

    inputs = keras.Input((4,))
    dense = layers.Dense(3, use_bias=False, kernel_initializer="zeros")
    model = keras.Model(inputs, Odd(name="odd")(dense(inputs)))
    (tmp_path / "keras").mkdir()
    model.save(tmp_path / "keras" / "model.keras")
    (tmp_path / "Format-Serving").mkdir()
    (tmp_path / "Format-Serving" / "saved_model.pb").write_bytes(bytes(600))
    size = measure(model, tmp_path, artifact="saved_model")
    assert (size.bytes, size.saved_model_bytes, size.tflite_bytes) == (600, 600, None)
    assert (size.parameters, size.nonzero, size.macs) == (12, 0, 12)
    assert size.latency == ()
    assert size.unmeasured[0] == "macs: odd (Odd)"
    assert size.unmeasured[1].startswith("tflite_bytes, latency: network ")


def test_bytes_of_a_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(3_000))
    (tmp_path / "b").write_bytes(bytes(1_000))
    assert folder_bytes(tmp_path) == 4_000
    assert gzip_bytes(tmp_path) == len(gzip.compress(bytes(4_000), 9, mtime=0))
    with pytest.raises(InputError, match=r"holds tflite/model.tflite; .* does not"):
        shipped_folder(tmp_path, "tflite")
