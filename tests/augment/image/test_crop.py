import numpy as np
import pytest
from PIL import Image

from pipelines.augment import registry
from pipelines.augment.draws import Draws
from tests.augment.image.apply import GRID, moved
from tests.augment.support import images, keys


@pytest.mark.parametrize(("fill", "mode"), [("constant", "constant"), ("nearest", "edge")])
@pytest.mark.parametrize(("x", "y"), [(4, -3), (-4, 4), (0, 1)])
def test_random_crop_is_padding_then_cropping(fill, mode, x, y):
    image = images(1, (32, 28, 1))[0, :, :, 0]
    padded = np.pad(image, 4, mode=mode)
    expected = padded[4 + y : 36 + y, 4 + x : 32 + x]
    assert np.array_equal(moved("random_crop", image, x=x, y=y, fill=fill), expected)


def test_random_crop_fills_with_black_by_default():
    settings = registry.get("random_crop").setting_values()
    assert (settings["fill"], settings["fill_value"]) == ("constant", 0)


def test_random_crop_takes_every_place_as_often():
    params = registry.get("random_crop").sample(Draws.root(2, keys(9_000), 1), 1.0)
    places = np.bincount((params["x"] + 4) * 9 + params["y"] + 4, minlength=81)
    assert len(places) == 81
    assert ((places - 111.1) ** 2 / 111.1).sum() < 125  # 80 degrees of freedom, 99.9 %


def pil_crop(image, box):
    """PIL's resize of a box to the full size, which only magnifies here."""
    made = Image.fromarray(image).resize(image.shape[::-1], Image.BILINEAR, box=box)
    return np.asarray(made).astype(int)


def test_random_resized_crop_agrees_with_pil():
    image = images(1, (32, 40, 1), smooth=True)[0, :, :, 0]
    # Half the area, twice as wide as high: the full width of the top half and its right quarter.
    made = moved("random_resized_crop", image, area=0.5, aspect=2.0, x=0.0, y=-0.5)
    assert np.abs(made - pil_crop(image, (0, 0, 40, 16))).max() <= 2
    made = moved("random_resized_crop", image, area=0.25, aspect=1.0, x=0.5, y=0.25)
    assert np.abs(made - pil_crop(image, (20, 12, 40, 28)))[:, 1:].max() <= 5
    assert np.abs(made - pil_crop(image, (20, 12, 40, 28))).mean() < 1


def test_random_resized_crop_stays_inside_and_has_the_drawn_area():
    op = registry.get("random_resized_crop")
    params = op.sample(Draws.root(4, keys(5_000), 1), 1.0)
    matrices = op.kernel(height=100, width=200, **params)
    wide, high = matrices[:, 0, 0], matrices[:, 1, 1]
    assert wide * high == pytest.approx(params["area"])
    assert (np.abs(matrices[:, 0, 2]) <= (1 - wide) / 2 * 200 + 1e-9).all()
    assert (np.abs(matrices[:, 1, 2]) <= (1 - high) / 2 * 100 + 1e-9).all()
    assert (wide > high).mean() == pytest.approx(0.5, abs=0.03)
    free = params["area"] < 0.7
    assert (wide / high)[free] == pytest.approx(params["aspect"][free])


def test_centre_crop_magnifies_the_middle():
    assert moved("centre_crop", GRID, share=1.0).tolist() == GRID.tolist()
    image = images(1, (40, 40, 1), smooth=True)[0, :, :, 0]
    made = moved("centre_crop", image, share=0.5)
    assert np.abs(made - pil_crop(image, (10, 10, 30, 30)))[1:-1, 1:-1].max() <= 4
