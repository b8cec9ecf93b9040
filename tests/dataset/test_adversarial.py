"""FGSM against gradients worked out by hand; PGD stays in its ball; both mislead a real model."""

import functools
import pickle

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipelines.augment.draws import Draws
from pipelines.dataset.adversarial import Attack, load_model, model_digest, perturb
from schemas.adversarial import AdversarialConfig
from schemas.errors import InputError
from schemas.validation import validated

SHAPE = (2, 2, 1)
WEIGHTS = np.array([[0.8, -0.5, 0.1], [-0.3, 0.9, 0.0], [0.2, 0.2, -0.7], [0.0, -0.4, 0.6]])
BIAS = np.array([0.1, -0.2, 0.05])


def config_of(**fields):
    return AdversarialConfig(**{"model": "unused.keras", "epsilon": 8.0} | fields)


@functools.cache
def linear_model(*, dtype="uint8", softmax=False):
    inputs = keras.Input(SHAPE, dtype=dtype)
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    dense = keras.layers.Dense(3, activation="softmax" if softmax else None)
    model = keras.Model(inputs, dense(flat))
    dense.set_weights([WEIGHTS, BIAS])
    return model


def slopes_by_hand(images, labels):
    """The gradient of cross-entropy of a linear softmax model: W (p - y) / 255."""
    logits = images.reshape(len(images), -1) / 255 @ WEIGHTS + BIAS
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return ((likely - np.eye(3)[labels]) @ WEIGHTS.T / 255).reshape(images.shape)


def draws(count, seed=1):
    return Draws.root(seed, [f"k{i}" for i in range(count)], 1)


def batch(count=40, shape=SHAPE, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % 3


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_fgsm_follows_the_sign_of_the_gradient_by_hand(dtype, softmax):
    images, labels = batch()
    outputs = "probabilities" if softmax else "logits"
    model = linear_model(dtype=dtype, softmax=softmax)
    made = perturb(images, labels, model, config_of(outputs=outputs), draws=draws(40)).images
    signs = np.sign(slopes_by_hand(images, labels))
    assert np.array_equal(made, np.clip(images + 8 * signs, 0, 255))


def test_targeted_fgsm_descends_towards_the_target():
    images, labels = batch()
    done = perturb(images, labels, linear_model(), config_of(targeted=True), draws=draws(40))
    assert (done.targets != labels).all()
    assert set(done.targets) == {0, 1, 2}
    signs = np.sign(slopes_by_hand(images, done.targets))
    assert np.array_equal(done.images, np.clip(images - 8 * signs, 0, 255))


def test_fgsm_in_l2_follows_the_gradient_by_hand():
    images, labels = batch()
    images = images // 2 + 60  # far from both ends
    done = perturb(
        images, labels, linear_model(), config_of(norm="l2", epsilon=40), draws=draws(40)
    )
    slopes = slopes_by_hand(images, labels).reshape(40, -1)
    expected = 40 * slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    change = (done.images.astype(float) - images).reshape(40, -1)
    assert np.abs(change - expected).max() <= 1.5
    lengths = np.linalg.norm(change, axis=1)
    assert lengths.max() <= 40
    assert lengths.min() > 38.5


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("norm", "epsilon", "step"),
    [("linf", 8, None), ("linf", 2.5, 2), ("l2", 30.5, None), ("l2", 3, 50), ("linf", 0.4, 9)],
)
def test_pgd_stays_in_its_ball(norm, epsilon, step, targeted):
    images, labels = batch(60)
    config = config_of(
        method="pgd", norm=norm, epsilon=epsilon, step=step, steps=5, targeted=targeted
    )
    made = perturb(images, labels, linear_model(), config, draws=draws(60)).images
    change = (made.astype(float) - images).reshape(60, -1)
    order = np.inf if norm == "linf" else 2
    lengths = np.linalg.norm(change, ord=order, axis=1)
    assert lengths.max() <= epsilon
    assert lengths.mean() > (epsilon - 1) / 2


def test_share_draws_rows_and_the_rest_stays():
    images, labels = batch(400)
    done = perturb(images, labels, linear_model(), config_of(share=0.3), draws=draws(400))
    assert done.chosen.mean() == pytest.approx(0.3, abs=0.1)
    assert np.array_equal(done.images[~done.chosen], images[~done.chosen])
    assert (done.images != images)[done.chosen].any(axis=(1, 2, 3)).all()
    trace = done.trace("fgsm")
    assert ((trace["adversarial.op"] == "fgsm") == done.chosen).all()
    assert (trace["adversarial.fgsm.clean"].mask == ~done.chosen).all()
    assert trace["adversarial.fgsm.target"].mask.all()


def test_rows_are_functions_of_their_draws():
    images, labels = batch(50)
    config = config_of(method="pgd", steps=3, targeted=True, share=0.8)
    whole = perturb(images, labels, linear_model(), config, draws=draws(50))
    order = np.random.default_rng(1).permutation(50)
    again = perturb(
        images[order], labels[order], linear_model(), config, draws=draws(50).take(order)
    )
    assert np.array_equal(again.targets, whole.targets[order])
    assert np.array_equal(again.chosen, whole.chosen[order])
    assert np.abs(again.images.astype(int) - whole.images[order]).max() <= 1
    other = perturb(images, labels, linear_model(), config, draws=draws(50, seed=2))
    assert not np.array_equal(other.images, whole.images)


@pytest.fixture(scope="module")
def digits():
    """A trained network, and examples that it did not see."""
    data = load_digits()
    images = np.rint(data.images / 16 * 255).astype(np.uint8)[..., None]
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    hidden = keras.layers.Dense(64, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(10)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(images[:1200], data.target[:1200], batch_size=32, epochs=12, verbose=0)
    return model, images[1200:1500], data.target[1200:1500]


def test_a_trained_model_is_misled_and_by_pgd_most(digits):
    model, images, labels = digits
    found = {}
    for method in ("fgsm", "pgd"):
        config = config_of(method=method, epsilon=40)
        found[method] = perturb(images, labels, model, config, draws=draws(300)).accuracy()
    assert found["fgsm"]["clean_accuracy"] == found["pgd"]["clean_accuracy"] > 0.85
    assert found["fgsm"]["adversarial_accuracy"] < 0.5
    assert found["pgd"]["adversarial_accuracy"] <= found["fgsm"]["adversarial_accuracy"]
    assert found["pgd"]["examples"] == 300


def test_targets_are_reached(digits):
    model, images, labels = digits
    config = config_of(method="pgd", epsilon=120, steps=20, targeted=True)
    done = perturb(images, labels, model, config, draws=draws(300))
    answers = model(done.images).numpy().argmax(axis=1)
    assert (answers == done.targets).mean() > 0.8


def test_a_model_is_loaded_by_digest(tmp_path):
    path = str(tmp_path / "model.keras")
    linear_model().save(path)
    digest = model_digest(path)
    assert load_model(path, digest).output_shape == (None, 3)
    with pytest.raises(InputError, match="changed since"):
        load_model(path, "0" * 64)
    with pytest.raises(InputError, match="cannot be read") as caught:
        model_digest(tmp_path / "none.keras")
    assert caught.value.path == ("adversarial", "model")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(InputError, match="not a Keras model"):
        load_model(str(tmp_path / "text.keras"), model_digest(tmp_path / "text.keras"))


def test_an_attack_is_planned_once_and_applied_anywhere(tmp_path):
    path = str(tmp_path / "model.keras")
    linear_model().save(path)
    attack = Attack.plan(config_of(model=path, method="pgd", steps=2, targeted=True))
    assert attack.identity()["model"] == model_digest(path)
    assert path not in str(attack.identity())
    images, labels = batch(12)
    names = [f"k{i}" for i in range(12)]
    again = pickle.loads(pickle.dumps(attack))
    done = again.apply(images, labels, names, seed=1, copy=1)
    other = attack.apply(images, labels, names, seed=1, copy=2)
    assert done.accuracy()["examples"] == 12
    assert not np.array_equal(done.targets, other.targets)
    assert done.images.shape == images.shape
    nobody = attack.apply(images[:0], labels[:0], [], seed=1, copy=1)
    assert nobody.accuracy()["examples"] == 0


def test_unsafe_models_are_refused(tmp_path):
    inputs = keras.Input(SHAPE)
    outputs = keras.layers.Lambda(lambda x: x[:, 0, 0] * 2)(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "unsafe.keras")
    path = str(tmp_path / "unsafe.keras")
    with pytest.raises(InputError, match="loaded safely"):
        load_model(path, model_digest(path))


@pytest.mark.parametrize(
    ("shape", "label", "message"),
    [((3, 2, 1), 0, r"takes images of \[2, 2, 1\]"), (SHAPE, 3, "knows 3 classes")],
)
def test_a_model_of_other_data_is_refused(shape, label, message):
    images, _ = batch(2, shape)
    with pytest.raises(InputError, match=message):
        perturb(images, np.full(2, label), linear_model(), config_of(), draws=draws(2))


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"epsilon": 0}, ("epsilon",), "greater than 0"),
        ({"epsilon": 8, "steps": 3}, (), "fgsm is one step of epsilon"),
        ({"epsilon": 8, "norm": "l1"}, ("norm",), "'linf' or 'l2'"),
        ({"epsilon": 8, "share": 0}, ("share",), "greater than 0"),
        ({"epsilon": 8, "eps": 1}, ("eps",), "unknown key 'eps'"),
        ({}, (), "the key .epsilon. is missing"),
    ],
)
def test_bad_sections_are_refused(fields, path, message):
    with pytest.raises(InputError, match=message) as caught:
        validated(AdversarialConfig, {"model": "m.keras", **fields})
    assert caught.value.path == path


def test_length_of_a_step():
    assert config_of().length == 8
    assert config_of(method="pgd", steps=4).length == 5
    assert config_of(method="pgd", step=1).length == 1
    assert (config_of().iterations, config_of(method="pgd").iterations) == (1, 10)
