import hashlib
import pickle

import cv2
import numpy as np
import pytest

from pipelines.dataset.near import Entries, ImageSketcher, Index, images
from tests.dataset.near.photos import cropped, patches

SKETCHER = ImageSketcher()


def noised(image, seed=1):
    noise = np.random.default_rng(seed).normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def jpeg(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [1, 60])[1], cv2.IMREAD_UNCHANGED)


def brighter(image):
    return np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8)


def magnified(image):
    side = image.shape[0]
    cut = round(side / 32)
    return cv2.resize(image[cut:-cut, cut:-cut], (side, side), interpolation=cv2.INTER_LINEAR)


CHANGES = {
    "copied": (lambda i: i, 1.0),
    "mirrored": (lambda i: i[:, ::-1], 1.0),
    "noised": (noised, 0.85),
    "re-encoded": (jpeg, 0.85),
    "brightened": (brighter, 0.9),
    "moved": (lambda i: cropped(i, 3, -2), 0.75),
    "mirrored and moved": (lambda i: cropped(i[:, ::-1], -4, 1), 0.75),
    "magnified": (magnified, 0.75),
}


def reference(size=32):
    found = patches(size)
    keys = tuple(f"{i:04d}" for i in range(len(found)))
    return found, Index.of(SKETCHER, Entries(SKETCHER.sketch(found), ("test",) * len(keys), keys))


@pytest.mark.parametrize("name", CHANGES)
def test_changed_images_are_found(name):
    found, index = reference()
    change, share = CHANGES[name]
    matches = index.query(SKETCHER.sketch(np.stack([change(image) for image in found])))
    hit = set(matches.rows[matches.rows == matches.positions].tolist())
    assert len(hit) >= share * len(found)
    wrong = np.count_nonzero(matches.rows != matches.positions)
    assert wrong <= 0.02 * len(found), "pieces of one picture are different images"


@pytest.mark.parametrize(("size", "share"), [(64, 0.9), (50, 0.9)])
def test_other_sizes(size, share):
    found, index = reference(size)
    other = np.stack([cv2.resize(i, (37, 41), interpolation=cv2.INTER_AREA) for i in found])
    matches = index.query(SKETCHER.sketch(other))
    assert len(set(matches.rows[matches.rows == matches.positions].tolist())) >= share * len(found)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (31, 57, 3), (224, 224, 3), (512, 512, 1)])
def test_a_sketch_averages_areas(shape):
    values = np.random.default_rng(1).integers(0, 256, (2, *shape), np.uint8)
    sketch = SKETCHER.sketch(values)
    assert sketch.shape == (2, SKETCHER.size)
    assert sketch.dtype == np.uint8
    rgb = np.broadcast_to(values, (*values.shape[:3], 3)).astype(float)
    luma = rgb @ np.array([77, 150, 29]) / 256
    expected = np.stack([area_mean(one) for one in luma])
    assert np.abs(sketch[:, :256].reshape(2, 16, 16) - expected).max() <= 0.501
    if shape[2] == 1:
        assert (sketch[:, 256:] == 128).all()


def area_mean(plane):
    """Return the 16x16 area means: each pixel repeated 16 times is cut evenly."""
    h, w = plane.shape
    fine = plane.repeat(16, axis=0).repeat(16, axis=1) if h * w < 10_000 else plane
    return fine.reshape(16, fine.shape[0] // 16, 16, fine.shape[1] // 16).mean((1, 3))


def test_colour_counts_and_grey_equals_grey():
    found = patches()[:50]
    painted = found[..., ::-1]
    far = np.abs(found.astype(int).mean((1, 2)) - painted.mean((1, 2))).max(1) > 30
    assert far.any()
    ok, _ = SKETCHER.similar(SKETCHER.sketch(found), SKETCHER.sketch(painted))
    assert not ok[far].any()
    grey = found[..., 1:2]
    assert np.array_equal(SKETCHER.sketch(grey), SKETCHER.sketch(grey.repeat(3, axis=3)))


def test_flat_images_match_only_their_equals():
    levels = np.array([0, 1, 60, 255, 255], np.uint8)
    flat = np.broadcast_to(levels[:, None, None, None], (5, 32, 32, 3))
    sketches = SKETCHER.sketch(flat)
    ok, score = SKETCHER.similar(
        sketches[:, None].repeat(5, 1).reshape(25, -1), sketches[None].repeat(5, 0).reshape(25, -1)
    )
    expected = np.abs(levels[:, None].astype(int) - levels) <= 2
    assert np.array_equal(ok.reshape(5, 5), expected)
    assert np.array_equal(score > 0, ok)


def test_rows_do_not_depend_on_their_neighbours():
    found, index = reference()
    whole = SKETCHER.sketch(found)
    order = np.random.default_rng(2).permutation(len(found))
    assert np.array_equal(SKETCHER.sketch(found[order]), whole[order])
    single = np.concatenate([SKETCHER.sketch(found[i : i + 1]) for i in range(20)])
    assert np.array_equal(single, whole[:20])
    moved = SKETCHER.sketch(np.stack([cropped(i, 2, 1) for i in found]))
    matches = index.query(moved)
    again = index.query(moved[order])
    expected = sorted(zip(matches.rows, matches.positions, matches.scores, strict=True))
    got = sorted(zip(order[again.rows], again.positions, again.scores, strict=True))
    assert got == expected
    ok, scores = SKETCHER.similar(moved[matches.rows], whole[matches.positions])
    assert ok.all()
    assert (scores >= matches.scores - 1e-6).all()


def made_up(count):
    """Return uint8[N, 32, 32, 3] of soft blobs, the same with every version of every library."""
    noise = b"".join(hashlib.blake2b(bytes([i])).digest() * 3 for i in range(count))
    grid = np.frombuffer(noise, np.uint8).reshape(count, 8, 8, 3).astype(int)
    fine = grid.repeat(4, axis=1).repeat(4, axis=2)
    for axis in (1, 2):
        fine = sum(np.roll(fine, k, axis) for k in range(4)) // 4
    return fine.astype(np.uint8)


def test_sketches_codes_and_scores_stay_what_they_are():
    """A change here is another VERSION: the survey of every image recipe may change."""
    found = made_up(64)
    sketches = SKETCHER.sketch(found)
    keys, codes = SKETCHER.query_codes(sketches)
    _, windows = SKETCHER.reference_codes(sketches)
    _, scores = SKETCHER.similar(SKETCHER.sketch(np.roll(found, (1, 2), (1, 2))), sketches)
    assert (scores > 0).mean() > 0.8
    digests = [
        hashlib.blake2b(np.ascontiguousarray(one).tobytes(), digest_size=6).hexdigest()
        for one in (sketches, keys, codes, windows, np.round(scores, 3))
    ]
    assert (SKETCHER.VERSION, digests) == (2, GOLDEN)


GOLDEN = ["dd52339ca3d3", "dec0cd72ef8f", "41c6aa2c843b", "0311c799b9af", "a5ddc7c1e9be"]


def test_a_sketcher_is_small_and_can_be_sent():
    assert pickle.loads(pickle.dumps(SKETCHER)) == SKETCHER
    assert len(pickle.dumps(SKETCHER)) < 1000
    assert SKETCHER.size <= 300


def test_the_cosines_ignore_brightness():
    for windows in images._WINDOWS:
        waves = images._waves(windows)
        assert (waves[:, np.arange(waves.shape[1]) % 8 != 0].sum(0) == 0).all()
        assert 255 * np.abs(waves).sum(0).max() ** 2 < 1 << 24, "float32 holds the sums exactly"
