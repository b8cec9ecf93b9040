import numpy as np
import pytest

from pipelines.augment.image.recolour import LUMA, compose, recolour
from tests.augment.support import images


def exact(batch, maps):
    """What the docstring promises, in integers."""
    gains = 2 * np.rint(maps[:, :, :3] * 512).astype(np.int64)
    offsets = 2 * np.rint(maps[:, :, 3] * 512).astype(np.int64) + 1
    levels = np.einsum("nhwc,ndc->nhwd", batch.astype(np.int64), gains)
    return np.clip((levels + offsets[:, None, None, :] + 512) >> 10, 0, 255)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (32, 32, 3), (9, 53, 3)], ids=str)
def test_opencv_computes_what_integers_would(shape, diagonal):
    # The bytes of a dataset rest on this, whichever path OpenCV takes.
    batch = images(60, shape)
    maps = np.random.default_rng(2).normal(0, 1, (60, 3, 4)) * [1, 1, 1, 60]
    maps[::3] = np.rint(maps[::3] * 4) / 4  # many halves, were they not avoided
    if diagonal:
        maps[:, :, :3] *= np.eye(3)
    assert np.array_equal(recolour(batch, maps), exact(batch, maps))


def test_extreme_maps_saturate():
    batch = images(2, (3, 3, 3)) | 1
    maps = np.full((2, 3, 4), 1e9)
    maps[1] *= -1
    assert recolour(batch, maps).reshape(2, -1).tolist() == [[255] * 27, [0] * 27]


def test_hand_computed_maps_of_2_pixels():
    batch = np.array([[[[10, 20, 30], [200, 100, 0]]]], dtype=np.uint8)
    gain = np.zeros((1, 3, 4))
    gain[0, :, :3] = np.eye(3) * 1.5
    assert recolour(batch, gain).tolist() == [[[[15, 30, 45], [255, 150, 0]]]]
    swap = np.zeros((1, 3, 4))
    swap[0, :, :3] = np.eye(3)[::-1]
    swap[0, :, 3] = [1, -25, 0.5]
    assert recolour(batch, swap).tolist() == [[[[31, 0, 11], [1, 75, 201]]]]


def test_compose_applies_the_first_map_first():
    generator = np.random.default_rng(3)
    first, second = generator.normal(0, 1, (2, 5, 3, 4))
    pixel = np.append(generator.normal(0, 1, 3), 1)
    composed = compose(first, second)
    for one, two, both in zip(first, second, composed, strict=True):
        assert both @ pixel == pytest.approx(two @ np.append(one @ pixel, 1))


def test_grey_is_treated_as_rgb_of_equal_channels():
    grey = images(20, (6, 5, 1))
    gains = np.random.default_rng(4).uniform(0.5, 1.5, 20)
    maps = np.zeros((20, 3, 4))
    maps[:, :, :3] = gains[:, None, None] * np.eye(3) + 0.25 * np.array(LUMA)
    maps[:, :, 3] = 12.0
    coloured = recolour(grey.repeat(3, axis=3), maps)
    difference = recolour(grey, maps).astype(int) - coloured
    assert np.abs(difference).max() <= 1
