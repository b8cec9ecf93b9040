"""A dataset of own data, built: its schema is a file of it, and decides its fingerprint."""

import os

import pytest

from pipelines.dataset.lookup import first_keys, open_manifest, replay
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.verify import verify
from pipelines.refresh_store import Places, write_schema
from schemas.dataset_schema import parse
from schemas.errors import InputError
from schemas.recipe import load_recipe
from tests.dataset.support import write_recipe
from tests.dataset.test_tables import write_csv

WORDS = ["fine", "long", "short", "loud", "dark", "quick", "slow", "odd"]


@pytest.fixture
def films(tmp_path, monkeypatch):
    """Sixty reviews and a recipe over them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    texts = [f"Film {i} is {WORDS[i % 8]} and {WORDS[i * 3 % 7]}, or so." for i in range(60)]
    write_csv(tmp_path / "films.csv", {"text": texts, "stars": ["good", "bad"] * 30})
    content = {
        "name": "films",
        "modality": "text",
        "source": {"kind": "csv", "path": "films.csv", "label": "stars", "text": "text"},
        "splits": {"test": None},
        "policy": {"slots": [{"op": "random_swap", "rate": 0.5}]},
        "copies": 1,
        "slice_size": 16,
        "leakage": "off",
    }
    write_recipe(tmp_path / "films.yaml", content)
    return tmp_path


def plan(output="out"):
    return make_plan(load_recipe("films.yaml"), output)


def test_the_schema_is_a_file_of_the_dataset(films):
    built = materialize(plan())
    assert verify(built.path).ok
    assert "schema.pbtxt" in [one.path for one in built.manifest.files]
    stored = (films / built.path / "schema.pbtxt").read_text()
    assert parse(stored, "stored").label_names == built.manifest.schema.label_names
    assert materialize(plan()).status == "up_to_date"
    again = materialize(plan("again"))
    assert again.manifest.digest == built.manifest.digest


def test_an_edited_schema_makes_another_dataset_a_comment_does_not(films):
    materialize(plan())
    first = plan().fingerprint
    path = films / "films.pbtxt"
    text = path.read_text()
    path.write_text("# hello\n" + text)
    assert plan().fingerprint == first
    path.write_text(text.replace("  min: 1\n", "  min: 2\n"))
    assert plan().fingerprint != first


def test_replay_needs_the_data_alone(films):
    built = materialize(plan())
    os.remove("films.yaml")
    os.remove("films.pbtxt")
    for key in first_keys(built.path, 2):
        assert replay(built.path, key, 0).equal
        assert replay(built.path, key, 1).equal
    assert sorted(os.listdir(films)) == ["films.csv", "out"]


def test_a_refresh_validates_by_the_dataset_s_own_schema(films):
    built = materialize(plan())
    dataset, places = films / built.path, Places(films / "models", "films")
    manifest = open_manifest(str(dataset))
    folder = write_schema(dataset, manifest, places)
    assert (folder / "schema.pbtxt").read_text() == (dataset / "schema.pbtxt").read_text()
    (dataset / "schema.pbtxt").unlink()
    with pytest.raises(InputError, match=r"schema\.pbtxt: cannot be read .*Materialize again"):
        write_schema(dataset, manifest, places)
