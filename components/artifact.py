"""What a model directory holds, and what of it ships. Loads neither Keras nor TensorFlow."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

from components.tree import tree_files
from schemas.errors import InputError

KERAS_FILE = "keras/model.keras"
SERVING_FOLDER = "Format-Serving"
WIDTHS_FOLDER = "widths"
LITE_FOLDER = "tflite"
LITE_FILE = "model.tflite"
# Name in a recipe to the folder that ships.
_FOLDERS = {"saved_model": SERVING_FOLDER, "tflite": LITE_FOLDER}
MARKS = {"saved_model": "saved_model.pb", "tflite": LITE_FILE}
"""Name in a recipe to the file without which nothing loads what ships."""


def shipped_folder(model: str | Path, artifact: str) -> Path:
    """Return the folder of a model directory that ships.

    Args:
        model: The model directory.
        artifact: ``saved_model`` or ``tflite``.

    Raises:
        InputError: the model has no such artifact.
    """
    name, mark = _FOLDERS[artifact], MARKS[artifact]
    folder = Path(model) / name
    if not (folder / mark).is_file():
        raise InputError(
            f"a model that ships as {artifact} holds {name}/{mark}; {model} does not: push a stage "
            "that writes it"
        )
    return folder


def folder_bytes(folder: str | Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for _, path in tree_files(Path(folder)))


def gzip_bytes(folder: str | Path) -> int:
    """Return the bytes of all files below a folder as one gzip stream."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0) as stream:
        for _, path in tree_files(Path(folder)):
            stream.write(path.read_bytes())
    return packed.getbuffer().nbytes
