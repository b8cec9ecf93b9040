"""Vocabulary pruning: words that decide little leave a text network, its embedding and its file.

A word's score is its contribution times the square root of its frequency. The contribution is
measured: how far the logits of a text of that word alone lie from those of a text of one
out-of-vocabulary word, which is what it would be read as (L2, after each row's mean is taken off,
which softmax does not see). The frequency counts it in the training originals as they are read.
"""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from components.data import batches
from components.distill import fit_with_teacher
from components.evaluate import evaluate
from components.models.compact import CheckedPairs, ScaledSum
from components.models.text import AtWords, MeanOfWords
from components.tokens import KnownWords, Reading
from components.train import Context
from schemas.errors import FailedError, InputError
from schemas.pruning import VocabularyConfig
from schemas.text import OOV_ID, PADDING_ID

TOLERANCE = 1e-5
_BATCH = 512
_CHECKED = 64


def run(context: Context, config: VocabularyConfig) -> keras.Model:
    """Return the base with the best ``words`` lines of its vocabulary, trained further.

    Raises:
        InputError: the network reads no words that can be pruned, or knows no more than that.
        FailedError: it does not answer like the base with the other words unknown.
    """
    base, data = context.base, context.data
    before = _known(base).vocabulary
    counted = frequencies(base, (rows for rows, _ in batches(data, "train", base)))
    kept = best_words(contributions(base), counted, config.words)
    small = keep_words(base, kept, Reading.of(base).lines(data.vocabulary))
    accuracies = [evaluate(one, data).accuracy for one in (base, small)]
    seen = counted[OOV_ID + 1 :].sum()
    covered = counted[kept[kept > OOV_ID]].sum() / seen if seen else 0.0
    context.notes.update(
        words_before=before,
        words_after=len(kept),
        occurrences_kept=float(covered),
        parameters_before=base.count_params(),
        parameters_after=small.count_params(),
        accuracy_before=accuracies[0],
        accuracy_cut=accuracies[1],
    )
    context.progress(
        f"kept {len(kept):,} of {before:,} words and {covered:.1%} of their occurrences, "
        f"accuracy on eval {accuracies[0]:.4f} -> {accuracies[1]:.4f} before training"
    )
    fit_with_teacher(small, context, config)
    return small


def contributions(model: keras.Model) -> NDArray[np.float64]:
    """Return what each id moves the logits, ``float64[vocabulary + 1]``; see the module."""
    known = _known(model)
    rows = np.full((known.vocabulary + 1, model.input_shape[1]), PADDING_ID, np.int32)
    rows[:, 0 if known.pad == "right" else -1] = np.arange(len(rows))
    answers = model.predict(rows, batch_size=_BATCH, verbose=0).astype(np.float64)
    moved = answers - answers[OOV_ID]
    return np.linalg.norm(moved - moved.mean(axis=1, keepdims=True), axis=1)


def frequencies(model: keras.Model, inputs: Iterable) -> NDArray[np.int64]:
    """Count each id in batches of token ids ``int32[n, tokens]``: ``int64[vocabulary + 1]``."""
    known = _known(model).vocabulary
    counts = np.zeros(known + 1, np.int64)
    for batch in inputs:
        ids = np.asarray(batch).ravel()
        counts += np.bincount(np.where(ids > known, OOV_ID, ids), minlength=known + 1)
    return counts


def best_words(
    contribution: NDArray[np.float64], frequency: NDArray[np.int64], words: int
) -> NDArray[np.int64]:
    """Return the ids of highest contribution times root of frequency, ascending: ``int64[words]``.

    The out-of-vocabulary id is always one of them; of equals the earlier line stays.

    Raises:
        InputError: there are not more than ``words`` lines, so nothing could leave.
    """
    if not 2 <= words < len(contribution) - 1:
        raise InputError(
            f"words must be at least 2 and below the {len(contribution) - 1:,} lines that the "
            f"network knows, not {words:,}",
            path=("words",),
        )
    scores = contribution * np.sqrt(frequency)
    best = np.argsort(-scores[OOV_ID + 1 :], kind="stable")[: words - 1] + OOV_ID + 1
    return np.concatenate([[OOV_ID], np.sort(best)])


def keep_words(model: keras.Model, kept: NDArray[np.int64], lines: Sequence[str]) -> keras.Model:
    """Return a network that knows the kept ids alone, numbered anew from `OOV_ID` in that order.

    Its `KnownWords` holds the words: reading, export and TFLite follow it, and what ships has a
    vocabulary file of these lines alone.

    Args:
        model: The network; it is not changed.
        kept: Ids to keep, ascending, the first `OOV_ID`.
        lines: The network's vocabulary (`Reading.lines`).

    Raises:
        InputError: the ids reach a layer that depends on the numbers of the words (hashed bigrams,
            checked pairs).
        FailedError: it answers otherwise than the network with the other words unknown.
    """
    known = _known(model)
    embeddings = _embeddings(model, known)
    config = model.get_config()
    for layer in config["layers"]:
        if layer["config"]["name"] == known.name:
            words = [lines[one - OOV_ID] for one in kept]
            layer["config"].update(vocabulary=len(words), words=words)
        if layer["config"]["name"] in embeddings:
            layer["config"]["input_dim"] = len(kept) + 1
    small = type(model).from_config(config)
    rows = np.concatenate([[PADDING_ID], kept])
    for layer in small.layers:
        weights = model.get_layer(layer.name).get_weights()
        if layer.name in embeddings:
            weights = [weights[0][rows]]
        layer.set_weights(weights)
    _prove(model, small, rows)
    return small


def _prove(model: keras.Model, small: keras.Model, rows: NDArray[np.int64]) -> None:
    """Compare both on random ids: those that left are unknown words to the larger one."""
    generator = np.random.default_rng(0)
    ids = generator.integers(0, len(rows), (_CHECKED, model.input_shape[1])).astype(np.int32)
    expected = model(rows[ids].astype(np.int32), training=False).numpy()
    difference = float(np.abs(expected - small(ids, training=False).numpy()).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise FailedError(
            f"a network with fewer words must answer alike within {TOLERANCE:g}, but differs by "
            f"{difference:g}: its vocabulary cannot be pruned"
        )


def _known(model: keras.Model) -> KnownWords:
    for layer in model.layers:
        if isinstance(layer, KnownWords):
            return layer
    raise InputError(
        f"network {model.name!r} reads no words: vocabulary pruning takes a text network of this "
        "project"
    )


def _embeddings(model: keras.Model, known: KnownWords) -> set[str]:
    """Return the embedding layers that the ids reach."""
    found = set()
    for layer in model.layers:
        if not any(one is known.output for one in keras.tree.flatten(layer.input)):
            continue
        if isinstance(layer, keras.layers.Embedding):
            found.add(layer.name)
        elif isinstance(layer, CheckedPairs):
            raise InputError(
                f"layer {layer.name!r} depends on the numbers of the words, which would change: a "
                "compact stage chooses its words itself, set words there"
            )
        elif not isinstance(layer, AtWords | MeanOfWords | ScaledSum):
            raise InputError(
                f"layer {layer.name!r} depends on the numbers of the words, which would change: "
                "train without it (bigrams: 0) before pruning the vocabulary"
            )
    return found
