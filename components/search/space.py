"""What a search tries: which channels leave, how many, and what the rest learns from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from components.prune.criteria import bn_gamma
from components.prune.graph import ChannelGraph
from schemas.errors import InputError
from schemas.pruning import PruneConfig
from schemas.stages import FinetuneConfig, SearchConfig

LABELS, ANSWERS, ATTENTION = "labels", "answers", "answers and attention"
GROUPS, ITERATIVE, UNIFORM = "groups", "iterative", "uniform"
STARTUP = 10
_MOST = 0.98


@dataclass(frozen=True, kw_only=True)
class Space:
    """The choices that a search has.

    Attributes:
        methods: As in `SearchConfig`.
        criteria: As in `SearchConfig`.
        lessons: ``labels``, ``answers`` of the teacher, or those ``and attention``.
        ratios: Least and largest share of the channels to remove.
        shift: How far a dependency group may depart from that share.
        groups: Names of the dependency groups (`Bundle`).
    """

    methods: tuple[str, ...]
    criteria: tuple[str, ...]
    lessons: tuple[str, ...]
    ratios: tuple[float, float]
    shift: float
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to make a smaller network.

    Attributes:
        method: How the channels are chosen.
        criterion: What ranks them.
        ratio: Share of them to remove.
        lesson: What the rest learns from.
        shifts: For the method ``groups``: what is added to the ratio, by dependency group.
    """

    method: str
    criterion: str
    ratio: float
    lesson: str
    shifts: dict[str, float]


def space_of(
    model: keras.Model, graph: ChannelGraph, config: SearchConfig, *, teacher: bool
) -> Space:
    """Return the choices that a network, the settings, and a teacher or none, leave.

    Raises:
        InputError: no channel of the network may leave.
    """
    groups = tuple(one.name for one in graph.bundles())
    if not groups:
        why = "; ".join(f"{name}: {reason}" for name, reason in graph.frozen_by.items())
        raise InputError(
            f"network {model.name!r} has no channels that may leave, so there is nothing to "
            f"search{f' ({why})' if why else ''}"
        )
    criteria: tuple[str, ...] = config.criteria or ("l1_in_out", "taylor")
    if config.criteria is None and _has_scales(model, graph):
        criteria += ("bn_gamma",)
    lessons: tuple[str, ...] = (LABELS,)
    if teacher:
        lessons += (ANSWERS, ATTENTION) if config.attention else (ANSWERS,)
    return Space(
        methods=config.methods,
        criteria=criteria,
        lessons=lessons,
        ratios=config.ratios,
        shift=config.shift,
        groups=groups,
    )


def draw(trial: Any, space: Space) -> Candidate:
    """Let an Optuna trial choose a candidate."""
    method = trial.suggest_categorical("method", space.methods)
    shifts = {}
    ratio = trial.suggest_float("ratio", *space.ratios)
    if method == GROUPS:
        for name in space.groups:
            shifts[name] = trial.suggest_float(f"shift of {name}", -space.shift, space.shift)
    return Candidate(
        method=method,
        criterion=trial.suggest_categorical("criterion", space.criteria),
        ratio=ratio,
        lesson=trial.suggest_categorical("lesson", space.lessons),
        shifts=shifts,
    )


def spread_ratio(space: Space, number: int, centre: float | None = None) -> float:
    """Return the ratio of a trial: the first ones cover the range evenly, first coarsely.

    Later ones cover half the range, around the ratio that came nearest to what is looked for.
    Radical inverse in base 2 (van der Corput, 1935): 1/2, 1/4, 3/4, 1/8, ...
    """
    low, high = space.ratios
    if centre is not None:
        number -= STARTUP
        half = (high - low) / 4
        low, high = max(low, centre - half), min(high, centre + half)
    part, share, rest = 0.5, 0.0, number + 1
    while rest:
        share += part * (rest % 2)
        rest //= 2
        part /= 2
    return low + share * (high - low)


def prune_config(candidate: Candidate, config: SearchConfig, epochs: int) -> PruneConfig:
    """Return the pruning stage that makes a candidate and trains it for so many epochs."""
    settings: dict[str, Any] = {
        "ratio": candidate.ratio,
        "criterion": candidate.criterion,
        "round_to": config.round_to,
        "floor": config.layer_floor,
        "protected": config.protected,
        "calibration": config.calibration,
        "epochs": epochs,
    }
    if candidate.method == UNIFORM:
        settings |= {"ratio": None, "ratios": {"*": candidate.ratio}}
    if candidate.method == GROUPS:
        shares = {
            name: min(max(candidate.ratio + shift, 0.0), _MOST)
            for name, shift in candidate.shifts.items()
        }
        settings |= {"ratio": None, "ratios": shares}
    if candidate.method == ITERATIVE:
        settings |= {"schedule": "iterative", "rounds": epochs, "round_epochs": 1, "epochs": 0}
    return PruneConfig(**settings, **_fitting(candidate, config))


def tune_config(candidate: Candidate, config: SearchConfig, epochs: int) -> FinetuneConfig:
    """Return how a candidate's network is trained further for so many epochs."""
    return FinetuneConfig(epochs=epochs, **_fitting(candidate, config))


def seed_of(seed: int, *parts: int) -> int:
    """Return a seed below 2**31 that depends on all of these numbers."""
    text = ",".join(str(one) for one in (seed, *parts))
    hashed = hashlib.blake2b(text.encode(), digest_size=4, person=b"search").digest()
    return int.from_bytes(hashed, "big") >> 1


def described(candidate: Candidate) -> str:
    """Return a candidate in words."""
    return f"{candidate.method} {candidate.ratio:.2f}, {candidate.criterion}, {candidate.lesson}"


def _fitting(candidate: Candidate, config: SearchConfig) -> dict[str, Any]:
    names = ("batch_size", "optimizer", "learning_rate", "weight_decay", "label_smoothing")
    names += ("examples", "temperature", "alpha", "attention_layers")
    settings = {name: getattr(config, name) for name in names}
    return settings | {"attention": config.attention if candidate.lesson == ATTENTION else 0.0}


def _has_scales(model: keras.Model, graph: ChannelGraph) -> bool:
    try:
        return bool(bn_gamma(model, graph))
    except InputError:
        return False


def copies_of(copies: Sequence[int], start: int, stop: int) -> list[int]:
    """Return the stored copies that the epochs from ``start`` to ``stop`` read, ascending."""
    return sorted({copies[epoch % len(copies)] for epoch in range(start, stop)})
