"""The compact stage: its network reads words of its own, and so does all that ships."""

import numpy as np
import pytest
import tensorflow as tf

from components import compact_text
from components.cost import cost
from components.data import batches, open_dataset
from components.lite import LiteModel
from components.models.compact import Chosen, build
from components.signals import open_signals
from components.stages import be_deterministic, load_model, load_report, run_stage
from components.tokens import Reading
from components.train import Context
from schemas.errors import InputError
from schemas.recipe import load_recipe, parse_recipe
from schemas.stages import parse_config
from schemas.tokens import token_ids, vocabulary_ids

SMALL = {"words": 6, "pairs": 4, "slots": 32, "tokens": 12, "epochs": 4, "batch_size": 50}
TEXTS = ["the WONDERFUL,<br />superb plot", "", "awful café unknown", "lovely the the film"]


def stage(kind, data, output, base=None, teacher=None, **config):
    return run_stage(
        kind, dataset=data, base=base, teacher=teacher, config=config, output=output, seed=1
    )


@pytest.fixture(scope="module")
def made(reviews_dir, tmp_path_factory):
    """Return a folder with the teacher ``t``, the compact network ``c`` and its TFLite ``q``."""
    root = tmp_path_factory.mktemp("made")
    stage("ngrams", reviews_dir, root / "t")
    stage("compact", reviews_dir, root / "c", teacher=root / "t", **SMALL)
    stage("quantize", reviews_dir, root / "q", base=root / "c", method="dynamic")
    return root


def test_all_that_ships_reads_the_words_of_the_network(made, reviews_dir):
    data, model = open_dataset(reviews_dir), load_model(made / "c")
    words = Reading.of(model).words
    assert words[0] == "<OOV>"
    assert words != data.vocabulary[: len(words)]
    assert not set(words) <= set(data.vocabulary)  # as it happens: survey and teacher differ

    lite = LiteModel.load(made / "q" / "tflite")
    for folder in (made / "q" / "tflite", made / "c" / "Format-Serving" / "assets"):
        assert tuple((folder / "vocabulary.txt").read_text("utf-8").splitlines()) == words
    table = vocabulary_ids(words)
    expected = [token_ids(text, table, length=12).tolist() for text in TEXTS]
    assert lite.ids(TEXTS).tolist() == expected
    served = tf.saved_model.load(str(made / "c" / "Format-Serving")).signatures["raw"]
    answers = model(np.array(expected, np.int32)).numpy()
    np.testing.assert_allclose(served(texts=tf.constant(TEXTS))["logits"], answers, atol=1e-5)
    np.testing.assert_allclose(lite.logits(lite.ids(TEXTS)), answers, atol=0.2)

    inputs, _ = next(iter(batches(data, "eval", model)))
    assert int(np.max(inputs)) == len(words)
    report = load_report(made / "q")
    assert report["accuracy"] > 0.9
    assert report["size"]["unmeasured"] == []
    assert report["inputs"]["vocabulary"] == len(words)
    assert load_report(made / "c")["inputs"] == report["inputs"]
    assert len(report["inputs"]["words"]) == 64


def test_the_stage_gives_the_same_network_again(made, reviews_dir, tmp_path):
    again = stage("compact", reviews_dir, tmp_path / "c", teacher=made / "t", **SMALL)
    first = load_report(made / "c")
    assert again["digest"] == first["digest"]
    assert 6 <= again["notes"]["words"] - 1 <= 6 + 8
    assert 0 < again["notes"]["pairs"] <= 32


def test_the_penalty_is_part_of_the_loss(made, reviews_dir):
    data, norms = open_dataset(reviews_dir), []
    for penalty in (0.0, 0.1):
        be_deterministic(1)
        context = Context(
            data=data, base=None, teacher=None, seed=1, progress=lambda line: None, notes={},
            signals=open_signals(made / "t", data),
        )  # fmt: skip
        settings = SMALL | {"penalty": penalty, "slots": 0, "truncate": "tail"}
        model = compact_text.run(context, parse_config("compact", settings))
        assert [one.name for one in model.layers if "pairs" in one.name] == []
        norms.append(float(np.linalg.norm(model.get_layer("words").get_weights()[0])))
    assert Reading.of(model).truncate == "tail"
    assert norms[1] < 0.7 * norms[0]


def test_other_teachers_are_refused(made, reviews_dir, tmp_path):
    stage("signals", reviews_dir, tmp_path / "s", teacher=made / "c")
    for teacher in (made / "c", tmp_path / "s"):
        with pytest.raises(InputError, match="learns from an ngrams stage"):
            stage("compact", reviews_dir, tmp_path / "x", teacher=teacher, **SMALL)
    stage("ngrams", reviews_dir, tmp_path / "t", ngrams=1)
    with pytest.raises(InputError, match="its ngrams is 1"):
        stage("compact", reviews_dir, tmp_path / "x", teacher=tmp_path / "t", **SMALL)


def test_cost_by_hand():
    chosen = Chosen(("<OOV>", "a", "b"), (("a", "b"),))
    for slots in (0, 8):
        found = cost(build(chosen, classes=2, slots=slots, length=5))
        assert found.macs == 1 * 2  # the last layer alone multiplies and adds
        assert found.unknown == ()
        assert found.peak_activation_bytes > 0


def test_a_recipe_is_checked():
    content = load_recipe("reviews_sample").content
    stages = [
        {"name": "teacher", "kind": "ngrams"},
        {"name": "small", "kind": "compact", "teacher": "teacher", "config": {"words": 500}},
        {"name": "lite", "kind": "quantize", "base": "small", "config": {"method": "dynamic"}},
    ]
    refresh = content["refresh"] | {"stages": stages, "push": "lite", "artifact": "tflite"}
    refresh.pop("profiles")
    plan = parse_recipe(content | {"refresh": refresh}, origin="test").recipe.refresh
    config = plan.for_profile("full").stage("small").config
    assert (config.words, config.optimizer, config.temperature) == (500, "adam", 1.0)
    trained = {"name": "teacher", "kind": "train"}
    refresh["stages"] = [trained, *stages[1:]]
    with pytest.raises(InputError, match="must name a stage of kind ngrams"):
        parse_recipe(content | {"refresh": refresh}, origin="test")
    with pytest.raises(ValueError, match="no.*feature maps|feature maps.*remove it"):
        parse_config("compact", {"attention": 1.0})
