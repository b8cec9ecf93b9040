"""Transfer, few-shot learning and the guard against forgetting, on real digits."""

import keras
import numpy as np
import pytest

from components import finetune
from components.data import open_dataset
from components.fewshot import drawn_keys, few_shot
from components.models import build_model
from components.train import Context
from components.transfer import (
    check_not_forgotten,
    fit_gradually,
    freeze,
    frozen_share,
    load_trained,
    weighted_layers,
    with_new_head,
)
from schemas.errors import GateRefusal, InputError
from schemas.stages import FinetuneConfig, ImageModel


@pytest.fixture(scope="module")
def data(digits_dir):
    return open_dataset(digits_dir)


@pytest.fixture
def model(data):
    keras.utils.set_random_seed(0)
    return build_model(ImageModel(width=4), data)


def one_batch(epoch):
    generator = np.random.default_rng(epoch)
    images = generator.integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)
    yield images, np.arange(16, dtype=np.int64) % 5, np.ones(16, np.float32)


def weights_of(model):
    return [[np.array(one) for one in layer.weights] for layer in weighted_layers(model)]


def moved(before, after):
    return [
        any(not np.array_equal(x, y) for x, y in zip(*pair, strict=True))
        for pair in zip(before, after, strict=True)
    ]


def test_new_head_keeps_the_body_and_leaves_the_model_alone(model):
    new = with_new_head(model, 5, seed=1)
    assert new.output_shape == (None, 5)
    assert new.inputs[0].name == model.inputs[0].name
    assert not any(moved(weights_of(model)[:-1], weights_of(new)[:-1]))
    before = weights_of(model)
    fit_gradually(new, one_batch, epochs=1, steps=1, learning_rate=0.1)
    assert not any(moved(before, weights_of(model)))


def test_frozen_layers_do_not_move_nor_do_their_statistics(model):
    new = with_new_head(model, 5, seed=1)
    count = freeze(new, 0.5)
    before = weights_of(new)
    fit_gradually(new, one_batch, epochs=1, steps=1, learning_rate=0.1, share=0.5)
    changed = moved(before, weights_of(new))
    assert not any(changed[:count])
    assert all(changed[count:])


def test_unfreezing_reaches_every_layer(model):
    assert [frozen_share(0.8, epoch, 2) for epoch in range(4)] == [0.8, 0.4, 0.0, 0.0]
    new = with_new_head(model, 5, seed=1)
    before = weights_of(new)
    fit_gradually(new, one_batch, epochs=2, steps=2, learning_rate=0.1, share=1.0, unfreeze=1)
    assert all(moved(before, weights_of(new)))


def test_layer_decay_scales_one_step_exactly(model):
    def change(decay):
        new = with_new_head(model, 5, seed=1)
        before = [np.array(layer.trainable_variables[0]) for layer in weighted_layers(new)]
        fit_gradually(new, one_batch, epochs=1, steps=1, learning_rate=0.1, layer_decay=decay)
        after = [np.array(layer.trainable_variables[0]) for layer in weighted_layers(new)]
        return [y - x for x, y in zip(before, after, strict=True)]

    for above, (plain, decayed) in enumerate(
        zip(reversed(change(1.0)), reversed(change(0.5)), strict=True)
    ):
        np.testing.assert_allclose(decayed, plain * 0.5**above, atol=1e-6, rtol=1e-2)


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
    options = {"head": head, "epochs": 8, "learning_rate": 0.05, "share": 0.0}
    found = few_shot(model, data, 5, 2, **options)
    assert len(found.accuracies) == 2
    assert found.mean > 0.2
    assert found == few_shot(model, data, 5, 2, **options)


def test_forgetting_is_refused(model, data):
    same = check_not_forgotten(model, model, data, tolerance=0.0)
    assert same["previous_accuracy_before"] == same["previous_accuracy_after"]
    with pytest.raises(GateRefusal, match="may lose"):
        check_not_forgotten(model, model, data, tolerance=-0.1)
    with pytest.raises(InputError, match="10 classes"):
        check_not_forgotten(model, with_new_head(model, 5, seed=1), data, tolerance=0.1)


def test_trained_files_are_loaded_safely(model, tmp_path):
    model.save(tmp_path / "a.keras")
    assert not any(moved(weights_of(model), weights_of(load_trained(tmp_path / "a.keras"))))
    (tmp_path / "b.keras").write_text("no network")
    with pytest.raises(InputError, match="safely"):
        load_trained(tmp_path / "b.keras")
    with pytest.raises(InputError, match="existing"):
        load_trained(tmp_path / "c.keras")


def test_finetune_stage_takes_a_new_head_and_freezes(model, data):
    context = Context(
        data=data, base=model, teacher=None, seed=3, progress=lambda line: None, notes={}
    )
    config = FinetuneConfig(epochs=1, head="new", freeze=0.5)
    tuned = finetune.run(context, config)
    count = context.notes["frozen_layers"]
    changed = moved(weights_of(model), weights_of(tuned))
    assert not any(changed[:count])
    assert all(changed[count:])
    assert all(layer.trainable for layer in tuned.layers)
