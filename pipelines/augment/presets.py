"""Named policies. A preset is a function of keyword arguments that returns a policy mapping."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.augment import published
from schemas.errors import InputError, unknown_name

Preset = Callable[..., dict[str, Any]]


def none() -> dict[str, Any]:
    """Leave every copy as it is."""
    return {"slots": []}


def classic(
    *,
    rotation: float = 20.0,
    shift: float = 0.2,
    shear: float = 0.2,
    zoom: float = 0.2,
    horizontal_flip: float = 0.5,
    fill: str = "nearest",
) -> dict[str, Any]:
    """Apply the customary settings of Keras' ImageDataGenerator, in one interpolation.

    Args:
        rotation: Degrees either way.
        shift: Share of the side, for each axis.
        shear: Tangent of the angle.
        zoom: Each axis is scaled by ``1 - zoom`` to ``1 + zoom``.
        horizontal_flip: Share of the images that are mirrored.
        fill: What lies outside: nearest, constant, reflect or wrap.
    """
    return {
        "slots": [
            {"op": "rotate", "degrees": rotation, "fill": fill},
            {"op": "shift", "x": shift, "y": shift, "fill": fill},
            {"op": "shear", "amount": shear, "fill": fill},
            {"op": "zoom", "x": zoom, "y": zoom, "fill": fill},
            {"op": "flip_horizontal", "probability": horizontal_flip, "fill": fill},
        ]
    }


def classic_colour(
    *, brightness: float = 0.2, contrast: float = 0.2, **geometry: Any
) -> dict[str, Any]:
    """Apply ``classic`` (and take its arguments), then change brightness and contrast.

    Args:
        brightness: Factor ``1 - brightness`` to ``1 + brightness``.
        contrast: Likewise, about mid-grey.
        geometry: Arguments of ``classic``.
    """
    colour = [
        {"op": "brightness", "factor": brightness},
        {"op": "contrast", "factor": contrast},
    ]
    return {"slots": classic(**geometry)["slots"] + colour}


def synonyms(
    *,
    replace: float = 0.3,
    swap: float = 0.03,
    delete: float = 0.05,
    strictness: str = "strict",
) -> dict[str, Any]:
    """Replace words by WordNet synonyms, then swap and delete a few.

    Args:
        replace: Share of the words with a safe synonym that are replaced.
        swap: Pairs of words that change places, as a share of all words.
        delete: Share of the words that are left out.
        strictness: How safe a synonym must be; see the op ``synonym_replace``.
    """
    return {
        "slots": [
            {"op": "synonym_replace", "rate": replace, "strictness": strictness},
            {"op": "random_swap", "rate": swap},
            {"op": "random_delete", "rate": delete},
        ]
    }


def eda(
    *,
    replace: float = 0.3,
    insert: float = 0.3,
    swap: float = 0.03,
    delete: float = 0.05,
    strictness: str = "strict",
) -> dict[str, Any]:
    """Apply the four operations of EDA (Wei and Zou, 2019), each safe for negations and names.

    Args:
        replace: Share of the words with a safe synonym that are replaced, forms of verbs included.
        insert: Share of them that get a synonym inserted somewhere.
        swap: Pairs of words that change places, as a share of all words.
        delete: Share of the words that are left out.
        strictness: How safe a synonym must be; see the op ``synonym_replace``.
    """
    return {
        "slots": [
            {
                "op": "synonym_replace",
                "rate": replace,
                "strictness": strictness,
                "inflect": True,
            },
            {"op": "random_insert", "rate": insert, "strictness": strictness},
            {"op": "random_swap", "rate": swap},
            {"op": "random_delete", "rate": delete},
        ]
    }


def text_strong(*, strength: float = 1.0, strictness: str = "strict") -> dict[str, Any]:
    """Apply an op of every family that needs nothing but WordNet: much change, labels kept.

    Names are exchanged in half of the texts, then sentences moved or dropped, words replaced, a
    few edited, and a few spoilt.

    Args:
        strength: Share of each op's usual rate, 0 to 1; 0 changes nothing.
        strictness: How safe a synonym must be; see the op ``synonym_replace``.
    """
    slots: list[dict[str, Any]] = [
        {"op": "entity_swap", "probability": 0.5},
        {"choose": [{"op": "sentence_shuffle"}, {"op": "sentence_drop"}]},
        {"op": "synonym_replace", "rate": 0.5, "strictness": strictness, "inflect": True},
        {
            "choose": [
                {"op": "random_insert", "rate": 0.5, "strictness": strictness},
                {"op": "random_swap", "rate": 0.05},
                {"op": "random_delete", "rate": 0.1},
                {"op": "stopword_removal", "rate": 0.2},
            ]
        },
        {"op": "confuse_words", "probability": 0.5},
    ]
    for slot in slots:
        for call in slot.get("choose", [slot]):
            call["strength"] = strength
    return {"slots": slots}


PRESETS: dict[str, dict[str, Preset]] = {
    "image": {
        "none": none,
        "classic": classic,
        "classic_colour": classic_colour,
        "randaugment": published.randaugment,
        "trivialaugment": published.trivialaugment,
        "autoaugment_cifar10": published.autoaugment_cifar10,
        "augmix": published.augmix,
    },
    "text": {"none": none, "synonyms": synonyms, "eda": eda, "text_strong": text_strong},
}


def expand(name: Any, modality: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy mapping of a preset.

    Raises:
        InputError: If the preset or an argument is unknown; its path is the key to blame.
    """
    known = PRESETS[modality]
    if not isinstance(name, str) or name not in known:
        raise InputError(unknown_name("preset", name, known), path=("preset",))
    valid = argument_names(known[name])
    for argument in arguments:
        if argument not in valid:
            message = f"preset {name}: {unknown_name('argument', argument, valid)}"
            raise InputError(message, path=(argument,))
    return known[name](**arguments)


def argument_names(preset: Preset) -> list[str]:
    """Return the keyword arguments of a preset, those it passes on to ``classic`` included."""
    own = inspect.signature(preset).parameters.values()
    named = [parameter.name for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in own)
    return named + (argument_names(classic) if passes_on else [])


def blame(
    expanded: Mapping[str, Any], path: tuple[str | int, ...], arguments: Mapping[str, Any]
) -> str | None:
    """Return the one argument whose value stands at ``path`` of the expanded policy, if any."""
    value: Any = expanded
    for step in path:
        value = value[step]
    suspects = [name for name, given in arguments.items() if given is value]
    return suspects[0] if len(suspects) == 1 else None
