import numpy as np
import pytest
from scipy import ndimage

from pipelines.augment.image import warp
from schemas.errors import InputError
from tests.augment.support import images

GRID = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], dtype=np.uint8)
IDENTITY = [[1, 0, 0], [0, 1, 0]]


def warped(image, matrix, *, fill="nearest", fill_value=0):
    batch = np.asarray(image, dtype=np.uint8)[None, :, :, None]
    matrices = np.array([matrix], dtype=np.float64)
    return warp.warp(batch, matrices, fill=fill, fill_value=fill_value)[0, :, :, 0].tolist()


@pytest.mark.parametrize("fill", ["nearest", "constant", "reflect", "wrap"])
def test_identity_changes_nothing(fill):
    assert warped(GRID, IDENTITY, fill=fill) == GRID.tolist()


@pytest.mark.parametrize(
    ("fill", "first_row"),
    [
        ("nearest", [20, 30, 30]),
        ("constant", [20, 30, 7]),
        ("reflect", [20, 30, 30]),
        ("wrap", [20, 30, 10]),
    ],
)
def test_shift_by_one_pixel(fill, first_row):
    rows = warped(GRID, [[1, 0, 1], [0, 1, 0]], fill=fill, fill_value=7)
    assert rows[0] == first_row


@pytest.mark.parametrize(
    ("fill", "first_column"),
    [
        ("nearest", [70, 70, 70]),
        ("constant", [70, 7, 7]),
        ("reflect", [70, 70, 40]),
        ("wrap", [70, 10, 40]),
    ],
)
def test_shift_by_two_pixels_down_the_columns(fill, first_column):
    rows = warped(GRID, [[1, 0, 0], [0, 1, 2]], fill=fill, fill_value=7)
    assert [row[0] for row in rows] == first_column


@pytest.mark.parametrize(
    ("fill", "first_row"),
    [
        ("nearest", [15, 25, 30]),
        ("constant", [15, 25, 20]),  # (30 + 10) / 2
        ("reflect", [15, 25, 30]),
        ("wrap", [15, 25, 20]),  # (30 + 10) / 2
    ],
)
def test_shift_by_half_a_pixel_averages_neighbours(fill, first_row):
    rows = warped(GRID, [[1, 0, 0.5], [0, 1, 0]], fill=fill, fill_value=10)
    assert rows[0] == first_row


def test_quarter_turns_and_mirrors_of_2_by_2():
    image = [[1, 2], [3, 4]]
    assert warped(image, [[0, -1, 0], [1, 0, 0]]) == [[2, 4], [1, 3]]  # counter-clockwise
    assert warped(image, [[-1, 0, 0], [0, 1, 0]]) == [[2, 1], [4, 3]]
    assert warped(image, [[1, 0, 0], [0, -1, 0]]) == [[3, 4], [1, 2]]


def test_centre_stays_in_images_of_odd_and_even_sides():
    assert warped([[0, 0, 0], [0, 99, 0], [0, 0, 0]], [[0.5, 0, 0], [0, 0.5, 0]])[1][1] == 99
    halves = warped([[0, 80, 80, 0]], [[0.5, 0, 0], [0, 1, 0]])
    assert halves == [[60, 80, 80, 60]]


SCIPY_MODES = {
    "nearest": "nearest",
    "constant": "grid-constant",
    "reflect": "reflect",
    "wrap": "grid-wrap",
}


@pytest.mark.parametrize("shape", [(32, 32, 3), (21, 40, 1), (150, 333, 3)], ids=str)
@pytest.mark.parametrize("fill", list(SCIPY_MODES))
def test_agrees_with_scipy(fill, shape):
    count = 3
    batch = images(count, shape, smooth=True)
    generator = np.random.default_rng(5)
    matrices = np.array([IDENTITY] * count) + generator.normal(0, 0.25, (count, 2, 3))
    matrices[:, :, 2] *= shape[:2][::-1]
    ours = warp.warp(batch, matrices, fill=fill, fill_value=40).astype(int)
    centre = (np.array(shape[:2]) - 1) / 2
    for image, matrix, made in zip(batch, matrices, ours, strict=True):
        by_row = matrix[::-1, 1::-1]  # scipy wants (y, x)
        offset = matrix[::-1, 2] + centre - by_row @ centre
        for channel in range(shape[2]):
            expected = ndimage.affine_transform(
                image[:, :, channel].astype(float),
                by_row,
                offset,
                order=1,
                mode=SCIPY_MODES[fill],
                cval=40,
            )
            difference = np.abs(made[:, :, channel] - expected)
            # Where the border jumps, 1/64 of a pixel is worth more than 2 grey levels.
            limit = 2.0 if fill in ("nearest", "reflect") else 255 / 32
            assert difference.max() <= limit
            assert difference.mean() < 0.7


def test_fixed_point_of_both_widths_agree():
    batch = images(4, (40, 30, 3))
    matrices = np.array([IDENTITY] * 4) * 1.0
    matrices[:, :, 2] = [[1.5, -3], [0.25, 8], [-20, 0.125], [5, 5]]
    near = warp.warp(batch, matrices, fill="wrap")
    matrices[:, 0, 2] += 30 * 30_000  # whole widths away: needs 64 bits
    assert np.array_equal(warp.warp(batch, matrices, fill="wrap"), near)


def test_chunks_do_not_show(monkeypatch):
    batch = images(50, (20, 31, 3))
    matrices = np.random.default_rng(1).normal(0, 1, (50, 2, 3))
    whole = warp.warp(batch, matrices, fill="reflect")
    monkeypatch.setattr(warp, "_CHUNK_PIXELS", 20 * 31 * 7)
    assert np.array_equal(warp.warp(batch, matrices, fill="reflect"), whole)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fill", ["nearest", "constant", "reflect", "wrap"])
def test_whole_moves_and_mirrors_are_what_interpolation_makes_of_them(fill, channels, monkeypatch):
    linear = [[[a, 0], [0, b]] for a in (1, -1) for b in (1, -1)]
    offsets = [(0, 0), (3, 0), (0, -5), (-71, 2), (72, 1), (-100, 0), (0.5, 0), (71, -65)]
    matrices = np.array([np.c_[m, move] for m in linear for move in offsets], dtype=np.float64)
    batch = images(len(matrices), (66, 72, channels))
    copied = warp.warp(batch, matrices, fill=fill, fill_value=40)
    monkeypatch.setattr(warp, "_MOVED_PIXELS", 1 << 30)
    assert np.array_equal(warp.warp(batch, matrices, fill=fill, fill_value=40), copied)


def test_compose_applies_the_first_map_first():
    batch = images(1, (17, 17, 1), smooth=True)
    flip = np.array([[[-1.0, 0, 0], [0, 1, 0]]])
    right = np.array([[[1.0, 0, -3], [0, 1, 0]]])
    in_turn = warp.warp(warp.warp(batch, flip, fill="nearest"), right, fill="nearest")
    at_once = warp.warp(batch, warp.compose(flip, right), fill="nearest")
    other_way = warp.warp(batch, warp.compose(right, flip), fill="nearest")
    assert np.array_equal(at_once, in_turn)
    assert not np.array_equal(at_once, other_way)


def test_refuses_sides_beyond_int16():
    with pytest.raises(InputError, match="up to 32000 pixels a side.*got 32001x1: shrink"):
        warp.warp(np.zeros((1, 1, 32001, 1), np.uint8), np.array([IDENTITY]), fill="nearest")
