"""The CSV and Parquet sources: what people's tables look like, and what is wrong with them."""

import csv as csv_module
import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.dataset.images import encode_png
from pipelines.dataset.sources import BadRecord, Record, csv, open_source, parquet
from schemas.errors import InputError
from tests.dataset.support import parsed, pictures

TEXTS = ['He said "no", twice', "first line\nsecond line", "naïve — ü", "a,b,c", "x", "y"]
LABELS = ["pos", "neg", "pos", "neg", "pos", "neg"]
KINDS = {"csv": csv, "parquet": parquet}


def write_csv(path, columns, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        writer = csv_module.writer(file, **options)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_parquet(path, columns, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


WRITERS = {"csv": write_csv, "parquet": write_parquet}


def opened(kind, path, **settings):
    module = KINDS[kind]
    path = path if isinstance(path, dict) else str(path)
    columns = {"label": "label"} | ({} if "image" in settings else {"text": "text"})
    return module.prepare(module.Config(path=path, **(columns | settings)))


def whole(source, split="train"):
    return list(source.read(split, 0, source.sizes[split]))


@pytest.mark.parametrize("kind", KINDS)
def test_text_and_label_columns(tmp_path, kind):
    path = WRITERS[kind](tmp_path / f"t.{kind}", {"id": range(6), "text": TEXTS, "label": LABELS})
    found = opened(kind, path)
    assert (found.modality, found.image_shape) == ("text", None)
    assert (found.label_names, found.sizes) == (("neg", "pos"), {"train": 6})
    records = whole(found)
    assert [one.value.decode() for one in records] == TEXTS
    assert [found.label_names[one.label] for one in records] == LABELS
    assert [one.key for one in records] == [f"t.{kind}-{i:08d}" for i in range(6)]
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.place_of("neg") == f"3 rows, the first t.{kind}-00000001"


@pytest.mark.parametrize("kind", KINDS)
def test_any_slice_across_files_and_row_groups(tmp_path, kind):
    for part in range(3):
        texts = [f"text {part} {i}" for i in range(11)]
        columns = {"text": texts, "label": ["a", "b"] * 5 + ["a"]}
        options = {"row_group_size": 4} if kind == "parquet" else {}
        WRITERS[kind](tmp_path / f"part{part}.{kind}", columns, **options)
    found = opened(kind, tmp_path / f"*.{kind}")
    all_of_it = whole(found)
    assert [one.index for one in all_of_it] == list(range(33))
    assert all_of_it[12].key == f"part1.{kind}-00000001"
    for start, stop in [(0, 33), (3, 5), (4, 4), (10, 12), (7, 30), (32, 99)]:
        assert list(found.read("train", start, stop)) == all_of_it[start:stop]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_per_split(tmp_path, kind):
    for name in ("a", "b"):
        WRITERS[kind](tmp_path / name / f"x.{kind}", {"text": TEXTS, "label": LABELS})
    paths = {
        one: str(tmp_path / name / f"x.{kind}") for one, name in [("train", "a"), ("test", "b")]
    }
    found = opened(kind, paths)
    assert found.sizes == {"test": 6, "train": 6}
    assert whole(found, "test")[0].key == f"test/x.{kind}-00000000"
    with pytest.raises(InputError, match="belongs to two splits, test and train"):
        opened(kind, {"train": paths["train"], "test": paths["train"]})


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_column(tmp_path, kind):
    columns = {"text": TEXTS, "label": LABELS, "id": [f"r{i}" for i in range(6)]}
    path = WRITERS[kind](tmp_path / f"t.{kind}", columns)
    assert [one.key for one in whole(opened(kind, path, key="id"))] == columns["id"]
    columns["id"][4] = "r1"
    WRITERS[kind](path, columns)
    with pytest.raises(InputError, match="00000001 and .*00000004 have the same 'id', 'r1'"):
        opened(kind, path, key="id")
    columns["id"][4] = ""
    WRITERS[kind](path, columns)
    with pytest.raises(InputError, match="00000004 has no 'id'"):
        opened(kind, path, key="id")


@pytest.mark.parametrize("kind", KINDS)
def test_identity_is_content_and_columns_not_the_place(tmp_path, kind):
    columns = {"text": TEXTS, "label": LABELS, "other": TEXTS}
    path = WRITERS[kind](tmp_path / f"t.{kind}", columns)
    before = opened(kind, path).identity()
    moved = tmp_path / "moved" / path.name
    moved.parent.mkdir()
    shutil.copy(path, moved)
    assert opened(kind, moved).identity() == before
    assert opened(kind, moved, text="other").identity() != before
    assert str(tmp_path) not in json.dumps(before)
    WRITERS[kind](path, columns | {"text": TEXTS[::-1]})
    changed = opened(kind, path)
    assert changed.identity() != before
    assert whole(changed)[0].value == b"y"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("settings", "at", "parts"),
    [
        ({"label": "lable"}, ("label",), ["unknown column 'lable'", "Did you mean 'label'?"]),
        ({"text": "txt"}, ("text",), ["unknown column 'txt'", "Did you mean 'text'?"]),
        ({"key": "id"}, ("key",), ["unknown column 'id'", "Valid: label, text"]),
        ({"path": "gone"}, ("path",), ["gone: no such file"]),
        ({"path": "none-*.csv"}, ("path",), ["no file matches"]),
        ({"path": {"train": "gone"}}, ("path", "train"), ["gone: no such file"]),
        ({"path": "."}, ("path",), ["is a folder; name a file, or a pattern"]),
        ({"image": "label"}, (), ["name one input column"]),
        ({"max_pixels": 0}, ("max_pixels",), ["greater than 0"]),
        ({"delimeter": ";"}, ("delimeter",), ["unknown key 'delimeter'"]),
    ],
)
def test_wrong_settings_are_located(tmp_path, monkeypatch, kind, settings, at, parts):
    monkeypatch.chdir(tmp_path)
    WRITERS[kind](tmp_path / f"t.{kind}", {"text": TEXTS, "label": LABELS})
    source = {"kind": kind, "path": f"t.{kind}", "label": "label", "text": "text"} | settings
    content = {"name": "mine", "modality": "text", "source": source, "policy": {"preset": "none"}}
    with pytest.raises(InputError) as caught:
        open_source(parsed(content).recipe)
    assert caught.value.path == ("source", *at)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_text_or_label_are_bad_records(tmp_path, kind):
    empty = "" if kind == "csv" else None
    columns = {"text": ["a", empty, " \n", "d", "e"], "label": ["x", "y", "x", empty, "y"]}
    found = opened(kind, WRITERS[kind](tmp_path / f"t.{kind}", columns))
    bad = [one for one in whole(found) if isinstance(one, BadRecord)]
    assert [(one.index, one.reason) for one in bad] == [
        (1, "the column 'text' is empty"),
        (2, "the column 'text' is empty"),
        (3, "the column 'label' names no class"),
    ]
    assert found.label_names == ("x", "y")
    assert bad[2].raw == b"d"


def image_table(tmp_path, kind, paths):
    """Write three images beside a table that names them."""
    (tmp_path / "pictures").mkdir()
    for i, png in enumerate(encode_png(pictures(3))):
        (tmp_path / f"pictures/{i}.png").write_bytes(png)
    labels = [f"c{i % 2}" for i in range(len(paths))]
    return WRITERS[kind](tmp_path / f"t.{kind}", {"file": paths, "label": labels})


@pytest.mark.parametrize("kind", KINDS)
def test_images_beside_the_table(tmp_path, kind, monkeypatch):
    path = image_table(tmp_path, kind, [f"pictures/{i}.png" for i in range(3)])
    monkeypatch.chdir("/")  # their paths are taken from the table's folder
    found = opened(kind, path, image="file")
    assert (found.modality, found.image_shape) == ("image", (8, 6, 3))
    images = [(tmp_path / f"pictures/{i}.png").read_bytes() for i in range(3)]
    assert [one.value for one in whole(found)] == images
    before = found.identity()
    (tmp_path / "pictures/1.png").write_bytes(images[0])
    assert found.identity() != before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.png", "leaves the table's folder"),
        ("pictures/../../secret.png", "leaves the table's folder"),
        ("{root}/secret.png", "leaves the table's folder"),
        ("out/secret.png", "leaves the table's folder"),
        ("file:///etc/passwd", "leaves the table's folder"),
        ("pictures/9.png", "there is no file 'pictures/9.png'"),
        ("pictures", "there is no file 'pictures'"),
        ("t.csv", "not an image"),
        ("", "is empty"),
    ],
)
def test_image_paths_stay_in_the_folder(tmp_path, kind, name, reason):
    root = tmp_path / "table"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(encode_png(pictures(1))[0])
    (root / "out").symlink_to(tmp_path)
    (root / "t.csv").touch()
    name = name.format(root=tmp_path)
    found = opened(kind, image_table(root, kind, ["pictures/0.png", name]), image="file")
    good, bad = whole(found)
    assert isinstance(good, Record)
    assert isinstance(bad, BadRecord)
    assert reason in bad.reason
    assert found.identity()["kind"] == kind


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ";"},
        {"delimiter": "\t", "quoting": csv_module.QUOTE_ALL},
        {"lineterminator": "\n"},
        {"encoding": "utf-8-sig"},
        {"encoding": "utf-16"},
        {"encoding": "cp1252"},
    ],
)
def test_csv_as_others_write_it(tmp_path, options):
    path = write_csv(tmp_path / "t.csv", {"label": LABELS, "text": TEXTS}, **options)
    settings = {name: options[name] for name in ("delimiter", "encoding") if name in options}
    if settings.get("encoding") == "utf-8-sig":
        settings = {}  # what Excel saves as "CSV UTF-8" needs no setting
    found = opened("csv", path, **settings)
    assert [one.value.decode() for one in whole(found)] == TEXTS


def test_csv_of_a_long_text_and_many_rows(tmp_path):
    texts = ["long " * 100_000, *(str(i) for i in range(70_000))]
    path = write_csv(tmp_path / "t.csv", {"text": texts, "label": ["a", "b"] * 35_000 + ["a"]})
    found = opened("csv", path)
    assert found.sizes == {"train": 70_001}
    assert [one.value.decode() for one in found.read("train", 65_530, 65_540)] == texts[65530:65540]
    assert csv_module.field_size_limit() == 131_072


def test_csv_labels_are_text_in_natural_order(tmp_path):
    columns = {"text": [f"t{i}" for i in range(12)], "label": [str(11 - i) for i in range(12)]}
    assert opened("csv", write_csv(tmp_path / "a.csv", columns)).label_names[:3] == ("0", "1", "2")
    columns["label"][0] = "many"
    assert opened("csv", write_csv(tmp_path / "b.csv", columns)).label_names[:3] == ("0", "1", "10")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty", "header"]),
        (b'label,text\na,fine\nb,"open\na,lost\n', ["t.csv:3: not valid CSV", "unexpected end"]),
        (b'label,text\na,"a "word" in it"\n', ["t.csv:2: not valid CSV", 'written twice ("")']),
        (b'{"label":"a","text":"b"}\n', ["t.csv holds JSON, not CSV", "docs/own_data.md"]),
        (b'{"label": "a", "text": "b"}\n', ["t.csv holds JSON, not CSV"]),
        (b'\xef\xbb\xbf[\n  {\n  "label": "a"}]\n', ["t.csv holds JSON, not CSV"]),
        (b"label;text\na;b\n", ["seems to be delimited by ';'", "source.delimiter"]),
        (b"label,text\na,fine\nb,caf\xe9\n", ["t.csv:3: not utf-8", "source.encoding", "cp1252"]),
        ("label,text\na,b\n".encode("utf-16"), ["not utf-8", "utf-16"]),
        (b"label,text,text\na,b,c\n", ["several columns 'text'"]),
    ],
)
def test_csv_that_cannot_be_read(tmp_path, content, parts):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        opened("csv", tmp_path / "t.csv")
    for part in parts:
        assert part in str(caught.value)


def test_csv_rows_of_another_length_are_bad_records(tmp_path):
    text = "label,text\na,one\n\nb,two, with a comma\na,three\nb\nb,four\n"
    (tmp_path / "t.csv").write_text(text)
    records = whole(opened("csv", tmp_path / "t.csv"))
    assert [isinstance(one, Record) for one in records] == [True, False, True, False, True]
    assert "line 4 ends a row of 3 values, the header has 2" in records[1].reason
    assert records[1].raw == b"b,two, with a comma"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delimiter": ",,"}, "must be one character"),
        ({"delimiter": '"'}, "must be one character"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
    ],
)
def test_csv_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        csv.Config(path="t.csv", label="label", text="text", **settings)


def test_a_csv_that_changed_after_planning_is_refused(tmp_path):
    path = write_csv(tmp_path / "t.csv", {"text": TEXTS, "label": LABELS})
    found = opened("csv", path)
    write_csv(path, {"text": TEXTS[::-1], "label": LABELS})
    csv._load.cache_clear()  # as in another process
    with pytest.raises(InputError, match="changed since the run was planned"):
        whole(found)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pa.array([10, 9, 10, None]), ("9", "10")),
        (pa.array([10, 9, 10, None], pa.uint8()), ("9", "10")),
        (pa.array([True, False, True, None]), ("false", "true")),
        (pa.array(["b", "a", "b", None]).dictionary_encode(), ("a", "b")),
        (pa.array(["b", "a", "b", None], pa.large_string()), ("a", "b")),
    ],
)
def test_parquet_labels_of_any_type(tmp_path, labels, names):
    path = write_parquet(tmp_path / "t.parquet", {"text": list("wxyz"), "label": labels})
    found = opened("parquet", path)
    assert found.label_names == names
    assert [getattr(one, "label", None) for one in whole(found)] == [1, 0, 1, None]


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_images_as_bytes(tmp_path, struct):
    images = encode_png(pictures(5))
    column = [{"bytes": one, "path": None} for one in images] if struct else images
    columns = {"image": column, "label": [0, 1, 0, 1, 0]}
    found = opened("parquet", write_parquet(tmp_path / "t.parquet", columns), image="image")
    assert [one.value for one in whole(found)] == images
    assert found.image_shape == (8, 6, 3)
    assert "images" not in found.identity()


def test_parquet_class_names_of_hugging_face(tmp_path):
    """They lie in the file's metadata; -1 means no label there."""
    described = {"label": {"names": ["neg", "pos", "unused"], "_type": "ClassLabel"}}
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": described}})}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = opened("parquet", tmp_path / "t.parquet")
    assert found.label_names == ("neg", "pos")
    first, second, third = whole(found)
    assert (first.label, second.label) == (1, 0)
    assert third.reason == "the column 'label' names no class"


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"label": [0.5, 1.0]}, {}, "'label' holds double, but must hold strings, whole numbers"),
        ({"text": [1, 2]}, {}, "'text' holds int64, but must hold strings"),
        ({"text": [[1], [2]]}, {"image": "text"}, "must hold encoded images"),
        ({"id": [0.1, 0.2]}, {"key": "id"}, "'id' holds double"),
    ],
)
def test_parquet_columns_of_a_wrong_type(tmp_path, columns, settings, message):
    table = {"text": ["a", "b"], "label": [0, 1]} | columns
    with pytest.raises(InputError, match=message):
        opened("parquet", write_parquet(tmp_path / "t.parquet", table), **settings)


def test_parquet_labels_of_two_types(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"text": ["a", "b"], "label": [0, 1]})
    write_parquet(tmp_path / "b.parquet", {"text": ["a", "b"], "label": ["0", "1"]})
    with pytest.raises(InputError, match=r"holds strings in .*b\.parquet, but whole numbers in"):
        opened("parquet", tmp_path / "*.parquet")


def test_parquet_that_cannot_be_read(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"label,text\na,b\n")
    with pytest.raises(InputError, match=r"t\.parquet: not a whole Parquet file"):
        opened("parquet", path)
    write_parquet(path, {"text": TEXTS, "label": LABELS})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"t\.parquet: not a whole Parquet file"):
        opened("parquet", path)


def test_parquet_reads_only_the_row_groups_of_a_slice(tmp_path):
    """A damaged group elsewhere does not matter."""
    texts = [f"{i:06d}" * 50 for i in range(40)]
    path = tmp_path / "t.parquet"
    write_parquet(
        path,
        {"label": np.arange(40) % 2, "text": texts},
        row_group_size=10,
        compression="none",
        use_dictionary=False,
    )
    found = opened("parquet", path)
    data = bytearray(path.read_bytes())
    at = data.index(texts[35].encode())
    data[at - 4 : at] = b"\xff\xff\xff\x7f"  # the length of the value
    path.write_bytes(data)
    assert [one.value.decode() for one in found.read("train", 8, 13)] == texts[8:13]
    with pytest.raises(InputError, match="not a whole Parquet file"):
        list(found.read("train", 30, 40))
