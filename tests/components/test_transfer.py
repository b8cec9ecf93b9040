"""Transfer, few-shot learning and the guard against forgetting, on real digits."""

import dataclasses

import keras
import numpy as np
import pytest

from components import finetune
from components.data import open_dataset
from components.fewshot import HEAD_ALONE, drawn_keys, few_shot
from components.models import build_model, model_digest
from components.stages import be_deterministic
from components.train import Context, fit, label_loss, losses_of
from components.transfer import (
    accuracy_on_previous,
    check_not_forgotten,
    copy_of,
    frozen_count,
    frozen_share,
    load_trained,
    pace_of,
    weighted_layers,
    with_new_head,
)
from schemas.errors import GateRefusal, InputError
from schemas.fitting import ImageModel
from schemas.stages import FinetuneConfig

PLAIN = {"batch_size": 50, "examples": 100, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


@pytest.fixture
def model(data):
    keras.utils.set_random_seed(0)
    return build_model(ImageModel(width=4), data)


@pytest.fixture
def small():
    """Five layers with weights, one of them BatchNorm, on images like `one_batch`'s."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((16, 16, 3), dtype="uint8", name="images")
    x = keras.layers.Rescaling(1 / 255)(x)
    for width in (4, 6):
        x = keras.layers.Conv2D(width, 3, strides=2, name=f"conv{width}")(x)
        x = keras.layers.BatchNormalization(name=f"bn{width}")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x))


def one_batch(epoch):
    generator = np.random.default_rng(epoch)
    images = generator.integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)
    yield images, np.arange(16, dtype=np.int64) % 5, np.ones(16, np.float32)


def train(model, *, epochs=1, optimizer="sgd", **pace):
    """Train in place, one batch per epoch."""
    config = FinetuneConfig(
        epochs=epochs, optimizer=optimizer, learning_rate=0.1, weight_decay=0.0, label_smoothing=0.0
    )
    pace = pace_of(model, **pace)
    list(losses_of(model, config, label_loss(0.0), one_batch, steps=epochs, pace=pace))


def context_of(data, base, seed=3):
    be_deterministic(seed)
    return Context(
        data=data, base=base, teacher=None, seed=seed, progress=lambda line: None, notes={}
    )


def weights_of(model):
    return [[np.array(one) for one in layer.weights] for layer in weighted_layers(model)]


def moved(before, after):
    return [
        any(not np.array_equal(x, y) for x, y in zip(*pair, strict=True))
        for pair in zip(before, after, strict=True)
    ]


def test_new_head_keeps_the_body_and_leaves_the_model_alone(small):
    new = with_new_head(small, 5, seed=1)
    assert new.output_shape == (None, 5)
    assert new.inputs[0].name == small.inputs[0].name
    assert not any(moved(weights_of(small)[:-1], weights_of(new)[:-1]))
    before = weights_of(small)
    train(new)
    assert not any(moved(before, weights_of(small)))


def test_frozen_layers_do_not_move_nor_do_their_statistics(small):
    new = with_new_head(small, 5, seed=1)
    count = frozen_count(new, 0.5)
    before = weights_of(new)
    train(new, share=0.5)
    changed = moved(before, weights_of(new))
    assert not any(changed[:count])
    assert all(changed[count:])


def test_unfreezing_follows_its_schedule(small):
    assert [frozen_share(0.8, epoch, 2) for epoch in range(4)] == [0.8, 0.4, 0.0, 0.0]
    new = with_new_head(small, 5, seed=1)
    total = len(weighted_layers(new))
    pace = pace_of(new, share=1.0, unfreeze=3)
    counts = []
    for epoch in range(4):
        counts.append(pace.begin(epoch))
        assert [layer.trainable for layer in weighted_layers(new)] == [
            at >= counts[-1] for at in range(total)
        ]
    assert counts == [total - 1, round(total * 2 / 3), round(total / 3), 0]


def test_each_layer_moves_from_the_epoch_that_frees_it(small):
    """After ``n`` epochs those that were frozen in all of them are equal to the last bit."""
    total = len(weighted_layers(small))
    for epochs, frozen in ((1, total - 1), (2, round(total / 2)), (3, 0)):
        new = with_new_head(small, 5, seed=1)
        before = weights_of(new)
        train(new, epochs=epochs, share=1.0, unfreeze=2)
        assert moved(before, weights_of(new)) == [at >= frozen for at in range(total)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_layer_decay_scales_one_step_exactly(small, optimizer):
    def change(decay):
        new = with_new_head(small, 5, seed=1)
        before = [np.array(layer.trainable_variables[0]) for layer in weighted_layers(new)]
        train(new, optimizer=optimizer, layer_decay=decay)
        after = [np.array(layer.trainable_variables[0]) for layer in weighted_layers(new)]
        return [y - x for x, y in zip(before, after, strict=True)]

    for above, (plain, decayed) in enumerate(
        zip(reversed(change(1.0)), reversed(change(0.5)), strict=True)
    ):
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(decayed, plain * 0.5**above, atol=1e-6, rtol=1e-2)


def test_factors_by_hand():
    inputs = keras.Input((3,))
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="low")])
    x = keras.layers.BatchNormalization(name="middle")(inner(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    assert [layer.name for layer in weighted_layers(model)] == ["low", "middle", "head"]
    pace = pace_of(model, layer_decay=0.5)
    found = {one.path: pace.factor(one) for one in model.trainable_variables}
    assert list(found.values()) == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert pace.begin(0) == 0
    assert pace_of(model, share=0.4).begin(7) == 1
    assert [one.path.split("/")[-2] for one in model.trainable_variables] == (
        ["middle"] * 2 + ["head"] * 2
    )


def test_without_options_a_finetuning_is_the_plain_training_to_the_byte(small, data):
    """One loop serves all: freezing nothing and slowing nothing leaves no trace."""
    plain, tuned = copy_of(small), copy_of(small)
    config = FinetuneConfig(epochs=1, **PLAIN)
    fit(plain, context_of(data, None), config, label_loss(config.label_smoothing))
    finetune.run(context_of(data, tuned), config)
    assert model_digest(plain) == model_digest(tuned) != model_digest(small)


def test_draws_depend_on_key_and_number_alone():
    keys = [b"%d" % one for one in range(40)]
    labels = np.arange(40) % 4
    chosen = drawn_keys(keys, labels, 3, 0)
    assert len(chosen) == 12
    assert chosen == drawn_keys(keys[::-1], labels[::-1], 3, 0)
    assert chosen != drawn_keys(keys, labels, 3, 1)
    with pytest.raises(InputError, match="at most 10"):
        drawn_keys(keys, labels, 11, 0)


@pytest.mark.parametrize("head", ["prototype", "finetune"])
def test_few_shot_beats_chance_and_repeats(model, data, head):
    """The body is random, so fine-tuning has to train all of it."""
    config = dataclasses.replace(HEAD_ALONE, freeze=0.0, epochs=8, learning_rate=0.05)
    found = few_shot(model, data, 5, 2, head=head, config=config)
    assert len(found.accuracies) == 2
    assert found.mean > 0.2
    again = few_shot(model, data, 5, 1, head=head, config=config)
    assert again.accuracies == found.accuracies[:1]


def test_forgetting_is_refused(small, data, digits_dir):
    """A fresh network knows little; fine-tuning improves it, so the guard is tried both ways."""
    settings = {**PLAIN, "previous": str(digits_dir), "epochs": 1}
    context = context_of(data, copy_of(small))
    finetune.run(context, FinetuneConfig(**settings, tolerance=1.0))
    assert context.notes["previous_accuracy_before"] == accuracy_on_previous(small, data, data)
    assert 0 <= context.notes["previous_accuracy_after"] <= 1
    check_not_forgotten(0.9, 0.85, tolerance=0.06)
    with pytest.raises(GateRefusal, match="may lose 0.0400.*from 0.9000 to 0.8500"):
        check_not_forgotten(0.9, 0.85, tolerance=0.04)
    other = dataclasses.replace(data.schema, label_names=tuple("abcde"))
    with pytest.raises(InputError, match="same classes"):
        accuracy_on_previous(small, dataclasses.replace(data, schema=other), data)


def test_trained_files_are_loaded_safely(model, tmp_path):
    model.save(tmp_path / "a.keras")
    assert not any(moved(weights_of(model), weights_of(load_trained(tmp_path / "a.keras"))))
    (tmp_path / "b.keras").write_text("no network")
    with pytest.raises(InputError, match="safely"):
        load_trained(tmp_path / "b.keras")
    with pytest.raises(InputError, match="existing"):
        load_trained(tmp_path / "c.keras")


def test_finetune_stage_takes_a_new_head_and_freezes(small, data):
    context = context_of(data, small)
    config = FinetuneConfig(epochs=1, head="new", freeze=0.5, **PLAIN)
    tuned = finetune.run(context, config)
    (count,) = context.notes["frozen_layers"]
    changed = moved(weights_of(small), weights_of(tuned))
    assert not any(changed[:count])
    assert all(changed[count:])
    assert all(layer.trainable for layer in tuned.layers)
