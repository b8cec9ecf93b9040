"""How large an image is, read from its first bytes, so that a bomb is refused before it is decoded.

PNG: ISO/IEC 15948; JPEG: ITU-T T.81, annex B; WebP: RFC 9649; GIF: GIF89a; BMP: BITMAPINFOHEADER
and BITMAPCOREHEADER; TIFF: revision 6.0; PBM, PGM and PPM: Netpbm.
"""

from __future__ import annotations

import re
import struct

MAX_PIXELS = 1 << 26
"""Default limit: 67 megapixels, 200 MB as RGB; more than cameras have."""

SUFFIXES = frozenset(
    ".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .dib .tif .tiff .pbm .pgm .ppm".split()
)

# Comments before the width only, where programs write them: elsewhere OpenCV reads on in them.
_PNM = re.compile(rb"P[1-6]\s+(?:#[^\r\n]*[\r\n]\s*)*(\d{1,9})\s+(\d{1,9})\s")
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_problem(data: bytes, max_pixels: int) -> str | None:
    """Return why an encoded image must not be decoded, as one clause, or None."""
    size = image_size(data)
    if size is None:
        return f"not an image: no PNG, JPEG, WebP, GIF, BMP, TIFF or PNM header ({len(data)} bytes)"
    width, height = size
    if width * height > max_pixels:
        return (
            f"the image has {width:,} x {height:,} pixels, more than source.max_pixels "
            f"({max_pixels:,})"
        )
    return None


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return the width and height that an encoded image declares; None where none can be read."""
    try:
        size = _declared(data)
    except (struct.error, IndexError, OverflowError):  # it ends too early
        return None
    return size if size is not None and min(size) > 0 else None


def _declared(data: bytes) -> tuple[int, int] | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        return _pair(">II", data, 16)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _pair("<HH", data, 6)
    if data.startswith(b"BM"):
        core = struct.unpack_from("<I", data, 14)[0] == 12
        width, height = _pair("<HH", data, 18) if core else _pair("<ii", data, 18)
        return width, abs(height)  # a negative height: rows from the top
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data, "<" if data.startswith(b"I") else ">")
    found = _PNM.match(data[:1024])
    return (int(found[1]), int(found[2])) if found else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Return the size in the first frame header, the segments before it skipped."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in _FRAMES:
            height, width = _pair(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + _little(data[24:27]), 1 + _little(data[27:30])
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = _pair("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff(data: bytes, order: str) -> tuple[int, int] | None:
    """Return tags 256 and 257 (width, length) of the first directory, the largest of each."""
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    found: dict[int, int] = {}
    for i in range(struct.unpack_from(f"{order}H", data, start)[0]):
        entry = start + 2 + 12 * i
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (256, 257):
            code = "H" if kind == 3 else "I"
            value = int(struct.unpack_from(f"{order}{code}", data, entry + 8)[0])
            found[tag] = max(value, found.get(tag, 0))
    return (found[256], found[257]) if len(found) == 2 else None


def _pair(form: str, data: bytes, offset: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, offset)
    return int(first), int(second)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
