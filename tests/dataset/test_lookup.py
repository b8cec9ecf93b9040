"""Looking at a dataset: find, show, replay."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from pipelines.dataset.lookup import find, first_keys, open_manifest, replay
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.show import contact_sheet, summary, text_diff
from schemas.errors import InputError
from tests.dataset.support import parsed, text_records, tfds_recipe, write_tfds

TEXTS = [f"One sentence about film {i}. Another one, a little longer!" for i in range(30)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Thirty texts with two copies by word swaps and deletions: no corpus is needed."""
    root = tmp_path_factory.mktemp("lookup")
    write_tfds(root, {"train": [text_records(TEXTS)]}, shape=None, label_names=["bad", "good"])
    content = tfds_recipe(
        root,
        modality="text",
        policy={
            "slots": [
                {"op": "random_swap", "rate": 0.3},
                {"op": "random_delete", "rate": 0.2, "probability": 0.5},
            ]
        },
        copies=2,
        splits={"test": None},
    )
    return materialize(make_plan(parsed(content), str(root / "out"))).path


@pytest.mark.parametrize("copy", [0, 1, 3])
def test_image_replays_equal(digits_dataset, copy):
    key = first_keys(digits_dataset.path, 40)[-1]
    result = replay(digits_dataset.path, key, copy)
    assert result.equal
    assert result.differences == []
    assert result.ops == result.stored.ops
    assert bool(result.ops) == (copy > 0)
    if copy:
        assert result.ops[0].startswith("rotate(degrees=")


@pytest.mark.parametrize("copy", [0, 1, 2])
def test_text_replays_equal(texts, copy):
    for key in first_keys(texts, 5):
        result = replay(texts, key, copy)
        assert result.equal
        if copy == 0:
            assert result.stored.value == TEXTS[int(key.removeprefix("train-"))]


def test_eval_and_test_examples_replay_too(texts):
    for split in ("eval", "test"):
        for key in first_keys(texts, 3, split):
            assert replay(texts, key, 0).equal
            with pytest.raises(InputError, match=f"no copy 1: it is in the {split} split"):
                replay(texts, key, 1)


def test_replay_sees_another_seed(texts, tmp_path):
    changed = tmp_path / "copy"
    shutil.copytree(texts, changed)
    path = changed / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["recipe"]["seed"] += 1
    path.write_text(json.dumps(manifest))
    key = first_keys(texts, 1)[0]
    assert not replay(str(changed), key, 1).equal
    assert replay(str(changed), key, 0).equal


def test_replay_says_what_changed_since(texts, tmp_path):
    changed = tmp_path / "copy"
    shutil.copytree(texts, changed)
    path = changed / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["numpy"] = "1.0"
    manifest["source"]["version"] = "0.0.1"
    path.write_text(json.dumps(manifest))
    differences = replay(str(changed), first_keys(texts, 1)[0], 1).differences
    assert differences[0] == "the source data changed"
    assert differences[1].startswith("numpy is ")
    assert differences[1].endswith("the dataset was written with 1.0")


def test_find_returns_the_original_first(texts):
    manifest = open_manifest(texts)
    key = first_keys(texts, 3)[2]
    found = find(texts, manifest, key)
    assert [one.copy for one in found] == [0, 1, 2]
    assert {one.key for one in found} == {key}
    assert len({one.label for one in found}) == 1
    assert found[0].ops == []


def test_unknown_keys_and_copies_are_explained(texts):
    with pytest.raises(InputError, match="no example with the key 'train-9'; `show` lists some"):
        replay(texts, "train-9", 0)
    key = first_keys(texts, 1)[0]
    with pytest.raises(InputError, match="no copy 7: .* stored as copy 0, 1, 2"):
        replay(texts, key, 7)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("provenance.parquet", None),
        ("provenance.parquet", b"garbage"),
        ("provenance.parquet", b""),
        ("Split-train/copy01-slice0000.tfrecord.gz", None),
        ("Split-train/copy01-slice0000.tfrecord.gz", b"garbage"),
        ("manifest.json", b"\xff"),
        ("manifest.json", None),
    ],
)
def test_damaged_dataset_is_named(texts, tmp_path, name, content):
    key = first_keys(texts, 1)[0]
    changed = tmp_path / "copy"
    shutil.copytree(texts, changed)
    os.unlink(changed / name)
    if content is not None:
        (changed / name).write_bytes(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        replay(str(changed), key, 1)


def test_summary_counts_what_is_there(digits_dataset):
    text = summary(digits_dataset.path, digits_dataset.manifest)
    counts = digits_dataset.manifest.counts["examples"]
    assert digits_dataset.manifest.digest in text
    assert "5,079 examples" not in text
    assert "5,079 in 48 shards" in text
    assert f"{counts['train']:,} (originals and 3 copies)" in text
    assert f"{counts['eval']:,} (originals): 0 " in text
    assert "ops on train" in text


def test_contact_sheet_is_a_png_with_a_row_per_key(digits_dataset):
    keys = first_keys(digits_dataset.path, 3)
    groups = [find(digits_dataset.path, digits_dataset.manifest, key) for key in keys]
    sheet = cv2.imdecode(np.frombuffer(contact_sheet(groups), np.uint8), cv2.IMREAD_COLOR_RGB)
    # 32-pixel images enlarged three times, gaps of two pixels around each.
    assert sheet.shape == (3 * 98 + 2, 4 * 98 + 2, 3)
    for row, group in enumerate(groups):
        for column, one in enumerate(group):
            top, left = row * 98 + 2, column * 98 + 2
            cell = sheet[top : top + 96, left : left + 96]
            assert np.array_equal(cell[::3, ::3], one.value)
            assert np.array_equal(cell[2::3, 1::3], one.value)
    assert (sheet[:2] == 255).all()


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a b c", "a b c", "a b c"),
        ("a b c", "a c", "a [-b-] c"),
        ("a c", "a b c", "a {+b+} c"),
        ("the film is good", "the movie is good", "the [-film-] {+movie+} is good"),
        ("a b", "", "[-a b-]"),
        ("", "", ""),
    ],
)
def test_text_diff_by_hand(before, after, shown):
    assert text_diff(before, after, colour=False) == shown


def test_text_diff_in_colour():
    assert text_diff("a", "b", colour=True) == "\x1b[31m[-a-]\x1b[0m \x1b[32m{+b+}\x1b[0m"
