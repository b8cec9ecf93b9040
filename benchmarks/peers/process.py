"""Start a peer in its environment, and time it run by run between runs of ours."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.timing import PROJECT
from schemas.errors import FailedError, InputError
from schemas.locks import held

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "images": (
        "albumentations==2.0.8",
        "albucore==0.0.24",
        "simsimd==6.5.16",
        "stringzilla==5.3.2",
        "scipy==1.17.1",
        "numpy",
        "opencv-python-headless",
        "pydantic",
    ),
    "texts": (
        "nlpaug==1.1.11",
        "textaugment==3.0.0",
        "gensim==4.4.0",
        "pandas==3.1.1",
        "googletrans==4.0.2",
        "scipy==1.17.1",
        "numpy",
        "nltk",
    ),
}
"""Throw-away environments by name; what has no version here gets the version that we use."""

_HERE = Path(__file__).resolve().parent
_SHOWN = 1500


@dataclass(frozen=True)
class Peer:
    """A started peer.

    Attributes:
        names: What it can do.
        versions: Its libraries.
    """

    names: tuple[str, ...]
    versions: dict[str, str]
    _process: subprocess.Popen[str]
    _log: IO[bytes]

    def cpu_seconds(self, name: str) -> tuple[float, Any]:
        """Do ``name`` once over all inputs; return the CPU time and what the script says of it.

        Raises:
            FailedError: The peer ended.
        """
        answer = self._ask({"do": name})
        return float(answer["cpu"]), answer["result"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise FailedError("the peer has no pipes.")
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        return _answer(self._process, self._log)


@contextlib.contextmanager
def peer(script: str, environment: str | None, settings: dict[str, Any]) -> Iterator[Peer]:
    """Start ``run_SCRIPT.py`` with ``settings`` in an environment (None: our own) and end it after.

    Raises:
        InputError: The environment cannot be made.
        FailedError: The peer did not start.
    """
    python = python_of(environment) if environment else Path(sys.executable)
    command = [python, _HERE / f"run_{script}.py", json.dumps(settings)]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    one_thread = dict.fromkeys((*names, "TF_NUM_INTEROP_THREADS"), "1")
    more = {"TF_CPP_MIN_LOG_LEVEL": "3", "NO_ALBUMENTATIONS_UPDATE": "1"}
    if environment is None:
        more["PYTHONPATH"] = str(PROJECT)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | one_thread | more,
        )
        try:
            hello = _answer(process, log)
            yield Peer(tuple(hello["names"]), hello["versions"], process, log)
        finally:
            process.kill()
            process.communicate()


def python_of(environment: str) -> Path:
    """Return the interpreter of a throw-away environment below the user's cache; made if need be.

    Raises:
        InputError: It cannot be installed.
    """
    requirements = [_pinned(one) for one in ENVIRONMENTS[environment]]
    identity = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "beam-refinery"
    folder = cache / f"peers-{environment}-{identity}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with held(Path(f"{folder}.lock")):
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            print(f"installing {', '.join(requirements[:2])} into {folder}", file=sys.stderr)
            _run([sys.executable, "-m", "venv", "--without-pip", folder])
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
            _run([*pip, "--no-input", "--no-warn-script-location", *requirements])
            (folder / "ready").touch()
    return python


def _pinned(requirement: str) -> str:
    if "==" in requirement:
        return requirement
    return f"{requirement}=={importlib.metadata.version(requirement)}"


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(str(part) for part in command[1:])
        raise InputError(
            f"the peers cannot be installed: `{words}` failed:\n{done.stderr[-_SHOWN:].strip()}\n"
            "A package index is needed once (pip's settings apply); `--quick` measures without "
            "peers."
        )


def _answer(process: subprocess.Popen[str], log: IO[bytes]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        process.wait()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")[-_SHOWN:].strip()
        raise FailedError(f"a peer ended with status {process.returncode}:\n{said}")
    answer: dict[str, Any] = json.loads(line)
    return answer
