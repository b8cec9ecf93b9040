"""Kinds of bad input, with the one line that a user sees: the rule, the value, the fix."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import beam_runner
from pipelines.dataset.records import encode_example
from tests.dataset.support import (
    image_records,
    pictures,
    tfds_recipe,
    write_recipe,
    write_tfds,
)

ROOT = Path(__file__).parents[2]


def recipe(tmp_path, text="", **changes):
    """Write a recipe over the tiny dataset, some lines of text added."""
    path = write_recipe(tmp_path / "mine.yaml", tfds_recipe(tmp_path / "data", **changes))
    if text:
        with open(path, "a") as file:
            file.write(text)
    return path


def data(tmp_path, replaced=None):
    """Write forty images; ``replaced`` gives another record for some positions."""
    records = image_records(pictures(40))
    for index, record in (replaced or {}).items():
        records[index] = record
    test = [image_records(pictures(4, seed=1))]
    return write_tfds(tmp_path / "data", {"train": [records], "test": test})


def truncated(tmp_path):
    path = data(tmp_path) / "tiny-train.tfrecord-00000-of-00001"
    os.truncate(path, path.stat().st_size - 100)
    return recipe(tmp_path)


def damaged_image(tmp_path):
    data(tmp_path, {7: encode_example({"image": b"\x89PNG but not for long", "label": 1})})
    return recipe(tmp_path)


def wrong_label(tmp_path):
    image = image_records(pictures(1))[0]
    data(
        tmp_path,
        {
            9: image.replace(
                b"label\x12\x05\x1a\x03\x0a\x01\x00", b"label\x12\x05\x1a\x03\x0a\x01\x05"
            )
        },
    )
    return recipe(tmp_path)


def blocked_output(tmp_path):
    data(tmp_path)
    (tmp_path / "out").write_text("a file, not a folder")
    return recipe(tmp_path)


def foreign_file(tmp_path):
    from pipelines.dataset.plan import make_plan
    from schemas.recipe import load_recipe

    data(tmp_path)
    path = recipe(tmp_path)
    output = make_plan(load_recipe(path), str(tmp_path / "out")).job.output
    os.makedirs(output)
    Path(output, "holiday.jpg").touch()
    return path


def with_data(text="", **changes):
    def write(tmp_path):
        data(tmp_path)
        return recipe(tmp_path, text, **changes)

    return write


# Name: what makes the recipe (or its name), further arguments, what the message must hold.
CASES = {
    "unknown recipe": (
        "cifar",
        [],
        ["unknown recipe 'cifar'", "Did you mean 'cifar10'?", "path of a .yaml file"],
    ),
    "YAML typo": (
        with_data("splits: {train: train\ncopies: 2\n"),
        [],
        ["mine.yaml:13: not valid YAML"],
    ),
    "misspelt key": (
        with_data("slicesize: 3\n"),
        [],
        ["mine.yaml:12: slicesize: unknown key 'slicesize'", "Did you mean 'slice_size'?"],
    ),
    "wrong type": (
        with_data(copies="two"),
        [],
        ["mine.yaml:1: copies: input should be a valid integer", "got 'two'"],
    ),
    "wrong override": (
        with_data(),
        ["--set", "image.encoding=jpg"],
        ["--set image.encoding: input should be 'png' or 'raw'", "got 'jpg'"],
    ),
    "unknown op": (
        with_data(policy={"slots": [{"op": "rotat"}]}),
        [],
        ["mine.yaml:", "unknown op 'rotat'", "Did you mean 'rotate'?"],
    ),
    "parameter out of range": (
        with_data(policy={"preset": "classic", "rotation": 900}),
        [],
        ["mine.yaml:", "degrees must be in [0, 180], got 900"],
    ),
    "unknown source kind": (
        with_data(source={"kind": "tfd"}),
        [],
        ["source.kind: unknown source kind 'tfd'", "Did you mean 'tfds'?"],
    ),
    "no data and no network": (
        recipe,
        ["--set", "source.dataset=not_a_dataset"],
        ["not_a_dataset is not prepared under", "TFDS_DATA_DIR", "tfds build not_a_dataset"],
    ),
    "no such split": (
        with_data(splits={"train": "train", "test": "tests"}),
        [],
        ["splits.test: unknown source split 'tests'", "Did you mean 'test'?", "`test: null`"],
    ),
    "wrong number of label names": (
        with_data(),
        ["--set", "source.label_names=[a, b, c]"],
        ["source.label_names: the dataset has 2 classes, but 3 label names are given"],
    ),
    "unwritable output": (
        blocked_output,
        [],
        ["cannot create the folder", "Name a writable place"],
    ),
    "truncated TFRecord file": (
        truncated,
        [],
        ["tiny-train.tfrecord-00000-of-00001: truncated inside record 39", "again"],
    ),
    "damaged image": (
        damaged_image,
        [],
        ["bad record train-00000007: not an image that OpenCV can decode", "quarantine"],
    ),
    "label out of range": (
        wrong_label,
        [],
        ["bad record train-00000009: label 5 is out of range 0..1", "quarantine"],
    ),
    "foreign file in the output": (
        foreign_file,
        [],
        ["holds 'holiday.jpg', which is no part of the dataset", "Move them elsewhere"],
    ),
    "unknown Beam flag": (
        with_data(),
        ["--direct_num_worker=2"],
        ["'--direct_num_worker=2'", "Did you mean --direct_num_workers?"],
    ),
    "unknown runner": (with_data(), ["--runner=Spork"], ["--runner=Spork: "]),
}


@pytest.mark.parametrize("case", CASES)
def test_message(tmp_path, capsys, case):
    source, arguments, parts = CASES[case]
    path = source(tmp_path) if callable(source) else source
    status = beam_runner.main(["materialize", path, "--output", str(tmp_path / "out"), *arguments])
    out, err = capsys.readouterr()
    assert status == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert "unexpected" not in err
    for part in parts:
        assert part in err
    assert not list(tmp_path.glob("out/*/*/manifest.json"))


def test_missing_corpus_names_the_command_that_gets_it(tmp_path):
    """Without WordNet anywhere on NLTK's path."""
    code = (
        "import sys, nltk.data\n"
        "nltk.data.path[:] = []\n"
        "import beam_runner\n"
        "sys.exit(beam_runner.main(['materialize', 'reviews_sample']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "WordNet" in done.stderr
    assert "Fetch it with: " in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("refresh.gates.floors.accuracy=1.5", ["below 1", "1.5"]),
        ("refresh.gates.floors.accuracy=0", ["above 0", "not 0"]),
        ("refresh.gates.ceilings.bytes=-1", ["above 0", "not -1"]),
        ("refresh.gates.ceilings.bytes=small", ["valid integer", "'small'"]),
        ("refresh.push=best", ["best"]),
    ],
)
def test_impossible_threshold_is_refused_before_anything_runs(tmp_path, capsys, setting, parts):
    arguments = ["--root", str(tmp_path / "root"), "--output", str(tmp_path / "data")]
    status = beam_runner.main(["refresh", "digits", *arguments, "--set", setting])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith(f"error: --set {setting.split('=')[0]}")
    for part in parts:
        assert part in err
    assert not any(tmp_path.iterdir())


def test_a_recipe_without_refresh_cannot_be_refreshed(tmp_path, capsys):
    data(tmp_path)
    status = beam_runner.main(["refresh", recipe(tmp_path), "--root", str(tmp_path / "root")])
    _, err = capsys.readouterr()
    assert status == 2
    assert "mine.yaml" in err
    assert "no refresh section" in err
