"""Damage done to valid bytes, drawn from a seed: the same case everywhere, always."""

import random

TOKENS = (
    b"", b"\0", b"\xff\xfe", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'"', b"'",
    b"\n", b"\r", b"\t", b"..", b"../", b"/", b"\\", b"&a ", b"*a", b"!!python/name:os ", b": ",
    b"99999999999999999999", b"\xe2\x80\xae", b"\x1b[2J", b"[" * 60, b"%s%n", b"${HOME}",
)  # fmt: skip


def _at(draw, data):
    return draw.randrange(len(data) + 1)


def flip(draw, data):
    """Flip one to eight bits."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(draw, data):
    """Keep the beginning."""
    return data[: draw.randrange(len(data))]


def drop(draw, data):
    """Leave a piece out."""
    start = _at(draw, data)
    return data[:start] + data[start + draw.randint(1, 40) :]


def double(draw, data):
    """Repeat a piece."""
    start, size = _at(draw, data), draw.randint(1, 80)
    return data[: start + size] + data[start:]


def splice(draw, data):
    """Put a piece from somewhere else over what is there."""
    start, source, size = _at(draw, data), _at(draw, data), draw.randint(2, 60)
    piece = data[source : source + size]
    return data[:start] + piece + data[start + len(piece) :]


def insert(draw, data):
    """Put something in that parsers are known to stumble over."""
    start = _at(draw, data)
    return data[:start] + draw.choice(TOKENS) + data[start:]


def overwrite(draw, data):
    """Put such a thing over a piece."""
    start, token = _at(draw, data), draw.choice(TOKENS)
    return data[:start] + token + data[start + max(1, len(token)) :]


def zero(draw, data):
    """Lose a block of the disk."""
    start = _at(draw, data)
    size = min(draw.randint(1, 64), len(data) - start)
    return data[:start] + bytes(size) + data[start + size :]


KINDS = (flip, cut, drop, double, splice, insert, overwrite, zero)


def mutated(data, kind, number):
    """Return the damaged bytes of a case."""
    draw = random.Random(f"{kind} {number}")
    changed = data
    while changed == data:
        changed = KINDS[number % len(KINDS)](draw, data)
    return changed
