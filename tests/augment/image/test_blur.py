import cv2
import numpy as np
import pytest
from scipy import ndimage

from pipelines.augment.image.blur import _WEIGHT_BITS, _exp_of_minus, _normal_weights, line_kernels
from tests.augment.image.apply import GRID, changed
from tests.augment.support import images

SHAPES = [(32, 32, 3), (21, 40, 1), (7, 5, 3), (100, 130, 3)]


def each_channel(function, batch):
    return np.stack(
        [
            np.stack([function(image[:, :, c].astype(float)) for c in range(batch.shape[3])], -1)
            for image in batch
        ]
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.75])
def test_gaussian_agrees_with_scipy(shape, sigma):
    batch = images(3, shape)
    expected = each_channel(
        lambda channel: ndimage.gaussian_filter(channel, sigma, mode="nearest", truncate=3.0), batch
    )
    made = changed("blur_gaussian", batch, sigma=sigma)
    assert np.abs(made - expected).max() <= 2.5
    assert np.abs(made - expected).mean() < 0.6
    theirs = np.stack(
        [cv2.GaussianBlur(i, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for i in batch]
    )
    assert np.abs(made.astype(int) - theirs.reshape(made.shape)).max() <= 2


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.75, 11.0])
def test_gaussian_is_what_integers_would_make_of_it(sigma):
    batch = images(2, (50, 41, 3))
    half = _normal_weights(np.array([sigma, 15.0]))[0]
    weights = np.concatenate([half[:0:-1], half])
    assert weights.sum() == 256
    made = changed("blur_gaussian", batch, sigma=sigma)
    sums = batch.astype(np.int64)
    for axis in (1, 2):
        sums = ndimage.correlate1d(sums, weights, axis=axis, mode="nearest")
    assert np.array_equal(made, (sums + (1 << 15)) >> 16)


def test_gaussian_weights_are_those_of_the_normal_distribution():
    sigma = np.array([0.0, 0.5, 3.0, 32.0])
    weights = _normal_weights(sigma)
    assert weights[0].tolist() == [256] + [0] * 96
    for half, spread in zip(weights[1:], sigma[1:], strict=True):
        reach = round(3 * spread)
        bell = np.exp(-(np.arange(97) ** 2) / (2 * spread**2)) * (np.arange(97) <= reach)
        assert np.abs(half - 256 * bell / (2 * bell.sum() - 1)).max() <= 1
    exponents = np.linspace(0, 5, 101)
    assert _exp_of_minus(exponents) == pytest.approx(np.exp(-exponents), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_median_agrees_with_scipy(shape, radius):
    batch = images(3, shape)
    expected = each_channel(
        lambda channel: ndimage.median_filter(channel, 2 * radius + 1, mode="nearest"), batch
    )
    assert np.array_equal(changed("blur_median", batch, radius=radius), expected)


def test_each_image_has_its_own_blur():
    batch = images(3, (16, 16, 3))
    made = changed("blur_gaussian", batch, sigma=np.array([0.0, 1.0, 2.0]))
    assert np.array_equal(made[0], batch[0])
    assert made[1].std() > made[2].std()
    made = changed("blur_median", batch, radius=np.array([0, 1, 2]))
    assert np.array_equal(made[0], batch[0])
    assert made[1].std() > made[2].std()


def test_motion_blur_averages_a_row_a_column_or_a_diagonal():
    batch = np.tile(GRID[None, :, :, None], (3, 1, 1, 1))
    degrees = np.array([0.0, 90.0, 45.0])
    row, column, diagonal = changed("blur_motion", batch, length=3, degrees=degrees)[:, :, :, 0]
    assert row.tolist() == [[13, 20, 27], [43, 50, 57], [73, 80, 87]]
    assert column.tolist() == [[20, 30, 40], [40, 50, 60], [60, 70, 80]]
    # 45 degrees goes from bottom left to top right, where the grid changes by -20 a step.
    weights = line_kernels(np.array([3]), np.array([45.0]))[0]
    assert weights[0, 4] == weights[4, 0] == 0
    assert weights[1, 3] == weights[3, 1] > 3 * weights[1, 1]
    assert diagonal[1, 1] == 50


def test_motion_kernels_have_the_asked_length_and_direction():
    length, degrees = np.array([5, 9, 9, 4, 1]), np.array([0.0, 30.0, 150.0, 90.0, 77.0])
    kernels = line_kernels(length, degrees)
    assert (kernels.sum(axis=(1, 2)) == 1 << _WEIGHT_BITS).all()
    assert kernels.min() >= 0
    assert np.array_equal(kernels, kernels[:, ::-1, ::-1])  # nothing moves
    y, x = np.indices(kernels.shape[1:]) - kernels.shape[1] // 2
    spread_x = np.sqrt((kernels * x * x).sum(axis=(1, 2)) / (1 << _WEIGHT_BITS))
    spread_y = np.sqrt((kernels * y * y).sum(axis=(1, 2)) / (1 << _WEIGHT_BITS))
    line = np.sqrt((length**2 - 1) / 12)
    assert spread_x == pytest.approx(line * np.abs(np.cos(np.radians(degrees))), abs=0.5)
    assert spread_y == pytest.approx(line * np.abs(np.sin(np.radians(degrees))), abs=0.5)
    slant = (kernels * x * -y).sum(axis=(1, 2))
    assert slant[1] > 0 > slant[2]


def test_images_side_by_side_do_not_blur_into_each_other():
    batch = np.repeat(np.array([0, 255, 0, 128], dtype=np.uint8), 16 * 16 * 3)
    batch = batch.reshape(4, 16, 16, 3)
    assert np.array_equal(changed("blur_median", batch, radius=2), batch)


@pytest.mark.parametrize("length", [2, 5, 7, 12, 33])
def test_opencv_computes_what_integers_would(length):
    # Above a certain size OpenCV goes through a Fourier transform: the bytes must not tell.
    batch = images(2, (50, 41, 3))
    degrees = np.array([23.0, 118.0])
    kernels = line_kernels(np.array([length, length]), degrees)
    made = changed("blur_motion", batch, length=length, degrees=degrees)
    for image, kernel, ours in zip(batch, kernels, made, strict=True):
        for channel in range(3):
            sums = ndimage.correlate(image[:, :, channel].astype(np.int64), kernel, mode="nearest")
            half = 1 << (_WEIGHT_BITS - 1)
            assert np.array_equal(ours[:, :, channel], (sums + half) >> _WEIGHT_BITS)
