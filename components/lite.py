"""TFLite (LiteRT) models: conversion of a network, and the interpreter that runs the result.

A folder that ships holds ``model.tflite``; for texts also ``vocabulary.txt`` and ``reading.json``,
which say how a text becomes the token ids that the model takes. `LiteModel.load` and what it
returns need no TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from components.artifact import LITE_FILE
from schemas.errors import FailedError, InputError
from schemas.report import Latency
from schemas.text import BREAK_PATTERN, OOV_ID, PADDING_ID, SEPARATOR_PATTERN
from schemas.tokens import token_ids, vocabulary_ids

if TYPE_CHECKING:
    import keras

VOCABULARY_FILE = "vocabulary.txt"
READING_FILE = "reading.json"
_BATCH = 64
_WARM_UP = 5
_RUNS = {1: 200, 32: 40}
_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the answers of two forms of one network agree.

    Attributes:
        examples: Number of examples asked.
        same_class: Share of them with the same most probable class.
        largest: Largest difference of a logit.
        mean: Mean absolute difference of the logits.
    """

    examples: int
    same_class: float
    largest: float
    mean: float


def convert(
    model: keras.Model,
    method: str,
    *,
    calibration: NDArray[Any] | None = None,
    sparse: bool = False,
) -> bytes:
    """Return the network as a TFLite model; the same network gives the same bytes.

    The model takes the network's inputs, a batch of 1 unless it is resized, and answers float32.

    Args:
        model: A network of one input and one output.
        method: ``float32``, ``float16`` (weights), ``dynamic`` (weights in int8, sums in int32,
            activations quantised as they come) or ``int8`` (activations too, with ranges seen in
            the calibration; only integer kernels where TFLite has them, see
            `components.lite_input`).
        calibration: For ``int8``: inputs of the network, one row per example.
        sparse: Encode weights that are mostly zero as such (the interpreter runs float ones only).
            A file of dense weights stays as it is.

    Raises:
        FailedError: TFLite has no form of an operation of the network.
    """
    import tensorflow as tf

    # running a model needs neither Keras nor what these import
    from components.lite_input import levels_of, with_integer_scaling

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"conversion takes a network of one input and one output, not of {len(model.inputs)} "
            f"and {len(model.outputs)}: split {model.name!r}"
        )
    scaled = with_integer_scaling(model) if method == "int8" else None
    converter = tf.lite.TFLiteConverter.from_keras_model(scaled or model)
    optimizations = [] if method == "float32" else [tf.lite.Optimize.DEFAULT]
    if sparse:
        optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
    converter.optimizations = optimizations
    if method == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if method == "int8":
        if calibration is None or not len(calibration):
            raise InputError("int8 needs inputs to calibrate with; received none")
        rows = calibration
        if scaled:
            rows = levels_of(calibration)
            converter.inference_input_type = tf.uint8
        converter.representative_dataset = lambda: ([row[None]] for row in rows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras announces what it exports
            content: bytes = converter.convert()
    except Exception as error:  # the converter raises many kinds
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise FailedError(
            f"network {model.name!r} cannot become a TFLite model ({method}): {reason}"
        ) from error
    if scaled:
        read = Interpreter(model_content=content).get_input_details()[0]["quantization"]
        if tuple(read) != (1.0, 0):
            raise FailedError(
                f"an int8 model must read levels as they are, (1.0, 0), but reads {read}"
            )
    return content


class LiteModel:
    """A TFLite model in the interpreter.

    Args:
        content: The file's bytes.
        reading: For texts, what ``reading.json`` holds.
        vocabulary: For texts, the lines of ``vocabulary.txt``.
        threads: Threads of the interpreter.

    Raises:
        InputError: the bytes are no TFLite model of one input and one output.
    """

    def __init__(
        self,
        content: bytes,
        *,
        reading: dict[str, Any] | None = None,
        vocabulary: Sequence[str] = (),
        threads: int = 1,
    ) -> None:
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"the interpreter does not take this TFLite model: {error}") from error
        inputs, outputs = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        if len(inputs) != 1 or len(outputs) != 1:
            raise InputError(
                f"a model of one input and one output is expected, not of {len(inputs)} and "
                f"{len(outputs)}"
            )
        self._input, self._output = inputs[0], outputs[0]
        self._rows: int | None = None
        self._reading = reading
        self._words = vocabulary_ids(vocabulary) if reading else {}
        self.bytes = len(content)

    @classmethod
    def load(cls, folder: str | Path, *, threads: int = 1) -> LiteModel:
        """Read a folder that ships.

        Raises:
            InputError: a file is missing or damaged.
        """
        folder = Path(folder)
        try:
            content = (folder / LITE_FILE).read_bytes()
            if not (folder / READING_FILE).exists():
                return cls(content, threads=threads)
            reading = json.loads((folder / READING_FILE).read_text("utf-8"))
            lines = (folder / VOCABULARY_FILE).read_text("utf-8").rstrip("\n").split("\n")
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: cannot be read as a TFLite model: {error}") from error
        return cls(content, reading=reading, vocabulary=lines, threads=threads)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(int(size) for size in self._input["shape"][1:])

    @property
    def input_dtype(self) -> np.dtype:
        """Type of what it takes."""
        return np.dtype(self._input["dtype"])

    @property
    def classes(self) -> int:
        """Number of logits."""
        return int(self._output["shape"][-1])

    def logits(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return logits ``float32[N, classes]`` of inputs ``[N, ...]``; N may be 0.

        Raises:
            InputError: the inputs have another shape or type than the model takes.
        """
        inputs = np.asarray(inputs)
        if inputs.shape[1:] != self.input_shape or inputs.dtype != self.input_dtype:
            raise InputError(
                f"the model takes {self.input_dtype}{[None, *self.input_shape]}, not "
                f"{inputs.dtype}{list(inputs.shape)}"
            )
        answers = np.empty((len(inputs), self.classes), np.float32)
        for start in range(0, len(inputs), _BATCH):
            rows = inputs[start : start + _BATCH]
            self._resize(len(rows))
            self._interpreter.set_tensor(self._input["index"], rows)
            self._interpreter.invoke()
            answers[start : start + _BATCH] = self._interpreter.get_tensor(self._output["index"])
        return answers

    def ids(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return the token ids ``int32[N, tokens]`` of texts, by the rule that ships.

        Raises:
            InputError: the model takes no texts.
        """
        if self._reading is None:
            raise InputError(
                f"a model that takes texts ships with {READING_FILE}; this one has none"
            )
        settings = {name: self._reading[name] for name in ("truncate", "pad")}
        length = self._reading["tokens"]
        rows = [token_ids(text, self._words, length=length, **settings) for text in texts]
        return np.array(rows, np.int32).reshape(len(texts), length)

    def latency(self, batch: int, *, runs: int | None = None) -> Latency:
        """Time passes over a batch of arbitrary inputs; the first ones do not count.

        Args:
            batch: Examples of the batch.
            runs: Passes to time; by default a number that takes 2 seconds at most.
        """
        self._resize(batch)
        shape, generator = (batch, *self.input_shape), np.random.default_rng(0)
        if self.input_dtype == np.uint8:
            rows = generator.integers(0, 256, shape).astype(np.uint8)
        elif np.issubdtype(self.input_dtype, np.integer):
            rows = generator.integers(0, 2, shape).astype(self.input_dtype)
        else:
            rows = generator.standard_normal(shape).astype(self.input_dtype)
        self._interpreter.set_tensor(self._input["index"], rows)
        seconds = [self._timed() for _ in range(_WARM_UP)]
        affordable = int(_SECONDS / max(np.median(seconds), 1e-6))
        runs = runs or min(_RUNS.get(batch, min(_RUNS.values())), max(_WARM_UP, affordable))
        seconds = [self._timed() for _ in range(runs)]
        median, p95 = 1e3 * np.percentile(seconds, [50, 95])
        return Latency(
            batch=batch, median_ms=round(float(median), 5), p95_ms=round(float(p95), 5), runs=runs
        )

    def _timed(self) -> float:
        started = time.perf_counter()
        self._interpreter.invoke()
        return time.perf_counter() - started

    def _resize(self, rows: int) -> None:
        if rows == self._rows:
            return
        try:
            self._interpreter.resize_tensor_input(self._input["index"], [rows, *self.input_shape])
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise FailedError(
                f"the interpreter cannot run this TFLite model on a batch of {rows}: {error}"
            ) from error
        self._rows = rows


def agreement(expected: NDArray[Any], answered: NDArray[Any]) -> Agreement:
    """Compare two arrays of logits ``[N, classes]`` for the same examples, at least one.

    Raises:
        FailedError: a logit is not a number.
    """
    if not np.isfinite(answered).all():
        raise FailedError("the converted model answers with values that are not numbers")
    differences = np.abs(expected - answered)
    return Agreement(
        examples=len(expected),
        same_class=float((expected.argmax(1) == answered.argmax(1)).mean()),
        largest=float(differences.max()),
        mean=float(differences.mean()),
    )


def reading_json(*, tokens: int, truncate: str, pad: str) -> str:
    """Return ``reading.json``: all it takes to turn a text into token ids, in any language."""
    rule = {
        "break_pattern": BREAK_PATTERN,
        "lower": "ascii",
        "separator_pattern": SEPARATOR_PATTERN,
        "tokens": tokens,
        "truncate": truncate,
        "pad": pad,
        "padding_id": PADDING_ID,
        "oov_id": OOV_ID,
        "first_line_id": OOV_ID,
    }
    return json.dumps(rule, separators=(",", ":"), sort_keys=True) + "\n"
