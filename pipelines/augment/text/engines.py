"""Translation engines: there and back again, one document never depending on another.

An engine is told by the settings ``engine``, ``forward`` and ``backward`` of ``back_translate``:

``apertium``
    Rule-based translation (Forcada et al., "Apertium: a free/open-source platform", 2011), as
    Debian packages it; ``forward`` and ``backward`` are its modes. `make setup-translation`
    installs English-Spanish into the environment.
``ctranslate2``
    Neural models: ``forward`` and ``backward`` are folders with a CTranslate2 ``model`` folder and
    a ``sentencepiece.model``, such as an unpacked Argos package.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from schemas.errors import FailedError, InputError

SETUP_COMMAND = "make setup-translation"
PRIVATE = Path(sys.prefix) / "apertium" / "usr"
"""Where that command puts Apertium, with a C runtime of its own."""

_SPECIAL = re.compile(r"([\[\]{}^$/\\@<>])")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BREAK = re.compile(r"\[\\@(\d+)\]")


class Engine(Protocol):
    """Translates there and back."""

    @property
    def digest(self) -> str:
        """Tells this engine's results from any other's."""

    def round_trips(self, documents: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return each document's sentences after a translation there and back.

        An empty list stands for a document that did not come back sentence by sentence.
        """


def engine(name: str, forward: str, backward: str) -> Engine:
    """Return an engine.

    Raises:
        InputError: It is not installed; the message says how to get it.
    """
    if name == "apertium":
        return apertium(forward, backward)
    return neural(forward, backward)


@dataclass(frozen=True)
class Apertium:
    """Apertium's stages, run one after the other over the documents, which NUL parts.

    The tagger remembers what it has read, so it is started afresh for each document.

    Attributes:
        legs: The commands of both modes.
        digest: SHA-256 of the programs and their data.
    """

    legs: tuple[tuple[tuple[str, ...], ...], ...]
    digest: str

    def round_trips(self, documents: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return each document's sentences after a translation there and back."""
        stream = [_marked(sentences) for sentences in documents]
        for stages in self.legs:
            for command in stages:
                if any(word.endswith("apertium-tagger") for word in command):
                    stream = [_run(command, one) for one in stream]
                else:
                    parts = _run((*command, "-z"), "".join(f"{one}\0" for one in stream))
                    stream = parts.split("\0")[: len(documents)]
        return [
            _unmarked(made, len(sentences))
            for made, sentences in zip(stream, documents, strict=True)
        ]


def _run(command: Sequence[str], text: str) -> str:
    done = subprocess.run(command, input=text.encode(), capture_output=True)  # noqa: S603
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise FailedError(f"{' '.join(command)} exited with status {done.returncode}: {message}")
    return done.stdout.decode("utf-8", errors="replace")


def _marked(sentences: Sequence[str]) -> str:
    """Return a document in Apertium's stream format, a numbered mark after each sentence.

    The full stop before the empty mark ends a sentence that has none of its own; it is taken
    away again at the end.
    """
    escaped = [_SPECIAL.sub(r"\\\1", " ".join(one.split())) for one in sentences]
    return "".join(f"{one}.[][\\@{number}]" for number, one in enumerate(escaped))


def _unmarked(text: str, count: int) -> list[str]:
    """Return the sentences of a translated document, or [] if the marks are not in order."""
    parts = _BREAK.split(text)
    if parts[1::2] != [str(number) for number in range(count)]:
        return []
    sentences = [re.sub(r"\.?\[\]", "", one) for one in parts[:-1:2]]
    return [" ".join(_ESCAPED.sub(r"\1", one).split()) for one in sentences]


@lru_cache(maxsize=4)
def apertium(forward: str, backward: str) -> Apertium:
    """Return the installed Apertium for two modes, such as ``eng-spa`` and ``spa-eng``.

    Raises:
        InputError: Apertium, or one of the modes, is not installed.
    """
    home = PRIVATE if PRIVATE.is_dir() else Path("/usr")
    if home != PRIVATE and shutil.which("apertium-tagger") is None:
        raise InputError(
            f"back-translation needs Apertium, which is neither in {PRIVATE.parent} nor on the "
            f"system's path. Install it with: {SETUP_COMMAND}"
        )
    modes = home / "share" / "apertium" / "modes"
    total = hashlib.sha256()
    legs = []
    for option, mode in (("forward", forward), ("backward", backward)):
        path = modes / f"{mode}.mode"
        if not path.is_file():
            found = ", ".join(sorted(one.stem for one in modes.glob("*.mode")))
            raise InputError(
                f"back_translate: {option} must be a mode of Apertium, got {mode!r}. "
                f"Installed: {found or 'none'}. English and Spanish: {SETUP_COMMAND}",
                path=(option,),
            )
        legs.append(_stages(path.read_text("utf-8"), home, total))
    return Apertium(tuple(legs), total.hexdigest())


def _stages(mode: str, home: Path, total: Any) -> tuple[tuple[str, ...], ...]:
    """Return the commands of a mode file; add what they read to the hash."""
    loaders = sorted((home / "lib").glob("*-linux-gnu/ld-linux*.so.*")) if home == PRIVATE else []
    stages = []
    for stage in mode.strip().split("|"):
        words = shlex.split(stage)
        program = home / "bin" / words[0] if home == PRIVATE else Path(shutil.which(words[0]) or "")
        # $1 says how unknown words are marked (-n: not at all), $2 is for debugging.
        arguments = [
            word.replace("/usr/share/apertium", str(home / "share" / "apertium"))
            for word in ("-n" if one == "$1" else one for one in words[1:])
            if word != "$2"
        ]
        for path in (program, *(Path(word) for word in arguments if word.startswith("/"))):
            total.update(hashlib.sha256(path.read_bytes()).digest())
        run = [str(program)]
        if loaders:  # the packages' own C runtime: they may be newer than the system
            run = [str(loaders[0]), "--library-path", str(loaders[0].parent), str(program)]
        stages.append((*run, *arguments))
    return tuple(stages)


class Neural:
    """Two CTranslate2 models with their SentencePiece vocabularies, sentence by sentence."""

    def __init__(self, folders: Sequence[Path], digest: str) -> None:
        self.digest = digest
        translation, pieces = _optional("ctranslate2"), _optional("sentencepiece")
        self._legs = [
            (
                translation.Translator(str(folder / "model"), device="cpu", intra_threads=1),
                pieces.SentencePieceProcessor(str(folder / "sentencepiece.model")),
            )
            for folder in folders
        ]

    def round_trips(self, documents: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return each document's sentences after a translation there and back."""
        flat = [sentence for sentences in documents for sentence in sentences]
        for translator, pieces in self._legs:
            # One sentence per batch: padding to a common length would change the last digits.
            made = translator.translate_batch(
                [pieces.encode(one, out_type=str) for one in flat],
                max_batch_size=1,
                beam_size=2,
                max_decoding_length=256,
            )
            flat = [pieces.decode(one.hypotheses[0]) for one in made]
        ends = iter(flat)
        return [[next(ends) for _ in sentences] for sentences in documents]


@lru_cache(maxsize=2)
def neural(forward: str, backward: str) -> Neural:
    """Return the engine of two model folders.

    Raises:
        InputError: A folder is no model, or a Python package is missing.
    """
    total = hashlib.sha256()
    for option, folder in (("forward", forward), ("backward", backward)):
        for name in ("model/model.bin", "sentencepiece.model"):
            path = Path(folder) / name
            if not path.is_file():
                raise InputError(
                    f"back_translate: {option} must be a folder with model/model.bin and "
                    f"sentencepiece.model (an unpacked Argos package), {path} does not exist",
                    path=(option,),
                )
            total.update(hashlib.sha256(path.read_bytes()).digest())
    total.update(_optional("ctranslate2").__version__.encode())
    return Neural([Path(forward), Path(backward)], total.hexdigest())


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"the engine ctranslate2 needs the Python package {module}. "
            "Install both with: pip install ctranslate2 sentencepiece"
        ) from error


def cache_folder(digest: str) -> Path:
    """Return where translations of an engine are kept; ``BEAM_REFINERY_CACHE`` moves it."""
    root = os.environ.get("BEAM_REFINERY_CACHE") or Path.home() / ".cache" / "beam-refinery"
    return Path(root) / "translations" / digest[:16]
