"""Geometry: rotation, shift, shear, zoom and flips, about the centre of the image.

Ops along one axis and ``rotate_fixed`` take the signed magnitudes of RandAugment (Cubuk et al.,
2020); the others draw anywhere in their range.

Conventions are those of Keras' ImageDataGenerator. Every kernel returns the matrix from output
to input pixels, so a shift of +0.1 moves the content left (or up) by a tenth of the side, and a
zoom of 0.8 magnifies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Flag, Integers, Signed, Symmetric
from pipelines.augment.registry import image_op

Values = NDArray[np.float64]
Flags = NDArray[np.int64]


@image_op(
    "rotate", family="geometry", kind="affine", version=1, params={"degrees": Symmetric(20.0)}
)
def rotate(*, height: int, width: int, degrees: Values) -> Values:
    """Turn the image by up to ``degrees`` either way (positive is counter-clockwise)."""
    return _rotations(degrees)


@image_op(
    "shift",
    family="geometry",
    kind="affine",
    version=1,
    params={"x": Symmetric(0.2, limit=1.0), "y": Symmetric(0.2, limit=1.0)},
)
def shift(*, height: int, width: int, x: Values, y: Values) -> Values:
    """Move the image by shares of its width and height."""
    return _matrices(np.ones_like(x), 0.0, x * width, 0.0, 1.0, y * height)


@image_op(
    "shear",
    family="geometry",
    kind="affine",
    version=1,
    params={"amount": Symmetric(0.2, limit=2.0)},
)
def shear(*, height: int, width: int, amount: Values) -> Values:
    """Slant the image: rows slide sideways by ``amount`` times their distance from the centre.

    ``amount`` is the tangent of the angle. ImageDataGenerator of today takes degrees, under which
    the customary 0.2 does nothing visible; its first versions took radians, which this matches.
    """
    return _matrices(np.ones_like(amount), -amount, 0.0, 0.0, 1.0, 0.0)


@image_op(
    "zoom",
    family="geometry",
    kind="affine",
    version=1,
    params={
        "x": Symmetric(0.2, centre=1.0, limit=0.95),
        "y": Symmetric(0.2, centre=1.0, limit=0.95),
    },
)
def zoom(*, height: int, width: int, x: Values, y: Values) -> Values:
    """Stretch or squeeze either axis on its own; 0.8 shows 80 % of the side, magnified."""
    return _matrices(x, 0.0, 0.0, 0.0, y, 0.0)


@image_op(
    "flip_horizontal", family="geometry", kind="affine", version=1, params={"flip": Flag(1.0)}
)
def flip_horizontal(*, height: int, width: int, flip: Flags) -> Values:
    """Mirror left and right."""
    return _matrices(1.0 - 2.0 * flip, 0.0, 0.0, 0.0, 1.0, 0.0)


@image_op("flip_vertical", family="geometry", kind="affine", version=1, params={"flip": Flag(1.0)})
def flip_vertical(*, height: int, width: int, flip: Flags) -> Values:
    """Turn upside down by mirroring."""
    return _matrices(np.ones(len(flip)), 0.0, 0.0, 0.0, 1.0 - 2.0 * flip, 0.0)


@image_op(
    "rotate_fixed",
    family="geometry",
    kind="affine",
    version=1,
    params={"degrees": Signed(30.0)},
)
def rotate_fixed(*, height: int, width: int, degrees: Values) -> Values:
    """Turn the image by exactly ``degrees``, either way."""
    return _rotations(degrees)


@image_op(
    "translate_x",
    family="geometry",
    kind="affine",
    version=1,
    params={"amount": Signed(0.45, limit=1.0)},
)
def translate_x(*, height: int, width: int, amount: Values) -> Values:
    """Move the image sideways by exactly ``amount`` of the width, either way."""
    return _matrices(np.ones_like(amount), 0.0, amount * width, 0.0, 1.0, 0.0)


@image_op(
    "translate_y",
    family="geometry",
    kind="affine",
    version=1,
    params={"amount": Signed(0.45, limit=1.0)},
)
def translate_y(*, height: int, width: int, amount: Values) -> Values:
    """Move the image up or down by exactly ``amount`` of the height."""
    return _matrices(np.ones_like(amount), 0.0, 0.0, 0.0, 1.0, amount * height)


@image_op(
    "shear_x",
    family="geometry",
    kind="affine",
    version=1,
    params={"amount": Signed(0.3, limit=2.0)},
)
def shear_x(*, height: int, width: int, amount: Values) -> Values:
    """Slide rows sideways by exactly ``amount`` of their distance from the middle, either way."""
    return _matrices(np.ones_like(amount), -amount, 0.0, 0.0, 1.0, 0.0)


@image_op(
    "shear_y",
    family="geometry",
    kind="affine",
    version=1,
    params={"amount": Signed(0.3, limit=2.0)},
)
def shear_y(*, height: int, width: int, amount: Values) -> Values:
    """Slide columns up or down by exactly ``amount`` of their distance from the middle."""
    return _matrices(np.ones_like(amount), 0.0, 0.0, -amount, 1.0, 0.0)


@image_op(
    "scale",
    family="geometry",
    kind="affine",
    version=1,
    params={"factor": Symmetric(0.2, centre=1.0, limit=0.95)},
)
def scale(*, height: int, width: int, factor: Values) -> Values:
    """Magnify or shrink both axes alike; 0.8 shows 80 % of the side, magnified."""
    return _matrices(factor, 0.0, 0.0, 0.0, factor, 0.0)


@image_op(
    "rotate_90",
    family="geometry",
    kind="affine",
    version=1,
    params={"turn": Flag(1.0), "quarters": Integers(1, 3, identity=None, limits=(1, 3))},
)
def rotate_90(*, height: int, width: int, turn: Flags, quarters: Flags) -> Values:
    """Turn by one, two or three quarters counter-clockwise, without loss where H is W.

    What an oblong image leaves uncovered is filled.
    """
    turns = turn * quarters
    cosine = np.array([1.0, 0.0, -1.0, 0.0])[turns]
    sine = np.array([0.0, 1.0, 0.0, -1.0])[turns]
    return _matrices(cosine, -sine, 0.0, sine, cosine, 0.0)


@image_op("transpose", family="geometry", kind="affine", version=1, params={"flip": Flag(1.0)})
def transpose(*, height: int, width: int, flip: Flags) -> Values:
    """Mirror about the diagonal from top left to bottom right, where H is W exactly."""
    return _matrices(1.0 - flip, flip, 0.0, flip, 1.0 - flip, 0.0)


def _rotations(degrees: Values) -> Values:
    radians = degrees * (np.pi / 180.0)
    cosine, sine = np.cos(radians), np.sin(radians)
    return _matrices(cosine, -sine, 0.0, sine, cosine, 0.0)


def _matrices(xx: NDArray[Any], *rest: NDArray[Any] | float) -> Values:
    """Return ``float64[N, 2, 3]`` from its six entries, row by row."""
    matrices = np.empty((len(xx), 2, 3))
    for position, entry in enumerate((xx, *rest)):
        matrices[:, position // 3, position % 3] = entry
    return matrices
