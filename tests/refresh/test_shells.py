"""The TFX components, each called with artifacts in a folder."""

import json

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import metric_types
from tfx.types import standard_artifacts

from components import evidence
from components.push import PUSHED_NOW, live_model
from components.serving.verify import verify_serving
from components.shells import AtomicPusherExecutor, DataGate, SizeGate
from schemas.errors import GateRefusal
from schemas.refresh import Thresholds
from schemas.report import GateDecision, SizeReport
from tests.serving.support import write_manifest

CARD = ("kind", "base", "teacher", "accuracy", "parameters", "bytes")


def artifact(kind, folder):
    folder.mkdir(parents=True, exist_ok=True)
    one = kind()
    one.uri = str(folder)
    return one


@pytest.fixture
def model(tmp_path):
    one = artifact(standard_artifacts.Model, tmp_path / "model")
    serving = tmp_path / "model" / "Format-Serving"
    serving.mkdir()
    (serving / "saved_model.pb").write_bytes(bytes(600))
    lite = tmp_path / "model" / "tflite"
    lite.mkdir()
    (lite / "model.tflite").write_bytes(bytes(150))
    (lite / "vocabulary.txt").write_bytes(bytes(50))
    size = SizeReport(format="saved_model", bytes=1, parameters=7).to_json()
    stage = {"name": "student", "size": size, "digest": "m"}
    stage["dataset"] = write_manifest(tmp_path / "manifest.json")
    (tmp_path / "model" / "stage.json").write_text(json.dumps({**dict.fromkeys(CARD), **stage}))
    return one


@pytest.mark.parametrize(
    ("artifact_name", "limit", "blessed"),
    [("saved_model", 599, 0), ("saved_model", 600, 1), ("tflite", 199, 0), ("tflite", 200, 1)],
)
def test_size_gate_blesses_by_the_bytes_that_ship(model, tmp_path, artifact_name, limit, blessed):
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    returned = SizeGate.test_call(
        model=model,
        blessing=blessing,
        artifact=artifact_name,
        thresholds=json.dumps({"accuracy": 0.5, "bytes": limit}),
        code_version="",
    )
    assert returned == {"size_bytes": {"saved_model": 600, "tflite": 200}[artifact_name]}
    assert blessing.get_int_custom_property("blessed") == blessed
    decision = json.loads((tmp_path / "blessing" / "decision.json").read_text())
    assert decision["blessed"] is bool(blessed)
    (check,) = decision["checks"]
    assert check["measure"] == f"bytes of the {artifact_name}"


def validated(tmp_path, anomaly):
    """Return the anomalies and statistics of one split, as TFX leaves them."""
    anomalies = artifact(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies")
    statistics = artifact(standard_artifacts.ExampleStatistics, tmp_path / "statistics")
    found = anomalies_pb2.Anomalies()
    if anomaly:
        found.anomaly_info["label"].short_description = "Out-of-range values"
        found.anomaly_info["label"].description = "Unexpectedly high value: 9."
    counted = statistics_pb2.DatasetFeatureStatisticsList()
    counted.datasets.add(num_examples=90)
    for one, name, message in (
        (anomalies, "SchemaDiff.pb", found),
        (statistics, "FeatureStats.pb", counted),
    ):
        folder = tmp_path / one.uri / "Split-train"
        folder.mkdir()
        (folder / name).write_bytes(message.SerializeToString())
    return anomalies, statistics


def test_data_gate_lets_clean_data_through(tmp_path):
    anomalies, statistics = validated(tmp_path, anomaly=False)
    returned = DataGate.test_call(anomalies=anomalies, statistics=statistics, code_version="")
    assert returned == {"examples": 90}


def test_data_gate_raises_on_an_anomaly_and_names_it(tmp_path):
    anomalies, statistics = validated(tmp_path, anomaly=True)
    with pytest.raises(GateRefusal, match="train: label: Out-of-range values .*high value: 9"):
        DataGate.test_call(anomalies=anomalies, statistics=statistics, code_version="")


def push(model, tmp_path, *, accuracy=1, size=1, same_when=None, artifact_name="saved_model"):
    """Run the Pusher with those blessings and return its output artifact."""
    blessings = {}
    for key, kind, blessed in (
        ("model_blessing", standard_artifacts.ModelBlessing, accuracy),
        ("infra_blessing", standard_artifacts.InfraBlessing, size),
    ):
        blessings[key] = [artifact(kind, tmp_path / key)]
        blessings[key][0].set_int_custom_property("blessed", blessed)
    text = json.dumps(GateDecision(gate="size").to_json())
    (tmp_path / "infra_blessing" / "decision.json").write_text(text)
    pushed = artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
    destination = {"filesystem": {"base_directory": str(tmp_path / "serving")}}
    AtomicPusherExecutor().Do(
        {"model": [model], "stages": [model], **blessings},
        {"pushed_model": [pushed]},
        {
            "push_destination": json.dumps(destination),
            "custom_config": json.dumps(
                {
                    "artifact": artifact_name,
                    "record": {"recipe": "digits"},
                    "same_when": same_when or {},
                    "about": {"lock": None},
                    "thresholds": {"accuracy": 0.5, "bytes": 1000},
                    "split": "test",
                    "dataset": str(tmp_path / "manifest.json"),
                    "stages": ["student"],
                    "keep": None,
                }
            ),
        },
    )
    return pushed


@pytest.mark.parametrize(("accuracy", "size"), [(0, 1), (1, 0), (0, 0)])
def test_pusher_wants_both_blessings(model, tmp_path, accuracy, size):
    pushed = push(model, tmp_path, accuracy=accuracy, size=size)
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()


def test_pusher_pushes_once(model, tmp_path):
    for now in (1, 0):
        pushed = push(model, tmp_path)
        assert pushed.get_int_custom_property("pushed") == 1
        assert pushed.get_int_custom_property(PUSHED_NOW) == now
    live = live_model(tmp_path / "serving")
    assert (live.version, live.record["recipe"]) == (1, "digits")
    verdict = verify_serving(tmp_path / "serving")
    assert verdict.ok, verdict
    names = {path.name for path in (tmp_path / "serving/.promotions/1").rglob("*.json")}
    assert {"01-size.json", "01-student.json", "dataset.json"} < names


def test_pusher_signs_with_the_key_of_the_environment(model, tmp_path, monkeypatch):
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_KEY", str(path))
    push(model, tmp_path)
    assert [one.signature for one in verify_serving(tmp_path / "serving").versions] == [
        "not checked"
    ]


def test_pusher_pushes_the_folder_of_the_artifact(model, tmp_path):
    push(model, tmp_path, artifact_name="tflite")
    live = live_model(tmp_path / "serving")
    names = sorted(path.name for path in live.path.iterdir())
    assert names == ["model.tflite", "push.json", "vocabulary.txt"]
    assert live.intact


def test_pusher_tells_models_apart_by_weights_code_and_data_not_by_bytes(model, tmp_path):
    push(model, tmp_path)
    saved_model = tmp_path / "model" / "Format-Serving" / "saved_model.pb"
    saved_model.write_bytes(b"the same network, exported again")
    assert push(model, tmp_path).get_int_custom_property(PUSHED_NOW) == 0
    pushed = push(model, tmp_path, same_when={"code_version": "other"})
    assert pushed.get_int_custom_property(PUSHED_NOW) == 1
    assert live_model(tmp_path / "serving").version == 2


@pytest.mark.parametrize(("correct", "examples"), [(47, 50), (344, 366), (7, 10), (9_399, 10_000)])
def test_tfma_passes_the_limit_itself_and_refuses_one_example_less(correct, examples):
    config = evidence.eval_config(Thresholds(accuracy=correct / examples, bytes=1))
    key = metric_types.MetricKey(evidence.ACCURACY_METRIC)
    for count, ok in ((correct, True), (correct - 1, False)):
        figures = {key: np.float32(count / examples)}
        assert metrics_validator.validate_metrics(((), figures), config).validation_ok is ok
