"""How much each group of coupled channels matters; the lowest leave first."""

from collections.abc import Callable

import keras
import numpy as np

from components.prune.graph import ChannelGraph

Criterion = Callable[[keras.Model, ChannelGraph], dict[int, float]]


def l1_in_out(model: keras.Model, graph: ChannelGraph) -> dict[int, float]:
    """Score a group by the mean weight magnitude on its way in and on its way out.

    Magnitudes are taken relative to the mean of their weight, so that layers compare. Follows
    Li et al., "Pruning Filters for Efficient ConvNets" (2016), with the consumers counted too.
    """
    totals: dict[int, float] = {}
    counts: dict[int, int] = {}
    for slot in graph.slots:
        if slot.role == "pass":
            continue
        weight = np.abs(np.asarray(model.get_layer(slot.layer).weights[slot.weight]))
        others = tuple(axis for axis in range(weight.ndim) if axis != slot.axis)
        sizes = weight.mean(axis=others)
        sizes = sizes / max(float(sizes.mean()), np.finfo(np.float32).tiny)
        for group, size in zip(graph.groups(slot.atoms), sizes, strict=True):
            totals[int(group)] = totals.get(int(group), 0.0) + float(size)
            counts[int(group)] = counts.get(int(group), 0) + 1
    return {group: total / counts[group] for group, total in totals.items()}


CRITERIA: dict[str, Criterion] = {"l1_in_out": l1_in_out}
