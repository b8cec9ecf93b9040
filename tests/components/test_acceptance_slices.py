"""Slices of images and texts."""

import numpy as np
import pytest

from components.acceptance.slices import image_slices, text_slices, thirds
from pipelines.augment.text.names import is_name
from pipelines.augment.text.negation import is_negation
from pipelines.augment.text.tokenize import tokenize


def test_thirds_by_rank():
    assert thirds(np.array([5.0, 1.0, 3.0])) == ["high", "low", "middle"]
    assert thirds(np.arange(6.0)) == ["low", "low", "middle", "middle", "high", "high"]
    assert thirds(np.array([])) == []
    assert thirds(np.ones(4)) == ["low"] * 4


def test_thirds_do_not_part_equal_values():
    names = thirds(np.array([1.0, 1, 1, 2, 3, 3]))
    assert names[:3] == ["low"] * 3
    assert names[4] == names[5]


def test_images_by_brightness_and_contrast():
    flat = [np.full((4, 4, 3), level, np.uint8) for level in (0, 100, 200)]
    striped = flat[1].copy()
    striped[::2] += 60
    striped[1::2] -= 60
    found = image_slices([*flat, striped, flat[0], flat[2]])
    assert found[0] == ("brightness=low", "contrast=low")
    assert found[2] == ("brightness=high", "contrast=low")
    assert found[3] == ("brightness=middle", "contrast=high")


def test_images_of_one_channel_and_of_any_size():
    found = image_slices([np.zeros((2, 3, 1), np.uint8), np.full((5, 1, 1), 9, np.uint8)])
    assert [one[0] for one in found] == ["brightness=low", "brightness=high"]


def test_luma_weighs_the_channels():
    pure = [np.zeros((1, 1, 3), np.uint8) for _ in range(3)]
    for channel, image in enumerate(pure):
        image[..., channel] = 255
    assert [one[0] for one in image_slices(pure)] == [
        "brightness=middle",
        "brightness=high",
        "brightness=low",
    ]


def negates(text):
    return any(map(is_negation, tokenize(text)[1::2]))


def names_in(text):
    words = tokenize(text)
    return sum(is_name(words, index) for index in range(1, len(words), 2))


@pytest.mark.parametrize(
    ("text", "negation", "entities"),
    [
        ("a good film", "no", "0"),
        ("It isn't good, says Tom Hanks", "yes", "1-3"),
        ("with Tom Hanks, Meg Ryan and Bill Pullman in Seattle", "no", "4+"),
    ],
)
def test_texts_by_negation_and_entities(text, negation, entities):
    ((_, *found),) = text_slices([text], negates=negates, entities=names_in)
    assert found == [f"negation={negation}", f"entities={entities}"]


def test_texts_by_length():
    found = text_slices(["one", "one two three", "one two"], negates=negates, entities=names_in)
    assert [one[0] for one in found] == ["length=low", "length=high", "length=middle"]
