"""A bad record fails the run by name, or is put aside and counted; it is never just gone."""

import pytest

from pipelines.dataset.images import encode_png
from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from pipelines.dataset.records import decode_example, encode_example, read_shard
from pipelines.dataset.verify import verify
from schemas.errors import InputError
from tests.dataset.support import (
    image_records,
    parsed,
    pictures,
    text_records,
    tfds_recipe,
    write_tfds,
)

IMAGES = pictures(40)
PNG = encode_png(IMAGES[:1])[0]
GREY_WIDE = encode_png(pictures(1, shape=(8, 7, 1)))[0]

BAD_IMAGES = {
    5: (encode_example({"image": b"no image at all", "label": 0}), "not an image that OpenCV can"),
    6: (encode_example({"image": PNG[:-30], "label": 0}), "OpenCV can"),
    18: (encode_example({"image": PNG, "label": 2}), "label 2 is out of range 0..1"),
    19: (encode_example({"image": PNG, "label": -1}), "label -1 is out of range 0..1"),
    20: (encode_example({"image": GREY_WIDE, "label": 1}), "uint8[8, 7, 3], not [8, 6, 3]"),
    33: (encode_example({"image": PNG}), "the feature 'label' must hold one int"),
    34: (b"\x07 no example", "not a serialized tf.train.Example"),
}


def images_with(bad):
    records = image_records(IMAGES)
    for index, (record, _) in bad.items():
        records[index] = record
    return records


def plan_of(tmp_path, content):
    return make_plan(parsed(content), str(tmp_path / "out"))


@pytest.mark.parametrize("index", BAD_IMAGES)
def test_a_bad_image_fails_the_run_with_key_and_reason(tmp_path, index):
    """Read in this process, without a runner: each kind by itself."""
    from pipelines.dataset.slices import read_slice

    record, reason = BAD_IMAGES[index]
    write_tfds(tmp_path, {"train": [images_with({index: (record, reason)})]})
    plan = plan_of(tmp_path, tfds_recipe(tmp_path, splits={"test": None}, slice_size=40))
    with pytest.raises(InputError) as caught:
        read_slice(plan.job, plan.tasks[0])
    message = str(caught.value)
    assert f"bad record train-{index:08d}: " in message
    assert reason in message
    assert "on_bad_record: quarantine" in message


def test_the_run_names_bad_records_and_leaves_no_dataset(tmp_path):
    write_tfds(tmp_path, {"train": [images_with(BAD_IMAGES)]})
    plan = plan_of(tmp_path, tfds_recipe(tmp_path, splits={"test": None}))
    with pytest.raises(InputError) as caught:
        materialize(plan)
    text = str(caught.value)
    assert text.count("bad record ") == 3  # one per slice of 16
    for index in BAD_IMAGES:
        assert f"train-{index:08d}" in text
    with pytest.raises(InputError, match="no finished dataset"):
        verify(plan.job.output)


def test_quarantine_keeps_bad_images_with_their_reasons(tmp_path):
    write_tfds(tmp_path, {"train": [images_with(BAD_IMAGES)]})
    content = tfds_recipe(tmp_path, splits={"test": None}, on_bad_record="quarantine")
    outcome = materialize(plan_of(tmp_path, content))
    kept = {}
    for file in outcome.manifest.files:
        if file.path.startswith("quarantine/"):
            with open(f"{outcome.path}/{file.path}", "rb") as opened:
                for record in read_shard(opened.read(), file.path):
                    row = decode_example(record)
                    kept[row["index"][0]] = row
    assert set(kept) == set(BAD_IMAGES)
    for index, (_, reason) in BAD_IMAGES.items():
        assert kept[index]["key"] == [f"train-{index:08d}".encode()]
        assert reason in kept[index]["reason"][0].decode()
    assert kept[34]["record"] == [b"\x07 no example"]
    assert kept[5]["record"] == [b"no image at all"]
    manifest = outcome.manifest
    assert manifest.counts["quarantined"] == len(BAD_IMAGES)
    originals = sum(shard.examples for shard in manifest.shards if shard.copy == 0)
    assert originals + len(BAD_IMAGES) == len(IMAGES)
    assert verify(outcome.path).ok
    assert materialize(plan_of(tmp_path, content)).status == "up_to_date"


def test_bad_text_and_empty_splits_of_slices(tmp_path):
    """Slices of two records leave most eval shards without any; bad UTF-8 goes to quarantine."""
    records = text_records([f"text number {i}" for i in range(11)])
    records[4] = encode_example({"text": b"caf\xe9", "label": 0})
    records[10] = encode_example({"text": b"", "label": 1})
    write_tfds(tmp_path, {"train": [records]}, shape=None)
    content = tfds_recipe(
        tmp_path,
        modality="text",
        policy={"slots": [{"op": "random_swap", "rate": 0.5}]},
        splits={"test": None},
        slice_size=2,
    )
    with pytest.raises(InputError, match=r"train-00000004: the text is not UTF-8 \(byte 3\)"):
        materialize(plan_of(tmp_path, content))
    outcome = materialize(plan_of(tmp_path, content | {"on_bad_record": "quarantine"}))
    assert outcome.manifest.counts["quarantined"] == 1
    empty = [shard for shard in outcome.manifest.shards if not shard.examples]
    assert empty
    assert sum(s.examples for s in outcome.manifest.shards if s.copy == 0) == 10
    assert verify(outcome.path).ok


def test_empty_shards_of_images(tmp_path):
    write_tfds(tmp_path, {"train": [image_records(IMAGES[:9])]})
    content = tfds_recipe(tmp_path, splits={"test": None}, slice_size=2)
    outcome = materialize(plan_of(tmp_path, content))
    assert [shard for shard in outcome.manifest.shards if not shard.examples]
    assert sum(s.examples for s in outcome.manifest.shards if s.copy == 0) == 9


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-7], "truncated inside record 39"),
        (lambda data: data[:99] + bytes([data[99] ^ 1]) + data[100:], "checksum of record"),
    ],
)
def test_a_damaged_source_file_fails_the_run_even_with_quarantine(tmp_path, damage, message):
    folder = write_tfds(tmp_path, {"train": [image_records(IMAGES)]})
    path = folder / "tiny-train.tfrecord-00000-of-00001"
    path.write_bytes(damage(path.read_bytes()))
    content = tfds_recipe(tmp_path, splits={"test": None}, on_bad_record="quarantine")
    with pytest.raises(InputError, match=message):
        materialize(plan_of(tmp_path, content))
