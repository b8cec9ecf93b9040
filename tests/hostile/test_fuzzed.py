"""Valid files with seeded damage, and values of any shape where the readers expect theirs.

What happens to be valid still must simply succeed.
"""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.serving.bundle import read_bundle
from components.serving.history import event_from
from components.serving.seals import indented, sealed
from schemas.errors import FailedError, InputError
from schemas.manifest import parse_manifest
from schemas.recipe import parse_recipe
from tests.hostile import cases_datasets, cases_serving
from tests.hostile.harness import Case, problems, run
from tests.hostile.inputs import (
    MATERIALIZE,
    content,
    write_films,
    write_parquet,
    write_pictures,
    write_prepared,
)
from tests.hostile.mutations import mutated


def films():
    write_films(policy={"slots": [{"op": "random_swap", "rate": 0.5}]}, copies=1, seed=7)


def serving():
    shutil.copytree(cases_serving.BUILT["serving"], "serving")


# Name: what lays the valid input out, the file that is damaged, the command.
SEEDS = {
    "recipe": (films, "mine.yaml", MATERIALIZE),
    "csv": (films, "films.csv", MATERIALIZE),
    "png": (write_pictures, "pictures/a/0.png", MATERIALIZE),
    "parquet": (write_parquet, "films.parquet", MATERIALIZE),
    "tfrecord": (
        write_prepared, "tfds/tiny/1.0.0/tiny-train.tfrecord-00000-of-00001", MATERIALIZE
    ),
    "dataset_info": (write_prepared, "tfds/tiny/1.0.0/dataset_info.json", MATERIALIZE),
    "features": (write_prepared, "tfds/tiny/1.0.0/features.json", MATERIALIZE),
    "manifest": (cases_datasets.lay_out, "data/manifest.json", ("verify", "data")),
    "provenance": (cases_datasets.lay_out, "data/provenance.parquet", ("show", "data")),
    "bundle": (serving, "serving/.promotions/2/bundle.json", ("verify", "serving")),
    "history": (serving, "serving/.promotions/history.jsonl", ("verify", "serving")),
}  # fmt: skip
MANY = {name: 8 for name in SEEDS} | {"recipe": 24, "manifest": 24, "bundle": 24, "history": 16}
RUNS = [(name, number) for name, count in MANY.items() for number in range(count)]
MORE = [(name, number) for name, count in MANY.items() for number in range(count, 200)]


def check(name, number, capfd):
    make, path, command = SEEDS[name]
    make()
    path = Path(path)
    path.write_bytes(mutated(path.read_bytes(), name, number))
    seen = run(command, capfd)
    verdict = command[0] == "verify" and "not ok: " in seen.out
    shown = command[0] == "show" and seen.status == 0
    case = Case(lambda: None, command, status=(0, 1, 2), late=True, verdict=verdict)
    found = [] if shown else problems(seen, case)
    assert not found, "\n".join(found)
    return seen.status


def test_there_are_enough():
    assert len(RUNS) >= 100


@pytest.mark.parametrize(("name", "number"), RUNS)
def test_damaged(tmp_path, monkeypatch, capfd, built, name, number):
    monkeypatch.chdir(tmp_path)
    check(name, number, capfd)


@pytest.mark.full
@pytest.mark.parametrize(("name", "number"), MORE)
def test_damaged_more(tmp_path, monkeypatch, capfd, built, name, number):
    monkeypatch.chdir(tmp_path)
    check(name, number, capfd)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["../x", "/etc/passwd", "a\0b", "\x1b[2J", "1e999", "{}"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
DRAWN = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def places(value, at=()):
    """Yield the path of every value inside a value."""
    yield at
    if isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inside:
            yield from places(one, (*at, key))


def replaced(value, at, new):
    """Return a copy of a value with another one at a path."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(value[at[0]], at[1:], new)
    return copy


def somewhere(data, value):
    if not isinstance(value, dict | list):
        return data.draw(VALUES)
    at = data.draw(st.sampled_from(list(places(value))[1:]))
    return replaced(value, at, data.draw(VALUES))


RECIPE = content(
    {"kind": "csv", "path": "films.csv", "label": "stars", "text": "text"},
    policy={"slots": [{"op": "random_swap", "rate": 0.5}]},
    splits={"test": None, "eval_share": 0.1},
    image={"size": [32, 32]},
    survey={"vocabulary": 100},
    text={"store_tokens": True},
)


def refused(read, error):
    """Return what ``read`` gives and None, or None and the text of the error it raises."""
    try:
        return read(), None
    except error as raised:
        return None, str(raised)


@DRAWN
@given(st.data())
def test_a_recipe_of_any_shape(data):
    value = somewhere(data, RECIPE)
    if isinstance(value, dict):
        _, text = refused(lambda: parse_recipe(value, origin="here"), InputError)
        assert "\n" not in (text or "")


@DRAWN
@given(st.data())
def test_a_manifest_of_any_shape(built, data):
    value = json.loads((cases_datasets.BUILT["images"] / "manifest.json").read_text())
    changed = json.dumps(somewhere(data, value))
    manifest, text = refused(lambda: parse_manifest(changed, "here"), InputError)
    if manifest is None:
        assert text.startswith("here: ")
    else:
        assert isinstance(manifest.examples, int)


@DRAWN
@given(st.data())
def test_a_bundle_of_any_shape(tmp_path, built, data):
    value = json.loads((cases_serving.BUILT["serving"] / ".promotions/2/bundle.json").read_text())
    changed = somewhere(data, value)
    folder = tmp_path / ".promotions" / "2"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        content = indented(sealed(changed))
    except ValueError:  # a number that has no JSON
        return
    (folder / "bundle.json").write_text(content)
    bundle, text = refused(lambda: read_bundle(tmp_path, 2), FailedError)
    if bundle is None:
        assert "bundle.json" in text
    else:
        assert {type(one["bytes"]) for one in bundle.files.values()} <= {int}


FIELDS = st.sampled_from(["event", "time", "by", "reason", "version", "about"])


@DRAWN
@given(st.dictionaries(FIELDS, VALUES))
def test_an_event_of_any_shape(value):
    event, text = refused(lambda: event_from(value), ValueError)
    assert event is not None or "not an event" in text
