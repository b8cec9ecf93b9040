"""Examples and TFRecord files: byte for byte what TensorFlow writes, and no damage goes unseen."""

import contextlib
import functools
import gzip
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dataset.records import (
    compress,
    decode_example,
    encode_example,
    frame,
    index_records,
    read_shard,
    record_at,
    unframe,
)
from schemas.errors import InputError

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.binary(max_size=20),
    INT64,
    st.lists(INT64, min_size=1, max_size=5),
    st.lists(st.binary(max_size=8), min_size=1, max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
)
NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
FEATURES = st.dictionaries(NAMES, VALUES, min_size=1)


def as_list(value):
    return value if isinstance(value, list) else [value]


def test_bytes_by_hand():
    """Example {1: Features {1: entry {1: key, 2: Feature {1: bytes list or 3: int64 list}}}}."""
    assert encode_example({}) == b""
    text = bytes.fromhex("0a0d 0a0b 0a0161 1206 0a04 0a027879")
    assert encode_example({"a": b"xy"}) == text
    number = bytes.fromhex("0a0d 0a0b 0a0161 1206 1a04 0a02ac02")
    assert encode_example({"a": 300}) == number


def test_equals_tensorflow():
    tf = pytest.importorskip("tensorflow")

    def feature(value):
        values = as_list(value)
        if isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    @settings(max_examples=200, deadline=None)
    @given(FEATURES)
    def check(features):
        example = tf.train.Example(
            features=tf.train.Features(feature={k: feature(v) for k, v in features.items()})
        )
        assert encode_example(features) == example.SerializeToString(deterministic=True)

    check()


@given(FEATURES)
def test_round_trip_whatever_the_order(features):
    data = encode_example(features)
    assert encode_example(dict(reversed(features.items()))) == data
    assert decode_example(data) == {name: as_list(value) for name, value in features.items()}


@given(st.binary(max_size=60))
def test_garbage_is_an_example_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        assert isinstance(decode_example(data), dict)


def masked(data):
    """CRC-32C bit by bit, masked as TFRecord files do it: no library."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_frame_by_hand():
    assert masked(b"123456789") == struct.pack(
        "<I", (((0xE3069283 >> 15) | (0xE3069283 << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    )
    expected = b""
    for record in (b"abc", b"", b"x" * 300):
        length = struct.pack("<Q", len(record))
        expected += length + masked(length) + record + masked(record)
    data, offsets = frame([b"abc", b"", b"x" * 300])
    assert data == expected
    assert offsets == [0, 19, 35]
    assert frame([]) == (b"", [])


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_records_come_back_by_walking_and_by_offset(records):
    data, offsets = frame(records)
    assert list(unframe(data, "here")) == records
    view = memoryview(data)
    assert index_records(view, "here") == offsets
    assert [record_at(view, at, "here", i) for i, at in enumerate(offsets)] == records
    assert read_shard(compress(data), "x.tfrecord.gz") == records


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_tensorflow_reads_the_files(tmp_path, suffix):
    tf = pytest.importorskip("tensorflow")
    records = [b"first", b"", bytes(range(256)) * 300]
    data = frame(records)[0]
    path = tmp_path / f"some.tfrecord{suffix}"
    path.write_bytes(compress(data) if suffix else data)
    kind = "GZIP" if suffix else ""
    read = tf.data.TFRecordDataset(str(path), compression_type=kind)
    assert [one.numpy() for one in read] == records


def test_gzip_holds_no_time_stamp():
    data = compress(b"abc" * 100)
    assert data == compress(b"abc" * 100)
    assert data[4:8] == bytes(4)
    assert gzip.decompress(data) == b"abc" * 100


RECORDS = [b"one record", b"", encode_example({"key": b"k", "label": 3})]
PLAIN, OFFSETS = frame(RECORDS)
GZIPPED = compress(PLAIN)


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_every_truncation_is_seen(cut):
    if cut in OFFSETS:  # a shorter file; its length is the manifest's business
        assert read_shard(PLAIN[:cut], "x.tfrecord") == RECORDS[: OFFSETS.index(cut)]
        return
    with pytest.raises(InputError, match=r"^x\.tfrecord: truncated inside record \d"):
        read_shard(PLAIN[:cut], "x.tfrecord")
    with pytest.raises(InputError, match="truncated"):
        index_records(memoryview(PLAIN[:cut]), "x.tfrecord")


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
def test_every_changed_byte_is_seen(position, change):
    data = bytearray(PLAIN)
    data[position] ^= change
    with pytest.raises(InputError, match=r"^x\.tfrecord: (truncated|the checksum)"):
        read_shard(bytes(data), "x.tfrecord")
    record = max(i for i, at in enumerate(OFFSETS) if at <= position)
    with pytest.raises(InputError, match=f"record {record}"):
        record_at(memoryview(bytes(data)), OFFSETS[record], "x.tfrecord", record)


@pytest.mark.parametrize("cut", range(len(GZIPPED)))
def test_every_truncation_of_a_gzip_file_is_seen(cut):
    with pytest.raises(InputError, match=r"^x\.tfrecord\.gz: not a whole gzip file"):
        read_shard(GZIPPED[:cut], "x.tfrecord.gz")


@given(st.integers(0, len(GZIPPED) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_gzip_file_changes_records(position, change):
    data = bytearray(GZIPPED)
    data[position] ^= change
    try:
        assert read_shard(bytes(data), "x.tfrecord.gz") == RECORDS
        assert position < 10  # in the header: a time stamp, a flag without effect
    except InputError:
        pass


@functools.cache
def large():
    return frame([bytes([i]) * 50 for i in range(100)])[0]


def test_damage_names_the_record():
    data = bytearray(large())
    data[66 * 41 + 30] ^= 1
    with pytest.raises(InputError, match=r"the checksum of record 41 does not match"):
        read_shard(bytes(data), "x")
