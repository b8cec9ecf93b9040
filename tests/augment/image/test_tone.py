"""Against PIL, which every op here follows."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from pipelines.augment import registry
from pipelines.augment.image.tone import gamma_table
from tests.augment.support import images

ROWS = 24
SHAPES = [(32, 32, 3), (19, 23, 3), (32, 32, 1), (3, 3, 3), (17, 15, 3), (2, 9, 1)]


def batch_of(shape):
    """Half noise, half smooth, some dim, some flat."""
    batch = np.concatenate([images(ROWS // 2, shape), images(ROWS // 2, shape, smooth=True)])
    batch[::5] = batch[::5] // 3 + 40
    batch[1, :, :] = batch[1, :1, :1]
    return batch


def by_pil(function, batch, *arguments):
    """Return ``function(image, argument)`` of every image, computed by PIL."""
    made = []
    for row, image in enumerate(batch):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        made.append(np.asarray(function(picture, *(one[row] for one in arguments))))
    return np.stack(made).reshape(batch.shape)


def run(name, batch, **params):
    before = batch.copy()
    made = registry.get(name).kernel(batch, **params)
    assert np.array_equal(batch, before)
    assert made.dtype == np.uint8
    return made


def largest_difference(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_table_ops_equal_pil_exactly(shape):
    batch = batch_of(shape)
    on = np.ones(ROWS, np.int64)
    equalized = run("equalize", batch, on=on)
    assert np.array_equal(equalized, by_pil(ImageOps.equalize, batch))
    stretched = run("autocontrast", batch, on=on)
    assert np.array_equal(stretched, by_pil(ImageOps.autocontrast, batch))
    bits = np.arange(ROWS) % 8 + 1
    posterized = run("posterize", batch, bits=bits)
    assert np.array_equal(
        posterized, by_pil(lambda i, b: ImageOps.posterize(i, int(b)), batch, bits)
    )
    threshold = np.linspace(0, 256, ROWS).astype(np.int64)
    solarized = run("solarize", batch, threshold=threshold)
    assert np.array_equal(solarized, by_pil(ImageOps.solarize, batch, threshold))


@pytest.mark.parametrize("name", ["equalize", "autocontrast"])
def test_rows_that_are_off_stay(name):
    batch = batch_of((20, 20, 3))
    on = np.arange(ROWS) % 2
    made = run(name, batch, on=on)
    assert np.array_equal(made[::2], batch[::2])
    assert not np.array_equal(made[1::2], batch[1::2])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [("contrast_mean", ImageEnhance.Contrast), ("sharpness", ImageEnhance.Sharpness)],
)
def test_enhancers_equal_pil_within_1_level(shape, name, enhancer):
    batch = batch_of(shape)
    factor = np.linspace(0.0, 2.0, ROWS)
    made = run(name, batch, factor=factor)
    expected = by_pil(lambda i, f: enhancer(i).enhance(f), batch, factor)
    assert largest_difference(made, expected) <= 1


def test_gamma_is_the_power_exactly_rounded():
    for parts in (8, 45, 63, 64, 90, 512):
        exact = 255 * (np.arange(256) / 255) ** (parts / 64)
        assert np.abs(gamma_table(parts) - exact).max() <= 0.5 + 1e-9
    assert gamma_table(64).tolist() == list(range(256))
    # Halves are rare: 255 * (63.75 / 255) ** 0.5 would be 127.5, but 63.75 is no level.
    assert gamma_table(32)[[1, 64, 254]].tolist() == [16, 128, 254]
    made = run("gamma", images(2, (4, 5, 1)), exponent=np.array([0.5, 2.0]))
    assert np.array_equal(made[1], gamma_table(128)[images(2, (4, 5, 1))[1]])


def test_solarize_add_brightens_the_darker_half():
    batch = np.array([0, 127, 128, 255], np.uint8).reshape(1, 2, 2, 1).repeat(3, axis=3)
    made = run("solarize_add", batch, amount=np.array([110]))
    assert made[0, ..., 0].reshape(-1).tolist() == [110, 237, 128, 255]
    made = run("solarize_add", batch, amount=np.array([200]))
    assert made[0, ..., 1].reshape(-1).tolist() == [200, 255, 128, 255]
