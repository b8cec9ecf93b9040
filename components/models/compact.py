"""A network for texts of a few dozen kilobytes: a number per word, and per pair of words.

Most of a small text model is its vocabulary file, and most hashed pairs are noise. So a pair counts
only if its slot's check says that it is one of those chosen: an exact lookup for two bytes a pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from components.tokens import KnownWords
from schemas.errors import InputError
from schemas.text import OOV_ID, PADDING_ID

_FIRST, _SECOND, _THIRD, _FOURTH, _CHECKS = 1_000_003, 7_919, 104_729, 611_953, 251
EMPTY = 255
"""The check of a slot without a pair; those of pairs are smaller."""


@dataclass(frozen=True)
class Chosen:
    """What a compact model knows.

    Attributes:
        words: Lines of its vocabulary, ``<OOV>`` first.
        pairs: Pairs of those words, the most important first.
    """

    words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


@keras.saving.register_keras_serializable("beam_refinery")
class CheckedPairs(layers.Layer):
    """Turn each pair of neighbouring words into the number of its slot, from 1; others into 0.

    Args:
        slots: Slots of the table.
        kwargs: What every layer takes.
    """

    def __init__(self, slots: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.slots = slots

    def build(self, input_shape) -> None:
        """Make the table of checks, ``uint8[slots]``, without any pair."""
        self.checks = self.add_weight(
            shape=(self.slots,),
            dtype="uint8",
            initializer=keras.initializers.Constant(EMPTY),
            trainable=False,
            autocast=False,
            name="checks",
        )

    def put(self, pairs: Sequence[tuple[int, int]]) -> int:
        """Fill the table with pairs of word ids, the first come first; return how many fit."""
        checks = np.full(self.slots, EMPTY, np.uint8)
        for first, second in pairs:
            slot, check = _slot_and_check(first, second, self.slots)
            if checks[slot] == EMPTY:
                checks[slot] = check
        self.checks.assign(checks)
        return self.filled()

    def filled(self) -> int:
        """Return how many slots hold a pair."""
        return int((self.checks.numpy() != EMPTY).sum())

    def call(self, ids):
        """Map ``int32[N, T]`` word ids to ``int32[N, T - 1]``."""
        first, second = ops.cast(ids[:, :-1], "int64"), ops.cast(ids[:, 1:], "int64")
        slots, checks = _slot_and_check(first, second, self.slots)
        slots = ops.cast(slots, "int32")
        stored = ops.cast(ops.take(self.checks, slots, axis=0), "int32")
        return ops.where(stored == ops.cast(checks, "int32"), slots + 1, 0)

    def get_config(self) -> dict:
        """Return what `__init__` takes."""
        return {**super().get_config(), "slots": self.slots}


@keras.saving.register_keras_serializable("beam_refinery")
class ScaledSum(layers.Layer):
    """Sum embeddings where an id is not 0, over the square root of the number of words."""

    def call(self, embeddings, ids, words):
        """Map ``float32[N, T, D]``, ``int32[N, T]`` and word ids ``int32[N, S]`` to ``[N, D]``."""
        present = ops.cast(ids != PADDING_ID, embeddings.dtype)[:, :, None]
        length = ops.sum(ops.cast(words != PADDING_ID, embeddings.dtype), axis=1, keepdims=True)
        return ops.sum(embeddings * present, axis=1) / ops.sqrt(ops.maximum(length, 1.0))


def build(
    chosen: Chosen,
    *,
    classes: int,
    slots: int,
    length: int = 1000,
    truncate: str = "head",
    decay: float = 3e-6,
) -> keras.Model:
    """Build the network for token ids ``int32[N, length]`` of its own words; it returns logits.

    One number per word and per pair: with nothing but a linear layer after the sum, more would
    add bytes and no function.

    Args:
        chosen: What it knows.
        classes: Number of classes, 2.
        slots: Slots for pairs, about one byte of check and one of weight each; 0 for words alone.
        length: Words of a document that are read.
        truncate: Whether those are its first (``head``) or its last (``tail``).
        decay: Strength of the penalty on half the squares of those numbers.

    Raises:
        InputError: more classes than one number can tell apart.
    """
    if classes != 2:
        raise InputError(f"a compact text model tells 2 classes apart, not {classes}")
    inputs = keras.Input((length,), dtype="int32", name="token_ids")
    known = KnownWords(len(chosen.words), truncate, words=chosen.words, name="known_words")
    words = known(inputs)
    total = _summed(words, words, len(chosen.words) + 1, decay, "words")
    if slots:
        table = CheckedPairs(slots, name="checked_pairs")
        pairs = table(words)
        numbers = {word: number for number, word in enumerate(chosen.words, OOV_ID)}
        table.put([(numbers[one], numbers[two]) for one, two in chosen.pairs])
        total = layers.Add(name="words_and_pairs")(
            [total, _summed(pairs, words, slots + 1, decay, "pairs")]
        )
    return keras.Model(inputs, layers.Dense(classes, name="logits")(total), name="compact_text")


def _summed(ids, words, rows: int, decay: float, name: str):
    numbers = layers.Embedding(
        rows, 1, embeddings_regularizer=keras.regularizers.L2(decay / 2), name=name
    )
    return ScaledSum(name=f"sum_of_{name}")(numbers(ids), ids, words)


def _slot_and_check(first, second, slots: int):
    """Return the slot of a pair of ids and its check; works on numbers and on tensors alike.

    TFLite divides no 64-bit integers, but gives their remainders.
    """
    slot = (first * _FIRST + second * _SECOND) % slots
    return slot, (first * _THIRD + second * _FOURTH) % _CHECKS
