"""Start the process of the infra check, wait for it, and hold its answers against the evaluation's.

The model is loaded in that process alone: whatever a damaged file does there, this one goes on.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.infra.environment import of_a_model
from components.infra.exchange import Asked, Told
from components.shipped import Artifact, decoded
from schemas.errors import GateRefusal, InputError
from schemas.features import ExampleSchema
from schemas.infra import InfraReport

_PROGRAM = "components.infra.process"
_STDERR = "stderr.txt"
_SURROUNDINGS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_NOISE = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")
_LONGEST = 500


def measure(
    folder: str | Path,
    *,
    artifact: Artifact,
    schema: ExampleSchema,
    records: Sequence[bytes],
    expected: NDArray[np.float32],
    timed: int = 200,
    limit_s: float = 300,
    workspace: Path | None = None,
) -> InfraReport:
    """Load what ships in a fresh process and ask it the golden requests.

    Nothing stays behind: the process ends with this call, by whatever way it is left.

    Args:
        folder: The folder that ships.
        artifact: ``saved_model`` or ``tflite``.
        schema: What the examples hold.
        records: Golden requests, at least one: serialized Examples as the dataset stores them.
        expected: What the evaluation got as their probabilities, ``float32[N, classes]``.
        timed: How many requests of one example to time.
        limit_s: Seconds that the process may take from its start to its end.
        workspace: Where requests and answers are exchanged meanwhile; the system's temporary folder
            by default.

    Raises:
        InputError: ``expected`` does not belong to ``records``.
        GateRefusal: the process cannot load the model, ends, is killed or is too slow, or the model
            answers with something else than numbers.
    """
    expected = np.asarray(expected)
    if not len(records) or expected.shape != (len(records), len(schema.label_names)):
        raise InputError(
            f"{len(records)} golden requests of {len(schema.label_names)} classes do not go with "
            f"expected answers {list(expected.shape)}: give one row of probabilities for each"
        )
    if not np.isfinite(expected).all():
        raise InputError("the expected answers of the golden requests are not all numbers")
    asked = Asked(
        folder=str(Path(folder).absolute()),
        artifact=artifact,
        schema=schema,
        requests=_requests(records, artifact, schema),
        timed=timed,
    )
    with tempfile.TemporaryDirectory(prefix=".infra-", dir=workspace) as exchange:
        asked.write(Path(exchange))
        told = _told(Path(exchange), artifact, limit_s)
    return _report(told, expected, artifact)


def _requests(
    records: Sequence[bytes], artifact: Artifact, schema: ExampleSchema
) -> tuple[bytes, ...]:
    """Return what the process asks; Examples are parsed here, for that takes TensorFlow."""
    if artifact == "saved_model":
        return tuple(records)
    values = decoded(records, schema)
    return tuple(one.encode() if isinstance(one, str) else one.tobytes() for one in values)


def _told(exchange: Path, artifact: Artifact, limit_s: float) -> Told:
    command = [sys.executable, "-P", "-m", _PROGRAM, str(exchange)]
    with (exchange / _STDERR).open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=exchange,
            env=_environment(),
            stdin=subprocess.PIPE,  # closes when this process ends, and ends that one
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        with process:
            try:
                status = process.wait(limit_s)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()  # on an interrupt the `with` statement does not
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise _refusal(artifact, f"it was not done within {limit_s:g} s") from None
    if status != 0:
        raise _refusal(artifact, _ending(status), _last_line(exchange / _STDERR))
    try:
        return Told.read(exchange)
    except (OSError, ValueError) as error:
        raise _refusal(artifact, f"it ended without an answer: {error}") from error


def _environment() -> dict[str, str]:
    """Return what computing needs of this process's environment: the same modules, one thread."""
    path = os.pathsep.join(str(Path(one).absolute()) for one in sys.path)
    return {**of_a_model(os.environ), **_SURROUNDINGS, "PYTHONPATH": path}


def _ending(status: int) -> str:
    if status > 0:
        return f"it ended with status {status}"
    cause = ", as it is when memory runs out" if status == -signal.SIGKILL else ""
    return f"it was killed by signal {-status} ({signal.strsignal(-status)}){cause}"


def _last_line(path: Path) -> str:
    """Return the last line that says something, of all that a library may have written."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (64 << 10)))
        lines = file.read().decode("utf-8", "replace").splitlines()
    plain = ("".join(one for one in line if one.isprintable()).strip() for line in lines)
    said = [line for line in plain if line and not _NOISE.match(line)]
    return said[-1][:_LONGEST] if said else ""


def _refusal(artifact: Artifact, happened: str, said: str = "") -> GateRefusal:
    told = f": {said}" if said else ""
    return GateRefusal(
        f"the infra check refused: a fresh process was to load the exported {artifact} and answer "
        f"golden requests, but {happened}{told}"
    )


def _report(told: Told, expected: NDArray[np.float32], artifact: Artifact) -> InfraReport:
    wrong = np.isnan(told.batch).any(axis=1)
    wrong[: len(told.singly)] |= np.isnan(told.singly).any(axis=1)
    if wrong.any():
        raise GateRefusal(
            f"the infra check refused: the exported {artifact} answers {int(wrong.sum())} of "
            f"{len(wrong)} golden requests with values that are not numbers"
        )
    differences = (told.batch - expected, told.singly - expected[: len(told.singly)])
    largest = max(float(np.abs(one).max()) for one in differences)
    return InfraReport(
        golden_difference=largest,
        requests=len(expected),
        load_seconds=told.figures["load_seconds"],
        latency_ms=tuple(told.figures["latency_ms"]),
        memory_bytes=told.figures.get("memory_bytes"),
        process_bytes=told.figures.get("process_bytes"),
        unmeasured=tuple(told.figures["unmeasured"]),
    )
