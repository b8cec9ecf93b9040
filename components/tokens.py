"""Token ids inside a graph: the rule of `schemas.tokens`, for training and for the served model.

How a network reads texts is part of the network (`KnownWords`), so that it goes wherever the
network goes: into later stages, a teacher's scoring and the export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from schemas.text import BREAK_PATTERN, OOV_ID, PADDING, PADDING_ID, SEPARATOR_PATTERN


@keras.saving.register_keras_serializable("beam_refinery")
class KnownWords(keras.layers.Layer):
    """Turn the ids of words beyond a cut vocabulary into the out-of-vocabulary id.

    Args:
        vocabulary: Kept lines of the vocabulary file, ``<OOV>`` included.
        truncate: What the ids that the network takes hold of a longer text: see `token_ids`.
        pad: Where they are filled up.
        words: Those lines, where they are not the first ones of the dataset's vocabulary.
        kwargs: What every layer takes.
    """

    def __init__(
        self,
        vocabulary: int,
        truncate: str = "head",
        pad: str = "right",
        words: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary = vocabulary
        self.truncate = truncate
        self.pad = pad
        self.words = None if words is None else tuple(words)

    def call(self, ids):
        """Map ``int32[N, T]`` to ids of at most ``vocabulary`` (line number plus one)."""
        return ops.where(ids > self.vocabulary, OOV_ID, ids)

    def get_config(self) -> dict:
        """Return what `__init__` takes."""
        own = {"vocabulary": self.vocabulary, "truncate": self.truncate, "pad": self.pad}
        if self.words is not None:
            own["words"] = list(self.words)
        return {**super().get_config(), **own}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a network reads texts.

    Attributes:
        tokens: Ids per text.
        truncate: ``head`` or ``tail``, see `token_ids`.
        pad: ``left`` or ``right``, see `token_ids`.
        vocabulary: Lines of the vocabulary file that it knows; None for all.
        words: Those lines; None for the first ones of the dataset's vocabulary.
    """

    tokens: int
    truncate: str = "head"
    pad: str = "right"
    vocabulary: int | None = None
    words: tuple[str, ...] | None = None

    @classmethod
    def of(cls, model: keras.Model) -> Reading:
        """Return how ``model`` reads, by its input's length and its `KnownWords`."""
        tokens = model.input_shape[1]
        for layer in model.layers:
            if isinstance(layer, KnownWords):
                return cls(
                    tokens=tokens,
                    truncate=layer.truncate,
                    pad=layer.pad,
                    vocabulary=layer.vocabulary,
                    words=layer.words,
                )
        return cls(tokens=tokens)

    def lines(self, vocabulary: Sequence[str]) -> tuple[str, ...]:
        """Return the vocabulary of the network, line by line, given that of its dataset."""
        return tuple(vocabulary[: self.vocabulary]) if self.words is None else self.words

    def ids(self, texts: tf.Tensor, table: Any) -> tf.Tensor:
        """Return the `token_ids` of ``string[N]`` by a table of the network's own `lines`."""
        return token_ids(texts, table, self.tokens, truncate=self.truncate, pad=self.pad)


def token_ids(
    texts: tf.Tensor, table: Any, tokens: int, *, truncate: str = "head", pad: str = "right"
) -> tf.Tensor:
    """Turn texts ``string[N]`` into ids ``int32[N, tokens]``, as `schemas.tokens.token_ids` does.

    Args:
        texts: UTF-8 documents.
        table: Lookup table from word to line number (`vocabulary_table`, `table_of`).
        tokens: Ids per document.
        truncate: Whether a longer document keeps its first words (``head``) or last (``tail``).
        pad: On which side a shorter one is filled up with 0 (``left`` or ``right``).
    """
    words = tf.strings.split(standardized(texts), " ")
    words = tf.ragged.boolean_mask(words, words != PADDING)
    words = words[:, :tokens] if truncate == "head" else words[:, -tokens:]
    ids = tf.ragged.map_flat_values(table.lookup, words)
    # A ragged tensor is filled up on the right only: for the left it is turned round twice.
    turned = tf.reverse(ids, [1]) if pad == "left" else ids
    padded = turned.to_tensor(PADDING_ID, shape=[None, tokens])
    return tf.cast(tf.reverse(padded, [1]) if pad == "left" else padded, tf.int32)


def standardized(texts: tf.Tensor) -> tf.Tensor:
    """Apply the standardisation of `schemas.text` to ``string[N]`` inside a graph."""
    broken = tf.strings.regex_replace(texts, BREAK_PATTERN, " ")
    return tf.strings.regex_replace(tf.strings.lower(broken), SEPARATOR_PATTERN, " ")


def vocabulary_table(path: str | Path) -> tf.Module:
    """Return the lookup table of a vocabulary file: line *n* has id *n* + 1, other words 1."""
    lines = tf.lookup.TextFileInitializer(
        str(path),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
        delimiter="\n",
    )
    return _OneBased(tf.lookup.StaticHashTable(lines, OOV_ID - 1))


def table_of(lines: Sequence[str]) -> tf.Module:
    """Return the lookup table of a vocabulary's lines, the same as of a file of them."""
    numbers = tf.range(len(lines), dtype=tf.int64)
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(list(lines)), numbers)
    return _OneBased(tf.lookup.StaticHashTable(pairs, OOV_ID - 1))


class _OneBased(tf.Module):
    """A table of line numbers whose lookup counts from 1, leaving 0 to padding."""

    def __init__(self, table: tf.lookup.StaticHashTable) -> None:
        super().__init__()
        self.table = table

    def lookup(self, words: tf.Tensor) -> tf.Tensor:
        return self.table.lookup(words) + 1
