"""Geometry along single axes, quarter turns, perspective and elastic deformation."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.augment import registry
from pipelines.augment.image import elastic, perspective, warp
from pipelines.augment.policy import parse_policy
from tests.augment.image.apply import GRID, changed, moved
from tests.augment.support import images, keys

BACKGROUND = 60


def pil_affine(image, coefficients):
    """PIL's AFFINE with bilinear sampling, as AutoAugment and RandAugment call it."""
    size = image.shape[::-1]
    made = Image.fromarray(image).transform(size, Image.AFFINE, coefficients, Image.BILINEAR)
    return np.asarray(made).astype(int)


def test_translations_go_the_way_of_pil():
    image = images(1, (30, 40, 1), smooth=True)[0, :, :, 0]
    right = moved("translate_x", image, amount=-0.25, fill="constant")
    assert np.abs(right - pil_affine(image, (1, 0, -10, 0, 1, 0))).max() <= 1
    up = moved("translate_y", image, amount=0.2, fill="constant")
    assert np.abs(up - pil_affine(image, (1, 0, 0, 0, 1, 6))).max() <= 1


def test_shears_go_about_the_middle():
    assert moved("shear_x", GRID, amount=1.0).tolist() == moved("shear", GRID, amount=1.0).tolist()
    columns = moved("shear_y", GRID.T, amount=1.0).T
    assert columns.tolist() == moved("shear_x", GRID, amount=1.0).tolist()


def test_scale_is_zoom_of_both_axes():
    image = images(1, (20, 30, 1), smooth=True)[0, :, :, 0]
    assert np.array_equal(moved("scale", image, factor=0.7), moved("zoom", image, x=0.7, y=0.7))


def test_rotate_fixed_turns_like_rotate():
    image = images(1, (20, 30, 1), smooth=True)[0, :, :, 0]
    assert np.array_equal(
        moved("rotate_fixed", image, degrees=-30.0), moved("rotate", image, degrees=-30.0)
    )


@pytest.mark.parametrize("side", [4, 5, 32])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_of_squares_lose_nothing(side, quarters):
    image = images(1, (side, side, 1))[0, :, :, 0]
    made = moved("rotate_90", image, turn=1, quarters=quarters)
    assert np.array_equal(made, np.rot90(image, quarters))
    assert np.array_equal(moved("rotate_90", image, turn=0, quarters=quarters), image)


def test_transpose():
    assert moved("transpose", GRID, flip=1).tolist() == GRID.T.tolist()
    assert moved("transpose", GRID, flip=0).tolist() == GRID.tolist()


def brightest(made):
    """Return the mean position (x, y) of what is brighter than the background."""
    weights = np.clip(made.astype(float) - BACKGROUND, 0, None).mean(axis=(0, 3))
    y, x = np.indices(weights.shape)
    return (weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()


@pytest.mark.parametrize(
    "name",
    [name for name in registry.names("image") if registry.get(name).family in ("geometry", "crop")],
)
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_no_direction_is_favoured(name, strength):
    # A bright disc in the middle of a square stays there on average, whatever is drawn.
    side, count = 33, 3_000
    y, x = np.indices((side, side)) - side // 2
    disc = np.where(x * x + y * y <= 16, 220, BACKGROUND).astype(np.uint8)
    batch = np.broadcast_to(disc[None, :, :, None], (count, side, side, 1))
    call = {"op": name, "strength": strength, "fill": "constant", "fill_value": BACKGROUND}
    made, _ = parse_policy({"slots": [call]}, "image").apply(batch, keys(count), seed=1, copy=1)
    assert brightest(made) == pytest.approx((side // 2, side // 2), abs=0.6)


@pytest.mark.parametrize("shape", [(32, 32, 3), (45, 20, 1), (150, 224, 3)], ids=str)
def test_perspective_agrees_with_opencv(shape):
    count = 4
    batch = images(count, shape, smooth=True)
    offsets = np.random.default_rng(3).uniform(-0.2, 0.2, (count, 4, 2))
    made = perspective.project(batch, offsets, fill="nearest")
    height, width = shape[:2]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [width, height] - 0.5
    for image, offset, ours in zip(batch, offsets, made, strict=True):
        sources = corners + offset * [width, height]
        matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), sources.astype(np.float32))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpPerspective(
            image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        difference = np.abs(ours.astype(int) - expected.reshape(shape))
        assert difference.max() <= 8  # steep edges times 1/32 of a pixel
        assert difference.mean() < 0.6


def test_homographies_take_the_corners_of_the_square_to_the_given_ones():
    corners = np.array([[[0.1, -0.1], [1.2, 0.0], [0.9, 1.1], [-0.2, 0.8]]])
    matrix = perspective.square_to_quadrilateral(corners)[0]
    for point, corner in zip([(0, 0), (1, 0), (1, 1), (0, 1)], corners[0], strict=True):
        x, y, scale = matrix @ [*point, 1.0]
        assert (x / scale, y / scale) == pytest.approx(tuple(corner))


def test_equal_offsets_of_all_corners_are_a_shift():
    batch = images(2, (20, 20, 3))
    offsets = np.broadcast_to([0.25, -0.1], (2, 4, 2))
    made = perspective.project(batch, offsets, fill="reflect")
    shifted = np.array([[[1.0, 0, 5], [0, 1, -2]]] * 2)
    assert np.array_equal(made, warp.warp(batch, shifted, fill="reflect"))


def test_elastic_moves_by_the_asked_amount_smoothly():
    # A steep ramp tells where each pixel came from.
    side, amount, count = 128, 0.03, 60
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8)[:, None], (side, side))
    batch = np.broadcast_to(ramp[None, :, :, None], (count, side, side, 1)).copy()
    made = changed("elastic", batch, amount=amount, seed=np.arange(count), fill="reflect")
    moved_by = (made.astype(float) - batch)[:, 16:-16, 16:-16, 0]
    assert moved_by.mean() == pytest.approx(0, abs=0.4)
    assert moved_by.std() == pytest.approx(amount * side, rel=0.1)
    assert np.abs(np.diff(moved_by, axis=1)).max() <= 3
    assert np.corrcoef(moved_by[0].ravel(), moved_by[1].ravel())[0, 1] < 0.9


def test_elastic_weights_are_a_partition_of_one_node_of_cubic_splines():
    weights = elastic._splines(40, 4)
    whole = 1 << elastic._WEIGHT_BITS
    assert np.abs(weights.sum(axis=1) - whole).max() <= 2
    middle = elastic._splines(2, 1)  # t = 1/4 and 3/4
    t = 0.25
    expected = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]
    assert middle[0] / whole == pytest.approx(np.array(expected) / 6, abs=1e-3)
    assert np.array_equal(middle[1], middle[0][::-1])


def test_a_constant_image_stays_constant_under_any_deformation():
    batch = np.full((3, 17, 23, 3), 201, dtype=np.uint8)
    for name, params in {"elastic": {"amount": 0.2}, "perspective": {"distortion": 0.24}}.items():
        assert (changed(name, batch, seed=np.arange(3), **params) == 201).all()
