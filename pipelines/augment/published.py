"""Published augmentation policies of images, as presets (see ``presets``).

What is common to them: a magnitude is a share of an op's largest effect; signs are drawn; the op
that does nothing ("Identity") is a slot that does nothing; Color is ``saturation``, Contrast
``contrast_mean``; what a warp leaves empty is filled with mid-grey, as in the authors' code.
Draws are made per example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import InputError

LEVELS = 30
"""Magnitudes of RandAugment and TrivialAugment are whole numbers from 0 to this."""

_MOST_OPS = 10
_TRANSLATION = 150 / 331
_WARPS = ("rotate_fixed", "shear_x", "shear_y", "translate_x", "translate_y")
_UNSCALED = ("autocontrast", "equalize")

# The largest effect of every op, as its options; signed: either way, at exactly that distance.
_RANDAUGMENT: dict[str, dict[str, Any]] = {
    "autocontrast": {},
    "equalize": {},
    "rotate_fixed": {"degrees": 30},
    "solarize": {"threshold": 0},
    "saturation": {"factor": ["signed", 0.9]},
    "posterize": {"bits": 4},
    "contrast_mean": {"factor": ["signed", 0.9]},
    "brightness": {"factor": ["signed", 0.9]},
    "sharpness": {"factor": ["signed", 0.9]},
    "shear_x": {"amount": 0.3},
    "shear_y": {"amount": 0.3},
    "translate_x": {"amount": _TRANSLATION},
    "translate_y": {"amount": _TRANSLATION},
}
_TRIVIAL_WIDE: dict[str, dict[str, Any]] = {
    "autocontrast": {},
    "equalize": {},
    "rotate_fixed": {"degrees": 135},
    "solarize": {"threshold": 0},
    "saturation": {"factor": ["signed", 0.99]},
    "posterize": {"bits": 2},
    "contrast_mean": {"factor": ["signed", 0.99]},
    "brightness": {"factor": ["signed", 0.99]},
    "sharpness": {"factor": ["signed", 0.99]},
    "shear_x": {"amount": 0.99},
    "shear_y": {"amount": 0.99},
    "translate_x": {"amount": 1.0},
    "translate_y": {"amount": 1.0},
}

# (op, probability, magnitude of 0 to 9), two by two: table 7 of the paper.
_CIFAR10 = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("colour", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("colour", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("colour", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("colour", 0.9, 9), ("equalize", 0.6, 6)),
    (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("colour", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 1)),
)


def randaugment(
    *, n: int = 2, m: int = 9, fill: str = "constant", fill_value: int = 128
) -> dict[str, Any]:
    """Apply ``n`` of 14 ops at magnitude ``m``: E. Cubuk et al., "RandAugment", 2020.

    Magnitude 30 is the largest effect that AutoAugment allows an op and 0 none at all; colour ops
    go either way. (The authors' code lets some ops weaken with the magnitude, and grows beyond
    AutoAugment's range; this is the reading of the common reimplementations.)

    Args:
        n: Ops per example, drawn with replacement.
        m: Magnitude, 0 to 30.
        fill: What a warp leaves empty: nearest, constant, reflect or wrap.
        fill_value: Grey level for ``constant``.
    """
    _check_integer("n", n, 1, _MOST_OPS)
    _check_integer("m", m, 0, LEVELS)
    slot = _one_of_14(_RANDAUGMENT, m / LEVELS, {"fill": fill, "fill_value": fill_value})
    return {"slots": [slot] * n}


def trivialaugment(*, fill: str = "constant", fill_value: int = 128) -> dict[str, Any]:
    """Apply one of 14 ops at any of 31 magnitudes: S. Müller and F. Hutter, 2021 (wide space).

    The paper's translation of up to 32 pixels is the whole side, as on its CIFAR images.

    Args:
        fill: What a warp leaves empty: nearest, constant, reflect or wrap.
        fill_value: Grey level for ``constant``.
    """
    strength = [0.0, 1.0, LEVELS + 1]
    return {
        "slots": [_one_of_14(_TRIVIAL_WIDE, strength, {"fill": fill, "fill_value": fill_value})]
    }


def autoaugment_cifar10(*, fill: str = "constant", fill_value: int = 128) -> dict[str, Any]:
    """Apply one of the 25 sub-policies that AutoAugment found on CIFAR-10 (E. Cubuk et al., 2019).

    The 10 magnitudes are spaced evenly over the ranges of the paper's table 6.

    Args:
        fill: What a warp leaves empty: nearest, constant, reflect or wrap.
        fill_value: Grey level for ``constant``.
    """
    filling = {"fill": fill, "fill_value": fill_value}
    branches = [
        {
            "slots": [
                {"probability": probability, **_at_level(op, level, filling)}
                for op, probability, level in pair
            ]
        }
        for pair in _CIFAR10
    ]
    return {"branches": branches}


def augmix(*, severity: int = 3, width: int = 3, depth: int = 3) -> dict[str, Any]:
    """Apply the op ``augmix`` (D. Hendrycks et al., 2020) to every example.

    Args:
        severity: How strong the ops of a chain may get, 1 to 10.
        width: Number of chains.
        depth: Most ops of a chain.
    """
    return {"slots": [{"op": "augmix", "severity": severity, "width": width, "depth": depth}]}


def _one_of_14(
    space: Mapping[str, Mapping[str, Any]], strength: Any, filling: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a slot that applies each op of ``space`` as often as it does nothing."""
    share = len(space) / (len(space) + 1)
    choices = [
        {
            "op": op,
            "probability": share,
            "strength": 1.0 if op in _UNSCALED else strength,
            **largest,
            **(filling if op in _WARPS else {}),
        }
        for op, largest in space.items()
    ]
    return {"choose": choices}


def _at_level(op: str, level: int, filling: Mapping[str, Any]) -> dict[str, Any]:
    """Return an op of AutoAugment at one of its 10 magnitudes."""
    share = level / 9
    factor = {"factor": [round(0.1 + 1.8 * share, 3)] * 2}
    calls: dict[str, dict[str, Any]] = {
        "invert": {"op": "invert"},
        "autocontrast": {"op": "autocontrast"},
        "equalize": {"op": "equalize"},
        "colour": {"op": "saturation", **factor},
        "contrast": {"op": "contrast_mean", **factor},
        "brightness": {"op": "brightness", **factor},
        "sharpness": {"op": "sharpness", **factor},
        "posterize": {"op": "posterize", "bits": 8 - round(4 * share)},
        "solarize": {"op": "solarize", "threshold": 256 - round(256 * share)},
        "rotate": {"op": "rotate_fixed", "degrees": 30 * share, **filling},
        "shear_y": {"op": "shear_y", "amount": 0.3 * share, **filling},
        "translate_x": {"op": "translate_x", "amount": _TRANSLATION * share, **filling},
        "translate_y": {"op": "translate_y", "amount": _TRANSLATION * share, **filling},
    }
    return calls[op]


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise InputError(
            f"{name} must be an integer in [{low}, {high}], got {value!r}", path=(name,)
        )
