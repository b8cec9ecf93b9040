"""The image folder source, on folders as people have them."""

import os
import pickle
import random
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest

from pipelines.dataset.images import decode_image, encode_png
from pipelines.dataset.sources import BadRecord, Record, image_folder, open_source
from pipelines.dataset.sources.image_size import SUFFIXES, image_size
from schemas.errors import InputError
from tests.dataset.support import parsed, pictures


def write(root, names, *, shape=(8, 6, 3)):
    """Write a PNG per name, all different; return the root."""
    for name, image in zip(names, pictures(len(names), shape=shape), strict=True):
        png = encode_png(image[None])[0]
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    return root


def opened(root, **settings):
    return image_folder.prepare(image_folder.Config(path=str(root), **settings))


def keys(source, split="train"):
    return [one.key for one in source.read(split, 0, source.sizes[split])]


CLASSES = ["cat/1.png", "cat/2.png", "cat/10.png", "dog/1.png", "dog/2.png"]


def test_a_folder_per_class(tmp_path):
    root = write(tmp_path, CLASSES)
    found = opened(root)
    assert (found.label_names, found.sizes) == (("cat", "dog"), {"train": 5})
    assert (found.modality, found.image_shape) == ("image", (8, 6, 3))
    assert pickle.loads(pickle.dumps(found)) == found
    records = list(found.read("train", 0, 5))
    assert sorted(one.key for one in records) == sorted(CLASSES)
    for one in records:
        assert one.value == (root / one.key).read_bytes()
        assert found.label_names[one.label] == one.key.split("/")[0]
    assert [one.index for one in records] == [0, 1, 2, 3, 4]


def test_splits_of_classes(tmp_path):
    found = opened(write(tmp_path, [f"{s}/{n}" for s in ("train", "test") for n in CLASSES]))
    assert found.sizes == {"test": 5, "train": 5}
    assert all(key.startswith("test/") for key in keys(found, "test"))


def test_a_class_may_lack_a_split(tmp_path):
    found = opened(write(tmp_path, ["train/a/1.png", "train/b/1.png", "val/b/2.png"]))
    assert [one.label for one in found.read("val", 0, 1)] == [1]


def test_slices_join_to_the_whole_and_hold_all_classes(tmp_path):
    names = [f"{c}/{i}.png" for c in "ab" for i in range(40)]
    found = opened(write(tmp_path, names, shape=(2, 2, 1)))
    whole = list(found.read("train", 0, 80))
    parts = [one for start in range(0, 90, 7) for one in found.read("train", start, start + 7)]
    assert parts == whole
    assert {one.label for one in whole[:20]} == {0, 1}


def test_tfds_reads_the_same_classes(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    write(tmp_path, [f"train/{name}" for name in CLASSES])
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path))
    assert tuple(builder.info.features["label"].names) == opened(tmp_path).label_names


def test_identity_is_names_and_content_not_the_place_or_time(tmp_path):
    root = write(tmp_path / "one", CLASSES)
    before = opened(root).identity()
    moved = tmp_path / "other"
    shutil.copytree(root, moved)
    os.utime(moved / "cat/1.png", (1, 1))
    (moved / ".DS_Store").touch()
    assert opened(moved).identity() == before
    assert str(tmp_path) not in str(before)
    (moved / "cat/1.png").rename(moved / "cat/3.png")
    renamed = opened(moved).identity()
    (moved / "cat/3.png").write_bytes((moved / "dog/1.png").read_bytes())
    assert len({str(one) for one in (before, renamed, opened(moved).identity())}) == 3


def test_hidden_files_and_what_lies_beside_are_passed_over(tmp_path):
    root = write(tmp_path, CLASSES)
    for name in (".hidden/x.png", "cat/.1.png.swp", "LICENSE.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    assert sorted(keys(opened(root))) == sorted(CLASSES)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["astray.png"], "astray.png lies at the wrong level"),
        (["cat/more/1.png"], "cat/1.png and cat/more/1.png lie at different levels"),
        (["a/b/c/1.png"], "a/b/c/1.png lies at the wrong level"),
    ],
)
def test_images_at_the_wrong_level_are_named(tmp_path, extra, message):
    with pytest.raises(InputError, match=message) as caught:
        opened(write(tmp_path, [*CLASSES, *extra]))
    assert "<root>/<class>/" in str(caught.value)


def test_an_empty_class_is_named(tmp_path):
    root = write(tmp_path, CLASSES)
    (root / "bird").mkdir()
    with pytest.raises(InputError, match="class folder 'bird' holds no image"):
        opened(root)


def test_an_empty_split_is_named(tmp_path):
    root = write(tmp_path, [f"train/{name}" for name in CLASSES])
    (root / "test").mkdir()
    with pytest.raises(InputError, match="split folder 'test' holds no image"):
        opened(root)


def test_no_folder_no_file_no_image(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no file"):
        opened(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/readme.txt").touch()
    with pytest.raises(InputError, match="holds no image"):
        opened(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        opened(tmp_path / "a/readme.txt")


@pytest.mark.parametrize("target", ["file", "folder"])
def test_links_that_leave_the_root_are_refused(tmp_path, target):
    root = write(tmp_path / "root", CLASSES)
    outside = write(tmp_path / "outside", ["x/1.png"])
    link = root / ("cat/9.png" if target == "file" else "fox")
    link.symlink_to(outside / ("x/1.png" if target == "file" else "x"))
    with pytest.raises(InputError, match="is a link to .*not followed"):
        opened(root)


def test_a_link_within_the_root_is_a_file_like_others(tmp_path):
    root = write(tmp_path, CLASSES)
    (root / "dog/3.png").symlink_to(root / "dog/1.png")
    assert "dog/3.png" in keys(opened(root))


def test_a_file_name_that_is_no_text_is_refused(tmp_path):
    root = write(tmp_path, CLASSES)
    os.rename(os.fsencode(root / "cat/1.png"), os.fsencode(root) + b"/cat/\xff.png")
    with pytest.raises(InputError, match="not UTF-8; rename"):
        opened(root)


def test_an_unreadable_file_is_named(tmp_path):
    root = write(tmp_path, CLASSES)
    for name in CLASSES:
        (root / name).unlink()
        (root / name).symlink_to(root / "gone.png")
    with pytest.raises(InputError, match=r"/\d+\.png: cannot be read"):
        opened(root)


def bomb(width, height):
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + b"IHDR" + body
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", zlib.crc32(b"IHDR" + body))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image: no PNG"),
        (b"hello", "not an image: no PNG"),
        (bomb(20_000, 20_000), "20,000 x 20,000 pixels, more than source.max_pixels"),
        (bomb(0, 5), "not an image"),
    ],
)
def test_what_is_no_image_is_a_bad_record(tmp_path, data, reason):
    root = write(tmp_path, CLASSES)
    (root / "cat/1.png").write_bytes(data)
    bad = [one for one in opened(root).read("train", 0, 5) if isinstance(one, BadRecord)]
    assert [(one.key, one.raw) for one in bad] == [("cat/1.png", data)]
    assert reason in bad[0].reason


def test_another_file_in_a_class_is_a_bad_record_too(tmp_path):
    root = write(tmp_path, CLASSES)
    (root / "dog/notes.txt").write_text("good dogs")
    bad = [one for one in opened(root).read("train", 0, 6) if isinstance(one, BadRecord)]
    assert [one.key for one in bad] == ["dog/notes.txt"]


def test_the_limit_of_pixels_is_a_setting(tmp_path):
    root = write(tmp_path, CLASSES)
    assert all(isinstance(one, Record) for one in opened(root, max_pixels=48).read("train", 0, 5))
    with pytest.raises(InputError, match="none of its records is an image"):
        opened(root, max_pixels=47)


def test_the_shape_is_that_of_the_first_that_decodes(tmp_path):
    root = write(tmp_path, CLASSES, shape=(5, 4, 1))
    first = keys(opened(root))[0]
    (root / first).write_bytes((root / first).read_bytes()[:40])
    assert opened(root).image_shape == (5, 4, 3)


def test_the_header_is_read_of_every_kind_that_is_accepted():
    images = {(h, w): pictures(1, shape=(h, w, 3))[0] for h in (1, 7, 40) for w in (1, 16, 517)}
    for suffix in SUFFIXES - {".pbm", ".jfif", ".dib", ".jpe", ".pgm"}:
        for (height, width), image in images.items():
            data = cv2.imencode(suffix, image)[1].tobytes()
            assert image_size(data) == (width, height), suffix
            assert decode_image(data, 3).shape == (height, width, 3), suffix
            for cut in (4, 12, 20):
                assert image_size(data[:cut]) in (None, (width, height)), suffix
    grey = cv2.imencode(".pgm", np.zeros((3, 5), np.uint8))[1].tobytes()
    assert image_size(grey.replace(b"P5\n", b"P5 # made by hand\n")) == (5, 3)
    top_down = bytearray(cv2.imencode(".bmp", images[7, 16])[1].tobytes())
    top_down[22:26] = struct.pack("<i", -7)
    assert image_size(bytes(top_down)) == (16, 7)


def test_no_header_makes_the_decoder_hold_more_than_was_declared():
    """Headers damaged at random: either refused, or as large as they say at most."""
    draws = random.Random(7)
    image = pictures(1, shape=(12, 10, 3))[0]
    files = [cv2.imencode(f".{kind}", image)[1].tobytes() for kind in ("jpg", "png", "bmp", "tif")]
    files += [head + image.tobytes() for head in (b"P6\n# x\n10 12\n255\n", b"P6 10 12\n255\n")]
    decoded = 0
    for data in files:
        for _ in range(100):
            damaged = bytearray(data)
            for _ in range(draws.randint(1, 3)):
                where = draws.randrange(min(len(data), 48))
                damaged[where] = draws.choice((0, 1, 10, 13, 32, 35, 49, draws.randrange(256)))
            size = image_size(bytes(damaged))
            if size is None or size[0] * size[1] > 1_000_000:
                continue
            try:
                shape = decode_image(bytes(damaged), 3).shape
            except ValueError:
                continue
            decoded += 1
            assert shape[0] * shape[1] <= size[0] * size[1], bytes(damaged[:48])
    assert decoded > 200


def test_modality_and_settings_are_checked(tmp_path):
    write(tmp_path, CLASSES)
    content = {
        "name": "mine",
        "modality": "text",
        "source": {"kind": "image_folder", "path": str(tmp_path)},
        "policy": {"preset": "none"},
        "copies": 0,
    }
    with pytest.raises(InputError, match="holds image examples"):
        open_source(parsed(content).recipe)
    content["source"]["root"] = "x"
    with pytest.raises(InputError, match="unknown key 'root'") as caught:
        open_source(parsed(content).recipe)
    assert caught.value.path == ("source", "root")
