"""Channels in the order of their importance: the best ones first, and no answer changed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from components.prune.graph import ChannelGraph, Slot
from components.prune.selection import rounding
from components.prune.surgery import copy_weights, prove_equal, rebuilt
from schemas.errors import FailedError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Groups of channels that may change places with one another.

    The same layers make them, and they lie equally often along every axis of a weight. A bundle
    of the channel graph is one cell, or several where a concatenation puts channels side by side.

    Attributes:
        layers: The layers that make them.
        groups: The groups, in the order in which they lie.
        step: Kept numbers of groups are multiples of it.
    """

    layers: tuple[str, ...]
    groups: tuple[int, ...]
    step: int

    def kept(self, share: float) -> int:
        """Return how many groups a share of them is, rounded up, at least one step."""
        wanted = math.ceil(round(share * len(self.groups), 9))
        return min(len(self.groups), max(1, math.ceil(wanted / self.step)) * self.step)


def cells(graph: ChannelGraph, *, round_to: int = 4) -> list[Cell]:
    """Return the prunable groups of a network by what they may change places with.

    Args:
        graph: The channel graph.
        round_to: Kept widths are multiples of it, as `components.prune.Limits` has it.
    """
    makers = graph.makers()
    steps = rounding(graph, round_to)
    lies: dict[int, list[tuple]] = {group: [] for group in graph.prunable()}
    for layer, groups in makers.items():
        for group in groups:
            lies[group].append((layer,))
    for key, slot in graph.slots.items():
        found, counts = np.unique(graph.groups(slot.atoms), return_counts=True)
        for group, count in zip(found.tolist(), counts.tolist(), strict=True):
            if group in lies:
                lies[group].append((*key, count))
    alike: dict[tuple, list[int]] = {}
    for group, places in lies.items():
        alike.setdefault(tuple(places), []).append(group)
    result = []
    for places, groups in alike.items():
        layers = tuple(place[0] for place in places if len(place) == 1)
        step = math.lcm(*(steps[layer] for layer in layers))
        result.append(Cell(layers=layers, groups=tuple(sorted(groups)), step=step))
    return result


def ordered(
    model: keras.Model, graph: ChannelGraph, scores: Mapping[int, float], *, seed: int
) -> keras.Model:
    """Return a copy whose channels are ordered, highest score first, proven to answer alike.

    The copy has the same channel graph. Cells that hold a group without a score keep their order.

    Raises:
        FailedError: it does not answer like the network.
    """
    content = {}
    for cell in cells(graph):
        if all(group in scores for group in cell.groups):
            best = sorted(cell.groups, key=lambda group: (-scores[group], group))
            content.update(zip(cell.groups, best, strict=True))
    slots: dict[str, list[Slot]] = {}
    for slot in graph.slots.values():
        slots.setdefault(slot.layer, []).append(slot)

    def moved(path: str, values: list[np.ndarray]) -> list[np.ndarray]:
        for slot in slots.get(path, ()):
            places = _places(graph.groups(slot.atoms), content)
            values[slot.weight] = np.take(values[slot.weight], places, axis=slot.axis)
        return values

    result = rebuilt(model)
    copy_weights(model, result, moved)
    try:
        prove_equal(model, result, seed=seed)
    except FailedError as error:
        raise FailedError(
            "a network with its channels in another order must answer like the network itself: "
            f"its graph was misread; please report it ({error})"
        ) from error
    return result


def _places(groups: NDArray[np.int64], content: Mapping[int, int]) -> NDArray[np.int64]:
    """Return where each entry of an axis finds what it holds from now on.

    The n-th entry of a group takes over the n-th entry of the group whose content it gets: the
    same position of a flattened image, the same gate of a recurrent unit.
    """
    entries: dict[int, list[int]] = {}
    for place, group in enumerate(groups.tolist()):
        entries.setdefault(group, []).append(place)
    result = np.arange(len(groups))
    for group, places in entries.items():
        result[places] = entries[content.get(group, group)]
    return result
