import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import registry, result, tables
from benchmarks.commands import plan_of
from benchmarks.policies import POLICIES
from benchmarks.raw_loop import raw_loop
from benchmarks.result import Measured, Spread
from pipelines.dataset import store
from pipelines.dataset.images import decode_image
from pipelines.dataset.records import decode_example, read_shard
from pipelines.dataset.slices import read_slice
from schemas.errors import FailedError, InputError
from schemas.validation import validated

NAMES = list(registry.BENCHMARKS)


def made_up(name: str = "refresh", **changes: object) -> result.Result:
    declared = {"a_s": ("s", "time a"), "per_node": ("s", "node")}
    values = {
        "benchmark": name,
        "command": f"python -m benchmarks {name}",
        "date": "2026-01-31",
        "machine": {"cpu": "Some CPU", "cores": "2", "memory": "8 GiB", "system": "Linux x86_64"},
        "versions": {"python": "3.11.2"},
        "seeds": {"recipe": 1},
        "conditions": {"dataset": "digits"},
        "figures": result.figures_of(
            declared, {"a_s": [3.0, 1.0, 2.0], "per_node": {"Train": [12345.6]}}
        ),
    }
    return result.Result(**(values | changes))


def readme_of(*names: str) -> str:
    blocks = [f"<!-- benchmarks:{name} -->\nold\n<!-- /benchmarks:{name} -->\n" for name in names]
    return "# Title\n\n" + "\nbetween\n".join(blocks) + "\nend\n"


@pytest.mark.parametrize("name", NAMES)
def test_committed_result_is_valid_and_holds_the_declared_figures(name):
    loaded = result.load_result(name)
    declared = registry.module_of(name).FIGURES
    assert loaded.benchmark == name
    assert loaded.command == f"python -m benchmarks {name}"
    assert {key: (one.unit, one.summary) for key, one in loaded.figures.items()} == declared
    assert list(loaded.figures) == list(declared)
    assert {"cpu", "cores", "memory", "system"} == set(loaded.machine)


def test_readme_shows_the_committed_results():
    readme = tables.README.read_text("utf-8")
    assert tables.updated(readme, NAMES, result.load_result) == readme, (
        "run `python -m benchmarks readme` and commit README.md"
    )


def test_quick_materialize_prints_the_declared_keys_and_writes_nothing(capsys, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    before = sorted(result.RESULTS.glob("*"))
    assert command.main(["materialize", "--quick", "--json"]) == 0
    printed = validated(result.Result, json.loads(capsys.readouterr().out))
    assert list(printed.figures) == list(registry.module_of("materialize").FIGURES)
    assert "digits" in printed.conditions["dataset"]
    assert sorted(result.RESULTS.glob("*")) == before


@pytest.mark.full
def test_quick_refresh_prints_the_declared_keys(capsys):
    assert command.main(["refresh", "--quick", "--json"]) == 0
    printed = validated(result.Result, json.loads(capsys.readouterr().out))
    assert list(printed.figures) == list(registry.module_of("refresh").FIGURES)


def test_raw_loop_writes_the_same_examples_as_the_pipeline(tmp_path):
    plan = plan_of("digits", str(tmp_path / "dataset"), slices=1)
    infos = store.run_task(plan.job, plan.tasks[0], read_slice(plan.job, plan.tasks[0]))
    raw_loop(plan.job, plan.tasks, tmp_path / "loop")
    for info in infos:
        name = f"{info.split}-copy{info.copy:02d}-{info.slice:04d}.tfrecord"
        shard = Path(plan.job.output) / info.path
        assert (tmp_path / "loop" / name).read_bytes() == shard.read_bytes()


@pytest.mark.parametrize("policy", POLICIES)
def test_idiomatic_pipeline_keeps_originals_and_changes_copies(tmp_path, policy):
    from benchmarks.idiomatic_beam import run_idiomatic
    from benchmarks.materialize import _write_source

    plan = plan_of("digits", str(tmp_path / "dataset"), slices=1)
    _write_source(plan, plan.tasks, tmp_path / "source.tfrecord")
    source, output = str(tmp_path / "source.tfrecord"), str(tmp_path / "out")
    run_idiomatic(source, output, policy=policy, copies=2, seed=1)
    written = [
        decode_example(record)
        for path in tmp_path.glob("out*.tfrecord")
        for record in read_shard(path.read_bytes(), path.name)
    ]
    size = plan.tasks[0].stop - plan.tasks[0].start
    by_copy = {c: {e["key"][0]: e for e in written if e["copy"] == [c]} for c in range(3)}
    assert [len(some) for some in by_copy.values()] == [size] * 3
    record = next(iter(plan.job.source.read("train", 0, 1)))
    key = record.key.encode()
    assert np.array_equal(decode_image(by_copy[0][key]["image"][0], 3), record.value)
    assert by_copy[1][key]["image"] != by_copy[0][key]["image"] != by_copy[2][key]["image"]


def test_a_spread_is_that_of_its_runs():
    assert Spread.over([3, 1, 2]) == Spread(median=2, min=1, max=3, runs=[3, 1, 2])
    with pytest.raises(ValueError, match="must be those of the runs"):
        Spread(median=2.5, min=1, max=3, runs=[3, 1, 2])
    with pytest.raises(InputError, match="at least 1 entry"):
        validated(Spread, {"median": 1, "min": 1, "max": 1, "runs": []})


def test_a_benchmark_must_measure_what_it_declares(monkeypatch):
    module = registry.module_of("refresh")
    other = Measured(runs={"first_run_s": [1.0]}, conditions={}, seeds={})
    monkeypatch.setattr(module, "measure", lambda *, quick: other)
    with pytest.raises(FailedError, match="cached_run_s"):
        registry.run("refresh", quick=True)


def test_result_files_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(result, "RESULTS", tmp_path)
    with pytest.raises(InputError, match="not measured yet"):
        result.load_result("refresh")
    path = result.write_result(made_up())
    assert result.load_result("refresh") == made_up()
    path.write_text(path.read_text().replace('"median": 2.0', '"median": 7.0'))
    with pytest.raises(InputError, match=r"figures\.a_s|those of the runs"):
        result.load_result("refresh")


def test_tables_are_written_between_their_markers():
    renewed = tables.updated(readme_of("refresh"), ["refresh"], made_up)
    assert "| time a | 2.00 s | 1.00 to 3.00 | 3 |" in renewed
    assert "| node: Train | 12,350 s | 12,350 to 12,350 | 1 |" in renewed
    assert "Some CPU, 2 cores, 8 GiB" in renewed
    assert "old" not in renewed
    assert renewed.startswith("# Title\n\n<!-- benchmarks:refresh -->\n")
    assert renewed.endswith("<!-- /benchmarks:refresh -->\n\nend\n")
    assert tables.updated(renewed, ["refresh"], made_up) == renewed


def test_markers_must_match_the_benchmarks():
    with pytest.raises(InputError, match="no table of the benchmark 'materialize'"):
        tables.updated(readme_of("refresh"), ["materialize", "refresh"], made_up)
    with pytest.raises(InputError, match="'other', which is no benchmark"):
        tables.updated(readme_of("refresh", "other"), ["refresh"], made_up)


def test_readme_command_checks_then_renews(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(result, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "README", tmp_path / "README.md")
    plain = ["materialize", "refresh"]  # their tables show figures of any name
    monkeypatch.setattr(command, "BENCHMARKS", {name: registry.BENCHMARKS[name] for name in plain})
    for name in plain:
        result.write_result(made_up(name))
    assert command.main(["readme"]) == 2
    tables.README.write_text(readme_of(*plain))
    assert command.main(["readme", "--check"]) == 1
    assert command.main(["readme"]) == 0
    assert command.main(["readme", "--check"]) == 0
    assert "time a" in tables.README.read_text()


def test_list_names_each_benchmark_and_figure(capsys):
    assert command.main(["list", "--names"]) == 0
    assert capsys.readouterr().out.split() == NAMES
    assert command.main(["list"]) == 0
    assert "share_of_raw_loop" in capsys.readouterr().out


def test_unknown_benchmark_is_refused_with_the_nearest(capsys):
    assert command.main(["materialise"]) == 2
    assert "materialize" in capsys.readouterr().err
