"""Few-shot learning: k examples per class on top of a trained network.

Two heads: prototypes, the class means of the features, nearest one wins (Snell et al.,
"Prototypical Networks for Few-shot Learning", 2017); and a fresh Dense head, fine-tuned.
"""

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, batches, records
from components.evaluate import logits_of
from components.train import label_loss, losses_of
from components.transfer import features_of, freeze, pace_of, with_new_head
from schemas.errors import InputError
from schemas.stages import FinetuneConfig

HEAD_ALONE = FinetuneConfig(
    head="new",
    freeze=1.0,
    epochs=10,
    batch_size=32,
    learning_rate=0.02,
    weight_decay=0.0,
    label_smoothing=0.0,
)
"""A fresh head on a body that stays as it is."""


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
    config: FinetuneConfig = HEAD_ALONE,
    split: str = "eval",
) -> FewShot:
    """Learn from ``k`` originals per class and their stored copies, once per draw.

    Args:
        model: Trained network; stays as it is. Its classes need not be the dataset's.
        data: The dataset with the classes to learn.
        k: Originals per class.
        draws: How many draws; draw ``d`` is seed ``d`` too.
        head: ``prototype`` trains nothing; ``finetune`` trains a fresh head, and as much of the
            rest as ``config`` thaws.
        config: How ``finetune`` trains. An epoch reads the drawn originals with all their copies
            (``copies``: with the first so many).
        split: Split that is scored; keep ``test`` for the end.

    Raises:
        InputError: too few examples of a class, an unknown head, or no draw.
    """
    if head not in ("prototype", "finetune"):
        raise InputError(f"head must be prototype or finetune, not {head!r}")
    if k < 1 or draws < 1:
        raise InputError(f"k and draws must be at least 1, not {k} and {draws}")
    keys, labels = _keys(data, 0)
    classes = len(data.schema.label_names)
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise InputError(f"{data.root}: the training split holds no example of classes {missing}")
    drawn = [drawn_keys(keys, labels, k, draw) for draw in range(draws)]
    stored = _stored(model, data, frozenset().union(*drawn), data.copies()[: config.copies])
    truth = np.concatenate([answers for _, answers in batches(data, split, model)])
    body = features_of(model)
    queries = logits_of(body, data, split) if head == "prototype" else None
    accuracies = []
    for draw, chosen in enumerate(drawn):
        kept = np.array([key in chosen for key in stored.keys])
        inputs, answers = stored.inputs[kept], stored.labels[kept]
        if queries is not None:
            guesses = nearest(queries, prototypes(_features(body, inputs), answers, classes))
        else:
            learner = with_new_head(model, classes, seed=draw)
            _fit(learner, inputs, answers, config, draw)
            guesses = logits_of(learner, data, split).argmax(axis=1)
        accuracies.append(float((guesses == truth).mean()))
    return FewShot(k=k, head=head, split=split, accuracies=tuple(accuracies))


def _fit(
    model: keras.Model, inputs: np.ndarray, labels: np.ndarray, config: FinetuneConfig, seed: int
) -> None:
    """Train in place on what fits into memory, in an order that the seed decides."""
    size = min(config.batch_size, len(labels))

    def rows(epoch: int):
        order = np.random.default_rng((seed, epoch)).permutation(len(labels))
        for at in range(0, len(order) - size + 1, size):
            some = order[at : at + size]
            yield tf.constant(inputs[some]), tf.constant(labels[some]), tf.ones(size)

    steps = config.epochs * (len(labels) // size)
    pace = pace_of(
        model, share=config.freeze, unfreeze=config.unfreeze, layer_decay=config.layer_decay
    )
    loss = label_loss(config.label_smoothing)
    for _ in losses_of(model, config, loss, rows, steps=steps, pace=pace):
        pass
    freeze(model, 0)


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


@dataclass(frozen=True)
class _Stored:
    """Examples in memory: keys, inputs as a network takes them, labels ``int64[N]``."""

    keys: list[bytes]
    inputs: np.ndarray
    labels: np.ndarray


def _keys(data: Data, copy: int) -> tuple[list[bytes], np.ndarray]:
    """Return keys and labels of one training copy in its fixed order."""
    spec = {
        "key": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    keys: list[bytes] = []
    labels = []
    for rows in records(data, "train", copy).batch(1024):
        fields = tf.io.parse_example(rows, spec)
        keys.extend(fields["key"].numpy().tolist())
        labels.append(fields["label"].numpy())
    return keys, np.concatenate(labels)


def _stored(model: keras.Model, data: Data, wanted: Set[bytes], copies: list[int]) -> _Stored:
    """Read the wanted examples of some training copies; the others never stay in memory."""
    kept, inputs, labels = [], [], []
    for copy in copies:
        keys, _ = _keys(data, copy)
        at = 0
        for rows, answers in batches(data, "train", model, copy=copy):
            some = keys[at : at + len(answers)]
            at += len(answers)
            mine = np.array([key in wanted for key in some])
            kept += [key for key in some if key in wanted]
            inputs.append(rows.numpy()[mine])
            labels.append(answers.numpy()[mine])
    return _Stored(kept, np.concatenate(inputs), np.concatenate(labels))
