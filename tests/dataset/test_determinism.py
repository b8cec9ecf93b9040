"""The recipe ``digits`` gives the golden digest wherever and however it is built."""

import dataclasses
import glob
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.dataset import files, store
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.verify import verify
from schemas.recipe import load_recipe
from tests import golden
from tests.golden import datasets as golden_datasets

ROOT = Path(__file__).parents[2]
DEADLINE = 120


def check(name, manifest):
    """Compare with the golden entry; other libraries may write other bytes, and are named."""
    expected, found = golden.load("datasets").get(name), golden_datasets.entry(manifest)
    if expected is None:
        pytest.fail(f"{name} has no golden digest yet: {golden.RENEW}")
    if found["digest"] == expected["digest"]:
        return
    changed = [
        f"{library} {expected['versions'].get(library)} -> {version}"
        for library, version in found["versions"].items()
        if expected["versions"].get(library) != version
    ]
    if changed:
        pytest.fail(
            f"{name}: other bytes with other library versions ({', '.join(changed)}). "
            f"Install the locked versions with `make setup`, or, if they are meant to change, "
            f"{golden.RENEW}."
        )
    if found["fingerprint"] != expected["fingerprint"]:
        pytest.fail(f"{name}: recipe, source or policy changed; if that is meant, {golden.RENEW}")
    pytest.fail(f"{name}: the same recipe gives other bytes: {found} instead of {expected}")


def plan_in(folder):
    return make_plan(load_recipe("digits"), str(folder))


def command(folder, *flags):
    return [sys.executable, str(ROOT / "beam_runner.py"), "materialize", "digits", *flags] + [
        "--output",
        str(folder),
    ]


def test_one_worker_gives_the_golden_digest(digits_dataset):
    check("digits", digits_dataset.manifest)


def test_text_gives_the_golden_digest(reviews_dataset):
    check("reviews_sample originals", reviews_dataset.manifest)


def test_reversed_order_of_the_slices(tmp_path):
    plan = plan_in(tmp_path)
    check("digits", materialize(dataclasses.replace(plan, tasks=plan.tasks[::-1])).manifest)


def test_two_processes(tmp_path):
    run = subprocess.run(
        command(tmp_path, "--direct_num_workers=2"), capture_output=True, text=True, check=True
    )
    path = run.stdout.splitlines()[0].rsplit(" to ", 1)[1]
    check("digits", verify(path).manifest)


def test_another_hash_seed_and_working_directory(tmp_path):
    run = subprocess.run(
        command("here"),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "4242"},
    )
    assert run.stderr == ""
    path = tmp_path / run.stdout.splitlines()[0].rsplit(" to ", 1)[1]
    check("digits", verify(str(path)).manifest)


def side_files(output):
    """Count the shards with a side file; one that is still being written bears its name too."""
    return len(glob.glob(f"{output}/{store.WORK}/Split-*/*{store.SIDE_SUFFIX}"))


def started(arguments, output, *, shards):
    """Start a run and return it as soon as it has finished so many shards."""
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(int(DEADLINE / 0.02)):
        if side_files(output) >= shards:
            return process
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"ended with status {process.returncode} too soon: {process.communicate()}")
    process.kill()
    pytest.fail(f"no {shards} shards after {DEADLINE} s: {process.communicate()}")


def test_killed_and_resumed(tmp_path):
    plan = plan_in(tmp_path)
    output = Path(plan.job.output)
    process = started(command(tmp_path), output, shards=5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (output / "manifest.json").exists()
    (output / "Split-train").mkdir(exist_ok=True)
    half_written = output / "Split-train" / ".tmp-0123-copy00-slice0007.tfrecord"
    half_written.write_bytes(b"half a sha")
    # What was published but not yet accounted for, or has been damaged since, is built again.
    damaged = sorted(output.glob("Split-*/copy*"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])

    outcome = materialize(plan)
    assert 4 <= outcome.resumed < plan.shards
    assert not half_written.exists()
    assert not (output / "_work").exists()
    check("digits", outcome.manifest)
    assert verify(str(output)).ok


def test_interrupted_while_another_job_waits(tmp_path):
    """A second job names the first and leaves; Ctrl-C ends the first with a way to go on."""
    plan = plan_in(tmp_path)
    output = plan.job.output
    process = started(command(tmp_path), output, shards=2)
    process.send_signal(signal.SIGSTOP)
    second = subprocess.run(command(tmp_path), capture_output=True, text=True)
    process.send_signal(signal.SIGCONT)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert second.returncode == 2
    assert f"being written by another job (process {process.pid})" in second.stderr
    assert process.returncode == 130
    # On a slow machine a line of progress stands before it.
    assert errors.endswith("interrupted. Finished shards are kept; the same command resumes.\n")
    assert not (Path(output) / "manifest.json").exists()
    assert side_files(output) >= 2
    outcome = materialize(plan)
    assert outcome.resumed >= 2
    check("digits", outcome.manifest)


@pytest.mark.full
def test_interrupted_with_two_processes(tmp_path):
    plan = plan_in(tmp_path)
    output = plan.job.output
    process = started(command(tmp_path, "--direct_num_workers=2"), output, shards=2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert errors.endswith("interrupted. Finished shards are kept; the same command resumes.\n")
    check("digits", materialize(plan).manifest)


def test_full_disk_fails_clearly_and_is_resumed(tmp_path):
    """No file may grow beyond 60 kB: eval and test shards fit, those of the training split not."""
    import resource

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    run = subprocess.run(command(tmp_path), capture_output=True, text=True, preexec_fn=small_files)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("error: cannot write ")
    assert "File too large" in run.stderr
    assert "the same command resumes" in run.stderr
    plan = plan_in(tmp_path)
    found = files.sizes(plan.job.output)
    assert not [name for name in found if ".tmp-" in name or name == "manifest.json"]
    outcome = materialize(plan)
    check("digits", outcome.manifest)
