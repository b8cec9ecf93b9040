"""The network that a fine-tuning starts from when it is no earlier stage of the recipe."""

import json
from pathlib import Path
from typing import Any

import keras
from keras import layers

from components.artifact import LITE_FOLDER, SERVING_FOLDER
from components.data import Data
from components.models import applications
from components.sources import Sources, network_file
from components.tokens import KnownWords, Reading
from components.transfer import load_trained
from schemas.errors import InputError
from schemas.stages import FinetuneConfig

_VOCABULARIES = (f"{SERVING_FOLDER}/assets/vocabulary.txt", f"{LITE_FOLDER}/vocabulary.txt")


def open_start(
    config: FinetuneConfig, sources: Sources, data: Data, notes: dict[str, Any]
) -> keras.Model:
    """Return the network that ``from`` names, fit for the dataset's examples.

    Args:
        config: Settings with a ``start``.
        sources: What `components.sources.sources_of` says of them.
        data: The dataset that will be trained on.
        notes: Is told what was done to a text network's words.

    Raises:
        InputError: the network cannot be loaded, or does not take these examples; with a kept
            head also where it does not answer for these classes.
    """
    if config.application is not None:
        return applications.build(
            config.application, data, weights=config.weights, size=config.size
        )
    folder = Path(sources["from"]["path"])
    model = load_trained(network_file(folder, config.width))
    _check_inputs(model, data, folder)
    if config.head == "keep":
        _check_answers(model, data, folder)
    if data.schema.modality == "text" and Reading.of(model).words is None:
        notes.update(keep_words(model, _words_of(folder), data))
    return model


def keep_words(model: keras.Model, words: list[str], data: Data) -> dict[str, int]:
    """Let a text network read on by its own vocabulary where the dataset has another.

    Its ids are lines of that vocabulary: by other lines every word would mean another. A word that
    it does not know stays ``<OOV>``.

    Args:
        model: The network; changed in place.
        words: The lines of its own vocabulary.
        data: The dataset.

    Returns:
        Counts for the report; empty where both vocabularies are the same.
    """
    lines = Reading.of(model).lines(data.vocabulary)
    if lines == tuple(words):
        return {}
    for layer in model.layers:
        if isinstance(layer, KnownWords):
            layer.words = tuple(words)
    return {"own_words": len(words), "own_words_in_dataset": len({*words} & {*lines})}


def _words_of(folder: Path) -> list[str]:
    """Return the vocabulary that ships with a model directory.

    Raises:
        InputError: there is none.
    """
    for name in _VOCABULARIES:
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8").splitlines()
    raise InputError(
        f"{folder}: a text network needs the vocabulary that ships with it: name a model "
        f"directory, which holds {' or '.join(_VOCABULARIES)}",
        path=("from",),
    )


def _check_inputs(model: keras.Model, data: Data, start: Path) -> None:
    schema = data.schema
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) != 1:
        problem = f"it has {len(model.inputs)} inputs, not one"
    elif schema.modality == "text":
        reads = any(isinstance(one, KnownWords) for one in model.layers)
        problem = "" if reads else "it is no text network of ours, which turns words into ids"
    else:
        wanted = tuple(schema.image_shape)
        fits = len(shape) == 3 and all(a in (None, b) for a, b in zip(shape, wanted, strict=True))
        problem = "" if fits else f"it takes {shape}, not images {wanted}: see image.size"
    if problem:
        raise InputError(
            f"{start}: the network does not fit the dataset: {problem}", path=("from",)
        )


def _check_answers(model: keras.Model, data: Data, start: Path) -> None:
    names = data.schema.label_names
    report = start / "stage.json"
    known = names
    if report.is_file():
        known = tuple(json.loads(report.read_text("utf-8"))["schema"]["label_names"])
    last = model.layers[-1]
    softened = isinstance(last, layers.Softmax) or getattr(last, "activation", None) in (
        keras.activations.softmax,
        keras.activations.sigmoid,
    )
    if model.output_shape[-1] != len(names) or known != names:
        problem = (
            f"answers for {model.output_shape[-1]} classes ({', '.join(known)}), not for these "
            f"{len(names)} ({', '.join(names)})"
            if known != names
            else f"has {model.output_shape[-1]} outputs, not {len(names)}"
        )
    elif softened:
        problem = "answers with probabilities, where training needs logits"
    else:
        return
    raise InputError(f"{start}: the network {problem}: set head: new", path=("head",))
