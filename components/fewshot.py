"""Few-shot learning: k examples per class on top of a trained network.

Two heads: prototypes, the class means of the features, nearest one wins (Snell et al.,
"Prototypical Networks for Few-shot Learning", 2017); and a fresh Dense head, fine-tuned.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, batches, records
from components.evaluate import logits_of
from components.transfer import features_of, fit_gradually, with_new_head
from schemas.errors import InputError

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Accuracies of several draws of ``k`` examples per class, on one split."""

    k: int
    head: str
    split: str
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy over the draws."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        """Standard deviation over the draws (n - 1); 0 for one draw."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else 0.0


def drawn_keys(keys: list[bytes], labels: np.ndarray, k: int, draw: int) -> set[bytes]:
    """Return ``k`` keys of every class: those with the smallest hash of (draw, key).

    Raises:
        InputError: a class has fewer.
    """
    ranked: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, label in zip(keys, labels.tolist(), strict=True):
        rank = hashlib.blake2b(b"%d/" % draw + key, digest_size=16).digest()
        ranked.setdefault(label, []).append((rank, key))
    for label, found in ranked.items():
        if len(found) < k:
            raise InputError(f"k must be at most {len(found)}, the examples of class {label}: {k}")
    return {key for found in ranked.values() for _, key in sorted(found)[:k]}


def few_shot(
    model: keras.Model,
    data: Data,
    k: int,
    draws: int,
    *,
    head: Literal["prototype", "finetune"] = "prototype",
    epochs: int = 10,
    learning_rate: float = 0.02,
    share: float = 1.0,
    unfreeze: int = 0,
    layer_decay: float = 1.0,
    split: str = "eval",
) -> FewShot:
    """Learn from ``k`` originals per class and their stored copies, once per draw.

    Args:
        model: Trained network; stays as it is. Its classes need not be the dataset's.
        data: The dataset with the classes to learn.
        k: Originals per class.
        draws: How many draws; draw ``d`` is seed ``d`` too.
        head: ``prototype`` trains nothing; ``finetune`` trains a fresh head.
        epochs: Passes of ``finetune`` over the drawn examples and copies.
        learning_rate: Its peak learning rate.
        share: Share of layers frozen at first; 1 trains the head alone.
        unfreeze: Epochs until none is frozen; 0: never.
        layer_decay: See `components.transfer.fit_gradually`.
        split: Split that is scored; keep ``test`` for the end.

    Raises:
        InputError: too few examples of a class, an unknown head, or no draw.
    """
    if head not in ("prototype", "finetune"):
        raise InputError(f"head must be prototype or finetune, not {head!r}")
    if k < 1 or draws < 1:
        raise InputError(f"k and draws must be at least 1, not {k} and {draws}")
    stored = [_stored(model, data, "train", copy) for copy in data.copies()]
    keys, _, labels = stored[0]
    classes = len(data.schema.label_names)
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise InputError(f"{data.root}: the training split holds no example of classes {missing}")
    truth = np.concatenate([answers for _, answers in batches(data, split, model)])
    body = features_of(model)
    queries = logits_of(body, data, split) if head == "prototype" else None
    accuracies = []
    for draw in range(draws):
        chosen = drawn_keys(keys, labels, k, draw)
        kept = [np.array([key in chosen for key in one[0]]) for one in stored]
        inputs = np.concatenate([one[1][at] for one, at in zip(stored, kept, strict=True)])
        answers = np.concatenate([one[2][at] for one, at in zip(stored, kept, strict=True)])
        if queries is not None:
            guesses = nearest(queries, prototypes(_features(body, inputs), answers, classes))
        else:
            learner = with_new_head(model, classes, seed=draw)
            size = min(BATCH, len(answers))

            def epoch_of(epoch, inputs=inputs, answers=answers, size=size, draw=draw):
                order = np.random.default_rng((draw, epoch)).permutation(len(answers))
                for at in range(0, len(order) - size + 1, size):
                    rows = order[at : at + size]
                    yield tf.constant(inputs[rows]), tf.constant(answers[rows]), tf.ones(size)

            fit_gradually(
                learner,
                epoch_of,
                epochs=epochs,
                steps=epochs * (len(answers) // size),
                learning_rate=learning_rate,
                share=share,
                unfreeze=unfreeze,
                layer_decay=layer_decay,
            )
            guesses = logits_of(learner, data, split).argmax(axis=1)
        accuracies.append(float((guesses == truth).mean()))
    return FewShot(k=k, head=head, split=split, accuracies=tuple(accuracies))


def prototypes(features: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the mean features ``float32[classes, D]`` of every class."""
    return np.stack([features[labels == label].mean(axis=0) for label in range(classes)])


def nearest(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return for each row the class ``int64[N]`` of the nearest centre (squared distance)."""
    # |f - c|^2 without the term that all centres share.
    return ((centres**2).sum(axis=1) - 2 * features @ centres.T).argmin(axis=1)


def _features(body: keras.Model, inputs: np.ndarray) -> np.ndarray:
    parts = [body(inputs[at : at + 512], training=False) for at in range(0, len(inputs), 512)]
    return np.concatenate([np.asarray(one) for one in parts])


def _stored(
    model: keras.Model, data: Data, split: str, copy: int
) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Return keys, inputs and labels of one copy in its fixed order."""
    spec = {"key": tf.io.FixedLenFeature([], tf.string)}
    keys: list[bytes] = []
    for rows in records(data, split, copy).batch(1024):
        keys.extend(tf.io.parse_example(rows, spec)["key"].numpy().tolist())
    pairs = list(batches(data, split, model, copy=copy))
    inputs = np.concatenate([one.numpy() for one, _ in pairs])
    return keys, inputs, np.concatenate([answers.numpy() for _, answers in pairs])
