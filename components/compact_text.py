"""The compact stage: words and pairs are chosen by what an n-gram model makes of them, and taught.

The student learns from the stored out-of-fold answers of the `components.ngrams` teacher. What it
knows is chosen by a further model of the same kind, of all the texts that the teacher answered for.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from components.distill import lesson
from components.models.compact import Chosen, build
from components.ngrams import NgramModel
from components.signal_store import shards_to_score
from components.text_teacher import read_texts
from components.train import Context, Loss, fit
from schemas.errors import InputError
from schemas.stages import CompactConfig
from schemas.teaching import NgramConfig
from schemas.text import OOV, tokens
from schemas.validation import validated


def run(context: Context, config: CompactConfig) -> keras.Model:
    """Choose words and pairs, and train the network of them on the teacher's stored answers.

    Raises:
        InputError: the teacher is no ``ngrams`` stage, it counted single words alone where pairs
            are wanted, or the dataset has more than 2 classes.
    """
    data = context.data
    counting = _counting(context)
    if counting.ngrams < 2 and config.slots:
        raise InputError(
            "pairs are chosen among those that the teacher counts, but its ngrams is 1: set that "
            "to 2, or slots: 0",
            path=("slots",),
        )
    train = read_texts(data, shards_to_score(data, counting.copies))
    classes = len(data.schema.label_names)
    judge = NgramModel(train.texts, train.labels, classes, counting)
    chosen = choose(
        train.texts, judge, words=config.words, pairs=config.pairs if config.slots else 0
    )
    model = build(
        chosen,
        classes=classes,
        slots=config.slots,
        length=config.tokens,
        truncate=config.truncate,
        decay=config.penalty,
    )
    pairs = model.get_layer("checked_pairs").filled() if config.slots else 0
    context.notes.update(words=len(chosen.words), pairs=pairs, slots=config.slots)
    context.progress(f"chose {len(chosen.words):,} words, and {pairs:,} pairs of them")
    learning = lesson(model, context, config)
    fit(model, context, config, **learning | {"loss": _penalized(learning["loss"], model)})
    return model


def choose(texts: Sequence[str], model: NgramModel, *, words: int, pairs: int) -> Chosen:
    """Choose by weight times the square root of the number of documents, as the model weighs them.

    Args:
        texts: Training documents.
        model: An n-gram model of them, of one and two words.
        words: Words to choose.
        pairs: Pairs whose words are known as well, whatever these weigh alone.
    """
    held: Counter[str] = Counter()
    for text in texts:
        found = tokens(text)
        held.update(set(found))
        held.update({f"{one} {two}" for one, two in zip(found[:-1], found[1:], strict=True)})
    weights = model.importance()
    ranked = sorted(weights, key=lambda one: (-weights[one] * held[one] ** 0.5, one))
    singles = [one for one in ranked if " " not in one]
    doubles = [tuple(one.split(" ")) for one in ranked if one.count(" ") == 1]
    known = dict.fromkeys(singles[:words])
    for pair in doubles[:pairs]:
        known.update(dict.fromkeys(pair))
    possible = (pair for pair in doubles if pair[0] in known and pair[1] in known)
    return Chosen((OOV, *known), tuple(possible))


def _counting(context: Context) -> NgramConfig:
    """Return how the teacher counted n-grams.

    Raises:
        InputError: it is no ``ngrams`` stage.
    """
    report = context.signals and Path(context.signals.folder) / "stage.json"
    told = json.loads(report.read_text("utf-8")) if report and report.is_file() else {}
    if told.get("kind") != "ngrams":
        raise InputError(
            "a compact stage learns from an ngrams stage, by which it chooses its words, and takes "
            "no other teacher: add one, and name it as teacher"
        )
    return validated(NgramConfig, told["config"])


def _penalized(loss: Loss, model: keras.Model) -> Loss:
    """Add the network's own penalty to the loss of every example."""
    return lambda *given: loss(*given) + tf.add_n(model.losses)
