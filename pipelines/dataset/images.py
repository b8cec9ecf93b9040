"""Images <-> bytes. The encoder is part of the recipe's identity: other encoder, other bytes."""

from __future__ import annotations

import struct
import zlib

import numpy as np

PNG_ENCODER = "sub-libdeflate-1"
"""Every row with PNG's Sub filter, zlib stream by libdeflate level 1 (ISO/IEC 15948)."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {1: 0, 3: 2}
_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_LEVEL = 1


def decode_image(data: bytes, channels: int) -> np.ndarray:
    """Decode a PNG or JPEG file (or anything else OpenCV reads).

    Args:
        data: The encoded file.
        channels: 1 (grey) or 3 (RGB); the image is converted.

    Returns:
        uint8[height, width, channels].

    Raises:
        ValueError: The bytes are not an image.
    """
    import cv2

    mode = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if data else None
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it ({error.err})") from error
    if image is None:
        raise ValueError(f"not an image that OpenCV can decode ({len(data)} bytes)")
    return image if channels == 3 else image[:, :, None]


def encode_png(images: np.ndarray) -> list[bytes]:
    """Encode images as PNG files.

    Args:
        images: uint8[N, height, width, channels] with 1 (grey) or 3 (RGB) channels.

    Returns:
        One PNG file per image.
    """
    import deflate

    count, height, width, channels = images.shape
    head = _chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    )
    prefix = _SIGNATURE + head
    rows = np.empty((count, height, 1 + width * channels), np.uint8)
    rows[:, :, 0] = 1  # the Sub filter: each byte minus its left neighbour's
    flat = images.reshape(count, height, width * channels)
    rows[:, :, 1 : 1 + channels] = flat[:, :, :channels]
    np.subtract(flat[:, :, channels:], flat[:, :, :-channels], out=rows[:, :, 1 + channels :])
    return [
        prefix + _chunk(b"IDAT", bytes(deflate.zlib_compress(row.data, _LEVEL))) + _END
        for row in rows
    ]


def encode_raw(images: np.ndarray) -> list[bytes]:
    """Return the bytes of each image in row-major (height, width, channel) order."""
    return [image.tobytes() for image in images]


ENCODERS = {"png": encode_png, "raw": encode_raw}


def _chunk(kind: bytes, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    )
