"""The process of the infra check: ``python -m components.infra.process FOLDER``.

It loads what ships, answers, takes the time and weighs itself. A TFLite model is asked without
TensorFlow, as it is where it ships to.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.infra.exchange import Asked, Told
from components.infra.memory import Unmeasured, resident, start_peak
from components.shipped import Shipped, open_shipped

WARM_UP = 5
SINGLY = 8

Inputs = Callable[[int, int], Any]


def main(folder: Path) -> None:
    """Do what the folder asks for, and write there what was found."""
    asked = Asked.read(folder)
    load_runtime(asked.artifact)
    inputs = _inputs(asked)
    unmeasured: list[str] = []
    before = start = None
    try:
        before = resident()
        start = start_peak()
    except Unmeasured as error:
        unmeasured.append(f"memory_bytes: {error}")
    started = time.perf_counter()
    shipped = open_shipped(asked.folder, artifact=asked.artifact, schema=asked.schema)
    load_seconds = time.perf_counter() - started
    count = len(asked.requests)
    singly = [shipped.answer(inputs(i, i + 1)) for i in range(min(count, SINGLY))]
    latency = _latency(shipped, inputs, count, asked.timed)
    batch = shipped.answer(inputs(0, count))
    figures: dict[str, Any] = {"load_seconds": load_seconds, "latency_ms": latency}
    try:
        after = resident()
        if start is not None:
            figures["memory_bytes"] = after.peak - start.now
        figures["process_bytes"] = max(after.peak, before.peak if before else 0)
    except Unmeasured as error:
        unmeasured.append(f"process_bytes: {error}")
    figures["unmeasured"] = unmeasured
    Told(batch=batch, singly=np.concatenate(singly), figures=figures).write(folder)


def load_runtime(artifact: str) -> None:
    """Import what runs the model, set to one thread, so that its memory is not the model's."""
    if artifact == "tflite":
        import components.lite  # noqa: F401

        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.constant(0)  # the first value is what starts the runtime


def _inputs(asked: Asked) -> Inputs:
    """Return what gives the model's inputs of the requests from one to another."""
    requests = asked.requests
    if asked.artifact == "saved_model":
        return lambda start, stop: requests[start:stop]
    if asked.schema.image_shape is None:
        texts = [one.decode() for one in requests]
        return lambda start, stop: texts[start:stop]
    shape = (len(requests), *asked.schema.image_shape)
    images: NDArray[np.uint8] = np.frombuffer(b"".join(requests), np.uint8).reshape(shape)
    return lambda start, stop: images[start:stop]


def _latency(shipped: Shipped, inputs: Inputs, count: int, timed: int) -> list[float]:
    """Return the milliseconds of every single request after the warm-up."""
    found = []
    for i in range(WARM_UP + timed):
        one = inputs(i % count, i % count + 1)
        started = time.perf_counter()
        shipped.answer(one)
        found.append(round(1e3 * (time.perf_counter() - started), 6))
    return found[WARM_UP:]


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: its end of the pipe closes."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing is ever written to it
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _run(arguments: Sequence[str]) -> int:
    _end_with_parent()
    try:
        main(Path(arguments[0]))
    except Exception as error:  # the last line is what the check tells people
        said = " ".join(str(error).split()) or type(error).__name__
        print(said, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
