import numpy as np
import pytest

from pipelines.augment.image import noise
from tests.augment.image.apply import changed
from tests.augment.support import images


def grey(level, count=4):
    return np.full((count, 64, 64, 3), level, dtype=np.uint8)


def seeds(count=4):
    return np.arange(count) + 100


def added(name, level, **params):
    """Return the mean and standard deviation of the noise on a grey image."""
    difference = changed(name, grey(level), seed=seeds(), **params).astype(float) - level
    return difference.mean(), difference.std()


@pytest.mark.parametrize(("level", "sigma"), [(40, 0.2), (100, 0.1), (160, 0.15), (0, 0.3)])
def test_speckle_grows_with_the_level(level, sigma):
    mean, spread = added("speckle_noise", level, sigma=sigma)
    expected = np.sqrt((sigma * level) ** 2 + (level > 0) / 12)
    assert mean == pytest.approx(0, abs=0.4)
    assert spread == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("level", "gain"), [(40, 2.0), (100, 4.0), (180, 1.0), (120, 0.25)])
def test_shot_noise_has_the_variance_of_counting_photons(level, gain):
    mean, spread = added("shot_noise", level, gain=gain)
    photons = np.random.default_rng(1).poisson(level / gain, 50_000) * gain
    assert mean == pytest.approx(photons.mean() - level, abs=0.4)
    assert spread == pytest.approx(np.sqrt(gain * level + 1 / 12), rel=0.03)
    assert spread == pytest.approx(np.sqrt(photons.var() + 1 / 12), rel=0.03)


def test_black_has_no_shot_noise():
    assert (changed("shot_noise", grey(0), seed=seeds(), gain=4.0) == 0).all()


def test_extreme_noise_saturates_without_wrapping():
    white, black = grey(255), grey(0)
    for name, params in {
        "gaussian_noise": {"sigma": 64.0},
        "speckle_noise": {"sigma": 1.0},
        "shot_noise": {"gain": 64.0},
    }.items():
        made = changed(name, white, seed=seeds(), **params)
        assert (made == 255).mean() == pytest.approx(0.5, abs=0.02)
        if name == "gaussian_noise":
            made = changed(name, black, seed=seeds(), **params)
            assert (made == 0).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("amount", [0.0, 0.05, 0.3, 1.0])
def test_salt_and_pepper_hit_whole_pixels_equally(amount):
    made = changed("salt_and_pepper", grey(90), seed=seeds(), amount=amount)
    assert (made == made[:, :, :, :1]).all()
    for level in (0, 255):
        share = (made == level).mean(axis=(1, 2, 3))
        assert share == pytest.approx([amount / 2] * 4, abs=0.02)
    assert (made == 90).mean() == pytest.approx(1 - amount, abs=0.01)


@pytest.mark.parametrize("amount", [0.0, 0.05, 0.3, 1.0])
def test_impulses_are_random_colours(amount):
    made = changed("impulse_noise", grey(90), seed=seeds(), amount=amount)
    hit = (made != 90).any(axis=3)
    assert hit.mean(axis=(1, 2)) == pytest.approx([amount] * 4, abs=0.025)
    if amount:
        colours = made[hit].astype(float)
        assert colours.mean(axis=0) == pytest.approx([127.5] * 3, abs=8)
        assert colours.std(axis=0) == pytest.approx([73.9] * 3, rel=0.06)
        assert np.abs(np.corrcoef(colours.T) - np.eye(3)).max() < 0.15


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("gaussian_noise", {"sigma": 9.0}),
        ("speckle_noise", {"sigma": 0.2}),
        ("shot_noise", {"gain": 3.0}),
        ("salt_and_pepper", {"amount": 0.4}),
        ("impulse_noise", {"amount": 0.4}),
    ],
)
@pytest.mark.parametrize("shape", [(5, 7, 1), (9, 9, 3)], ids=str)
def test_chunks_do_not_show(name, params, shape, monkeypatch):
    batch = images(20, shape)
    whole = changed(name, batch, seed=seeds(20), **params)
    monkeypatch.setattr(noise, "_CHUNK_BYTES", 3 * batch[0].size)
    assert np.array_equal(changed(name, batch, seed=seeds(20), **params), whole)
    assert not np.array_equal(whole[0] == batch[0], whole[1] == batch[1])
