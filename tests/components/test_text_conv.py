"""Convolutions for texts: padding changes nothing, and every stage can work on them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.cost import cost
from components.data import batches, open_dataset
from components.lite import LiteModel
from components.models import build_model
from components.models.text import AtWords
from components.prune import channel_graph, cut
from components.stages import load_model, run_stage
from components.tokens import Reading
from schemas.errors import InputError
from schemas.fitting import TextConvModel

OPTIONS = {"family": "text_conv", "width": 4, "filters": 8, "tokens": 12}
FAST = {
    "batch_size": 50, "epochs": 4, "optimizer": "adam", "learning_rate": 0.05,
    "weight_decay": 0.0, "label_smoothing": 0.0,
}  # fmt: skip
TEXTS = ["the WONDERFUL,<br />superb plot", "", "awful café unknown", "lovely the the film"]


def network(reviews_dir, **options):
    keras.utils.set_random_seed(3)
    model = build_model(TextConvModel(**{**OPTIONS, **options}), open_dataset(reviews_dir))
    for layer in model.layers:  # no bias is zero, nor is the row of padding
        layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.weights])
    return model


@pytest.fixture(scope="module")
def base(reviews_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "model"
    report = run_stage(
        "train", dataset=reviews_dir, config=FAST | {"model": OPTIONS}, output=folder, seed=1
    )
    assert report["accuracy"] > 0.9
    return folder


def stage(kind, data, output, base=None, teacher=None, **config):
    return run_stage(
        kind, dataset=data, base=base, teacher=teacher, config=config, output=output, seed=1
    )


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (2, 3), (2, 4)])
def test_neither_side_nor_amount_of_padding_changes_an_answer(reviews_dir, layers, kernel):
    words, answers = [3, 7, 2, 9, 5], []
    for tokens in (5, 6, 12):
        for pad in ("left", "right"):
            model = network(reviews_dir, layers=layers, kernel=kernel, tokens=tokens, pad=pad)
            padding = [0] * (tokens - len(words))
            row = padding + words if pad == "left" else words + padding
            answers.append(model(np.array([row], np.int32)).numpy())
    np.testing.assert_allclose(answers, np.broadcast_to(answers[0], np.shape(answers)), atol=1e-5)


def test_one_filter_by_hand(reviews_dir):
    model = network(reviews_dir, width=2, filters=1, kernel=3, tokens=4)
    rows = model.get_layer("words").get_weights()[0]
    kernel, bias = model.get_layer("conv_0").get_weights()
    out, offset = model.get_layer("logits").get_weights()
    ends = np.zeros((1, 2))
    text = np.concatenate([ends, rows[[4, 6]], ends])
    found = [np.sum(text[at : at + 3] * kernel[:, :, 0]) + bias[0] for at in (0, 1)]
    expected = max(0.0, *found) * out[0] + offset
    np.testing.assert_allclose(model(np.array([[4, 6, 0, 0]]))[0], expected, atol=1e-5)
    np.testing.assert_allclose(model(np.zeros((1, 4), np.int32))[0], offset, atol=1e-6)
    assert cost(model).macs == 4 * 3 * 2 * 1 + 1 * 2
    assert cost(model).unknown == ()


def test_filters_and_dimensions_leave_and_the_proof_holds(reviews_dir):
    model = network(reviews_dir, layers=2)
    graph = channel_graph(model)
    assert not graph.frozen_by
    gone = {
        int(graph.groups(atoms)[0])
        for name in ("words", "conv_0", "conv_1")
        for atoms in [graph.produced[name]]
    }
    found = cut(model, graph, gone, seed=0)
    assert found.difference < 1e-5
    assert found.widths == {"words": (4, 3), "conv_0": (8, 7), "conv_1": (8, 7), "logits": (2, 2)}
    assert found.model.get_layer("conv_1").kernel.shape == (3, 7, 7)


def test_a_recipe_prunes_filters_and_words_and_quantises(base, reviews_dir, tmp_path):
    cuts = {"ratio": 0.5, "round_to": 2, "calibration": 100}
    pruned = stage("prune", reviews_dir, tmp_path / "p", base, **FAST | cuts)
    assert pruned["parameters"] < 0.7 * load_model(base).count_params()
    stage("vocabulary", reviews_dir, tmp_path / "v", tmp_path / "p", **FAST | {"words": 14})
    data, model = open_dataset(reviews_dir), load_model(tmp_path / "v")
    inputs = next(iter(batches(data, "eval", model)))[0]
    words = Reading.of(model).words
    assert len(words) == 14
    served = tf.saved_model.load(str(tmp_path / "v" / "Format-Serving")).signatures["raw"]
    for method in ("int8", "dynamic"):
        report = stage("quantize", reviews_dir, tmp_path / method, tmp_path / "v", method=method)
        assert report["accuracy"] > 0.9
        assert report["notes"]["agreement"]["same_class"] > 0.97
        assert not report["size"]["unmeasured"]
        lite = LiteModel.load(tmp_path / method / "tflite")
        lines = (tmp_path / method / "tflite" / "vocabulary.txt").read_text().splitlines()
        assert tuple(lines) == words
        answers = served(texts=tf.constant(TEXTS))["logits"].numpy()
        np.testing.assert_allclose(answers, model(lite.ids(TEXTS)), atol=1e-5)
        np.testing.assert_allclose(lite.logits(lite.ids(TEXTS)), answers, atol=0.5)
    assert lite.logits(inputs.numpy()).shape == (120, 2)


def test_it_learns_from_the_ngram_teacher(reviews_dir, tmp_path):
    stage("ngrams", reviews_dir, tmp_path / "t")
    told = FAST | {"model": OPTIONS | {"layers": 2, "pad": "left"}, "temperature": 1.0}
    report = stage("distill", reviews_dir, tmp_path / "d", teacher=tmp_path / "t", **told)
    assert report["accuracy"] > 0.9
    assert report["inputs"]["pad"] == "left"


def test_images_and_single_words_are_refused(digits_dir, reviews_dir):
    with pytest.raises(InputError, match="text_conv does not take image"):
        build_model(TextConvModel(), open_dataset(digits_dir))
    with pytest.raises(InputError, match="model.tokens must be at least 2"):
        build_model(TextConvModel(tokens=1), open_dataset(reviews_dir))


def test_the_mask_by_hand():
    features = np.ones((1, 3, 2), np.float32)
    assert AtWords()(features, np.array([[0, 5, 0]]))[0, :, 0].numpy().tolist() == [0, 1, 0]
