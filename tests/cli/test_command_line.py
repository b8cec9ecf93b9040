"""What a user sees: output, exit statuses, and what the light commands load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import beam_runner
from pipelines.dataset.lookup import first_keys
from schemas.stages import STAGE_KINDS
from tests.dataset.support import text_records, tfds_recipe, write_recipe, write_tfds

ROOT = Path(__file__).parents[2]
COMMANDS = ["list", "materialize", "verify", "show", "replay", "rollback", "history", "refresh"]


@pytest.fixture
def run(capsys):
    """Runs the command line in this process: (status, standard output, standard error)."""

    def call(*arguments):
        status = beam_runner.main([str(one) for one in arguments])
        return (status, *capsys.readouterr())

    return call


def program(*arguments, **options):
    command = [sys.executable, str(ROOT / "beam_runner.py"), *arguments]
    return subprocess.run(command, text=True, capture_output=True, **options)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A recipe file over twenty texts."""
    root = tmp_path_factory.mktemp("cli")
    records = text_records([f"Text {i}: the film was fine; see it." for i in range(20)])
    write_tfds(root, {"train": [records]}, shape=None, label_names=["bad", "good"])
    content = tfds_recipe(
        root,
        modality="text",
        splits={"test": None},
        policy={"slots": [{"op": "random_swap", "rate": 0.9}]},
    )
    return write_recipe(root / "tiny.yaml", content)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], *([c, "--help"] for c in COMMANDS)])
def test_help_and_list_load_no_heavy_library(arguments):
    code = (
        "import sys, beam_runner\n"
        f"status = beam_runner.main({arguments!r})\n"
        "heavy = {'tensorflow', 'apache_beam', 'tfx', 'keras', 'tensorflow_datasets'}\n"
        "print(status, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.stderr == "0 []\n"
    assert done.stdout


def test_list_names_everything(run):
    status, out, err = run("list")
    assert (status, err) == (0, "")
    for name in ("digits", "reviews_sample", "rotate", "synonym_replace", "tfds", *STAGE_KINDS):
        assert f"\n  {name} " in out
    assert run("list", "sources")[1].startswith("sources:\n")
    assert "rotate" not in run("list", "recipes")[1]


def test_materialize_verify_show_replay(run, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("materialize", texts, "--output", "out", "--set", "copies=2")
    assert (status, err) == (0, "")
    first, leakage, digest = out.splitlines()
    assert first.startswith("wrote ")
    assert leakage.startswith("leakage ")
    dataset = first.rsplit(" to ", 1)[1]
    assert dataset.startswith("out/tiny/")

    status, out, err = run("materialize", texts, "--output", "out", "--set", "copies=2")
    assert (status, err) == (0, "")
    assert out.splitlines()[0].startswith(f"up to date: {dataset} (")
    assert out.splitlines()[1] == digest

    status, out, _ = run("verify", dataset)
    assert status == 0
    assert out.startswith("ok: ")
    assert out.rstrip().endswith(digest)
    status, out, _ = run("verify", dataset, "--json")
    verdict = json.loads(out)
    assert set(verdict) == {"ok", "digest", "examples", "problems"}
    assert (status, verdict["ok"], verdict["problems"]) == (0, True, [])
    assert f"digest {verdict['digest']}" == digest

    key = first_keys(dataset, 1)[0]
    status, out, _ = run("show", dataset)
    assert status == 0
    assert "ops on train random_swap" in out
    assert key in out
    status, out, _ = run("show", dataset, "--key", key)
    assert status == 0
    assert "copy 2: random_swap(" in out
    assert "[-" in out
    assert "{+" in out
    status, out, _ = run("replay", dataset, key, 1)
    assert status == 0
    assert "\nequal: recomputed from the source, " in out

    manifest = json.loads(Path(dataset, "manifest.json").read_text())
    manifest["recipe"]["seed"] += 1
    Path(dataset, "manifest.json").write_text(json.dumps(manifest))
    status, out, _ = run("replay", dataset, key, 1)
    assert status == 1
    assert "\nDIFFERENT: " in out

    shard = Path(dataset, manifest["shards"][0]["path"])
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    status, out, _ = run("verify", dataset)
    assert status == 1
    assert f"{manifest['shards'][0]['path']}: content differs" in out
    assert "not ok: 1 problems" in out
    status, out, _ = run("verify", dataset, "--json")
    assert status == 1
    assert json.loads(out)["ok"] is False


def test_show_writes_a_contact_sheet(run, digits_dataset, tmp_path):
    sheet = tmp_path / "sheet.png"
    status, out, _ = run("show", digits_dataset.path, "--sheet", sheet)
    assert status == 0
    assert f"contact sheet (originals left): {sheet}" in out
    assert "5,079 in 48 shards" in out
    image = cv2.imread(str(sheet))
    assert image.shape == (8 * 98 + 2, 4 * 98 + 2, 3)
    status, out, err = run("show", digits_dataset.path, "--sheet", tmp_path / "sheet.png" / "x")
    assert (status, err.startswith("error: cannot write ")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (
            ["materialise", "digits"],
            2,
            "unknown command 'materialise'. Did you mean 'materialize'?",
        ),
        (["list", "op"], 2, "unknown value of what 'op'. Did you mean 'ops'?"),
        (["list", "--fast"], 2, "unrecognized arguments: --fast"),
        (["materialize"], 2, "the following arguments are required: RECIPE"),
        (["verify"], 2, "the following arguments are required: DATASET_DIR"),
        (["verify", "x", "--jsn"], 2, "unrecognized arguments: --jsn"),
        (["replay", "x", "key", "one"], 2, "argument COPY: invalid int value: 'one'"),
        (["refresh", "digits"], 2, "the following arguments are required: --root"),
        (["refresh", "digits", "--root", "x", "--profile", "demos"], 2, "Did you mean 'demo'?"),
        (["materialize", "digits", "--set"], 2, "argument --set: expected one argument"),
        (["verify", "/nowhere"], 2, "/nowhere: no manifest.json, so no finished dataset"),
        (["show", "/nowhere"], 2, "/nowhere: no manifest.json, so no finished dataset"),
        (["replay", "/nowhere", "k", "0"], 2, "/nowhere: no manifest.json, so no finished dataset"),
        (["refresh", "/", "--root", "x"], 2, "no manifest.json, so no finished dataset"),
        (
            ["refresh", "/", "--root", "x", "--set", "a=1"],
            2,
            "go with a recipe, not with a finished",
        ),
    ],
)
def test_bad_usage(run, arguments, status, message):
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.fixture
def closed_pipe():
    """The reader is gone before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_closed_pipe_is_no_error(closed_pipe):
    for arguments in (["list", "sources"], ["list"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "beam_runner.py"), *arguments],
            stdout=closed_pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_changes_no_status(closed_pipe, tmp_path):
    """`verify DAMAGED | true` and `materialize ... 2>&1 | true` end as they do with a reader."""

    def status(*arguments):
        command = [sys.executable, str(ROOT / "beam_runner.py"), *arguments]
        return subprocess.run(command, stdout=closed_pipe, stderr=closed_pipe).returncode

    assert status("materialize", "digits", "--output", str(tmp_path)) == 0
    (manifest,) = tmp_path.glob("digits/*/manifest.json")
    assert status("verify", str(manifest.parent)) == 0
    next(manifest.parent.glob("Split-train/*")).write_bytes(b"?")
    assert status("verify", str(manifest.parent)) == 1
    assert status("refresh", str(tmp_path / "none.yaml"), "--root", str(tmp_path)) == 2


def test_a_stream_that_was_closed_at_the_start_is_no_error():
    command = f"'{sys.executable}' '{ROOT / 'beam_runner.py'}' list recipes >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_console_script_is_the_same_program():
    script = Path(sys.executable).with_name("beam-refinery")
    done = subprocess.run([script, "list", "recipes"], text=True, capture_output=True)
    assert done.stdout == program("list", "recipes").stdout


def test_a_message_is_short_whatever_was_typed(run):
    status, out, err = run("materialize", "digits", "--set", f"policy={'[' * 20_000}")
    assert (status, out) == (2, "")
    assert "nested deeper than 32 levels" in err
    assert len(err) < 400


@pytest.mark.parametrize(
    ("flag", "meant"),
    [("--profle=smoke", "--profile"), ("--prof", "--profile"), ("--sett=a=b", "--set")],
)
def test_a_slip_of_our_own_flags_is_not_one_of_beams(run, flag, meant):
    status, out, err = run("refresh", "digits", "--root", "x", flag)
    assert (status, out) == (2, "")
    assert f"Did you mean {meant}?" in err
