"""How much a network suffers where one dependency group alone is cut."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import keras

from components.prune.graph import ChannelGraph
from components.prune.selection import Limits, choose
from components.prune.surgery import mask, mask_into

Evaluate = Callable[[keras.Model], float]
Recalibrate = Callable[[keras.Model], None]


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What cutting one bundle alone does.

    Attributes:
        layers: The layers of the bundle.
        groups: How many groups it has.
        removed: How many of them were cut.
        value: What ``evaluate`` said of the network without them.
        drop: What it said of the whole network, less ``value``.
    """

    layers: tuple[str, ...]
    groups: int
    removed: int
    value: float
    drop: float


def sensitivity(
    model: keras.Model,
    graph: ChannelGraph,
    scores: Mapping[int, float],
    *,
    evaluate: Evaluate,
    ratio: float = 0.5,
    recalibrate: Recalibrate | None = None,
    only: Collection[str] | None = None,
) -> list[Sensitivity]:
    """Cut the lowest-scored share of each bundle in turn, and see what is left.

    The channels are masked, which by the proof of every cut answers like surgery, and costs no
    new network; ``model`` itself is left as it is.

    Args:
        model: The network.
        graph: Its channel graph.
        scores: What each group is worth.
        evaluate: Gives a number, higher is better, e.g. accuracy on part of the eval split. Never
            the test split.
        ratio: Share of the bundle to cut.
        recalibrate: Renews BatchNorm statistics in place, see `statistics.recalibrate`.
        only: Names of the bundles to look at; None: all.

    Returns:
        One entry per bundle that can lose anything, least sensitive first.
    """
    probe = mask(model, graph, ())
    whole = evaluate(probe)
    found = []
    for bundle in graph.bundles():
        if only is not None and bundle.name not in only:
            continue
        removed = choose(
            graph,
            {group: scores[group] for group in bundle.groups if group in scores},
            ratios=lambda one, name=bundle.name: ratio if one.name == name else 0.0,
            limits=Limits(floor=1e-9, round_to=1),
        )
        if not removed:
            continue
        mask_into(probe, model, graph, removed)
        if recalibrate:
            recalibrate(probe)
        value = evaluate(probe)
        found.append(
            Sensitivity(
                layers=bundle.layers,
                groups=len(bundle.groups),
                removed=len(removed),
                value=value,
                drop=whole - value,
            )
        )
    return sorted(found, key=lambda one: (one.drop, one.layers))
