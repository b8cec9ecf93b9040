"""Image folders: what is no image, what must not be decoded, what is no plain file."""

import os
import pickle
from pathlib import Path

from tests.hostile.harness import Case
from tests.hostile.inputs import (
    FOLDER,
    MATERIALIZE,
    bomb,
    chunk,
    png,
    replace,
    swapped,
    write_pictures,
    write_recipe,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PLANTED = Path("pictures/a/0.png")


def picture(data, says="bad record a/0.png: "):
    """One of six images holds ``data``: found when its slice is read."""

    def make():
        write_pictures()
        PLANTED.write_bytes(data)

    return Case(make, MATERIALIZE, says, late=True)


def folder(change, says="", **recipe):
    def make():
        write_pictures(**recipe)
        change()

    return Case(make, MATERIALIZE, says)


PNG = png()
BOMB = "more than source.max_pixels"
CASES = {
    # Content: one bad image among six
    "png: empty": picture(b""),
    "png: signature alone": picture(SIGNATURE),
    "png: truncated": picture(PNG[: len(PNG) // 2]),
    "png: cut in the header": picture(PNG[:20]),
    "png: wrong CRC of the header": picture(swapped(PNG, 29, b"\0\0\0\0")),
    "png: garbage in the data": picture(swapped(PNG, 45, bytes(30))),
    "png: no data": picture(SIGNATURE + PNG[8:33] + chunk(b"IEND", b"")),
    "png: zero width": picture(bomb(0, 10)),
    "png: negative size": picture(bomb(0xFFFFFFFF, 0xFFFFFFFF), BOMB),
    "png: 50,000 x 50,000": picture(bomb(50_000, 50_000), BOMB),
    "png: 16 bits, 50,000 x 50,000": picture(bomb(50_000, 50_000, 6, 16), BOMB),
    "png: one line of 4 billion": picture(bomb(2**31 - 1, 1), BOMB),
    "png: another size": picture(png(1, (9, 6, 3))),
    "png: a chunk of 4 gigabytes": picture(SIGNATURE + b"\xff\xff\xff\xffIDAT" + bytes(50)),
    "png: colour type 7": picture(bomb(8, 8, colour=7)),
    "gif bomb": picture(b"GIF89a\xff\xff\xff\xff\xf0\0\0" + bytes(60), BOMB),
    "bmp bomb": picture(
        b"BM" + bytes(12) + b"\x28\0\0\0\x50\xc3\0\0\x50\xc3\0\0" + bytes(60), BOMB
    ),
    "tiff of a directory at the end": picture(b"II*\0\xff\xff\xff\x7f" + bytes(40)),
    "jpeg of endless fill": picture(b"\xff\xd8" + b"\xff" * 10_000),
    "jpeg: header alone": picture(b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(20)),
    "webp bomb": picture(b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0" + b"\xff" * 10 + bytes(40), BOMB),
    "ppm bomb": picture(b"P6 99999999 99999999 255\n" + bytes(90), BOMB),
    "svg named .png": picture(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"),
    "svg with entities": picture(b'<!DOCTYPE s [<!ENTITY a "&b;">]><svg>&a;</svg>'),
    "html named .png": picture(b"<html><body>404 not found</body></html>"),
    "zip named .png": picture(b"PK\x03\x04" + bytes(200)),
    "pickle named .png": picture(pickle.dumps({"image": [1, 2]})),
    "script named .png": picture(b"#!/bin/sh\ntouch owned\n"),
    "text named .png": picture(b"not an image"),
    # Layout
    "folder: fifo": folder(lambda: replace(PLANTED, os.mkfifo), "0.png"),
    "folder: device by a link": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("/dev/zero", path)), "0.png"
    ),
    "folder: socket": folder(lambda: replace(PLANTED, _socket), "0.png"),
    "folder: link to itself": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("0.png", path)), "0.png"
    ),
    "folder: link to nothing": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("gone.png", path)), "0.png"
    ),
    "folder: link to a file outside": folder(
        lambda: replace(PLANTED, lambda path: os.symlink("/etc/passwd", path)), "is a link to"
    ),
    "folder: link to a folder outside": folder(
        lambda: os.symlink("/etc", "pictures/c"), "is a link to"
    ),
    "folder: loop of folders": folder(lambda: os.symlink("..", "pictures/a/up"), "is a link to"),
    "folder: root in itself": folder(lambda: os.symlink(".", "pictures/c"), "is a link to"),
    "folder: too deep": folder(lambda: _deep("pictures/a", 100), "pictures"),
    "folder: name that is no text": folder(
        lambda: Path(os.fsdecode(b"pictures/a/\xff.png")).write_bytes(PNG), "not UTF-8"
    ),
    "folder: newline in a name": Case(
        lambda: _planted("pictures/a/x\nerror: forged.png", b"no"), MATERIALIZE, "bad", late=True
    ),
    "folder: escape sequence in a class": folder(
        lambda: os.makedirs("pictures/\x1b[31mred"), "holds no image"
    ),
    "folder: is a fifo": Case(lambda: _other(os.mkfifo), MATERIALIZE, "not a folder"),
    "folder: is a device": Case(
        lambda: write_recipe(FOLDER | {"path": "/dev/null"}), MATERIALIZE, "not a folder"
    ),
    "folder: has a NUL": Case(
        lambda: write_recipe(FOLDER | {"path": "pic\0tures"}), MATERIALIZE, "mine.yaml"
    ),
    "folder: empty path": Case(
        lambda: write_recipe(FOLDER | {"path": ""}), MATERIALIZE, "mine.yaml"
    ),
    "folder: unknown store": Case(
        lambda: write_recipe(FOLDER | {"path": "nowhere://a/b"}), MATERIALIZE, "nowhere"
    ),
    "folder: a limit of no pixels": folder(
        lambda: write_recipe(FOLDER | {"max_pixels": 0}), "max_pixels"
    ),
    "folder: all beyond the limit": folder(
        lambda: write_recipe(FOLDER | {"max_pixels": 3}), "none of its records is an image"
    ),
}


def _socket(path):
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def _deep(path, levels):
    here = os.getcwd()
    os.chdir(path)
    for _ in range(levels):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)


def _planted(path, data):
    write_pictures()
    Path(path).write_bytes(data)


def _other(make):
    write_recipe()
    make("pictures")
