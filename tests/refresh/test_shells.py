"""The TFX components, each called with artifacts in a folder."""

import dataclasses
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.types import standard_artifacts

from components.acceptance import Ceiling, Evidence, Floor, decide, write_evidence
from components.artifact import folder_bytes, shipped_folder
from components.data_checks import FIRST_RUN, DatasetProfile, Previous
from components.push import PUSHED_NOW, live_model
from components.serving.decisions import INFRA_REPORT
from components.serving.verify import verify_serving
from components.shells import AtomicPusherExecutor, DataGate
from components.tree import tree_digest
from schemas.errors import FailedError, GateRefusal
from schemas.infra import InfraReport
from schemas.report import GateDecision, SizeReport
from tests.components.test_acceptance_decide import share
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


def validated(tmp_path, anomaly):
    """Return the anomalies and statistics of three splits, as TFX leaves them."""
    anomalies = artifact(standard_artifacts.ExampleAnomalies, tmp_path / "anomalies")
    statistics = artifact(standard_artifacts.ExampleStatistics, tmp_path / "statistics")
    for split in ("train", "eval", "test"):
        found = anomalies_pb2.Anomalies()
        if anomaly and split == "train":
            found.anomaly_info["label"].short_description = "Out-of-range values"
            found.anomaly_info["label"].description = "Unexpectedly high value: 9."
        counted = statistics_pb2.DatasetFeatureStatisticsList()
        counted.datasets.add(num_examples=90)
        for one, name, message in (
            (anomalies, "SchemaDiff.pb", found),
            (statistics, "FeatureStats.pb", counted),
        ):
            folder = tmp_path / one.uri / f"Split-{split}"
            folder.mkdir()
            (folder / name).write_bytes(message.SerializeToString())
    return anomalies, statistics


def data_gate(dataset, tmp_path, *, anomaly, gates=None, previous=FIRST_RUN):
    anomalies, statistics = validated(tmp_path, anomaly=anomaly)
    return DataGate.test_call(
        examples=artifact(standard_artifacts.Examples, Path(dataset)),
        anomalies=anomalies,
        statistics=statistics,
        checks=artifact(standard_artifacts.ExampleAnomalies, tmp_path / "checks"),
        gates=json.dumps(gates or {}),
        previous=json.dumps(previous.to_json()),
        code_version="",
    )


def test_data_gate_lets_clean_data_through_and_keeps_its_profile(dataset, tmp_path):
    assert data_gate(dataset, tmp_path, anomaly=False) == {"examined": 270}
    decision = GateDecision.from_json(json.loads((tmp_path / "checks/decision.json").read_text()))
    assert (decision.gate, decision.blessed) == ("data", True)
    profile = DatasetProfile.from_json(json.loads((tmp_path / "checks/profile.json").read_text()))
    (tmp_path / "again").mkdir()
    previous = Previous(state="present", profile=profile)
    data_gate(dataset, tmp_path / "again", anomaly=False, previous=previous)
    assert "drift of labels" in (tmp_path / "again/checks/decision.json").read_text()


def test_data_gate_raises_on_an_anomaly_and_names_it(dataset, tmp_path):
    with pytest.raises(GateRefusal, match="train: label: Out-of-range values .*high value: 9"):
        data_gate(dataset, tmp_path, anomaly=True)
    assert not list((tmp_path / "checks").iterdir())


def test_data_gate_holds_the_settings_of_the_recipe(dataset, tmp_path):
    with pytest.raises(GateRefusal, match="5,000") as caught:
        data_gate(dataset, tmp_path, anomaly=False, gates={"min_examples": 5000})
    assert not caught.value.decision.blessed


def push(
    model, tmp_path, *, accuracy=1, size=1, same_when=None, artifact_name="saved_model", named=True
):
    """Run the Pusher with those blessings and return its output artifact."""
    blessings = {}
    for key, kind, blessed in (
        ("model_blessing", standard_artifacts.ModelBlessing, accuracy),
        ("infra_blessing", standard_artifacts.InfraBlessing, size),
    ):
        blessings[key] = [artifact(kind, tmp_path / key)]
        blessings[key][0].set_int_custom_property("blessed", blessed)
    folder = shipped_folder(model.uri, artifact_name)
    files = tree_digest(folder) if named else None
    rules = [Ceiling(metric="bytes", threshold=1000)]
    found = Evidence(tables={}, costs={"bytes": folder_bytes(folder)}, files=files)
    write_evidence(tmp_path / "infra_blessing", rules, found, decide(rules, found))
    infra = InfraReport(golden_difference=0.0, requests=1, load_seconds=0.1, latency_ms=(0.2,))
    (tmp_path / "infra_blessing" / INFRA_REPORT).write_text(json.dumps(infra.to_json()))
    table = dataclasses.replace(share(95, 100), about={"files": files})
    rules, found = [Floor(threshold=0.5)], Evidence(tables={"test": table})
    write_evidence(tmp_path / "model_blessing", rules, found, decide(rules, found))
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
                    "instead_of": None,
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


def test_pusher_wants_evidence_that_names_the_files(model, tmp_path):
    with pytest.raises(FailedError, match="'accuracy' does not say which files it is about"):
        push(model, tmp_path, named=False)
    assert live_model(tmp_path / "serving") is None


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
    assert {"01-accuracy.json", "02-size.json", "01-student.json", "dataset.json"} < names


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


def test_pusher_tells_models_apart_by_weights_export_and_data_not_by_bytes(model, tmp_path):
    push(model, tmp_path)
    saved_model = tmp_path / "model" / "Format-Serving" / "saved_model.pb"
    saved_model.write_bytes(b"the same network, exported again")
    assert push(model, tmp_path).get_int_custom_property(PUSHED_NOW) == 0
    pushed = push(model, tmp_path, same_when={"export_version": "other"})
    assert pushed.get_int_custom_property(PUSHED_NOW) == 1
    assert live_model(tmp_path / "serving").version == 2
