import numpy as np
import pytest

from pipelines.augment import registry
from pipelines.augment.draws import Draws
from tests.augment.image.apply import changed
from tests.augment.support import images, keys

WHITE = np.full((1, 32, 32, 3), 255, dtype=np.uint8)


def hidden(name, *, batch=WHITE, **params):
    made = changed(name, batch, **({"seed": 0} | params))
    return (made != batch).any(axis=3)


def drawn(name, count, shape=(32, 32, 3)):
    """Return what the op hides when its parameters are drawn as declared."""
    batch = np.full((count, *shape), 255, dtype=np.uint8)
    params = registry.get(name).sample(Draws.root(1, keys(count), 1), 1.0)
    return hidden(name, batch=batch, fill="constant", **params), params


def test_cutout_hides_a_square_in_grey():
    made = changed("cutout", WHITE, size=0.5, x=0.5, y=0.25, seed=0)[0]
    assert (made[:16, 8:24] == 128).all()
    assert (made == 128).sum() == 16 * 16 * 3


def test_cutout_may_reach_over_the_border():
    corner = hidden("cutout", size=0.5, x=0.0, y=0.0)[0]
    assert corner[:8, :8].all()
    assert corner.sum() == 64
    assert hidden("cutout", size=1.0, x=0.5, y=0.5).all()


def test_random_erasing_hides_the_drawn_area_inside():
    mask, params = drawn("random_erasing", 2_000)
    assert mask.mean(axis=(1, 2)) == pytest.approx(params["area"], abs=0.03)
    high, wide = mask.any(axis=2).sum(axis=1), mask.any(axis=1).sum(axis=1)
    assert (mask.sum(axis=(1, 2)) == high * wide).all()  # a full rectangle
    large = params["area"] > 0.15
    assert np.median((wide / high / params["aspect"])[large]) == pytest.approx(1, abs=0.05)
    assert (wide > high).mean() == pytest.approx((wide < high).mean(), abs=0.05)


@pytest.mark.parametrize("shape", [(16, 64, 3), (64, 16, 1), (1, 9, 1)], ids=str)
def test_random_erasing_fits_oblong_images(shape):
    mask, params = drawn("random_erasing", 500, shape)
    if min(shape[:2]) > 1:
        assert mask.mean(axis=(1, 2)) == pytest.approx(params["area"], abs=0.05)
    assert mask.mean() == pytest.approx(params["area"].mean(), abs=0.03)


def test_random_erasing_reaches_every_border():
    corners = [hidden("random_erasing", area=0.25, aspect=1.0, x=x, y=y)[0] for x, y in CORNERS]
    for mask, (x, y) in zip(corners, CORNERS, strict=True):
        assert mask[-1 if y else 0, -1 if x else 0]
        assert mask.sum() == 256


CORNERS = [(0.0, 0.0), (0.9999, 0.0), (0.0, 0.9999), (0.9999, 0.9999)]


def test_grid_mask_hides_squares_at_equal_distances():
    mask = hidden("grid_mask", share=0.5, period=0.25, x=0.0, y=0.25)[0]
    expected = (np.arange(32) + 2) % 8 < 4
    assert np.array_equal(mask, expected[:, None] & ((np.arange(32) % 8) < 4)[None, :])


@pytest.mark.parametrize("name", ["cutout", "random_erasing", "grid_mask"])
def test_no_side_is_hidden_more_often_than_the_opposite(name):
    often = drawn(name, 6_000)[0].mean(axis=0)
    assert often.mean(axis=0) == pytest.approx(often.mean(axis=0)[::-1], abs=0.03)
    assert often.mean(axis=1) == pytest.approx(often.mean(axis=1)[::-1], abs=0.03)
    assert often.mean(axis=0) == pytest.approx(often.mean(axis=1), abs=0.03)


def test_fills():
    batch = images(3, (32, 32, 3))
    place = {"size": 0.5, "x": 0.5, "y": 0.5}
    inside = (slice(None), slice(8, 24), slice(8, 24))
    black = changed("cutout", batch, seed=0, fill="constant", fill_value=0, **place)
    assert (black[inside] == 0).all()
    mean = changed("cutout", batch, seed=0, fill="mean", **place)
    assert mean[:, 16, 16] == pytest.approx(batch.mean(axis=(1, 2)), abs=0.51)
    noise = changed("cutout", batch, seed=np.arange(3), fill="noise", **place)
    assert noise[inside].mean() == pytest.approx(127.5, abs=6)
    assert noise[inside].std() == pytest.approx(73.9, rel=0.05)
    assert not np.array_equal(noise[0][8:24, 8:24], noise[1][8:24, 8:24])
    for made in (black, mean, noise):
        outside = made.copy()
        outside[inside] = batch[inside]
        assert np.array_equal(outside, batch)
