"""What ships: a SavedModel that parses examples, prepares inputs and answers, in one graph."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, batches, inputs_of, records
from components.tokens import Reading, vocabulary_table
from schemas.errors import FailedError

TOLERANCE = 1e-5

Answer = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A further form of a network, served by the same SavedModel from the same weights.

    Attributes:
        answer: Gives logits ``float32[N, classes]`` of the network's inputs.
        variables: What it reads beside the network's own variables.
        network: A network of its own that answers alike.
    """

    answer: Answer
    variables: tuple[keras.Variable, ...]
    network: keras.Model


def export(
    model: keras.Model,
    data: Data,
    folder: str | Path,
    served: Mapping[str, Served] | None = None,
) -> None:
    """Write the SavedModel of ``model`` for this dataset's examples into ``folder``.

    Signatures, both answering ``probabilities`` and ``logits`` (``float32[N, classes]``):
    ``serving_default`` takes ``examples: string[N]`` (serialized tf.train.Example as stored);
    ``raw`` takes ``images: uint8[N, H, W, C]`` or ``texts: string[N]`` (UTF-8). N may be 0.
    Each ``NAME`` of ``served`` adds the signatures ``NAME`` and ``NAME_raw`` of the same kinds.
    """
    with tempfile.TemporaryDirectory() as temporary:
        _export(model, data, Path(folder), Path(temporary), served or {})


def _export(
    model: keras.Model,
    data: Data,
    folder: Path,
    temporary: Path,
    served: Mapping[str, Served],
) -> None:
    schema = data.schema
    # Weights alone: tracking the Keras object would save each layer's own functions as well.
    module = tf.Module()
    module.weights = [weight.value for weight in model.variables]
    module.served = [[one.value for one in each.variables] for each in served.values()]
    if schema.modality == "text":
        reading = Reading.of(model)
        path = temporary / "vocabulary.txt"
        path.write_text(shipped_vocabulary(reading, data), encoding="utf-8")
        module.table = vocabulary_table(path)
        raw = tf.TensorSpec([None], tf.string, name="texts")
    else:
        raw = tf.TensorSpec([None, *schema.image_shape], tf.uint8, name="images")

    def signatures(form: Answer):
        def answer(inputs):
            if schema.modality == "text":
                inputs = reading.ids(inputs, module.table)
            logits = _answered(form, inputs)
            return {"probabilities": tf.nn.softmax(logits), "logits": logits}

        answer_raw = tf.function(answer, input_signature=[raw])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def answer_examples(examples):
            return answer_raw(inputs_of(examples, schema))

        return answer_examples, answer_raw

    found = {}
    found["serving_default"], found["raw"] = signatures(lambda one: model(one, training=False))
    for name, each in served.items():
        found[name], found[f"{name}_raw"] = signatures(each.answer)
    tf.saved_model.save(
        module,
        str(folder),
        signatures=found,
        options=tf.saved_model.SaveOptions(experimental_debug_stripper=True),
    )


def _answered(form: Answer, inputs: tf.Tensor) -> tf.Tensor:
    """Return logits ``float32[N, classes]`` of any number of inputs, none included.

    TensorFlow's fused convolutions fail on an empty batch: it gets one row of zeros meanwhile.
    """
    rows = tf.shape(inputs)[0]
    added = tf.cast(rows == 0, tf.int32)
    filled = tf.pad(inputs, [[0, added]] + [[0, 0]] * (len(inputs.shape) - 1))
    return form(filled)[:rows]


def check_export(
    model: keras.Model,
    data: Data,
    folder: str | Path,
    served: Mapping[str, Served] | None = None,
    *,
    examples: int = 64,
) -> None:
    """Compare every signature of the written SavedModel with its network on stored examples.

    Raises:
        FailedError: an answer differs by more than `TOLERANCE`.
    """
    signatures = tf.saved_model.load(str(folder)).signatures
    inputs, _ = next(iter(batches(data, "eval", model, batch_size=examples)))
    serialized = next(iter(records(data, "eval", 0).batch(examples)))
    values = inputs_of(serialized, data.schema)
    networks = {"": model} | {name: one.network for name, one in (served or {}).items()}
    for name, network in networks.items():
        expected = network(inputs, training=False).numpy()
        limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        for signature, given in (
            (name or "serving_default", serialized),
            (f"{name}_raw" if name else "raw", values),
        ):
            answers = signatures[signature](given)["logits"].numpy()
            difference = float(np.abs(expected - answers).max())
            if not difference <= limit:
                raise FailedError(
                    f"the exported model must answer like the trained one within {limit:g}, but "
                    f"{signature} differs by {difference:g}: {folder} is not fit to serve"
                )


def shipped_vocabulary(reading: Reading, data: Data) -> str:
    """Return the vocabulary file that ships: the lines that the network knows, no unused word."""
    return "\n".join(reading.lines(data.vocabulary)) + "\n"
