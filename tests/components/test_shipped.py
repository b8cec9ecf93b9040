"""What ships answers stored examples: like its network, or with one line why it cannot."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.data import batches, open_dataset, records
from components.export import export
from components.lite import reading_json
from components.lite_evaluation import Predict
from components.shipped import Incompatible, Shipped, open_shipped
from schemas.errors import InputError
from tests.components.shipped_models import TOKENS, case, image_net, text_net


@pytest.fixture(scope="module")
def images(digits_dir, tmp_path_factory):
    return case(digits_dir, image_net(), tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def texts(reviews_dir, tmp_path_factory):
    return case(reviews_dir, text_net(), tmp_path_factory.mktemp("texts"))


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_both_artifacts_answer_like_the_network(kind, request):
    one = request.getfixturevalue(kind)
    logits = one.model.predict(batches(one.data, "test", one.model), verbose=0)
    expected = tf.nn.softmax(logits).numpy()
    for artifact in one.folders:
        shipped = one.open(artifact)
        answers = shipped.probabilities(one.records)
        assert answers.dtype == np.float32
        assert shipped.classes == answers.shape[1] == expected.shape[1]
        np.testing.assert_allclose(answers, expected, atol=1e-6)
        many = shipped.probabilities(one.records * 5)  # more than one batch of 512
        np.testing.assert_allclose(many, np.tile(expected, (5, 1)), atol=1e-6)
        assert shipped.probabilities([]).shape == (0, expected.shape[1])
        np.testing.assert_allclose(
            shipped.probabilities(one.records[7:8]), expected[7:8], atol=1e-6
        )


def test_a_version_folder_is_read_too(images, tmp_path):
    version = tmp_path / "3"
    shutil.copytree(images.folders["saved_model"], version)
    (version / "push.json").write_text("{}")
    shipped = open_shipped(version, artifact="saved_model", schema=images.data.schema)
    assert len(shipped.probabilities(images.records[:3])) == 3


@pytest.mark.parametrize("artifact", ["saved_model", "tflite"])
def test_a_folder_without_a_model_is_bad_input(artifact, images, tmp_path):
    with pytest.raises(InputError, match=f"ships as {artifact} holds .*; .* does not") as caught:
        open_shipped(tmp_path, artifact=artifact, schema=images.data.schema)
    assert not isinstance(caught.value, Incompatible)
    mark = {"saved_model": "saved_model.pb", "tflite": "model.tflite"}[artifact]
    (tmp_path / mark).write_bytes(b"nothing of the kind")
    with pytest.raises(InputError) as caught:
        open_shipped(tmp_path, artifact=artifact, schema=images.data.schema)
    assert not isinstance(caught.value, Incompatible)
    with pytest.raises(InputError, match="unknown artifact 'onnx'"):
        open_shipped(tmp_path, artifact="onnx", schema=images.data.schema)


@pytest.mark.parametrize("artifact", ["saved_model", "tflite"])
def test_other_examples_or_classes_are_incompatible(artifact, images, texts):
    with pytest.raises(Incompatible, match="tells 10 classes apart, the examples have 2"):
        images.open(artifact, label_names=("a", "b"))
    with pytest.raises(Incompatible, match="takes .*16, 16, 3.*, not images .*, 8, 32, 3"):
        images.open(artifact, image_shape=(8, 32, 3))
    alike = {"label_names": images.data.schema.label_names}
    with pytest.raises(Incompatible, match="takes .*16, 16, 3.*not .*texts"):
        images.open(artifact, modality="text", encoding="utf8", image_shape=None, **alike)
    with pytest.raises(Incompatible, match="takes .*, not images"):
        texts.open(artifact, modality="image", encoding="raw", image_shape=(4, 4, 1))


@pytest.mark.parametrize("artifact", ["saved_model", "tflite"])
def test_records_of_another_kind_are_incompatible(artifact, images, texts, raw_digits_dir):
    raw = list(records(open_dataset(raw_digits_dir), "test", 0).as_numpy_iterator())[:4]
    for wrong in (raw, texts.records[:2], [b"no example"]):
        with pytest.raises(Incompatible) as caught:
            images.open(artifact).probabilities(wrong)
        assert "\n" not in str(caught.value)
        assert "Graph execution error" not in str(caught.value)
    with pytest.raises(Incompatible):
        texts.open(artifact).probabilities(images.records[:2])


def test_an_export_for_the_other_encoding_is_incompatible(images, raw_digits_dir, tmp_path):
    data = open_dataset(raw_digits_dir)
    export(images.model, data, tmp_path / "raw")
    shipped = open_shipped(tmp_path / "raw", artifact="saved_model", schema=images.data.schema)
    with pytest.raises(Incompatible):
        shipped.probabilities(images.records[:4])


def signed(folder, spec, outputs, name="serving_default"):
    """Write a SavedModel of one signature that answers with constants."""
    module = tf.Module()
    module.answer = tf.function(lambda examples: outputs, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={name: module.answer})
    return folder


def test_signatures_that_are_not_ours_are_incompatible(images, tmp_path):
    schema = images.data.schema
    strings = tf.TensorSpec([None], tf.string, name="examples")
    answers = tf.zeros([2, 10])

    def opened(*args, **kwargs):
        folder = signed(tmp_path / str(len(list(tmp_path.iterdir()))), *args, **kwargs)
        return open_shipped(folder, artifact="saved_model", schema=schema)

    with pytest.raises(Incompatible, match="no signature serving_default, only .'other'."):
        opened(strings, {"probabilities": answers}, name="other")
    with pytest.raises(Incompatible, match="takes .*, not examples string"):
        opened(tf.TensorSpec([None, 3], tf.float32, name="examples"), {"probabilities": answers})
    with pytest.raises(Incompatible, match="gives .*logits.*, not probabilities"):
        opened(strings, {"logits": answers})
    with pytest.raises(Incompatible, match="gives .*, not probabilities"):
        opened(strings, {"probabilities": answers[0]})
    shipped = opened(strings, {"probabilities": answers})
    assert isinstance(shipped, Shipped)
    with pytest.raises(Incompatible, match=r"answers 3 records with \[2, 10\]"):
        shipped.probabilities(images.records[:3])


def test_a_text_model_without_its_rule_is_incompatible(texts, tmp_path):
    shutil.copytree(texts.folders["tflite"], tmp_path / "one")
    (tmp_path / "one" / "reading.json").write_text("{}")
    with pytest.raises(Incompatible, match="does not say how it reads texts"):
        open_shipped(tmp_path / "one", artifact="tflite", schema=texts.data.schema)
    rule = reading_json(tokens=TOKENS + 1, truncate="head", pad="right")
    (tmp_path / "one" / "reading.json").write_text(rule)
    with pytest.raises(Incompatible, match="takes int32.*12"):
        open_shipped(tmp_path / "one", artifact="tflite", schema=texts.data.schema)


def test_the_evaluator_asks_what_ships(images, tmp_path):
    """TFMA's batches get the probabilities as they are."""
    (tmp_path / "stage.json").write_text(json.dumps({"schema": images.data.schema.to_json()}))
    shutil.copytree(images.folders["tflite"], tmp_path / "tflite")
    predict = Predict(str(tmp_path / "tflite"))
    predict.setup()
    (found,) = predict.process({"input": np.array(images.records[:9], object), "other": 1})
    assert found["other"] == 1
    expected = images.open("tflite").probabilities(images.records[:9])
    np.testing.assert_array_equal(found["predictions"], expected)


def test_a_tflite_model_answers_images_without_tensorflow(images):
    program = (
        "import sys, json, numpy as np\n"
        "from components.shipped import open_shipped\n"
        "from schemas.features import ExampleSchema\n"
        "schema = ExampleSchema.from_json(json.loads(sys.argv[2]))\n"
        "shipped = open_shipped(sys.argv[1], artifact='tflite', schema=schema)\n"
        "print(shipped.answer(np.zeros((2, 16, 16, 3), np.uint8)).shape)\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))\n"
    )
    schema = json.dumps(images.data.schema.to_json())
    command = [sys.executable, "-c", program, str(images.folders["tflite"]), schema]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert told.splitlines() == ["(2, 10)", "set()"]
