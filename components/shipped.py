"""What ships, answering stored examples: the SavedModel or the TFLite model, behind one function.

Whoever scores what is pushed asks here, so that every figure is one of the same answers. Loads
TensorFlow only where a SavedModel answers or examples are parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.artifact import MARKS
from schemas.errors import InputError, unknown_name
from schemas.features import ExampleSchema

if TYPE_CHECKING:
    from components.lite import LiteModel

Artifact = Literal["saved_model", "tflite"]
SIGNATURE = "serving_default"
_BATCH = 512


class Incompatible(InputError):
    """A model that cannot answer these examples: its signature, its inputs or its classes differ.

    The message is one line.
    """


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A model as it ships.

    Attributes:
        folder: Where it was loaded from.
        classes: Number of classes that it tells apart.
        inputs_of: Turns serialized tf.train.Examples into what ``answer`` takes.
        answer: Gives probabilities ``float32[n, classes]`` of n inputs, all at once. A SavedModel
            takes the examples as they are; a TFLite model images ``uint8[n, H, W, C]`` or texts.
    """

    folder: Path
    classes: int
    inputs_of: Callable[[Sequence[bytes]], Any]
    answer: Callable[[Any], NDArray[np.float32]]

    def probabilities(self, records: Sequence[bytes]) -> NDArray[np.float32]:
        """Return the probabilities of the classes, ``float32[N, classes]``; N may be 0.

        Args:
            records: Serialized tf.train.Examples as the dataset stores them.

        Raises:
            Incompatible: the records hold something else than the model takes.
        """
        answers = np.empty((len(records), self.classes), np.float32)
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            answers[start : start + _BATCH] = self.answer(self.inputs_of(batch))
        return answers


def open_shipped(
    folder: str | Path, *, artifact: Artifact, schema: ExampleSchema, threads: int = 1
) -> Shipped:
    """Load a model from the folder that ships (`components.artifact.shipped_folder`).

    A version folder of a serving folder is one too; ``push.json`` in it is passed over.

    Args:
        folder: The folder.
        artifact: ``saved_model`` or ``tflite``.
        schema: What the examples to be answered hold.
        threads: Threads of the TFLite interpreter; TensorFlow's are set for the whole process.

    Raises:
        InputError: there is no such model, or it cannot be read.
        Incompatible: it is one of other examples or classes.
    """
    folder = Path(folder)
    if artifact not in MARKS:
        raise InputError(unknown_name("artifact", artifact, MARKS))
    if not (folder / MARKS[artifact]).is_file():
        raise InputError(
            f"a model that ships as {artifact} holds {MARKS[artifact]}; {folder} does not"
        )
    if artifact == "tflite":
        return _open_lite(folder, schema, threads)
    return _open_saved_model(folder, schema)


def decoded(records: Sequence[bytes], schema: ExampleSchema) -> NDArray[np.uint8] | list[str]:
    """Parse serialized Examples into images ``uint8[N, H, W, C]`` or N texts.

    Raises:
        Incompatible: they hold something else than ``schema`` says.
    """
    import tensorflow as tf

    from components.data import inputs_of

    try:
        values = inputs_of(tf.constant(list(records), tf.string), schema).numpy()
        texts = [one.decode() for one in values] if schema.modality == "text" else None
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        raise Incompatible(
            f"the records are no examples of {_described(schema)}: {_line(error)}"
        ) from error
    if len(values) != len(records):
        raise Incompatible(f"the records are no examples of {_described(schema)}")
    return values if texts is None else texts


def lite_probabilities(
    model: LiteModel, inputs: NDArray[np.uint8] | Sequence[str]
) -> NDArray[np.float32]:
    """Return what a TFLite model thinks of images ``uint8[N, H, W, C]`` or N texts.

    It answers with logits; they become probabilities ``float32[N, classes]`` in float64.
    """
    rows = inputs if isinstance(inputs, np.ndarray) else model.ids(inputs)
    logits = model.logits(rows).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def _open_lite(folder: Path, schema: ExampleSchema, threads: int) -> Shipped:
    from components.lite import LiteModel

    model = LiteModel.load(folder, threads=threads)
    _check_classes(folder, model.classes, schema)
    takes = f"{model.input_dtype}{[None, *model.input_shape]}"
    if schema.modality == "text":
        try:
            given = model.ids([]).shape[1:]
        except (InputError, KeyError) as error:
            raise Incompatible(
                f"{folder} takes {takes}, and does not say how it reads texts: {error}"
            ) from error
        dtype = np.int32
    else:
        given, dtype = schema.image_shape, np.uint8
    if (model.input_shape, model.input_dtype) != (given, dtype):
        raise Incompatible(f"{folder} takes {takes}, not {_described(schema)}")
    return Shipped(
        folder=folder,
        classes=model.classes,
        inputs_of=lambda records: decoded(records, schema),
        answer=lambda inputs: lite_probabilities(model, inputs),
    )


def _open_saved_model(folder: Path, schema: ExampleSchema) -> Shipped:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # damaged files raise many kinds
        raise InputError(f"{folder}: cannot be read as a SavedModel: {_line(error)}") from error
    signatures = getattr(loaded, "signatures", {})
    if SIGNATURE not in signatures:
        raise Incompatible(f"{folder} has no signature {SIGNATURE}, only {sorted(signatures)}")
    signature = signatures[SIGNATURE]
    _check_signature(folder, signature)
    if "raw" in signatures:
        _check_raw(folder, signatures["raw"], schema)
    (classes,) = signature.structured_outputs["probabilities"].shape[1:]
    _check_classes(folder, classes, schema)

    def answer(records: Sequence[bytes]) -> NDArray[np.float32]:
        try:
            found = loaded.signatures[SIGNATURE](examples=tf.constant(list(records), tf.string))
        except tf.errors.InvalidArgumentError as error:
            raise Incompatible(f"{folder} does not take these records: {_line(error)}") from error
        answers: NDArray[np.float32] = found["probabilities"].numpy()
        if answers.shape != (len(records), classes):
            raise Incompatible(
                f"{folder} answers {len(records)} records with {list(answers.shape)}: they are "
                "stored in another form than those that it was exported for"
            )
        return answers

    return Shipped(folder=folder, classes=classes, inputs_of=list, answer=answer)


def _check_signature(folder: Path, signature: Any) -> None:
    """Check for examples ``string[N]`` in, probabilities ``float32[N, classes]`` out."""
    _, inputs = signature.structured_input_signature
    outputs = signature.structured_outputs
    takes = {name: f"{one.dtype.name}{one.shape.as_list()}" for name, one in inputs.items()}
    if takes != {"examples": "string[None]"}:
        raise Incompatible(f"{folder}: {SIGNATURE} takes {takes}, not examples string[None]")
    found = outputs.get("probabilities")
    if found is None or found.shape.rank != 2 or found.dtype.name != "float32":
        gives = {name: f"{one.dtype.name}{one.shape}" for name, one in outputs.items()}
        raise Incompatible(
            f"{folder}: {SIGNATURE} gives {gives}, not probabilities float32[None, classes]"
        )


def _check_raw(folder: Path, signature: Any, schema: ExampleSchema) -> None:
    """Hold the signature of plain inputs against the schema: an image's shape stands there."""
    _, inputs = signature.structured_input_signature
    takes = {name: f"{one.dtype.name}{one.shape.as_list()}" for name, one in inputs.items()}
    wanted = {"texts": "string[None]"}
    if schema.image_shape is not None:
        wanted = {"images": f"uint8{[None, *schema.image_shape]}"}
    if takes != wanted:
        raise Incompatible(f"{folder} takes {takes}, not {_described(schema)}")


def _check_classes(folder: Path, classes: int | None, schema: ExampleSchema) -> None:
    wanted = len(schema.label_names)
    if classes != wanted:
        raise Incompatible(f"{folder} tells {classes} classes apart, the examples have {wanted}")


def _described(schema: ExampleSchema) -> str:
    if schema.image_shape is None:
        return "texts"
    return f"images uint8{[None, *schema.image_shape]} ({schema.encoding})"


def _line(error: BaseException) -> str:
    """Return what TensorFlow found, without the nodes and stack that it tells around it."""
    said = re.sub(r"\{\{.*?\}\} ", "", str(error).split("\n\t [[")[0]).strip().splitlines()
    if said and said[0].startswith("Graph execution error"):
        said = said[-1:]
    return said[0] if said else type(error).__name__
