"""Each image op on images small enough to compute by hand, and against independent code."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from pipelines.augment import registry
from pipelines.augment.draws import Draws
from pipelines.augment.image.noise import NORMAL_BITS, normal_field, normal_table
from pipelines.augment.image.recolour import recolour
from tests.augment.image.apply import GRID, moved
from tests.augment.support import images

TABLE_SHA256 = "1ea009ce409dac97d6bd609266910f809c5fb912f78e16bd89145b08174d6fc5"


def coloured(name, pixel, **params):
    """Apply a colour op with given parameters to one RGB pixel."""
    batch = np.array(pixel, dtype=np.uint8).reshape(1, 1, 1, 3)
    maps = registry.get(name).kernel(**{key: np.array([value]) for key, value in params.items()})
    return recolour(batch, maps)[0, 0, 0].tolist()


def test_rotate_turns_counter_clockwise():
    assert moved("rotate", [[1, 2], [3, 4]], degrees=90.0).tolist() == [[2, 4], [1, 3]]
    assert moved("rotate", GRID, degrees=-90.0).tolist() == np.rot90(GRID, -1).tolist()
    assert moved("rotate", GRID, degrees=180.0).tolist() == GRID[::-1, ::-1].tolist()


def test_rotate_agrees_with_scipy():
    image = images(1, (41, 41, 1), smooth=True)[0, :, :, 0]
    expected = ndimage.rotate(image.astype(float), 17, reshape=False, order=1, mode="nearest")
    assert np.abs(moved("rotate", image, degrees=17.0) - expected).max() <= 2


def test_shift_moves_content_left_and_up():
    assert moved("shift", GRID, x=1 / 3, y=0.0)[0].tolist() == [20, 30, 30]
    assert moved("shift", GRID, x=0.0, y=-1 / 3)[:, 0].tolist() == [10, 10, 40]


def test_shear_slides_rows_about_the_middle():
    rows = moved("shear", GRID, amount=1.0).tolist()
    assert rows == [[20, 30, 30], [40, 50, 60], [70, 70, 80]]


def test_zoom_below_1_magnifies_each_axis_alone():
    row = moved("zoom", [[0, 0, 100, 0, 0]], x=0.5, y=1.0)[0].tolist()
    assert row == [0, 50, 100, 50, 0]
    assert moved("zoom", [[0, 0, 100, 0, 0]], x=1.0, y=0.5)[0].tolist() == [0, 0, 100, 0, 0]


def test_flips():
    assert moved("flip_horizontal", GRID, flip=1).tolist() == GRID[:, ::-1].tolist()
    assert moved("flip_vertical", GRID, flip=1).tolist() == GRID[::-1].tolist()
    assert moved("flip_vertical", GRID, flip=0).tolist() == GRID.tolist()


def test_brightness_and_contrast():
    assert coloured("brightness", [100, 200, 3], factor=1.5) == [150, 255, 5]
    assert coloured("contrast", [128, 28, 228], factor=0.5) == [128, 78, 178]


def test_saturation_0_is_luma_and_2_doubles_the_distance_from_it():
    assert coloured("saturation", [100, 100, 100], factor=0.3) == [100, 100, 100]
    luma = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert coloured("saturation", [200, 100, 50], factor=0.0) == [luma] * 3
    assert coloured("saturation", [150, 125, 110], factor=2.0) == pytest.approx(
        [2 * value - 131 for value in (150, 125, 110)], abs=1
    )


def test_blur_box_averages_a_square_with_replicated_edges():
    kernel = registry.get("blur_box").kernel
    batch = np.stack([GRID, GRID])[..., None]
    made = kernel(batch, radius=np.array([1, 0]))[..., 0]
    assert made[0, 1, 1] == 50
    assert made[0, 0, 0] == round((4 * 10 + 2 * 20 + 2 * 40 + 50) / 9)
    assert made[1].tolist() == GRID.tolist()
    expected = ndimage.uniform_filter(GRID.astype(float), 3, mode="nearest")
    assert np.abs(made[0] - expected).max() <= 0.5 + 1e-9


def test_gaussian_noise_has_the_asked_spread_on_every_image():
    batch = np.full((4, 64, 64, 3), 128, dtype=np.uint8)
    sigma = np.array([0.0, 1.0, 5.0, 20.0])
    made = registry.get("gaussian_noise").kernel(batch, sigma=sigma, seed=np.arange(4))
    noise = made.astype(float) - 128
    assert noise.mean(axis=(1, 2, 3)) == pytest.approx([0] * 4, abs=0.6)
    rounding = 1 / 12
    expected = np.sqrt(sigma**2 + rounding * (sigma > 0))
    assert noise.std(axis=(1, 2, 3)) == pytest.approx(expected, rel=0.03)


def test_noise_is_independent_between_pixels_and_between_images():
    field = normal_field(Draws.from_seeds(np.arange(2)), 30_000) / 2.0**NORMAL_BITS
    limit = 5 / 30_000**0.5
    assert abs(np.corrcoef(field[0], field[1])[0, 1]) < limit
    for lag in (1, 3, 4, 96):
        assert abs(np.corrcoef(field[0][:-lag], field[0][lag:])[0, 1]) < limit


def test_normal_table_is_the_same_everywhere():
    table = normal_table()
    assert hashlib.sha256(table.astype("<i2").tobytes()).hexdigest() == TABLE_SHA256
    assert (table == -table[::-1]).all()
    assert (table / 2.0**NORMAL_BITS).std() == pytest.approx(1, abs=1e-3)
