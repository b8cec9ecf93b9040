"""What ships: a SavedModel that parses examples, prepares inputs and answers, in one graph."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.data import Data, batches, inputs_of, records
from components.tokens import Reading, vocabulary_table
from schemas.errors import FailedError

TOLERANCE = 1e-5


def export(model: keras.Model, data: Data, folder: str | Path) -> None:
    """Write the SavedModel of ``model`` for this dataset's examples into ``folder``.

    Signatures, both answering ``probabilities`` and ``logits`` (``float32[N, classes]``):
    ``serving_default`` takes ``examples: string[N]`` (serialized tf.train.Example as stored);
    ``raw`` takes ``images: uint8[N, H, W, C]`` or ``texts: string[N]`` (UTF-8). N may be 0.
    """
    with tempfile.TemporaryDirectory() as temporary:
        _export(model, data, Path(folder), Path(temporary))


def _export(model: keras.Model, data: Data, folder: Path, temporary: Path) -> None:
    schema = data.schema
    # Weights alone: tracking the Keras object would save each layer's own functions as well.
    module = tf.Module()
    module.weights = [weight.value for weight in model.variables]
    if schema.modality == "text":
        reading = Reading.of(model)
        path = temporary / "vocabulary.txt"
        path.write_text(shipped_vocabulary(reading, data), encoding="utf-8")
        module.table = vocabulary_table(path)
        raw = tf.TensorSpec([None], tf.string, name="texts")
    else:
        raw = tf.TensorSpec([None, *schema.image_shape], tf.uint8, name="images")

    def answer(inputs):
        if schema.modality == "text":
            inputs = reading.ids(inputs, module.table)
        logits = _answered(model, inputs)
        return {"probabilities": tf.nn.softmax(logits), "logits": logits}

    answer_raw = tf.function(answer, input_signature=[raw])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def answer_examples(examples):
        return answer_raw(inputs_of(examples, schema))

    tf.saved_model.save(
        module,
        str(folder),
        signatures={"serving_default": answer_examples, "raw": answer_raw},
        options=tf.saved_model.SaveOptions(experimental_debug_stripper=True),
    )


def _answered(model: keras.Model, inputs: tf.Tensor) -> tf.Tensor:
    """Return logits ``float32[N, classes]`` of any number of inputs, none included.

    TensorFlow's fused convolutions fail on an empty batch: it gets one row of zeros meanwhile.
    """
    rows = tf.shape(inputs)[0]
    added = tf.cast(rows == 0, tf.int32)
    filled = tf.pad(inputs, [[0, added]] + [[0, 0]] * (len(inputs.shape) - 1))
    return model(filled, training=False)[:rows]


def check_export(model: keras.Model, data: Data, folder: str | Path, *, examples: int = 64) -> None:
    """Compare the written SavedModel with the network on stored evaluation examples.

    Raises:
        FailedError: an answer differs by more than `TOLERANCE`.
    """
    serving = tf.saved_model.load(str(folder)).signatures["serving_default"]
    inputs, _ = next(iter(batches(data, "eval", model, batch_size=examples)))
    expected = model(inputs, training=False).numpy()
    serialized = next(iter(records(data, "eval", 0).batch(examples)))
    served = serving(examples=serialized)["logits"].numpy()
    difference = float(np.abs(expected - served).max())
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= limit:
        raise FailedError(
            f"the exported model must answer like the trained one within {limit:g}, but differs "
            f"by {difference:g}: {folder} is not fit to serve"
        )


def shipped_vocabulary(reading: Reading, data: Data) -> str:
    """Return the vocabulary file that ships: the lines that the network knows, no unused word."""
    lines = data.vocabulary[: reading.vocabulary]
    if reading.kept is not None:
        lines = tuple(data.vocabulary[line - 1] for line in reading.kept)
    return "\n".join(lines) + "\n"
