"""The shape that images without a declared size have: that of the first one that decodes."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from pipelines.dataset.images import decode_image
from pipelines.dataset.sources.base import Record
from schemas.errors import InputError

CHANNELS = 3

T = TypeVar("T", bound=Any)


def first_shape(source: T) -> T:
    """Return an image source (a dataclass) with the ``image_shape`` of its first image, as RGB.

    Raises:
        InputError: None of its records is an image.
    """
    for split, size in source.sizes.items():
        for record in source.read(split, 0, size):
            if isinstance(record, Record) and isinstance(record.value, bytes):
                try:
                    shape = decode_image(record.value, CHANNELS).shape
                except ValueError:
                    continue  # reported, or quarantined, when its slice is read
                result: T = dataclasses.replace(source, image_shape=shape)
                return result
    raise InputError("none of its records is an image that can be decoded.")
