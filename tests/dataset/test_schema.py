"""The schema of a user's own data: inferred, written, edited, enforced."""

import pickle

import pytest

from pipelines.dataset.sources import BadRecord, keep, open_enforced
from schemas.dataset_schema import infer, parse
from schemas.errors import InputError
from schemas.features import ExampleSchema
from schemas.recipe import shipped
from tests.dataset.support import (
    image_records,
    parsed,
    pictures,
    text_records,
    tfds_recipe,
    write_tfds,
)

TEXT = ExampleSchema(modality="text", label_names=("bad", "good"), encoding="utf8")


def write_csv(folder, rows):
    (folder / "films.csv").write_text("stars,text\n" + "".join(f"{a},{b}\n" for a, b in rows))


def recipe(folder, **changes):
    source = {"kind": "csv", "path": str(folder / "films.csv"), "label": "stars", "text": "text"}
    content = {"name": "films", "modality": "text", "source": source, "policy": {"preset": "none"}}
    return parsed(content | {"splits": {"test": None}, "copies": 0} | changes).recipe


def opened(folder, **changes):
    found = open_enforced(recipe(folder, **changes), str(folder / "films.yaml"))
    if found.new_file():
        keep(*found.new_file())
    return found


def labels(found):
    records = found.source.read("train", 0, found.source.sizes["train"])
    return [found.source.label_names[one.label] for one in records]


ROWS = [("good", "I like it"), ("bad", "I do not"), ("good", "fine")]


@pytest.fixture
def films(tmp_path):
    write_csv(tmp_path, ROWS)
    return tmp_path


def edit(folder, old, new, name="films.pbtxt"):
    path = folder / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_it_is_inferred_once_and_written_beside_the_recipe(films):
    first = opened(films)
    path = films / "films.pbtxt"
    assert len(first.notes) == 1
    assert f"new schema {path} (2 classes: bad, good)" in first.notes[0]
    text = path.read_text("utf-8")
    assert text.startswith("# Schema of the data of films.yaml, inferred from 3 records.\n")
    assert parse(text, "x").label_names == ("bad", "good")
    again = opened(films)
    assert (again.notes, again.source) == ((), first.source)
    assert path.read_text("utf-8") == text


def test_tensorflow_reads_it(films):
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    opened(films)
    text = (films / "films.pbtxt").read_text()
    message = text_format.Parse(text, schema_pb2.Schema())
    assert [one.name for one in message.feature] == ["label", "text"]


def test_the_recipe_may_name_another_place(films):
    (films / "shared").mkdir()
    found = opened(films, schema="shared/all.pbtxt")
    assert "shared/all.pbtxt" in found.notes[0]
    assert not (films / "films.pbtxt").exists()
    edit(films / "shared", 'value: "good"', 'value: "great"\n  value: "good"', "all.pbtxt")
    assert opened(films, schema="shared/all.pbtxt").source.label_names == ("bad", "great", "good")


def test_its_order_is_the_order_of_the_labels(films):
    opened(films)
    edit(films, 'value: "bad"\n  value: "good"', 'value: "good"\n  value: "bad"')
    found = opened(films)
    assert found.source.label_names == ("good", "bad")
    assert [one.label for one in found.source.read("train", 0, 3)] == [0, 1, 0]
    assert pickle.loads(pickle.dumps(found.source)) == found.source


def test_a_class_without_examples_keeps_its_number(films):
    write_csv(films, [*ROWS, ("awful", "no")])
    assert opened(films).source.label_names == ("awful", "bad", "good")
    write_csv(films, ROWS)
    found = opened(films)
    assert found.source.label_names == ("awful", "bad", "good")
    assert labels(found) == ["good", "bad", "good"]


def test_a_new_class_is_an_error_until_it_is_added(films):
    opened(films)
    write_csv(films, [*ROWS, ("mixed", "so so"), ("mixed", "hm")])
    with pytest.raises(InputError) as caught:
        opened(films)
    for part in (
        "the class 'mixed' is not in the schema",
        "2 rows, the first films.csv-00000003",
        'Add `value: "mixed"` at the end',
        str(films / "films.pbtxt"),
    ):
        assert part in str(caught.value)
    edit(films, 'value: "good"', 'value: "good"\n  value: "mixed"')
    found = opened(films)
    assert found.source.label_names == ("bad", "good", "mixed")
    assert labels(found) == ["good", "bad", "good", "mixed", "mixed"]


def test_texts_beyond_the_limits_are_bad_records(films):
    opened(films)
    edit(films, "  min: 1\n", "  min: 5\n  max: 8\n")
    records = list(opened(films).source.read("train", 0, 3))
    assert [one.reason for one in records if isinstance(one, BadRecord)] == [
        "the text has 9 characters, the schema allows 8",
        "the text has 4 characters, the schema asks for 5 or more",
    ]


def test_the_manifest_as_origin_takes_the_dataset_s_own_schema(films, tmp_path):
    """So a replay needs neither the recipe's file nor what became of the schema beside it."""
    found = opened(films)
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    stored = found.stored_pbtxt(TEXT)
    (dataset / "schema.pbtxt").write_text(stored)
    edit(films, 'value: "bad"', 'value: "other"\n  value: "bad"')
    replayed = open_enforced(recipe(films), str(dataset / "manifest.json"))
    assert (replayed.source, replayed.notes) == (found.source, ())
    assert replayed.stored_pbtxt(TEXT) == stored


def test_a_shipped_recipe_with_another_source_has_it_in_the_current_folder(films, monkeypatch):
    monkeypatch.chdir(films)
    found = open_enforced(recipe(films), str(shipped()["imdb"]))
    assert found.notes[0].startswith("new schema imdb.pbtxt")
    assert found.new_file() == ("imdb.pbtxt", found.schema.text)


def test_a_recipe_in_memory_writes_nothing(films):
    found = open_enforced(recipe(films), "a test")
    assert found.notes == ()
    assert found.source.label_names == ("bad", "good")
    assert list(films.iterdir()) == [films / "films.csv"]


def test_a_folder_that_cannot_be_written_is_an_error(films):
    (films / "file").touch()
    with pytest.raises(InputError, match="schema must be kept.*Name a writable place"):
        opened(films, schema="file/films.pbtxt")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("good", "a"), ("good", "b")], "one class, 'good': 2 rows, the first films.csv-00000000"),
        ([("", "a")], "the source has no class"),
        ([*ROWS, (" good", "x")], "' good' .* and 'good' .* differ in blanks or capitals only"),
        ([*ROWS, ("Bad", "x")], "'Bad' .* and 'bad' .* differ in blanks or capitals only"),
        ([(f"label {i}", "x") for i in range(30)], "30 different labels .*the right column"),
    ],
)
def test_what_is_hardly_meant_is_not_inferred(films, rows, message):
    write_csv(films, rows)
    with pytest.raises(InputError, match=message):
        opened(films)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("feature {", "featur {", r"films\.pbtxt:\d+: not a TF Metadata schema"),
        ("type: BYTES", "type: BITS", r"films\.pbtxt:\d+: not a TF Metadata schema.*BITS"),
        ('value: "bad"', 'value: "good"', "two or more class names, none twice"),
        ('  value: "bad"\n', "", "two or more class names"),
        ('value: "bad"', 'value: ""', "none empty"),
        ('domain: "label"', 'domain: "stars"', "unknown string_domain 'stars'.*Valid: label"),
        ('  name: "label"\n  type', '  name: "stars"\n  type', "no feature 'label', only"),
        ("min: 1\n", "min: 9\n  max: 3\n", "allows no text: min 9, max 3"),
    ],
)
def test_a_broken_schema_is_named(films, old, new, message):
    opened(films)
    edit(films, old, new)
    with pytest.raises(InputError, match=message) as caught:
        opened(films)
    assert caught.value.path == ("schema",)
    assert "films.pbtxt" in str(caught.value)


def test_a_schema_that_is_no_text_is_named(films):
    (films / "films.pbtxt").write_bytes(b"# caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8 text .byte 5."):
        opened(films)


def test_the_stored_schema_holds_what_the_user_wrote(films):
    """TFDV's own settings pass through; types, shapes and the label's numbers are ours."""
    schema = infer("text", ["good", "bad"], [], "films.pbtxt")
    drift = "drift_comparator { infinity_norm { threshold: 0.1 } }"
    text = schema.text.replace('domain: "label"', f'domain: "label" {drift}')
    text = text.replace("min_fraction: 1.0", "min_fraction: 0.5")
    stored = parse(text + 'default_environment: "TRAINING"\n', "x").stored_pbtxt(TEXT)
    assert 'name: "key"' in stored
    assert "max: 1\n    is_categorical: true" in stored
    assert "threshold: 0.1" in stored
    assert stored.count("min_fraction: 0.5") == 2
    assert 'default_environment: "TRAINING"' in stored
    assert 'string_domain {\n  name: "label"\n  value: "good"\n  value: "bad"\n}' in stored
    again = parse(stored, "y")
    assert again.label_names == ("good", "bad")
    assert again.stored_pbtxt(TEXT) == stored


def test_comments_and_order_make_no_other_stored_schema():
    schema = infer("text", ["good", "bad"], ["a comment"], "x")
    parts = schema.text.split("feature {")
    other = "feature {".join(["# another\n", parts[2].split("string_domain")[0], parts[1]])
    other += "string_domain" + parts[2].split("string_domain")[1]
    assert parse(other, "y").stored_pbtxt(TEXT) == schema.stored_pbtxt(TEXT)


def test_a_feature_that_examples_lack_is_named():
    schema = infer("image", ["good", "bad"], [], "x.pbtxt")
    with pytest.raises(InputError, match="x.pbtxt: unknown feature 'image'.*Valid: copy, key"):
        schema.stored_pbtxt(TEXT)


def test_classes_may_stand_in_the_feature_itself():
    """As TFDV writes them for a domain that only one feature has."""
    text = 'feature { name: "label" type: BYTES string_domain { value: "a" value: "b" } }'
    schema = parse(text, "x")
    assert schema.label_names == ("a", "b")
    assert parse(schema.stored_pbtxt(TEXT), "y").label_names == ("a", "b")


def test_tfds_has_one_where_the_recipe_asks_for_it(tmp_path):
    records = text_records(["a", "bcdef", "ghijkl"], classes=3)
    write_tfds(
        tmp_path, {"train": [records]}, shape=None, classes=3, label_names=["no", "so", "yes"]
    )
    content = tfds_recipe(tmp_path, modality="text", policy={"preset": "none"})
    content |= {"splits": {"test": None}, "copies": 0}
    origin = str(tmp_path / "mine.yaml")
    found = open_enforced(parsed(content).recipe, origin)
    assert (found.schema, found.notes, found.stored_pbtxt(TEXT)) == (None, (), None)
    asked = parsed(content | {"schema": "mine.pbtxt"}).recipe
    found = open_enforced(asked, origin)
    assert "3 classes: no, so, yes" in found.notes[0]
    keep(*found.new_file())
    edit(tmp_path, '  value: "no"\n', "", "mine.pbtxt")
    with pytest.raises(InputError, match="the class 'no' is not in the schema"):
        open_enforced(asked, origin)
    edit(tmp_path, 'value: "yes"', 'value: "yes"\n  value: "no"', "mine.pbtxt")
    assert labels(open_enforced(asked, origin)) == ["no", "so", "yes"]


def test_images_of_tfds_of_any_size_have_one_too(tmp_path):
    write_tfds(tmp_path, {"train": [image_records(pictures(4))]}, shape=(-1, -1, 3))
    content = tfds_recipe(tmp_path, schema="mine.pbtxt", splits={"test": None})
    found = open_enforced(parsed(content).recipe, str(tmp_path / "mine.yaml"))
    assert found.source.image_shape == (None, None, 3)
    assert labels(found) == ["0", "1", "0", "1"]
