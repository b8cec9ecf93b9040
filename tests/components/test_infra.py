"""The infra check: what ships, loaded and asked in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from components.infra import measure, memory
from components.infra.exchange import Asked
from components.lite import convert
from schemas.errors import GateRefusal, InputError
from schemas.infra import InfraReport
from tests.components.shipped_models import case, image_net, text_net

GOLDEN = 20
FOR_EVER = 10**12
REFUSED = "the infra check refused: a fresh process was to load the exported {} and answer golden"


@pytest.fixture(scope="module")
def images(digits_dir, tmp_path_factory):
    return case(digits_dir, image_net(), tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def texts(reviews_dir, tmp_path_factory):
    return case(reviews_dir, text_net(), tmp_path_factory.mktemp("texts"))


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path_factory, monkeypatch):
    """Neither files nor processes are left, whatever happened."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = children()
    yield
    assert not [path for path in folder.iterdir() if "infra" in path.name]
    assert children() <= before


def children():
    return {
        pid
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def asked(one, artifact, folder=None, expected=None, **settings):
    """Ask for the check of one model by its own first answers on the test split."""
    golden = one.records[:GOLDEN]
    if expected is None:
        expected = one.open(artifact).probabilities(golden)
    folder = folder or one.folders[artifact]
    settings = {"timed": 15, "limit_s": 120} | settings
    return measure(
        folder,
        artifact=artifact,
        schema=one.data.schema,
        records=golden,
        expected=expected,
        **settings,
    )


def copied(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def lite_folder(model, tmp_path):
    (tmp_path / "model.tflite").write_bytes(convert(model, "float32"))
    return tmp_path


def with_weights(change):
    """Return the image network with every weight changed."""
    model = image_net()
    model.set_weights([change(value) for value in model.get_weights()])
    return model


def check_figures(report):
    assert report.golden_difference < 1e-6
    assert report.requests == GOLDEN
    assert report.load_seconds > 0
    assert len(report.latency_ms) == 15
    assert min(report.latency_ms) > 0
    assert report.unmeasured == ()
    assert 0 < report.memory_bytes < report.process_bytes
    stored = json.loads(json.dumps(report.to_json()))
    assert InfraReport.from_json(stored) == report


def test_a_saved_model_is_asked_in_a_fresh_process(images):
    report = asked(images, "saved_model")
    check_figures(report)
    assert report.process_bytes > 200e6, "TensorFlow itself"


@pytest.mark.full
def test_a_saved_model_of_texts(texts):
    check_figures(asked(texts, "saved_model"))


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_a_tflite_model_is_asked_without_tensorflow(kind, request):
    report = asked(request.getfixturevalue(kind), "tflite")
    check_figures(report)
    assert report.process_bytes < 150e6, "TensorFlow alone would take more"


def test_the_largest_difference_is_told(images):
    expected = images.open("tflite").probabilities(images.records[:GOLDEN])
    expected[-1, 3] += 0.25
    assert asked(images, "tflite", expected=expected).golden_difference == pytest.approx(0.25)


def test_a_changed_weight_is_a_difference(images, tmp_path):
    folder = lite_folder(with_weights(lambda value: value * 1.01), tmp_path)
    assert 1e-4 < asked(images, "tflite", folder).golden_difference < 0.1


@pytest.mark.full
def test_a_changed_byte_of_a_saved_models_weights_is_refused(images, tmp_path):
    folder = copied(images.folders["saved_model"], tmp_path)
    weights = images.model.get_weights()[-2].astype("<f4").tobytes()
    (path,) = (folder / "variables").glob("variables.data-*")
    content = path.read_bytes()
    assert content.count(weights) == 1
    path.write_bytes(content.replace(weights, weights[4:] + weights[:4]))
    with pytest.raises(GateRefusal, match="status 1: .*Checksum does not match"):
        asked(images, "saved_model", folder)


def batch_dependent(folder):
    """Write a SavedModel that answers batches unlike single requests."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def answer(examples):
        rows = tf.shape(examples)[0]
        sure = tf.one_hot(tf.fill([rows], tf.cast(rows > 1, tf.int32)), 10)
        return {"probabilities": sure}

    module.answer = answer
    tf.saved_model.save(module, str(folder), signatures={"serving_default": answer})


@pytest.mark.full
def test_single_requests_count_as_well(images, tmp_path):
    batch_dependent(tmp_path / "odd")
    expected = np.tile(np.eye(10, dtype=np.float32)[1], (GOLDEN, 1))
    report = asked(images, "saved_model", tmp_path / "odd", expected)
    assert report.golden_difference == 1


def test_memory_grows_with_the_model(images, tmp_path):
    """By its weights at least, which are all touched."""
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dense(5000)(x)
    folder = lite_folder(keras.Model(inputs, layers.Dense(10)(x)), tmp_path)
    size = (folder / "model.tflite").stat().st_size
    assert size > 15e6
    large = asked(images, "tflite", folder)
    small = asked(images, "tflite")
    assert large.memory_bytes - small.memory_bytes > 0.9 * size


def test_a_truncated_variables_file_is_refused(images, tmp_path):
    folder = copied(images.folders["saved_model"], tmp_path)
    (path,) = (folder / "variables").glob("variables.data-*")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(GateRefusal, match=REFUSED.format("saved_model")) as caught:
        asked(images, "saved_model", folder)
    assert "it ended with status 1: " in str(caught.value)
    assert "cannot be read as a SavedModel" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.full
def test_a_saved_model_without_its_vocabulary_is_refused(texts, tmp_path):
    folder = copied(texts.folders["saved_model"], tmp_path)
    (folder / "assets" / "vocabulary.txt").unlink()
    with pytest.raises(GateRefusal, match="status 1: .*vocabulary.txt"):
        asked(texts, "saved_model", folder)


def test_a_tflite_model_without_its_vocabulary_is_refused(texts, tmp_path):
    folder = copied(texts.folders["tflite"], tmp_path)
    (folder / "vocabulary.txt").unlink()
    with pytest.raises(GateRefusal, match="status 1: .*vocabulary.txt"):
        asked(texts, "tflite", folder)


def test_a_damaged_tflite_model_is_refused(images, tmp_path):
    folder = copied(images.folders["tflite"], tmp_path)
    os.truncate(folder / "model.tflite", 300)
    with pytest.raises(GateRefusal, match=REFUSED.format("tflite")):
        asked(images, "tflite", folder)


def test_answers_that_are_no_numbers_are_refused(images, tmp_path):
    folder = lite_folder(with_weights(lambda value: value * np.nan), tmp_path)
    with pytest.raises(GateRefusal, match="tflite answers 20 of 20 golden requests with .* not n"):
        asked(images, "tflite", folder)


def starts_with(tmp_path, monkeypatch, program):
    """Let every Python that starts from here run a program first."""
    (tmp_path / "sitecustomize.py").write_text(program)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_process_that_is_killed(images, tmp_path, monkeypatch):
    starts_with(tmp_path, monkeypatch, "import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(GateRefusal, match=r"killed by signal 9 \(Killed\), as it is when mem"):
        asked(images, "tflite")


SECRETS = (
    "BEAM_REFINERY_SIGNING_PASSWORD", "SIGSTORE_ID_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE",
    "GOOGLE_APPLICATION_CREDENTIALS", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "HF_TOKEN", "KAGGLE_KEY",
    "PGPASSWORD", "DATABASE_URL", "REFRESH_WEBHOOK", "SSH_AUTH_SOCK", "http_proxy",
    "TF_VAR_db_pass", "TF_TOKEN_app_example_org", "LD_SECRET", "PATHS", "TF_ENCRYPTION",
    "TF_STATE_PASSPHRASE", "TF_HTTP_PASSWORD", "TF_CLI_ARGS_apply", "NVIDIA_PAT", "KERAS_HUB_AUTH",
    "KERAS_KEY", "LC_pwd", "NVIDIA_CRED",
)  # fmt: skip


def test_secrets_stay_here(images, tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "swordfish")
    kept = {"TF_ENABLE_ONEDNN_OPTS": "0", "LC_ALL": "C", "XLA_FLAGS": "", "PYTHONHASHSEED": "7",
            "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_CACHE_PATH": "/x",
            "LD_LIBRARY_PATH": "/x", "NVIDIA_VISIBLE_DEVICES": "", "TF_STATELESS": "1"}  # fmt: skip
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    program = (
        "import os, sys\n"
        "named = {one for one, value in os.environ.items() if 'swordfish' in value}\n"
        f"lost = [one for one in {sorted(kept)} if one not in os.environ]\n"
        "sys.stderr.write(f'{sorted(named)} {lost}\\n')\n"
        "sys.stderr.write('\\n\\x1b \\n')\nsys.stderr.flush()\nos._exit(7)\n"
    )
    starts_with(tmp_path, monkeypatch, program)
    with pytest.raises(GateRefusal, match=r"it ended with status 7: \[\] \[\]$"):
        asked(images, "tflite")


def test_a_process_that_ends_without_an_answer(images, tmp_path, monkeypatch):
    starts_with(tmp_path, monkeypatch, "import os\nos._exit(0)\n")
    with pytest.raises(GateRefusal, match="it ended without an answer: "):
        asked(images, "tflite")


def test_a_limit_that_passes(images):
    with pytest.raises(GateRefusal, match="it was not done within 0.5 s"):
        asked(images, "tflite", timed=FOR_EVER, limit_s=0.5)


def test_an_interrupt_takes_the_process_along(images, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            asked(images, "tflite", timed=FOR_EVER)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_process_ends_with_the_one_that_started_it(images, tmp_path):
    """Its standard input closes, whatever the parent died of."""
    Asked(
        folder=str(images.folders["tflite"]),
        artifact="tflite",
        schema=images.data.schema,
        requests=(bytes(16 * 16 * 3),),
        timed=FOR_EVER,
    ).write(tmp_path)
    command = [sys.executable, "-m", "components.infra.process", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(60) == 1


def test_golden_requests_without_their_answers_are_bad_input(images):
    with pytest.raises(InputError, match=r"20 golden requests of 10 classes .* \[20, 9\]"):
        asked(images, "tflite", expected=np.zeros((GOLDEN, 9), np.float32))
    with pytest.raises(InputError, match="not all numbers"):
        asked(images, "tflite", expected=np.full((GOLDEN, 10), np.nan, np.float32))
    with pytest.raises(InputError, match="0 golden requests"):
        measure(
            images.folders["tflite"],
            artifact="tflite",
            schema=images.data.schema,
            records=[],
            expected=np.zeros((0, 10), np.float32),
        )


def test_memory_that_is_not_told(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "clear_refs" / "none")
    with pytest.raises(memory.Unmeasured, match="clear_refs/none cannot be written: No such file"):
        memory.start_peak()
    (tmp_path / "clear_refs").touch()
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "clear_refs")
    (tmp_path / "status").write_text("VmRSS:\t  1000 kB\nVmHWM:\t 90000 kB\n")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    with pytest.raises(memory.Unmeasured, match="does not set back the peak"):
        memory.start_peak()
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(memory.Unmeasured, match="does not tell VmRSS and VmHWM"):
        memory.resident()
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    with pytest.raises(memory.Unmeasured, match="none cannot be read"):
        memory.resident()
