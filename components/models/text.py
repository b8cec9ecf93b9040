"""Networks for texts.

Averages of word embeddings, with hashed bigrams where asked (Joulin et al., "Bag of Tricks for
Efficient Text Classification", 2016), and convolutions over word embeddings with the maximum over
time (Kim, "Convolutional Neural Networks for Sentence Classification", 2014).

The networks take token ids, not strings: the standardisation and the lookup belong to the input
function and to the export, so that pruning sees nothing but weights.
"""

import keras
from keras import layers, ops

from components.data import Data
from components.prune.walk import passes_channels
from components.tokens import KnownWords
from schemas.errors import InputError
from schemas.fitting import TextConvModel, TextModel
from schemas.text import PADDING_ID


@keras.saving.register_keras_serializable("beam_refinery")
class HashedBigrams(layers.Layer):
    """Hash each pair of neighbouring words into one of ``buckets`` ids from 1; 0 is padding."""

    def __init__(self, buckets: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.buckets = buckets

    def call(self, ids):
        """Map ``int32[N, T]`` word ids to ``int32[N, T - 1]`` bigram ids."""
        first, second = ids[:, :-1], ids[:, 1:]
        mixed = ops.cast(first, "int64") * 1_000_003 + ops.cast(second, "int64") * 7_919
        pairs = ops.cast(mixed % self.buckets, "int32") + 1
        padding = ops.logical_or(first == PADDING_ID, second == PADDING_ID)
        return ops.where(padding, PADDING_ID, pairs)

    def get_config(self) -> dict:
        """Return what `__init__` takes."""
        return {**super().get_config(), "buckets": self.buckets}


@passes_channels
@keras.saving.register_keras_serializable("beam_refinery")
class MeanOfWords(layers.Layer):
    """Average embeddings over the positions that hold a word; zeros where none does."""

    def call(self, embeddings, ids):
        """Map ``float32[N, T, D]`` and ``int32[N, T]`` to ``float32[N, D]``."""
        present = ops.cast(ids != PADDING_ID, embeddings.dtype)[:, :, None]
        return ops.sum(embeddings * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)


@passes_channels
@keras.saving.register_keras_serializable("beam_refinery")
class AtWords(layers.Layer):
    """Set to zero what stands at positions without a word.

    Before a convolution padding then looks like what lies beyond the ends of a text; after a
    rectifier it never is the maximum. So no answer depends on the side or amount of padding.
    """

    def call(self, features, ids):
        """Map ``float32[N, T, D]`` and ``int32[N, T]`` to ``float32[N, T, D]``."""
        return features * ops.cast(ids != PADDING_ID, features.dtype)[:, :, None]


def build(options: TextModel, data: Data) -> keras.Model:
    """Build the average of embeddings for token ids ``int32[N, tokens]``, 0 being padding.

    Raises:
        InputError: it reads fewer than 2 tokens.
    """
    inputs, words, x = _embedded(options, data)
    x = MeanOfWords(name="mean_of_words")(x, words)
    if options.bigrams:
        pairs = HashedBigrams(options.bigrams, name="hashed_bigrams")(words)
        y = layers.Embedding(options.bigrams + 1, options.width, name="bigrams")(pairs)
        y = MeanOfWords(name="mean_of_bigrams")(y, pairs)
        x = layers.Concatenate(name="words_and_bigrams")([x, y])
    return _classifier(inputs, x, options, data)


def build_convolutions(options: TextConvModel, data: Data) -> keras.Model:
    """Build convolutions over embeddings for token ids ``int32[N, tokens]``, 0 being padding.

    Raises:
        InputError: it reads fewer than 2 tokens.
    """
    inputs, words, x = _embedded(options, data)
    for number in range(options.layers):
        x = AtWords(name=f"at_words_{number}")(x, words)
        x = layers.Conv1D(
            options.filters,
            options.kernel,
            padding="same",
            kernel_initializer="he_normal",
            name=f"conv_{number}",
        )(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    x = AtWords(name=f"at_words_{options.layers}")(x, words)
    x = layers.GlobalMaxPooling1D(name="strongest")(x)
    return _classifier(inputs, x, options, data)


def _embedded(options: TextModel | TextConvModel, data: Data):
    """Return the input, the ids of the words that the network knows, and their embeddings."""
    if options.tokens < 2:
        raise InputError(f"model.tokens must be at least 2, not {options.tokens}")
    vocabulary = min(options.vocabulary, len(data.vocabulary))
    inputs = keras.Input((options.tokens,), dtype="int32", name="token_ids")
    known = KnownWords(vocabulary, options.truncate, options.pad, name="known_words")
    words = known(inputs)
    return inputs, words, layers.Embedding(vocabulary + 1, options.width, name="words")(words)


def _classifier(inputs, x, options: TextModel | TextConvModel, data: Data) -> keras.Model:
    logits = layers.Dense(len(data.schema.label_names), name="logits")(x)
    return keras.Model(inputs, logits, name=options.family)
