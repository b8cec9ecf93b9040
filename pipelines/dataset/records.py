"""Example <-> bytes: `tf.train.Example` and TFRecord without TensorFlow, byte for byte stable.

The Example message is declared through protobuf (field numbers of ``tensorflow/core/example``),
serialized deterministically. TFRecord framing: length, masked CRC-32C of the length, data, masked
CRC-32C of the data (``tensorflow/core/lib/io/record_writer.h``).
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import google_crc32c

from schemas.errors import InputError

FeatureValue = bytes | int | list[int] | list[float] | list[bytes]

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
HEADER_BYTES = _LENGTH.size + _CRC.size
FOOTER_BYTES = _CRC.size
GZIP_LEVEL = 1
MAX_UNPACKED = 4 << 30
"""Bytes of one shard; more is no shard of ours but a bomb."""


@functools.cache
def example_class() -> Any:
    """Return the message class of ``tensorflow.Example``, declared in a pool of its own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="beam_refinery/example.proto", package="tensorflow", syntax="proto3"
    )
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(
            name="value", number=1, type=kind, label=field.LABEL_REPEATED
        )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), start=1):
        feature.field.add(
            name=f"{name.removesuffix('List').lower()}_list",
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".tensorflow.{name}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=".tensorflow.Feature",
        label=field.LABEL_OPTIONAL,
    )
    features.field.add(
        name="feature",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".tensorflow.Features.FeatureEntry",
        label=field.LABEL_REPEATED,
    )
    file.message_type.add(name="Example").field.add(
        name="features",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".tensorflow.Features",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def encode_example(features: Mapping[str, FeatureValue]) -> bytes:
    """Serialize an Example; equal features give equal bytes, whatever their order.

    Args:
        features: Feature name to bytes, an int, or a list of bytes, ints or floats.
    """
    return encode_examples([features])[0]


def encode_examples(rows: Sequence[Mapping[str, FeatureValue]]) -> list[bytes]:
    """Serialize rows that have the same features of the same kinds; see `encode_example`.

    One message is filled again for every row, which takes half the time of a new one.
    """
    example = example_class()()
    stored = {name: _value_list(example, name, value) for name, value in (rows or [{}])[0].items()}
    encoded = []
    for row in rows:
        for name, value in row.items():
            stored[name][:] = value if isinstance(value, list) else (value,)
        encoded.append(example.SerializeToString(deterministic=True))
    return encoded


def _value_list(example: Any, name: str, value: FeatureValue) -> Any:
    """Return the repeated field of an Example that holds values like ``value``."""
    feature = example.features.feature[name]
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, bytes):
        return feature.bytes_list.value
    return feature.float_list.value if isinstance(first, float) else feature.int64_list.value


def decode_example(data: bytes) -> dict[str, list[Any]]:
    """Parse a serialized Example into feature name to list of values.

    Raises:
        ValueError: The bytes are not an Example.
    """
    from google.protobuf.message import DecodeError

    try:
        example = example_class().FromString(data)
    except DecodeError as error:
        raise ValueError(f"not a serialized tf.train.Example ({len(data)} bytes)") from error
    result: dict[str, list[Any]] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        result[name] = list(getattr(feature, kind).value) if kind else []
    return result


def frame(records: Iterable[bytes]) -> tuple[bytes, list[int]]:
    """Return a TFRecord file's content and the byte offset of every record in it."""
    parts: list[bytes] = []
    offsets: list[int] = []
    position = 0
    for record in records:
        offsets.append(position)
        parts += (_header(len(record)), record, _CRC.pack(_masked_crc(record)))
        position += HEADER_BYTES + len(record) + FOOTER_BYTES
    return b"".join(parts), offsets


def compress(data: bytes) -> bytes:
    """Return ``data`` gzipped at level 1 by libdeflate (no time stamp: stable bytes)."""
    import deflate

    return bytes(deflate.gzip_compress(data, GZIP_LEVEL))


def unframe(data: bytes, origin: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file's (uncompressed) content.

    Raises:
        InputError: A checksum does not match or the data ends inside a record.
    """
    position, number = 0, 0
    view = memoryview(data)
    while position < len(view):
        record, position = _record_at(view, position, origin, number)
        yield record
        number += 1


def read_shard(data: bytes, path: str) -> list[bytes]:
    """Return the records of a shard file, gunzipped where its name ends in ``.gz``.

    Raises:
        InputError: The file is damaged.
    """
    if path.endswith(".gz"):
        import gzip
        import zlib

        try:
            if not data:  # to gzip an empty file is fine
                raise EOFError("the file is empty")
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MAX_UNPACKED + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: not a whole gzip file ({error}).") from error
        if len(data) > MAX_UNPACKED:
            raise InputError(f"{path}: unpacks to more than {MAX_UNPACKED:,} bytes.")
    return list(unframe(data, path))


def index_records(data: memoryview, origin: str) -> list[int]:
    """Return the offset of every record by walking the length fields (data is not checked).

    Raises:
        InputError: The data ends inside a record.
    """
    offsets: list[int] = []
    position, total = 0, len(data)
    while position < total:
        offsets.append(position)
        if position + HEADER_BYTES > total:
            raise _truncated(origin, len(offsets) - 1)
        position += HEADER_BYTES + FOOTER_BYTES + _LENGTH.unpack_from(data, position)[0]
        if position > total:
            raise _truncated(origin, len(offsets) - 1)
    return offsets


def record_at(data: memoryview, offset: int, origin: str, number: int) -> bytes:
    """Return the record that starts at ``offset``, its checksums verified.

    Raises:
        InputError: A checksum does not match.
    """
    return _record_at(data, offset, origin, number)[0]


def _record_at(view: memoryview, position: int, origin: str, number: int) -> tuple[bytes, int]:
    body = position + HEADER_BYTES
    if body > len(view):
        raise _truncated(origin, number)
    length = bytes(view[position : position + _LENGTH.size])
    if _CRC.unpack_from(view, position + _LENGTH.size)[0] != _masked_crc(length):
        raise _damaged(origin, number)
    end = body + _LENGTH.unpack(length)[0]
    if end + FOOTER_BYTES > len(view):
        raise _truncated(origin, number)
    record = bytes(view[body:end])
    if _CRC.unpack_from(view, end)[0] != _masked_crc(record):
        raise _damaged(origin, number)
    return record, end + FOOTER_BYTES


@functools.lru_cache(maxsize=1 << 14)
def _header(size: int) -> bytes:
    """Return what stands before a record of so many bytes."""
    length = _LENGTH.pack(size)
    return length + _CRC.pack(_masked_crc(length))


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _truncated(origin: str, number: int) -> InputError:
    return InputError(
        f"{origin}: truncated inside record {number}. Fetch or prepare the file again."
    )


def _damaged(origin: str, number: int) -> InputError:
    return InputError(
        f"{origin}: the checksum of record {number} does not match. Fetch or prepare it again."
    )
