"""Adversarial examples: images moved within a small ball so that a trained model errs.

The gradients are the model's, computed by TensorFlow, so the same bytes are promised on one type
of machine and one release of TensorFlow only; everything else here is exact. TensorFlow is
imported when the first batch is perturbed.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.augment.draws import Draws
from pipelines.augment.image.noise import normal_field
from schemas.adversarial import AdversarialConfig
from schemas.errors import InputError
from schemas.model_files import check_keras_file
from schemas.plain_files import open_plain

VERSION = 1
"""Raised with every change of output; part of every recipe's fingerprint that has an attack."""

BATCH = 256
_BRIGHTEST = 255.0
_HALVINGS = 14


@dataclass(frozen=True)
class Perturbed:
    """What became of a batch.

    Attributes:
        images: uint8[N, H, W, C]; rows that were not chosen are the given ones.
        chosen: bool[N], which rows were perturbed.
        targets: int64[N], the class that a row was moved towards; -1 where there is none.
        clean: bool[N], whether the model knew the given image.
        adversarial: bool[N], whether it still knows the returned one.
    """

    images: np.ndarray
    chosen: np.ndarray
    targets: np.ndarray
    clean: np.ndarray
    adversarial: np.ndarray

    def accuracy(self) -> dict[str, float]:
        """Return how many rows were perturbed and the model's accuracy on them before and after."""
        count = int(self.chosen.sum())
        clean, adversarial = (
            float(right[self.chosen].mean()) if count else float("nan")
            for right in (self.clean, self.adversarial)
        )
        return {
            "examples": count,
            "clean_accuracy": clean,
            "adversarial_accuracy": adversarial,
        }

    def trace(self, method: str) -> dict[str, np.ndarray]:
        """Return provenance columns, as `Policy.apply` does: an op in a slot `adversarial`."""
        columns = {
            "target": np.ma.MaskedArray(self.targets, mask=~self.chosen | (self.targets < 0)),
            "clean": np.ma.MaskedArray(self.clean.astype(np.int64), mask=~self.chosen),
            "known": np.ma.MaskedArray(self.adversarial.astype(np.int64), mask=~self.chosen),
        }
        op = np.where(self.chosen, method, "").astype(object)
        return {
            "adversarial.op": op,
            **{f"adversarial.{method}.{name}": column for name, column in columns.items()},
        }


@dataclass(frozen=True)
class Attack:
    """A recipe's `adversarial:` section with its model's digest; picklable, no TensorFlow inside.

    Attributes:
        config: The section.
        digest: SHA-256 of the model file when the dataset was planned.
    """

    config: AdversarialConfig
    digest: str

    @classmethod
    def plan(cls, config: AdversarialConfig) -> Attack:
        """Return the attack of a section.

        Raises:
            InputError: The model file cannot be read.
        """
        return cls(config, model_digest(config.model))

    def identity(self) -> dict[str, Any]:
        """Return all that decides the perturbation, for the fingerprint: the model by digest."""
        return asdict(self.config) | {"model": self.digest, "version": VERSION}

    def apply(
        self, images: np.ndarray, labels: np.ndarray, keys: Sequence[str], *, seed: int, copy: int
    ) -> Perturbed:
        """Perturb one augmented copy of a slice, as `Policy.apply` augments it.

        Raises:
            InputError: The model changed since, or does not fit the images.
        """
        model = load_model(self.config.model, self.digest)
        draws = Draws.root(seed, keys, copy).stream("adversarial")
        return perturb(images, labels, model, self.config, draws=draws)


def model_digest(path: str | Path) -> str:
    """Return the SHA-256 of a model file, for the recipe's fingerprint.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with open_plain(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"{path}: the model to mislead cannot be read ({error.strerror}); name the .keras file "
            "of a trained stage.",
            path=("adversarial", "model"),
        ) from error


@functools.lru_cache(maxsize=2)
def load_model(path: str, digest: str) -> Any:
    """Return the Keras model of a file that has this digest, loaded in safe mode.

    Raises:
        InputError: The file changed since, or holds no model that safe mode allows.
    """
    import keras

    if model_digest(path) != digest:
        raise InputError(f"{path} changed since the dataset was planned; start again.")
    try:
        check_keras_file(path)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise anything over a file that was tampered with
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{path}: not a Keras model that can be loaded safely ({reason}).",
            path=("adversarial", "model"),
        ) from error


def perturb(
    images: np.ndarray, labels: np.ndarray, model: Any, config: AdversarialConfig, *, draws: Draws
) -> Perturbed:
    """Return ``images`` moved so that ``model`` no longer knows them, and what it says of them.

    Args:
        images: uint8[N, H, W, C]; unchanged.
        labels: int64[N], the class of each.
        model: Keras model from such images to logits or probabilities (see ``config.outputs``).
        config: Method, norm, bound and the rest.
        draws: One generator per row; they decide which rows are chosen, targets and random starts.

    Returns:
        Images that differ from the given ones by ``config.epsilon`` at most, after rounding.

    Raises:
        InputError: The model takes other images or knows too few classes.
    """
    labels = np.asarray(labels, np.int64)
    classes = _checked_classes(images, labels, model)
    logits, gradient = _functions(model, config.outputs == "probabilities")
    chosen = draws.stream("chosen").uniform(1)[:, 0] < config.share
    targets = np.full(len(images), -1, np.int64)
    if config.targeted:
        further = draws.stream("target").integers(1, classes, 1)[:, 0]
        targets = np.where(chosen, (labels + further) % classes, -1)
    made = images.copy()
    for start in range(0, len(images), BATCH):
        rows = start + np.flatnonzero(chosen[start : start + BATCH])
        if len(rows):
            aims = targets[rows] if config.targeted else labels[rows]
            made[rows] = _moved(images[rows], aims, gradient, config, draws.take(rows))
    return Perturbed(
        images=made,
        chosen=chosen,
        targets=targets,
        clean=_predicted(logits, images) == labels,
        adversarial=_predicted(logits, made) == labels,
    )


def _moved(
    images: np.ndarray,
    aims: np.ndarray,
    gradient: Callable,
    config: AdversarialConfig,
    draws: Draws,
) -> np.ndarray:
    given = images.astype(np.float32)
    change = np.zeros_like(given)
    if config.method == "pgd":
        change = _random_start(given.shape, config, draws)
    direction = -1.0 if config.targeted else 1.0
    for _ in range(config.iterations):
        slopes = gradient(np.clip(given + change, 0, _BRIGHTEST), aims).numpy()
        change = change + direction * config.length * _unit(slopes, config.norm)
        change = _projected(change, config)
        change = np.clip(given + change, 0, _BRIGHTEST) - given
    return (given + _rounded(change, config)).astype(np.uint8)


def _random_start(shape: tuple[int, ...], config: AdversarialConfig, draws: Draws) -> np.ndarray:
    """Return float32 changes: uniform in the cube, or in any direction of a uniform length."""
    size = int(np.prod(shape[1:]))
    if config.norm == "linf":
        change = (2.0 * draws.stream("start").uniform(size) - 1.0) * config.epsilon
    else:
        field = normal_field(draws.stream("start"), size).astype(np.float64)
        change = _unit(field, "l2") * config.epsilon * draws.stream("length").uniform(1)
    return change.astype(np.float32).reshape(shape)


def _unit(values: np.ndarray, norm: str) -> np.ndarray:
    """Return the direction of steepest ascent, of length 1 in ``norm``; zero stays zero."""
    if norm == "linf":
        return np.sign(values)
    lengths = _lengths(values)
    return values / np.where(lengths > 0, lengths, 1)


def _projected(change: np.ndarray, config: AdversarialConfig) -> np.ndarray:
    if config.norm == "linf":
        return np.clip(change, -config.epsilon, config.epsilon)
    return change * np.minimum(1.0, config.epsilon / np.maximum(_lengths(change), 1e-12))


def _rounded(change: np.ndarray, config: AdversarialConfig) -> np.ndarray:
    """Return the change in whole grey levels, still within the bound.

    Rounding may lengthen an ``l2`` change; it is scaled by the largest factor, found by halving,
    with which it does not.
    """
    if config.norm == "linf":
        most = np.floor(config.epsilon)
        return np.clip(np.rint(change), -most, most)
    low = np.zeros((len(change), *[1] * (change.ndim - 1)))
    best, factor = np.zeros_like(change), np.ones_like(low)
    for halving in range(_HALVINGS):
        tried = np.rint(change * factor)
        fits = _lengths(tried) <= config.epsilon
        best, low = np.where(fits, tried, best), np.where(fits, factor, low)
        factor = np.where(low == 1, 1.0, low + 0.5 ** (halving + 1))
    return best


def _lengths(values: np.ndarray) -> np.ndarray:
    """Return the length of every row, with the dimensions of ``values``."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    return np.sqrt((flat * flat).sum(axis=1)).reshape(-1, *[1] * (values.ndim - 1))


def _predicted(logits: Callable, images: np.ndarray) -> np.ndarray:
    """Return int64[N], the class that the model finds likeliest."""
    parts = [
        logits(images[start : start + BATCH].astype(np.float32)).numpy().argmax(axis=1)
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _checked_classes(images: np.ndarray, labels: np.ndarray, model: Any) -> int:
    expected, classes = tuple(model.input_shape[1:]), int(model.output_shape[-1])
    fits = len(expected) == 3 and all(
        side in (None, have) for side, have in zip(expected, images.shape[1:], strict=True)
    )
    if not fits:
        raise InputError(
            f"the model to mislead takes images of {list(expected)}, the dataset holds "
            f"{list(images.shape[1:])}: name a model trained on such images.",
            path=("adversarial", "model"),
        )
    if classes < 2 or (len(labels) and labels.max() >= classes):
        raise InputError(
            f"the model to mislead knows {classes} classes, the dataset has a label "
            f"{labels.max(initial=0)}: name a model trained on such labels.",
            path=("adversarial", "model"),
        )
    return classes


@functools.lru_cache(maxsize=4)
def _functions(model: Any, probabilities: bool) -> tuple[Callable, Callable]:
    """Return the model over float images, and the gradient of its cross-entropy over them."""
    import keras
    import tensorflow as tf

    over_floats = model
    if model.inputs[0].dtype != "float32":
        # An integer input has no gradient: the same layers, from a float input on.
        floats = keras.Input(model.input_shape[1:], dtype="float32")
        over_floats = keras.models.clone_model(
            model, input_tensors=floats, clone_function=lambda layer: layer
        )
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[images])
    def outputs(batch):
        return over_floats(batch, training=False)

    @tf.function(input_signature=[images, tf.TensorSpec((None,), tf.int64)])
    def gradient(batch, labels):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            answers = over_floats(batch, training=False)
            losses = keras.losses.sparse_categorical_crossentropy(
                labels, answers, from_logits=not probabilities
            )
        return tape.gradient(losses, batch)

    return outputs, gradient
