"""Real refreshes: pushed, nothing new, refused, failed, cut off and resumed."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import beam_runner
from components.acceptance import read_predictions
from components.evidence import check_agreement, eval_report
from components.push import live_model
from components.serving.history import read_history
from components.serving.rollback import rollback
from components.serving.verify import verify_serving
from pipelines import refresh_pipeline
from pipelines.refresh import run_refresh
from pipelines.refresh_report import CACHED, DONE, FAILED
from pipelines.refresh_store import only_one
from pipelines.refresh_summary import render
from schemas.errors import FailedError, InputError
from schemas.manifest import load_manifest
from tests.refresh.support import Watch, recipe, refresh

NODES = [
    "Examples", "Probes", "Schema", "StatisticsGen", "ExampleValidator", "DataGate", "teacher",
    "student", "Answers", "Evaluator", "AccuracyGate", "SizeGate", "Pusher",
]  # fmt: skip


@pytest.fixture(scope="module")
def first(dataset, tmp_path_factory):
    """A root on which one refresh pushed, and its outcome."""
    root = tmp_path_factory.mktemp("root")
    return root, refresh(dataset, root)


@pytest.fixture
def used_root(first):
    """The root after the first refresh."""
    root = first[0]
    yield root
    serving = root / "digits-smoke" / "serving"
    assert live_model(serving).intact, "whatever a test did, a whole model is live"


def test_first_run_pushes(first):
    root, outcome = first
    assert (outcome.status, outcome.exit_code) == ("pushed", 0)
    live = live_model(root / "digits-smoke" / "serving")
    assert (live.version, live.intact) == (1, True)
    assert (live.path / "saved_model.pb").is_file()
    verdict = verify_serving(root / "digits-smoke" / "serving")
    assert verdict.ok, verdict
    bundle = root / "digits-smoke" / "serving" / ".promotions" / "1"
    assert sorted(path.name for path in (bundle / "decisions").iterdir()) == [
        "01-data.json", "02-accuracy.json", "03-size.json",
    ]  # fmt: skip
    size = json.loads((bundle / "decisions" / "03-size.json").read_text())
    assert size["measured"] == outcome.report.infra.summary()
    assert size["measured"]["latency_median_ms"] > 0
    assert "measured alone in a process" in (bundle / "card.md").read_text()
    kept = {path.relative_to(bundle / "evidence").as_posix() for path in bundle.rglob("*.parquet")}
    tables = {"test", "unseen_corruptions"}
    assert kept == {f"02-accuracy/predictions/candidate/{name}.parquet" for name in tables}
    assert (bundle / "evidence" / "01-data" / "profile").is_file()
    assert [path.name for path in sorted((bundle / "stages").iterdir())] == [
        "01-teacher.json", "02-student.json",
    ]  # fmt: skip
    assert [node.node for node in outcome.report.nodes] == NODES
    assert all(node.state == DONE for node in outcome.report.nodes)


def test_report_says_what_was_measured_decided_and_pushed(first, dataset):
    _, outcome = first
    data = json.loads(outcome.report_path.read_text())
    assert data == json.loads(json.dumps(outcome.report.to_json()))
    assert [stage["name"] for stage in data["stages"]] == ["teacher", "student"]
    manifest = json.loads(Path(dataset, "manifest.json").read_text())
    assert data["dataset_digest"] == manifest["digest"]
    gates = {decision["gate"]: decision for decision in data["decisions"]}
    assert list(gates) == ["data", "accuracy", "size"]
    (finding,) = gates["accuracy"]["findings"]
    tested = sum(shard["examples"] for shard in manifest["shards"] if shard["split"] == "test")
    assert finding["numbers"]["examples"] == tested
    assert finding["threshold"] == 0.05
    assert finding["bound"] < finding["value"]
    size, golden = gates["size"]["findings"]
    assert size["value"] == data["stages"][-1]["bytes"]
    assert golden["value"] < 1e-5, "the exported model answers alike in a fresh process"
    assert len(data["infra"]["latency_ms"]) == 200
    assert data["test_uses"] == 1
    parts = {one["name"].split("=")[0] for one in data["slices"]}
    assert parts == {"brightness", "class", "contrast"}
    shown = [one["name"] for one in data["corruptions"]]
    unseen = "unseen_corruptions"
    assert shown == [unseen, f"{unseen}/fog", f"{unseen}/spatter"]
    text = render(outcome.report, path=outcome.report_path)
    assert text == outcome.summary
    assert "accuracy passed   accuracy " in text
    assert data["push"]["path"] in text


def test_tfma_and_our_own_scores_agree(first, dataset):
    from components.data import open_dataset
    from components.evaluate import evaluate
    from components.stages import load_model

    root, outcome = first
    (folder,) = (root / "digits-smoke" / "artifacts" / "student" / "model").iterdir()
    ours = evaluate(load_model(folder), open_dataset(dataset), "test")
    (found,) = next(one for one in outcome.report.decisions if one.gate == "accuracy").findings
    assert found.numbers["examples"] == ours.examples
    assert found.value == pytest.approx(ours.accuracy, abs=1e-6)
    (evaluation,) = (root / "digits-smoke" / "artifacts" / "Evaluator" / "evaluation").iterdir()
    theirs = eval_report(evaluation, split="test")
    assert theirs.accuracy == pytest.approx(found.value, abs=1e-6)
    (answers,) = (root / "digits-smoke" / "artifacts" / "Answers" / "answers").iterdir()
    table = read_predictions(answers / "test.parquet")
    assert theirs.loss == pytest.approx(table.losses.mean(), abs=1e-6)
    check_agreement(evaluation, table)
    other = dataclasses.replace(table, answers=(table.answers + 1) % len(table.classes))
    with pytest.raises(FailedError, match="TFMA and the gate must agree on the accuracy"):
        check_agreement(evaluation, other)


def test_second_run_finds_nothing_new(used_root, dataset):
    watch = Watch()
    outcome = refresh(dataset, used_root, watch)
    assert (outcome.status, outcome.exit_code) == ("nothing_new", 0)
    ran = {name for name in NODES if watch.states[name] != CACHED}
    assert ran == {"DataGate", "AccuracyGate", "Pusher"}, "they compare with what is live by now"
    assert live_model(used_root / "digits-smoke" / "serving").version == 1
    assert "nothing new" in outcome.summary


def test_other_code_of_the_gates_asks_the_model_again_and_trains_nothing(
    used_root, dataset, monkeypatch
):
    """TFMA and Answers run together: cached apart, they could disagree for ever."""
    monkeypatch.setattr(refresh_pipeline, "gate_sources", lambda: ["components/tree.py"])
    watch = Watch()
    outcome = refresh(dataset, used_root, watch)
    assert outcome.status == "nothing_new"
    asked = {name for name in ("Evaluator", "Answers", "SizeGate") if watch.states[name] == DONE}
    assert asked == {"Evaluator", "Answers", "SizeGate"}
    assert watch.states["teacher"] == watch.states["student"] == CACHED


def test_limits_that_are_missed_are_refused_with_every_value(used_root, dataset):
    outcome = refresh(dataset, used_root, accuracy=0.98, size=1_000)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    assert outcome.report.push is None
    accuracy, size = outcome.report.reasons
    assert "is below the floor 0.9800" in accuracy
    assert "is above the ceiling 1,000" in size
    assert outcome.report.test_uses == 1, "the same model again"
    assert live_model(used_root / "digits-smoke" / "serving").version == 1


def test_the_live_model_is_asked_the_same_and_decides(used_root, dataset, capsys):
    """A model that must gain on the live one: the seed decides, and the numbers say so."""
    gates = {
        "floors": {"accuracy": 0.05},
        "ceilings": {"bytes": 10_000_000},
        "against_live": {"required_gain": 0.95},
    }
    outcome = refresh(dataset, used_root, seed=21, gates=gates)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    (found,) = [
        one for gate in outcome.report.decisions for one in gate.findings if "live" in one.name
    ]
    cells = ("both_right", "candidate_alone_right", "live_alone_right", "both_wrong")
    assert sum(found.numbers[name] for name in cells) == found.numbers["examples"]
    assert found.outcome == "failed"
    assert "McNemar p=" in outcome.summary
    assert outcome.report.test_uses == 2
    event = read_history(used_root / "digits-smoke" / "serving").events[-1]
    assert (event.event, "falls short of the required gain" in event.reason) == ("refused", True)

    gates["against_live"] = {"tolerated_loss": 0.99}
    heard = used_root / "heard.json"
    program = f"import sys; open({str(heard)!r}, 'w').write(sys.stdin.read())"
    tell = {"command": [sys.executable, "-c", program]}
    there = used_root / "there"
    pushed = refresh(dataset, used_root, seed=21, gates=gates, notify=tell, mirror=str(there))
    assert (pushed.status, pushed.exit_code) == ("pushed", 0)
    assert f"is live now at {there}" in pushed.summary
    assert verify_serving(there).ok
    serving = (used_root / "digits-smoke" / "serving").resolve()
    assert live_model(there).digest == live_model(serving).digest
    assert json.loads(heard.read_text())["status"] == "pushed"
    again = refresh(dataset, used_root, seed=21, gates=gates, mirror=str(heard))
    assert (again.status, again.exit_code) == ("nothing_new", 1)
    assert json.loads(again.report_path.read_text())["status"] == "nothing_new"
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"not mirrored: {heard}: a mirror is a folder, and this is none" in said
    assert said.endswith(f"; repeat: beam_runner.py mirror {serving} {heard}")
    assert "this very model" in again.summary


def test_a_live_model_that_cannot_be_scored_is_refused_by_the_rule(used_root, dataset):
    serving = used_root / "digits-smoke" / "serving"
    live = live_model(serving)
    for one in (live.path / "variables").iterdir():
        one.write_bytes(b"")
    gates = {
        "floors": {"accuracy": 0.05},
        "ceilings": {"bytes": 10_000_000},
        "against_live": {"tolerated_loss": 0.5},
    }
    outcome = refresh(dataset, used_root, seed=22, gates=gates)
    assert outcome.status == "refused"
    assert f"the files of version {live.version} are not those" in outcome.summary
    gates["against_live"]["on_missing"] = "floors"
    assert refresh(dataset, used_root, seed=22, gates=gates).status == "pushed"


def test_a_damaged_live_model_is_replaced_though_all_is_cached(used_root, dataset):
    serving = used_root / "digits-smoke" / "serving"
    version = live_model(serving).version
    (serving / str(version) / "saved_model.pb").write_bytes(b"")
    outcome = refresh(dataset, used_root)
    assert outcome.status == "pushed"
    assert live_model(serving).version == version + 1


def test_what_was_rolled_back_is_refused_by_the_next_run(used_root, dataset):
    serving = used_root / "digits-smoke" / "serving"
    bad = refresh(dataset, used_root, seed=11).report.push.version
    done = rollback(serving, reason="slow")
    outcome = refresh(dataset, used_root, seed=11)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    assert f"this model was version {bad} until" in outcome.summary
    assert live_model(serving).version == done.version
    assert read_history(serving).events[-1].event == "refused"


def test_a_lost_model_is_made_again_and_not_pushed_again(used_root, dataset):
    shutil.rmtree(used_root / "digits-smoke" / "artifacts" / "student")
    watch = Watch()
    outcome = refresh(dataset, used_root, watch)
    assert (watch.states["teacher"], watch.states["student"]) == (CACHED, DONE)
    assert outcome.status == "nothing_new", "the same seed makes the same network"


def test_a_failing_node_fails_the_run_with_its_own_message(used_root, dataset):
    def fail():
        raise RuntimeError("the disk caught fire")

    watch = Watch("teacher", fail)
    with pytest.raises(FailedError, match="node teacher failed: .*the disk caught fire"):
        refresh(dataset, used_root, watch, seed=2)
    assert watch.states["teacher"] == FAILED
    assert "student" not in watch.states
    report = json.loads((used_root / "digits-smoke" / "report.json").read_text())
    assert report["status"] == "failed"
    assert "the disk caught fire" in report["error"]


def test_interrupted_then_killed_then_resumed(used_root, dataset):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh(dataset, used_root, Watch("teacher", interrupt), seed=3)
    assert unfinished(used_root) == 0

    command = [sys.executable, "-m", "tests.refresh.killed", dataset, str(used_root), "student"]
    child = subprocess.run([*command, "3"], check=False, stderr=subprocess.DEVNULL)
    assert child.returncode == -signal.SIGKILL
    assert unfinished(used_root) == 1

    watch = Watch()
    outcome = refresh(dataset, used_root, watch, seed=3)
    assert outcome.exit_code == 0
    assert (watch.states["teacher"], watch.states["student"]) == (CACHED, DONE)
    assert unfinished(used_root) == 0
    folders = (used_root / "digits-smoke" / "artifacts" / "student" / "model").iterdir()
    assert all((folder / "stage.json").is_file() for folder in folders)


def test_anomalies_block_before_any_stage(dataset, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(dataset, bad)
    schema = bad / "schema.pbtxt"
    schema.write_text(load_manifest(bad).schema.pbtxt().replace("max: 9", "max: 4"))
    manifest = json.loads((bad / "manifest.json").read_text())
    manifest["files"].append({"path": schema.name, "bytes": 1, "sha256": "0" * 64})
    (bad / "manifest.json").write_text(json.dumps(manifest))
    watch = Watch()
    outcome = refresh(bad, tmp_path / "root", watch)
    assert (outcome.status, outcome.exit_code) == ("refused", 3)
    assert "teacher" not in watch.states
    assert any("label" in reason for reason in outcome.report.reasons)
    serving = tmp_path / "root" / "digits-smoke" / "serving"
    assert live_model(serving) is None
    (event,) = read_history(serving).events
    assert (event.event, event.about["recipe"]) == ("refused", "digits")
    assert "label" in event.reason
    assert event.reason.endswith(f". What to do: {outcome.report.fixes[0]}")
    assert f"what to do: {outcome.report.fixes[0]}\n" in outcome.summary


def test_a_root_in_use_is_refused_with_the_process(dataset, tmp_path):
    with only_one(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()} works in"):
        refresh(dataset, tmp_path)


def test_a_root_that_is_a_file_is_refused(dataset, tmp_path):
    (tmp_path / "root").write_text("")
    with pytest.raises(InputError, match="the root must be a writable folder; .*File exists"):
        refresh(dataset, tmp_path / "root")


def test_a_dataset_without_a_test_split_is_refused(dataset, tmp_path):
    manifest = json.loads(Path(dataset, "manifest.json").read_text())
    manifest["shards"] = [one for one in manifest["shards"] if one["split"] != "test"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="has none in test"):
        refresh(tmp_path, tmp_path / "root")


def test_a_damaged_metadata_file_is_an_error_that_says_what_to_do(dataset, tmp_path):
    (tmp_path / "metadata.sqlite").write_text("no database")
    with pytest.raises(FailedError, match="move the file away"):
        refresh(dataset, tmp_path)


def test_a_truncated_shard_is_refused(dataset, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(dataset, bad)
    shard = next(bad.glob("Split-train/*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(InputError, match=f"{shard.name} must have the"):
        refresh(bad, tmp_path / "root")


def test_a_floor_of_an_unknown_class_is_refused_before_any_stage(dataset, tmp_path):
    watch = Watch()
    gates = {"floors": {"recall_per_class": {"seven": 0.1}}, "ceilings": {"bytes": 10_000_000}}
    with pytest.raises(InputError, match="unknown class 'seven'"):
        refresh(dataset, tmp_path / "root", watch, gates=gates)
    assert set(watch.states) == {"probes"}


POLICY = {"slots": [{"op": "gaussian_noise"}]}


@pytest.mark.parametrize(
    ("floors", "families", "text"),
    [
        ({"accuracy": 0.999}, ["fog"], "accuracy: no model can show 0.9990 with 366 test examples"),
        (
            {"robust_accuracy": 0.8},
            ["fog"],
            "0.8000 with 10 test examples: without a mistake, accuracy on unseen_corruptions is "
            "shown to be at least 0.7411 with 95 % confidence; it takes about 14 of them "
            "(refresh.robustness.examples), or a floor of 0.7411 at most",
        ),
        (
            {"robust_accuracy": 0.1},
            ["gaussian_noise", "shot_noise"],
            "it has seen all of refresh.robustness (gaussian_noise, shot_noise); add families that "
            "it does not see (defocus_blur, glass_blur, motion_blur, …), or remove the floor",
        ),
    ],
)
def test_gates_that_no_model_could_pass_are_refused_before_any_stage(
    dataset, tmp_path, floors, families, text
):
    watch = Watch()
    gates = {"floors": floors, "ceilings": {"bytes": 10_000_000}}
    robustness = {"examples": 10, "severities": [3], "families": families}
    noisy = recipe(gates=gates, robustness=robustness, policy=POLICY).recipe
    with pytest.raises(InputError, match="^refresh.gates.floors") as caught:
        run_refresh(
            recipe=noisy,
            dataset_dir=dataset,
            root=tmp_path / "root",
            profile="smoke",
            progress=watch,
        )
    assert text in str(caught.value)
    assert set(watch.states) == {"probes"}


def test_a_key_that_cannot_sign_is_refused_before_anything_runs(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(InputError, match="must name an existing file"):
        refresh(dataset, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_what_fails_before_the_nodes_is_told(dataset, tmp_path, monkeypatch, capsys):
    tell = {"command": ["sh", "-c", f"cat > {tmp_path}/told.json"]}
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(InputError, match="must name an existing file"):
        refresh(dataset, tmp_path / "root", notify=tell)
    assert (
        "must name an existing file" in json.loads((tmp_path / "told.json").read_bytes())["error"]
    )
    monkeypatch.delenv("BEAM_REFINERY_SIGNING_KEY")
    content = recipe(notify=tell).content | {"source": {"kind": "image_folder", "path": "nowhere"}}
    (tmp_path / "mine.yaml").write_text(json.dumps(content))
    arguments = ["refresh", f"{tmp_path}/mine.yaml", "--root", f"{tmp_path}/root"]
    assert beam_runner.main([*arguments, "--output", f"{tmp_path}/data"]) == 2
    said = json.loads((tmp_path / "told.json").read_bytes())
    assert (said["status"], said["profile"]) == ("failed", "full")
    assert said["error"] in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_a_recipe_without_refresh_is_refused(dataset, tmp_path):
    plain = dataclasses.replace(recipe().recipe, refresh=None)
    with pytest.raises(InputError, match="has no refresh section"):
        run_refresh(recipe=plain, dataset_dir=dataset, root=tmp_path)


def unfinished(root):
    """Return how many executions claim to be running."""
    from ml_metadata import metadata_store
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(root / "metadata.sqlite")
    executions = metadata_store.MetadataStore(config).get_executions()
    return sum(one.last_known_state == mlmd.Execution.RUNNING for one in executions)
