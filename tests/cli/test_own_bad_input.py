"""Bad input of a user's own data, with the one line that a user sees."""

import os
from pathlib import Path

import pytest
import yaml

import beam_runner
from tests.dataset.test_image_folder import write
from tests.dataset.test_tables import write_csv

ROWS = {"id": ["a", "b", "c"], "text": ["one", "two", "three"], "stars": ["x", "y", "x"]}


def csv_recipe(rows=None, content=None, **source):
    def make():
        write_csv_here(rows or ROWS, content)
        settings = {"kind": "csv", "path": "films.csv", "label": "stars", "text": "text"}
        return recipe("text", settings | source)

    return make


def write_csv_here(rows, content):
    if content is None:
        write_csv(Path("films.csv").absolute(), rows)
    else:
        Path("films.csv").write_bytes(content)


def folder_recipe(*names, **more):
    def make():
        Path("pictures").mkdir()
        write(Path("pictures"), names)
        return recipe("image", {"kind": "image_folder", "path": "pictures"} | more)

    return make


def recipe(modality, source):
    content = {
        "name": "mine",
        "modality": modality,
        "source": source,
        "splits": {"test": None},
        "policy": {"preset": "none"},
        "copies": 0,
    }
    with open("mine.yaml", "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)


def unreadable():
    folder_recipe("a/1.png", "b/1.png")()
    for name in ("a/1.png", "b/1.png"):
        os.remove(f"pictures/{name}")
        os.symlink("gone.png", f"pictures/{name}")


def broken_schema():
    csv_recipe()()
    with open("mine.pbtxt", "w") as file:
        file.write('feature {\n  name: "label"\n  sort: BYTES\n}\n')


# What makes the recipe, and what the message must hold.
CASES = {
    "typo in a column": (
        csv_recipe(label="star"),
        ["mine.yaml:6: source.label: ", "films.csv: unknown column 'star'", "mean 'stars'?"],
    ),
    "typo in a setting": (
        csv_recipe(delimeter=";"),
        ["mine.yaml:8: source.delimeter: unknown key", "Did you mean 'delimiter'?"],
    ),
    "missing file": (csv_recipe(path="film.csv"), ["mine.yaml:5: source.path: ", "no such file"]),
    "two inputs": (csv_recipe(image="text"), ["name one input column: text, or image"]),
    "a quote that is never closed": (
        csv_recipe(content=b'stars,text\nx,fine\ny,"open\nx,lost\n'),
        ["films.csv:3: not valid CSV from this line on", "every quote is closed"],
    ),
    "the wrong label column": (
        csv_recipe({"text": [f"t{i}" for i in range(30)], "stars": [str(i) for i in range(30)]}),
        ["30 records have 30 different labels", "is it the right column?"],
    ),
    "a key twice": (
        csv_recipe(ROWS | {"id": ["a", "b", "a"]}, key="id"),
        ["source.key: films.csv-00000000 and films.csv-00000002 have the same 'id', 'a'"],
    ),
    "one class": (csv_recipe(ROWS | {"stars": ["x"] * 3}), ["one class, 'x'", "needs two or more"]),
    "labels that differ in a blank": (
        csv_recipe(ROWS | {"stars": ["x", "y", "x "]}),
        ["the classes 'x' (", "and 'x ' (", "differ in blanks or capitals only"],
    ),
    "a broken schema": (broken_schema, ["mine.pbtxt:3: not a TF Metadata schema", '"sort"']),
    "no folder": (
        folder_recipe("a/1.png", path="picture"),
        ["mine.yaml:5: source.path: ", "picture: no such folder", "from the current folder"],
    ),
    "an empty folder": (folder_recipe(), ["holds no file", "<root>/<class>/"]),
    "a folder with one class": (folder_recipe("a/1.png"), ["one class, 'a'", "pictures"]),
    "a file at the wrong level": (
        folder_recipe("a/1.png", "b/1.png", "2.png"),
        ["2.png lies at the wrong level"],
    ),
    "an unreadable file": (unreadable, ["/1.png: cannot be read (No such file"]),
    "a missing split": (
        folder_recipe("val/a/1.png", "val/b/1.png"),
        ["splits.train: unknown source split 'train'", "Valid: val"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_says_what_is_wrong(tmp_path, monkeypatch, capfd, name):
    make, parts = CASES[name]
    monkeypatch.chdir(tmp_path)
    make()
    status = beam_runner.main(["materialize", "mine.yaml", "--output", "out"])
    error = capfd.readouterr().err
    assert status == 2, error
    assert len(error.splitlines()) == 1, error
    for part in parts:
        assert part in error
    assert not (tmp_path / "out").exists()
    assert name == "a broken schema" or not (tmp_path / "mine.pbtxt").exists()
