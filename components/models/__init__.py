"""The networks a stage can build, one module per family of `schemas.stages.MODEL_FAMILIES`."""

import dataclasses
import hashlib
import json
from typing import Any

import keras

from components.data import Data
from components.models import image, text
from components.tokens import Reading
from schemas.canonical import digest
from schemas.errors import InputError
from schemas.fitting import ImageModel, ModelOptions, TextConvModel, TextModel


def build_model(options: ModelOptions, data: Data) -> keras.Model:
    """Build a fresh network for the dataset: its inputs in, logits ``float32[N, classes]`` out.

    Raises:
        InputError: the model family does not suit the dataset's modality.
    """
    if isinstance(options, ImageModel) and data.schema.modality == "image":
        return image.build(options, data)
    if isinstance(options, TextModel) and data.schema.modality == "text":
        return text.build(options, data)
    if isinstance(options, TextConvModel) and data.schema.modality == "text":
        return text.build_convolutions(options, data)
    raise InputError(
        f"the model family must suit the dataset's modality; {options.family} does not take "
        f"{data.schema.modality} examples: set refresh.model to the family for them"
    )


def input_record(model: keras.Model, data: Data) -> dict[str, Any] | None:
    """Return how a network prepares its inputs, for the record: all that serving it depends on.

    A network's own words are named by their digest.
    """
    if data.schema.modality == "text":
        told = dataclasses.asdict(Reading.of(model))
        return told | {"words": told["words"] and digest(list(told["words"]))}
    return image.preprocessing(model)


def model_digest(model: keras.Model) -> str:
    """Return the SHA-256 over architecture and weights, whatever file holds them."""
    hasher = hashlib.sha256(json.dumps(model.get_config(), sort_keys=True, default=str).encode())
    for value in model.get_weights():
        hasher.update(str((value.shape, value.dtype)).encode())
        hasher.update(value.tobytes())
    return hasher.hexdigest()
