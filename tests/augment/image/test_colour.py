import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from pipelines.augment import registry
from pipelines.augment.image import recolour
from pipelines.augment.image.recolour import LUMA
from tests.augment.support import images

ROWS = 24
TO_YIQ = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])


def maps_of(name, **params):
    return registry.get(name).kernel(**params)


def run(name, batch, **params):
    return recolour.recolour(batch, maps_of(name, **params))


def by_pil(function, batch, *arguments):
    rows = [
        np.asarray(function(Image.fromarray(image), *(one[row] for one in arguments)))
        for row, image in enumerate(batch)
    ]
    return np.stack(rows)


def largest_difference(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_hue_is_a_rotation_in_yiq():
    degrees = np.linspace(-180, 180, 37)
    turns = maps_of("hue", degrees=degrees)
    assert not turns[:, :, 3].any()
    angles = np.radians(degrees)
    for angle, turn in zip(angles, turns, strict=True):
        expected = np.eye(3)
        expected[1:, 1:] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        assert TO_YIQ @ turn[:, :3] @ np.linalg.inv(TO_YIQ) == pytest.approx(expected, abs=1e-6)


def test_hue_leaves_grey_and_luma():
    grey = images(ROWS, (9, 8, 1)).repeat(3, axis=3)
    degrees = np.linspace(-180, 180, ROWS)
    assert largest_difference(run("hue", grey, degrees=degrees), grey) <= 1
    assert np.array(LUMA) @ maps_of("hue", degrees=degrees)[:, :, :3] == pytest.approx(
        np.tile(LUMA, (ROWS, 1)), abs=1e-7
    )


def test_hue_turns_red_towards_yellow_for_positive_and_magenta_for_negative_degrees():
    red = np.array([[[[170, 60, 60]]]], np.uint8).repeat(2, axis=0)
    made = run("hue", red, degrees=np.array([40.0, -40.0]))
    hues = [colorsys.rgb_to_hsv(*(pixel.reshape(3) / 255))[0] * 360 for pixel in made]
    first, second = ((hue + 180) % 360 - 180 for hue in hues)
    assert abs(first) == pytest.approx(40, abs=25)
    assert abs(second) == pytest.approx(40, abs=25)
    assert first > 0 > second


def test_greyscale_and_saturation_equal_pil():
    batch = images(ROWS, (16, 12, 3))
    on = np.arange(ROWS) % 2
    grey = run("greyscale", batch, on=on)
    assert np.array_equal(grey[::2], batch[::2])
    expected = by_pil(lambda image: ImageOps.grayscale(image).convert("RGB"), batch)
    assert largest_difference(grey[1::2], expected[1::2]) <= 1
    factor = np.linspace(0.0, 2.0, ROWS)
    expected = by_pil(lambda image, f: ImageEnhance.Color(image).enhance(f), batch, factor)
    assert largest_difference(run("saturation", batch, factor=factor), expected) <= 2


def test_brightness_equals_pil():
    batch = images(ROWS, (16, 12, 3))
    factor = np.linspace(0.0, 2.0, ROWS)
    expected = by_pil(lambda image, f: ImageEnhance.Brightness(image).enhance(f), batch, factor)
    assert largest_difference(run("brightness", batch, factor=factor), expected) <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_invert_is_exact(channels):
    batch = images(2, (9, 8, channels))
    made = run("invert", batch, on=np.array([1, 0]))
    assert np.array_equal(made[0], 255 - batch[0])
    assert np.array_equal(made[1], batch[1])


def test_channel_shuffle_holds_all_six_orders():
    batch = images(6, (5, 4, 3))
    made = run("channel_shuffle", batch, order=np.arange(6))
    orders = ["RGB", "RBG", "GRB", "GBR", "BRG", "BGR"]
    for image, given, order in zip(made, batch, orders, strict=True):
        assert np.array_equal(image, given[..., ["RGB".index(channel) for channel in order]])
