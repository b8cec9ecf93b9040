"""The TFDS source, on datasets generated in TFDS's own form."""

import json
import pickle
import shutil

import numpy as np
import pytest

from pipelines.dataset.images import encode_png
from pipelines.dataset.records import encode_example, frame
from pipelines.dataset.sources import BadRecord, Record, open_source, tfds
from schemas.errors import InputError
from tests.dataset.support import image_records, parsed, pictures, text_records, tfds_recipe
from tests.dataset.support import write_tfds as write

IMAGES = pictures(10)
RECORDS = image_records(IMAGES)


@pytest.fixture
def tiny(tmp_path):
    """Ten images in training files of 3, 0, 5 and 2 records, four test images."""
    parts = [RECORDS[:3], [], RECORDS[3:8], RECORDS[8:]]
    return write(tmp_path, {"train": parts, "test": [image_records(pictures(4, seed=1))]})


def source(folder, **settings):
    root = folder.parents[1]
    return tfds.prepare(tfds.Config(dataset="tiny", data_dir=str(root), **settings))


def test_tfds_itself_reads_the_generated_dataset(tiny):
    """The fixture is what it claims to be."""
    builder_lib = pytest.importorskip("tensorflow_datasets")
    builder = builder_lib.builder_from_directory(str(tiny))
    read = list(builder.as_dataset(split="train", shuffle_files=False).as_numpy_iterator())
    assert np.array_equal(np.stack([one["image"] for one in read]), IMAGES)
    assert [one["label"] for one in read] == [0, 1] * 5


def test_describes_the_dataset(tiny):
    found = source(tiny)
    assert (found.modality, found.feature, found.label) == ("image", "image", "label")
    assert (found.image_shape, found.version) == ((8, 6, 3), "1.0.0")
    assert found.label_names == ("0", "1")
    assert found.sizes == {"train": 10, "test": 4}
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 10), (0, 3), (2, 4), (3, 3), (3, 8), (1, 9), (9, 10), (8, 99)]
)
def test_reads_any_slice_across_files(tiny, start, stop):
    read = list(source(tiny).read("train", start, stop))
    expected = range(start, min(stop, 10))
    assert [record.index for record in read] == list(expected)
    assert [record.key for record in read] == [f"train-{i:08d}" for i in expected]
    assert [record.label for record in read] == [i % 2 for i in expected]
    assert [record.value for record in read] == [encode_png(IMAGES[i : i + 1])[0] for i in expected]


def test_identity_is_the_content_not_the_place(tiny, tmp_path):
    before = source(tiny).identity()
    moved = tmp_path / "elsewhere" / "tiny" / "1.0.0"
    shutil.copytree(tiny, moved)
    assert source(moved).identity() == before
    assert str(tmp_path) not in json.dumps(before)
    path = moved / "tiny-test.tfrecord-00000-of-00001"
    path.write_bytes(frame(image_records(pictures(4, seed=2)))[0])
    assert source(moved).identity() != before


def test_newest_version_unless_one_is_named(tmp_path):
    for version in ("1.9.0", "1.10.0"):
        write(tmp_path, {"train": [RECORDS]}, version=version)
    assert tfds.prepare(tfds.Config(dataset="tiny", data_dir=str(tmp_path))).version == "1.10.0"
    named = tfds.Config(dataset="tiny", data_dir=str(tmp_path), version="1.9.0")
    assert tfds.prepare(named).version == "1.9.0"


def test_data_dir_comes_from_the_environment(tiny, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tiny.parents[1]))
    assert tfds.prepare(tfds.Config(dataset="tiny")).sizes["train"] == 10


def test_text_dataset_with_a_config_and_its_own_label_names(tmp_path):
    records = text_records(["Erste — Zeile", "", "third"])
    write(
        tmp_path,
        {"train": [records]},
        dataset="words/plain",
        shape=None,
        label_names=["bad", "good"],
    )
    found = tfds.prepare(tfds.Config(dataset="words/plain", data_dir=str(tmp_path)))
    assert (found.modality, found.image_shape) == ("text", None)
    assert found.label_names == ("bad", "good")
    assert [one.value.decode() for one in found.read("train", 0, 3)] == [
        "Erste — Zeile",
        "",
        "third",
    ]


def test_label_names_of_the_recipe_go_before_the_dataset_s(tmp_path):
    write(tmp_path, {"train": [RECORDS]}, label_names=["x", "y"])
    config = tfds.Config(dataset="tiny", data_dir=str(tmp_path), label_names=("no", "yes"))
    assert tfds.prepare(config).label_names == ("no", "yes")


def test_missing_dataset_says_what_to_do(tmp_path):
    content = tfds_recipe(tmp_path / "none")
    content["source"]["dataset"] = "no_such_dataset_anywhere"
    with pytest.raises(InputError) as caught:
        open_source(parsed(content).recipe)
    assert caught.value.path == ("source", "dataset")
    for part in ("no_such_dataset_anywhere", str(tmp_path / "none"), "TFDS_DATA_DIR", "tfds build"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "path", "parts"),
    [
        ({"label_names": ("a", "b", "c")}, "label_names", ["2 classes", "3 label names"]),
        ({"feature": "picture"}, "feature", ["no image or text feature 'picture'", "image"]),
        ({"label": "image"}, "label", ["no class label 'image'", "label"]),
    ],
)
def test_settings_that_do_not_fit_the_dataset(tiny, settings, path, parts):
    with pytest.raises(InputError) as caught:
        source(tiny, **settings)
    assert caught.value.path == (path,)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": "tfsd"}, ("source", "kind")),
        ({"kind": ["tfds"]}, ("source", "kind")),
        ({"kind": {}}, ("source", "kind")),
        ({"datset": "tiny"}, ("source", "datset")),
        ({"version": 1.0}, ("source", "version")),
        ({"label_names": "ab"}, ("source", "label_names")),
    ],
)
def test_wrong_source_settings_are_located(tiny, change, path):
    content = tfds_recipe(tiny.parents[1])
    content["source"] |= change
    with pytest.raises(InputError) as caught:
        open_source(parsed(content).recipe)
    assert caught.value.path == path


def test_split_and_modality_must_exist(tiny):
    content = tfds_recipe(tiny.parents[1], splits={"train": "training"})
    with pytest.raises(InputError, match="unknown source split 'training'. Did you mean 'train'"):
        open_source(parsed(content).recipe)
    content = tfds_recipe(tiny.parents[1], modality="text", policy={"preset": "none"})
    with pytest.raises(InputError, match="holds image examples, .*the recipe says 'text'"):
        open_source(parsed(content).recipe)


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 4), (8, 6, -1), (0, 6, 1)])
def test_images_of_no_usable_shape_are_refused(tmp_path, shape):
    folder = write(tmp_path, {"train": [RECORDS]}, shape=shape)
    with pytest.raises(InputError, match=r".height, width, 1 or 3. is needed"):
        source(folder)


def test_sides_that_vary_are_none(tmp_path):
    folder = write(tmp_path, {"train": [RECORDS]}, shape=(-1, 6, 3))
    assert source(folder).image_shape == (None, 6, 3)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}", b"[]", b"3", b'{"splits": 1}'])
def test_damaged_metadata_is_named(tiny, name, content):
    (tiny / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}.*again"):
        source(tiny)


def test_another_file_format_is_refused(tiny):
    info = json.loads((tiny / "dataset_info.json").read_text())
    (tiny / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "riegeli"}))
    with pytest.raises(InputError, match="stored as riegeli"):
        source(tiny)


def test_missing_file_is_named(tiny):
    (tiny / "tiny-train.tfrecord-00002-of-00004").unlink()
    with pytest.raises(InputError, match=r"train\.tfrecord-00002-of-00004: cannot be read"):
        source(tiny).identity()


def test_count_that_differs_from_the_metadata_is_named(tiny):
    path = tiny / "tiny-train.tfrecord-00002-of-00004"
    path.write_bytes(frame(RECORDS[3:7])[0])
    with pytest.raises(InputError, match=r"00002-of-00004: holds 4 records, .* says 5"):
        list(source(tiny).read("train", 0, 10))


def test_damaged_files_are_named(tiny):
    path = tiny / "tiny-train.tfrecord-00002-of-00004"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(InputError, match="00002-of-00004: truncated inside record 4"):
        list(source(tiny).read("train", 0, 10))
    other = tiny / "tiny-train.tfrecord-00000-of-00004"
    data = bytearray(other.read_bytes())
    data[40] ^= 1
    other.write_bytes(data)
    with pytest.raises(InputError, match="00000-of-00004: the checksum of record 0"):
        list(source(tiny).read("train", 0, 1))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"\xff\xff garbage", "not a serialized tf.train.Example"),
        (b"", "the feature 'image' must hold one bytes"),
        (encode_example({"image": b"x"}), "the feature 'label' must hold one int"),
        (encode_example({"image": 3, "label": 0}), "the feature 'image' must hold one bytes"),
        (encode_example({"image": b"x", "label": [0, 1]}), "the feature 'label' must hold one int"),
        (encode_example({"image": b"x", "label": b"0"}), "the feature 'label' must hold one int"),
    ],
)
def test_records_of_another_form_are_bad_not_lost(tmp_path, record, reason):
    folder = write(tmp_path, {"train": [[RECORDS[0], record, RECORDS[1]]]})
    first, bad, last = source(folder).read("train", 0, 3)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(bad, BadRecord)
    assert (bad.key, bad.index, bad.raw) == ("train-00000001", 1, record)
    assert bad.reason.startswith(reason)


def test_hosts_that_cannot_be_found_are_said_at_once(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    missing = "https://data.invalid/archive.tar.gz"  # RFC 2606: .invalid never resolves
    with pytest.raises(OSError, match=r"no network: data\.invalid cannot be found"):
        tfds._check_hosts([missing])
    tfds._check_hosts([])
    tfds._check_hosts([missing, "http://localhost/archive.tar.gz"])
    monkeypatch.setenv("https_proxy", "http://localhost:1")
    tfds._check_hosts([missing])
