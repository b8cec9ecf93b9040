"""Network files: no code runs, no bomb unpacks, nothing is unpickled.

The loaders are called as the stages call them: the commands that reach them load TFX first.
"""

import os
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from components.shipped import open_shipped
from components.stages import load_model, load_report
from components.transfer import load_trained
from pipelines.dataset import adversarial
from schemas.errors import InputError, RefineryError
from schemas.features import ExampleSchema
from tests.hostile.harness import watchdog

OWNED = Path("owned")


class Bomb:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.mkdir, ("owned",)


def network(*layers):
    start = keras.Input((4,))
    x = start
    for layer in (*layers, keras.layers.Dense(2)):
        x = layer(x)
    return keras.Model(start, x)


def plain(path):
    network().save(path)
    return path


def with_lambda(path):
    network(keras.layers.Lambda(lambda x: os.mkdir("owned") or x, output_shape=(4,))).save(path)


def repacked(change):
    """A network whose archive is written again; ``change`` gets and returns name to content."""

    def make(path):
        with zipfile.ZipFile(plain(path)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts = change(parts)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)

    return make


def config(old, new):
    def change(parts):
        text = parts["config.json"].decode()
        assert old in text
        return parts | {"config.json": text.replace(old, new).encode()}

    return repacked(change)


def weights(data):
    return repacked(lambda parts: parts | {"model.weights.h5": data})


def linked_weights(path):
    """HDF5 whose data sets are somebody else's file."""
    import h5py

    plain(path)
    with zipfile.ZipFile(path) as archive:
        Path("w.h5").write_bytes(archive.read("model.weights.h5"))
    with h5py.File("w.h5", "r+") as file:
        names = []
        file.visit(names.append)
        for name in [one for one in names if isinstance(file[one], h5py.Dataset)]:
            shape = file[name].shape
            del file[name]
            file.create_dataset(
                name, shape, "float32", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))]
            )
    weights(Path("w.h5").read_bytes())(path)


def pickled_array(path):
    """HDF5 with pickled bytes in place of numbers."""
    import h5py

    with h5py.File("w.h5", "w") as file:
        file["layers/dense/vars/0"] = np.void(pickle.dumps(Bomb()))
        file["layers/dense/vars/1"] = np.void(pickle.dumps(Bomb()))
    weights(Path("w.h5").read_bytes())(path)


def class_of(module, name):
    return config('"module": "keras.layers", "class_name": "Dense"',
                  f'"module": "{module}", "class_name": "{name}"')  # fmt: skip


FILES = {
    "lambda layer": with_lambda,
    "lambda by its bytes": class_of("keras.layers", "Lambda"),
    "a function of os": class_of("os", "system"),
    "a class of subprocess": class_of("subprocess", "Popen"),
    "a file loader as a layer": class_of("keras.saving", "load_model"),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "pickle in the archive": repacked(lambda parts: {"config.json": pickle.dumps(Bomb())}),
    "pickle in the weights": weights(pickle.dumps(Bomb())),
    "pickled arrays in HDF5": pickled_array,
    "weights in another file": linked_weights,
    "HDF5 named .keras": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2_000)),
    "nothing": lambda path: path.touch(),
    "text": lambda path: path.write_text("hello"),
    "truncated": lambda path: os.truncate(plain(path), 900),
    "first half": lambda path: os.truncate(plain(path), path.stat().st_size // 2),
    "weights cut": repacked(lambda p: p | {"model.weights.h5": p["model.weights.h5"][:700]}),
    "weights of zeros": weights(bytes(5_000)),
    "no weights": repacked(lambda p: {k: v for k, v in p.items() if k != "model.weights.h5"}),
    "no config": repacked(lambda p: {k: v for k, v in p.items() if k != "config.json"}),
    "bomb of weights": weights(bytes(40 << 20)),
    "bomb of config": repacked(lambda p: p | {"config.json": b" " * (80 << 20)}),
    "name above": repacked(lambda p: p | {"../owned": b"x"}),
    "absolute name": repacked(lambda p: p | {"/tmp/owned-by-a-network": b"x"}),
    "config is a list": repacked(lambda p: p | {"config.json": b"[1]"}),
    "config nested deeply": repacked(lambda p: p | {"config.json": b"[" * 100_000}),
    "config of a layer is text": config('"units": 2', '"units": "two"'),
    "layer of -1 units": config('"units": 2', '"units": -1'),
    "fifo": os.mkfifo,
    "folder": lambda path: path.mkdir(),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_network_is_refused(here, name):
    Path("m/keras").mkdir(parents=True)
    path = Path("m/keras/model.keras")
    FILES[name](path)
    before = sorted(os.listdir(here))
    loaders = [
        lambda: load_trained(path),
        lambda: load_model("m"),
        lambda: adversarial.load_model(str(path), adversarial.model_digest(path)),
    ]
    for load in loaders:
        with watchdog(), pytest.raises(InputError) as caught:
            load()
        text = str(caught.value)
        assert "model.keras" in text or name in ("fifo", "folder")
        assert "\n" not in text
    assert sorted(os.listdir(here)) == before
    assert not OWNED.exists()


def test_a_network_of_ours_is_read_packed_or_not(here):
    plain(Path("a.keras"))
    repacked(lambda parts: parts)(Path("b.keras"))
    for name in ("a", "b"):
        assert load_trained(Path(f"{name}.keras")).count_params() == 10


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "3", '{"digest": 3}', "[" * 99_999, "\udcff", '{"digest": null}']
)
def test_the_report_of_a_stage(here, content):
    Path("stage.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="not the report of a stage"):
        load_report(".")


def saved(path):
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(np.zeros(4, "float32"))
    tf.saved_model.save(module, str(path))


def emptied(name):
    def make(path):
        saved(path)
        (path / name).write_bytes(b"")

    return make


def without(name):
    def make(path):
        saved(path)
        (path / name).unlink()

    return make


def alone(content):
    def make(path):
        path.mkdir()
        (path / "saved_model.pb").write_bytes(content)

    return make


@pytest.mark.parametrize(
    "make",
    [
        without("variables/variables.index"), without("variables/variables.data-00000-of-00001"),
        without("saved_model.pb"), emptied("variables/variables.index"), emptied("saved_model.pb"),
        alone(b""), alone(b"\xff" * 100), alone(pickle.dumps(Bomb())), alone(b"\n\x05hello" * 50),
        saved, os.mkdir,
    ],
)  # fmt: skip
def test_a_saved_model_is_refused(here, make):
    make(Path("model"))
    schema = ExampleSchema(modality="text", label_names=("a", "b"), encoding="utf8")
    with watchdog(), pytest.raises(RefineryError) as caught:
        open_shipped("model", artifact="saved_model", schema=schema)
    assert "model" in str(caught.value)
    assert not OWNED.exists()
