import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.dataset.fit import fit_image, resize
from schemas.errors import InputError


def photograph(height, width, channels=3, seed=1):
    """Return blurred noise with a bright square: smooth parts and edges."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    image[height // 4 : height // 2, width // 4 : width // 2] = 250
    return image[:, :, :channels].copy()


@pytest.mark.parametrize("source", [(375, 500), (64, 48), (33, 200), (28, 28)], ids=str)
@pytest.mark.parametrize("size", [(224, 224), (32, 32), (50, 77), (3, 4)], ids=str)
def test_resize_agrees_with_pil(source, size):
    image = photograph(*source)
    expected = Image.fromarray(image).resize(size[::-1], Image.BILINEAR)
    difference = np.abs(resize(image, *size).astype(int) - np.asarray(expected))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


def test_resize_by_hand():
    image = np.array([[0, 100], [200, 40]], dtype=np.uint8)[:, :, None]
    assert resize(image, 1, 1).tolist() == [[[85]]]
    wide = resize(image[:1], 1, 4)[0, :, 0].tolist()
    assert wide == [0, 25, 75, 100]
    assert resize(np.arange(0, 80, 10, dtype=np.uint8)[None, :, None], 1, 4)[0, 1, 0] == 25


def test_every_sum_stays_exact():
    # The largest there is: white, enlarged and reduced by factors that divide nothing.
    for source, size in [((300, 1000), (7, 11)), ((3, 5), (64, 97)), ((1, 1), (9, 9))]:
        white = np.full((*source, 3), 255, dtype=np.uint8)
        assert (resize(white, *size) == 255).all()
        assert (resize(white // 255 * 77, *size) == 77).all()


def test_no_direction_is_favoured():
    image = photograph(90, 120)
    made = resize(image, 32, 40).astype(int)
    mirrored = resize(image[::-1, ::-1], 32, 40)[::-1, ::-1]
    assert np.abs(made - mirrored).max() <= 1
    assert made.mean() == pytest.approx(image.mean(), abs=0.6)


def test_the_right_size_is_left_alone():
    image = photograph(32, 32)
    for mode in ("stretch", "crop", "pad"):
        assert np.array_equal(fit_image(image, [32, 32], mode=mode), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("source", [(40, 90), (90, 40), (1, 300), (7, 7)], ids=str)
def test_all_images_get_the_size(mode, source, channels):
    made = fit_image(photograph(*source, channels), [24, 32], mode=mode)
    assert made.shape == (24, 32, channels)
    assert made.dtype == np.uint8


def test_crop_takes_the_middle():
    image = np.zeros((20, 60, 1), dtype=np.uint8)
    image[:, 20:40] = 200
    assert (fit_image(image, [10, 10], mode="crop") == 200).all()
    assert (fit_image(image.transpose(1, 0, 2), [10, 10], mode="crop") == 200).all()
    stretched = fit_image(image, [10, 30], mode="stretch")
    assert (stretched[:, 11:19] == 200).all()
    assert (stretched[:, :9] == 0).all()


def test_pad_shows_all_between_bars():
    image = np.full((20, 60, 3), 200, dtype=np.uint8)
    made = fit_image(image, [30, 30], mode="pad", fill_value=7)
    assert (made[10:20] == 200).all()
    assert (made[:10] == 7).all()
    assert (made[20:] == 7).all()
    upright = fit_image(image.transpose(1, 0, 2), [30, 30], mode="pad", fill_value=7)
    assert np.array_equal(upright, made.transpose(1, 0, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "crip"}, "Did you mean 'crop'"),
        ({"size": [32]}, r"\[height, width\].*got \[32\]"),
        ({"size": [32, 0]}, r"from 1, got \[32, 0\]"),
        ({"size": [32.0, 32]}, "in pixels"),
        ({"size": 32}, "got 32"),
        ({"image": np.zeros((4, 4), np.uint8)}, r"uint8\[H, W, C\], got uint8\(4, 4\)"),
        ({"image": np.zeros((4, 4, 3))}, "got float64"),
    ],
)
def test_refuses(change, message):
    arguments = {"image": photograph(8, 8), "size": [4, 4], "mode": "crop"} | change
    with pytest.raises(InputError, match=message):
        fit_image(arguments.pop("image"), arguments.pop("size"), **arguments)
