"""Fine-tuning that starts outside the recipe: files, architectures, words, what is refused."""

import dataclasses
import json
import os
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.data import batches, open_dataset
from components.evaluate import logits_of
from components.models import applications, build_model
from components.push import push
from components.sources import check_unchanged, sources_of
from components.stages import load_model, run_stage
from components.start import keep_words, open_start
from schemas.applications import APPLICATIONS
from schemas.errors import FailedError, InputError
from schemas.fitting import TextModel
from schemas.stages import config_settings, parse_config

FAST = {"epochs": 1, "batch_size": 50, "examples": 50}


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


@pytest.fixture(scope="module")
def folder(digits_dir, tmp_path_factory):
    """A model directory of ours."""
    output = tmp_path_factory.mktemp("models") / "known"
    config = {**FAST, "model": {"family": "image_resnet", "width": 4}}
    run_stage("train", dataset=digits_dir, config=config, output=output, seed=3)
    return output


def opened(start, data, **settings):
    config = parse_config("finetune", {"from": str(start), **settings})
    return open_start(config, sources_of(config), data, {})


def tiny(*, classes=10, side=16, activation=None):
    inputs = keras.Input((side, side, 3), name="pixels")
    x = keras.layers.Conv2D(2, 3, strides=4)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(x))


def test_a_model_directory_is_a_start_and_is_recorded(folder, digits_dir, tmp_path):
    settings = {**FAST, "from": str(folder), "freeze": 1.0, "layer_decay": 0.5}
    report = run_stage(
        "finetune", dataset=digits_dir, config=settings, output=tmp_path / "tuned", seed=3
    )
    known = json.loads((folder / "stage.json").read_text())
    assert report["config"]["from"] == str(folder)
    assert report["accuracy_before"] == known["accuracy"]
    assert report["size_before"] == known["size"]
    assert report["base"] is None
    assert list(report["sources"]) == ["from"]
    assert len(report["sources"]["from"]["digest"]) == 64
    before, after = load_model(folder).get_weights(), load_model(tmp_path / "tuned").get_weights()
    equal = [np.array_equal(x, y) for x, y in zip(before, after, strict=True)]
    assert equal == [True] * (len(equal) - 2) + [False] * 2


def test_a_keras_file_is_a_start_whatever_its_classes(digits_dir, tmp_path):
    tiny(classes=3, activation="softmax").save(tmp_path / "foreign.keras")
    settings = {**FAST, "from": str(tmp_path / "foreign.keras"), "head": "new"}
    report = run_stage(
        "finetune", dataset=digits_dir, config=settings, output=tmp_path / "tuned", seed=3
    )
    assert report["accuracy_before"] is report["size_before"] is None
    assert load_model(tmp_path / "tuned").output_shape == (None, 10)


def test_what_does_not_fit_is_refused_with_a_fix(data, folder, tmp_path):
    for name, network in {
        "classes": tiny(classes=3),
        "soft": tiny(activation="softmax"),
        "large": tiny(side=32),
    }.items():
        network.save(tmp_path / f"{name}.keras")
    for name, match in (
        ("classes", "3 outputs, not 10: set head: new"),
        ("soft", "probabilities"),
        ("large", "image.size"),
    ):
        with pytest.raises(InputError, match=match):
            opened(tmp_path / f"{name}.keras", data)
    renamed = dataclasses.replace(data.schema, label_names=tuple("abcdefghij"))
    with pytest.raises(InputError, match="0, 1, .*not for these 10"):
        opened(folder, dataclasses.replace(data, schema=renamed))
    with pytest.raises(InputError, match="model directory, an existing"):
        opened(tmp_path / "missing.keras", data)
    with pytest.raises(InputError, match="a model directory holds keras"):
        opened(tmp_path, data)
    with pytest.raises(InputError, match="known to a refresh"):
        opened("pushed", data)


def test_a_changed_file_has_another_digest_and_is_noticed(tmp_path):
    path = tmp_path / "a.keras"
    config = parse_config("finetune", {"from": str(path)})
    path.write_bytes(b"one")
    first = sources_of(config)
    check_unchanged(config, first)
    path.write_bytes(b"two")
    assert sources_of(config) != first
    with pytest.raises(FailedError, match="changed while"):
        check_unchanged(config, first)


def pushed(serving, number, dataset, *, root):
    """Push a model directory that holds files of one number; return it."""
    folder = root / f"model{number}"
    for name, content in {
        "keras/model.keras": b"network %d" % number,
        "Format-Serving/saved_model.pb": b"graph %d" % number,
        "stage.json": json.dumps({"digest": f"weights{number}"}).encode(),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    record = {"model": os.path.relpath(folder, serving), "model_digest": f"weights{number}"}
    push(folder / "Format-Serving", serving, record={**record, "dataset_digest": dataset})
    return folder


def test_pushed_is_the_newest_model_of_another_dataset(tmp_path):
    config = parse_config("finetune", {"from": "pushed"})
    serving = tmp_path / "serving"

    def found(dataset):
        return sources_of(config, serving=serving, dataset=dataset)["from"]

    with pytest.raises(InputError, match="none yet: push a first one"):
        found("may")
    folders = [
        pushed(serving, number, dataset, root=tmp_path)
        for number, dataset in enumerate(("april", "april", "may"), start=1)
    ]
    assert (found("june")["version"], found("june")["path"]) == (3, str(folders[2]))
    assert (found("may")["version"], found("may")["path"]) == (2, str(folders[1]))
    assert found("may") == found("may") != found("june")
    (folders[1] / "stage.json").write_text(json.dumps({"digest": "another"}))
    with pytest.raises(InputError, match=r"model2\) is gone: name a copy"):
        found("may")


def test_exactly_one_start(folder, digits_dir, tmp_path):
    for base, start in ((None, {}), (folder, {"from": str(folder)})):
        with pytest.raises(InputError, match="exactly one of base and from"):
            run_stage(
                "finetune",
                dataset=digits_dir,
                base=base,
                config={**FAST, **start},
                output=tmp_path / "never",
                seed=1,
            )


def test_every_architecture_is_known_to_keras():
    assert all(callable(getattr(keras.applications, name)) for name in APPLICATIONS)
    made = {
        name
        for name in dir(keras.applications)
        if name[0].isupper() and callable(getattr(keras.applications, name))
    }
    assert set(APPLICATIONS) == made


@pytest.mark.parametrize("module", sorted(set(APPLICATIONS.values())))
def test_inputs_are_prepared_inside_as_keras_would(module):
    name = next(one for one, its in APPLICATIONS.items() if its == module)
    inputs = keras.Input((2, 2, 3), dtype="uint8")
    network = keras.Model(inputs, applications._prepared(name, inputs))
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3)).astype(np.uint8)
    expected = getattr(keras.applications, module).preprocess_input(images.astype(np.float32))
    np.testing.assert_allclose(network(images), expected, atol=2e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16"])
def test_an_architecture_takes_images_of_any_size_and_its_weights(data, tmp_path, name):
    """The network for 16x16 digits is the architecture itself behind resizing and its own range."""
    own = getattr(keras.applications, name)
    keras.utils.set_random_seed(4)
    original = own(include_top=False, weights=None, input_shape=(32, 32, 3))
    original.save_weights(tmp_path / "own.weights.h5")
    network = applications.build(name, data, weights=str(tmp_path / "own.weights.h5"), size=32)
    images, _ = next(iter(batches(data, "eval", network, batch_size=4)))
    assert images.dtype == tf.uint8
    resized = keras.ops.image.resize(tf.cast(images, tf.float32), (32, 32))
    module = getattr(keras.applications, APPLICATIONS[name])
    expected = np.mean(original(module.preprocess_input(np.array(resized))), axis=(1, 2))
    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-4)
    network.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras", safe_mode=True)
    np.testing.assert_array_equal(again(images), network(images))


@pytest.mark.full
def test_an_architecture_is_finetuned_and_exported(digits_dir, tmp_path):
    settings = {**FAST, "from": "applications/MobileNetV2", "size": 32, "head": "new"}
    report = run_stage(
        "finetune",
        dataset=digits_dir,
        config={**settings, "freeze": 0.9},
        output=tmp_path / "tuned",
        seed=3,
    )
    assert report["inputs"]["channel_std"] == [127.5] * 3
    assert report["parameters"] > 2_000_000
    assert report["sources"] == {}
    assert report["notes"]["frozen_layers"][0] > 80


def test_sizes_and_weights_that_do_not_fit(data, tmp_path):
    with pytest.raises(InputError, match="does not take images of 16x16.*set size"):
        applications.build("MobileNetV2", data)
    (tmp_path / "bad.weights.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"weights must be imagenet or an existing .weights.h5"):
        opened("applications/MobileNetV2", data, head="new", weights="missing.weights.h5")


def test_imagenet_without_network_names_the_fix(data, monkeypatch):
    if list((Path.home() / ".keras/models").glob("mobilenet*")):
        pytest.skip("weights may lie in Keras' cache")
    nowhere = urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), "http://127.0.0.1:9"))
    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(nowhere))
    with pytest.raises(InputError, match="must be downloaded.*set weights: MobileNet.weights.h5"):
        applications.build("MobileNet", data, weights="imagenet", size=32)


def test_a_text_network_reads_on_by_its_own_words(reviews_dir, tmp_path):
    """The dataset's lines stand elsewhere; answers stay, also those of hashed bigrams."""
    data = open_dataset(reviews_dir)
    keras.utils.set_random_seed(0)
    lines = list(data.vocabulary)
    options = TextModel(width=4, vocabulary=len(lines), bigrams=50, tokens=20)
    model = build_model(options, data)
    expected = logits_of(model, data, "eval")
    assert keep_words(model, lines, data) == {}
    turned = dataclasses.replace(data, vocabulary=(lines[0], "new", *reversed(lines[1:-1])))
    assert not np.allclose(logits_of(model, turned, "eval"), expected, atol=1e-4)
    found = keep_words(model, lines, turned)
    assert found == {"own_words": len(lines), "own_words_in_dataset": len(lines) - 1}
    np.testing.assert_array_equal(logits_of(model, turned, "eval"), expected)

    model.save(tmp_path / "own.keras")  # it carries its words along
    again = opened(tmp_path / "own.keras", turned)
    np.testing.assert_array_equal(logits_of(again, turned, "eval"), expected)
    build_model(options, data).save(tmp_path / "bare.keras")
    with pytest.raises(InputError, match="vocabulary that ships"):
        opened(tmp_path / "bare.keras", turned)


def test_recipe_settings_that_do_not_go_together():
    for settings, match in (
        ({"from": "applications/MobileNetV9"}, "Did you mean 'MobileNetV"),
        ({"from": "applications/MobileNetV2"}, "must be new"),
        ({"weights": "imagenet"}, "is for from: applications/NAME"),
        ({"from": "a.keras", "size": 32}, "is for from: applications/NAME"),
        ({"from": "applications/VGG16", "head": "new", "width": 0.5}, "several widths"),
        ({"unfreeze": 2}, "needs freeze"),
        ({"tolerance": 0.1}, "needs previous"),
        ({"previous": "data"}, "required by previous"),
        ({"previous": "data", "tolerance": 0.1, "head": "new"}, "head: keep"),
        ({"layer_decay": 0}, "greater than 0"),
    ):
        with pytest.raises(ValueError, match=match):
            parse_config("finetune", settings)
    config = parse_config("finetune", {"from": "applications/VGG16", "head": "new"})
    assert config.application == "VGG16"
    assert config_settings(config)["from"] == "applications/VGG16"
