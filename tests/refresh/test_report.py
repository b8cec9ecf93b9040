"""Progress lines, the table, and the check that TFX acted on what the evidence says."""

import ast
import dataclasses
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.acceptance import Evidence, cost_rules, decide, write_evidence
from components.data_checks import wording
from pipelines import code_version
from pipelines.quiet import quiet
from pipelines.refresh_report import NodeEvent, NodeResult, build_report, node_progress
from pipelines.refresh_summary import render
from schemas.gates import Ceilings, Floors, Gates
from schemas.infra import InfraReport
from schemas.refresh import RefreshPlan, Stage
from schemas.report import (
    Check,
    Finding,
    GateDecision,
    Latency,
    NodeRow,
    PartRow,
    PushRow,
    RefreshReport,
    SizeReport,
    StageRow,
)


def report(**changes):
    rows = {
        "recipe": "digits",
        "profile": "smoke",
        "dataset": "/data/digits",
        "dataset_digest": "d" * 64,
        "run": "2026-01-01T00:00:00",
        "status": "pushed",
        "seconds": 12.3,
        "stages": (
            StageRow(
                name="teacher",
                kind="train",
                accuracy=0.9,
                parameters=1_234,
                bytes=56_789,
                seconds=7.0,
                cached=True,
                size=SizeReport(
                    format="tflite",
                    bytes=56_789,
                    macs=1_500_000,
                    latency=(Latency(batch=1, median_ms=0.0874, p95_ms=0.1, runs=9),),
                ),
            ),
            StageRow(
                name="student",
                kind="distill",
                accuracy=0.8,
                parameters=12,
                bytes=34,
                seconds=1.0,
                cached=False,
                size=SizeReport(format="saved_model", bytes=34, unmeasured=("macs: odd (Odd)",)),
            ),
        ),
        "decisions": (
            GateDecision(
                gate="accuracy",
                findings=(
                    Finding(name="accuracy", outcome="passed", passed=True, reason="good enough"),
                    Finding(
                        name="accuracy against live",
                        outcome="failed",
                        passed=False,
                        reason="much worse",
                        numbers={
                            "both_right": 1_200,
                            "candidate_alone_right": 3,
                            "live_alone_right": 21,
                            "both_wrong": 9,
                            "mcnemar_one_sided": 0.9999,
                            "mcnemar_two_sided": 0.00028,
                        },
                    ),
                ),
            ),
            GateDecision(
                gate="data",
                checks=(
                    Check(measure="anomalies", kind="at_most", limit=0, value=0),
                    Check(measure="drift of label", kind="at_most", limit=0.1, value=0.25),
                ),
            ),
        ),
        "slices": (
            PartRow(name="class=cat", examples=9, accuracy=0.5, bound=0.3),
            PartRow(name="class=ant", examples=9, accuracy=0.25, bound=0.1),
        ),
        "corruptions": (
            PartRow(name="unseen_corruptions", examples=9, accuracy=0.4, bound=0.2),
            PartRow(name="unseen_corruptions/fog", examples=9, accuracy=0.3, bound=0.1),
        ),
        "test_uses": 3,
        "push": PushRow(path="/serving/3", version=3, digest="a" * 64, pushed=True),
        "nodes": (NodeRow(node="teacher", state="cached", seconds=0.1),),
    }
    return RefreshReport(**{**rows, **changes})


def data_gate(**changes):
    check = Check(measure="examples in train", kind="at_least", limit=1, value=9)
    return GateDecision(**{"gate": "data", "checks": (check,), **changes})


def test_the_table_shows_what_the_data_gate_notes_and_whose_limit_was_raised(tmp_path):
    notes = ("near-duplicates in train: 3 of 9 test examples", "drift was not compared: gone")
    fine, raised = (
        Check(
            measure=wording.distance_of("skew", "contrast", "test", limit=0.3, raised=raised),
            kind="at_most",
            limit=0.4 if raised else 0.3,
            value=0.25,
            examples=9,
        )
        for raised in (False, True)
    )
    decision = data_gate(checks=(fine, raised), notes=notes)
    lines = render(report(decisions=(decision,)), path=tmp_path / "report.json").splitlines()
    at = lines.index("data     passed   2 checks")
    assert [line.strip() for line in lines[at + 1 : at + 5]] == [
        *notes,
        "skew of contrast between train and test (JSD, limit 0.3 raised for so few examples) "
        "0.2500 (n=9) keeps to the most allowed 0.4000",
        "",
    ]
    plain = render(report(decisions=(data_gate(),)), path=tmp_path)
    assert "near-duplicates" not in plain


def test_what_to_do_about_a_refusal_is_told_once_everywhere(tmp_path):
    drift = Check(measure="drift of length", kind="at_most", limit=0.1, value=0.25)
    fixes = ("raise refresh.data.drift.features", "add examples")
    refused = [data_gate(checks=(drift,), fixes=fixes), data_gate(fixes=fixes[1:])]
    found = report(status="refused", decisions=tuple(refused))
    text = render(found, path=tmp_path)
    assert "not pushed (12 s): drift of length 0.2500 is above the most allowed 0.1000\n" in text
    assert [line for line in text.splitlines() if line.startswith("what to do")] == [
        "what to do: raise refresh.data.drift.features", "what to do: add examples"
    ]  # fmt: skip
    assert found.to_json()["fixes"] == list(fixes)
    assert found.why == (
        "drift of length 0.2500 is above the most allowed 0.1000. What to do: raise "
        "refresh.data.drift.features; add examples"
    )
    assert report().fixes == ()


def test_table_shows_stage_figures_gates_and_destination(tmp_path):
    text = render(report(), path=tmp_path / "report.json")
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert rows["teacher"] == [
        "train", "0.9000", "1,234", "1.50", "0.087", "56,789", "tflite", "7.0", "cached"
    ]  # fmt: skip
    assert rows["student"] == ["distill", "0.8000", "12", "-", "-", "34", "saved_model", "1.0"]
    assert "accuracy passed   good enough" in text
    assert "accuracy REFUSED  much worse" in text
    assert (
        "both right 1,200, candidate alone right 3, live alone right 21, both wrong 9; "
        "McNemar p=1 one-sided, 0.00028 two-sided"
    ) in text
    assert "data     passed   1 checks" in text
    assert "data     REFUSED  drift of label 0.2500 is above the most allowed 0.1000" in text
    assert "class: ant 0.250, cat 0.500" in text
    assert "unseen 0.4000: fog 0.300" in text
    assert "judged 3 candidates" in text
    assert "pushed (12 s) to /serving/3 (version 3, aaaaaaaaaaaa)" in text
    assert str(tmp_path / "report.json") in text


def test_a_twin_stands_below_the_table(tmp_path):
    """What pruning gained over training the same shape anew."""
    teacher, student = report().stages
    text = render(
        report(stages=(teacher, dataclasses.replace(student, twin_accuracy=0.79))), path=tmp_path
    )
    assert "student: the same shape from fresh weights reaches 0.7900 on eval" in text
    assert "teacher: the same shape" not in text


def test_nothing_new_says_what_ran_again(tmp_path):
    same = report(status="nothing_new")
    assert "ran again" in render(same, path=tmp_path)
    same = report(status="nothing_new", stages=same.stages[:1])
    assert "all model stages cached" in render(same, path=tmp_path)


def event(state, line="", seconds=0.0):
    return NodeEvent(index=6, total=11, node="teacher", state=state, seconds=seconds, line=line)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_plain_lines_in_a_file():
    stream = io.StringIO()
    show = node_progress(stream)
    for one in (event("running"), event("running", "epoch 1/2"), event("done", seconds=7.25)):
        show(one)
    assert [line.split() for line in stream.getvalue().splitlines()] == [
        ["[", "6/11]", "teacher", "..."],
        ["[", "6/11]", "teacher", "epoch", "1/2"],
        ["[", "6/11]", "teacher", "done", "7.2", "s"],
    ]


def test_progress_keeps_one_line_per_node_on_a_terminal():
    stream = Terminal()
    show = node_progress(stream)
    for one in (event("running"), event("running", "x" * 500), event("done", seconds=7.25)):
        show(one)
    assert stream.getvalue().count("\n") == 1
    lines = stream.getvalue().rstrip("\n").split("\r\x1b[K")
    assert max(map(len, lines)) < shutil.get_terminal_size().columns


def test_quiet_hides_what_is_written_to_the_descriptor_and_gives_it_back(capfd, tmp_path):
    log = tmp_path / "deep" / "log"

    def work():
        with quiet(log=log) as terminal:
            os.write(2, b"noise\n")
            terminal.write("progress\n")
            raise KeyError("through")

    with pytest.raises(KeyError, match="through"):
        work()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "progress\nafter\n"
    assert log.read_text() == "noise\n"


def test_quiet_hides_nothing_when_verbose(capfd):
    with quiet(verbose=True):
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == "noise\n"


def test_code_version_follows_names_and_contents(tmp_path, monkeypatch):
    monkeypatch.setattr(code_version, "_PROJECT", tmp_path)
    seen = set()
    for content in ("a = 1", "a = 2"):
        for name in ("one.py", "two.py"):
            (tmp_path / name).write_text(content)
            seen.add(code_version.code_version([name]))
    assert len(seen) == 4


def test_stage_sources_are_all_of_components_but_the_gates():
    sources = code_version.stage_sources()
    assert {"components/stages.py", "components/models/image.py", "schemas/text.py"} <= set(sources)
    gates = {"components/answers.py", "components/acceptance/judge.py", "components/push.py"}
    assert not gates & set(sources)
    judging = {"components/answers.py", "components/shells.py", "schemas/gates.py"}
    assert judging <= set(code_version.gate_sources())


def test_export_sources_hold_every_layer_and_no_training():
    sources = set(code_version.export_sources())
    project = Path(code_version.__file__).parents[1]
    layers = {
        path.relative_to(project).as_posix()
        for path in (project / "components").rglob("*.py")
        if "register_keras_serializable" in path.read_text("utf-8")
    }
    assert layers
    assert layers | {"components/export.py", "components/data.py"} <= sources
    assert not {"components/train.py", "components/distill.py", "components/push.py"} & sources


def test_what_a_gate_reads_with_and_decides_by_is_part_of_its_cache_key():
    """Its modules import nothing of the project that can change a verdict and is not counted."""
    counted = set(code_version.gate_sources())
    plain = {
        "components/lite.py",  # another one is another model, which is an input
        "components/lite_input.py",
        "components/push.py",  # the Pusher is never cached
        "components/serving/baseline.py",  # its outcome is a parameter
        "components/serving/bundle.py",
        "components/serving/decisions.py",
        "components/serving/signing.py",
        "components/serving/store.py",
        "components/stages.py",  # where a model directory names its digest
        "components/tree.py",
        "schemas/canonical.py",
        "schemas/errors.py",
        "schemas/plain_files.py",  # opens files, or refuses to
        "schemas/stages.py",  # of a stage, which is an input
    }
    root = Path(code_version.__file__).parent.parent
    found = set()
    for name in counted - {"components/artifact.py"}:
        for node in ast.walk(ast.parse((root / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
                paths = [f"{one.replace('.', '/')}.py" for one in parts]
                found |= {one for one in paths if (root / one).is_file()}
    assert found - counted <= plain, found - counted - plain


@pytest.mark.parametrize(
    "cause",
    [
        RuntimeError("Cannot create node\nError: database or disk is full query: INSERT INTO x"),
        OSError(28, "No space left on device", "/root/model"),
    ],
)
def test_a_full_disk_is_named(tmp_path, cause):
    plan = RefreshPlan(
        model="image_resnet",
        profile="smoke",
        stages=(),
        push="teacher",
        gates=Gates(floors=Floors(accuracy=0.5), ceilings=Ceilings(bytes=500)),
    )
    made = build_report(
        [NodeResult(node="Examples", state="failed", seconds=1.0)],
        plan=plan,
        recipe="digits",
        dataset=tmp_path,
        digest="d" * 64,
        run="now",
        seconds=2.0,
        cause=cause,
    )
    assert made.error == (
        "node Examples failed: the disk is full; make room, and the same command goes on"
    )


def test_a_blessing_that_disagrees_with_its_evidence_fails_the_run(tmp_path):
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    (tmp_path / "model" / "Format-Serving").mkdir(parents=True)
    (tmp_path / "model" / "Format-Serving" / "saved_model.pb").write_bytes(bytes(600))
    figures = {"name": "teacher", "kind": "train", "accuracy": 0.9, "parameters": 7}
    figures |= {"bytes": 600, "seconds": 1.0, "accuracy_before": None, "size_before": None}
    figures |= {"notes": {}}
    figures |= {"size": SizeReport(format="saved_model", bytes=600).to_json()}
    (tmp_path / "model" / "stage.json").write_text(json.dumps(figures))
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(tmp_path / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    gates = Gates(floors=Floors(accuracy=0.5), ceilings=Ceilings(bytes=500))
    found = Evidence(tables={}, costs={"bytes": 600, "golden_difference": 0.0})
    rules = cost_rules(gates)
    write_evidence(Path(blessing.uri), rules, found, decide(rules, found))
    infra = InfraReport(golden_difference=0.0, requests=1, load_seconds=0.1, latency_ms=(0.2,))
    (tmp_path / "blessing" / "infra.json").write_text(json.dumps(infra.to_json()))
    stage = Stage(name="teacher", kind="train", config=None)
    plan = RefreshPlan(
        model="image_resnet",
        profile="smoke",
        stages=(stage,),
        push="teacher",
        gates=gates,
    )
    made = build_report(
        [
            NodeResult(node="teacher", state="done", seconds=1.0, outputs={"model": [model]}),
            NodeResult(
                node="SizeGate", state="done", seconds=1.0, outputs={"blessing": [blessing]}
            ),
        ],
        plan=plan,
        recipe="digits",
        dataset=tmp_path,
        digest="d" * 64,
        run="now",
        seconds=2.0,
        cause=None,
    )
    assert made.status == "failed"
    assert "node SizeGate blessed the model, which disagrees" in made.error
