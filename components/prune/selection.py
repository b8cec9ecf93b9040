"""Which channel groups leave: a share of all, those below a boundary, or shares by layer.

Every way holds to the same rules. A layer keeps at least ``floor`` of its channels and never
loses its last one; kept widths are multiples of ``round_to`` (attention heads are not rounded);
what a layer makes that a pattern of ``protected`` names stays whole.
"""

import fnmatch
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.prune.graph import HEADS, Bundle, ChannelGraph
from schemas.errors import InputError, unknown_name

Ratios = Mapping[str, float] | Callable[[Bundle], float]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What every selection holds to.

    Attributes:
        floor: Least share of its channels that a layer keeps, in (0, 1].
        floors: The same for layers that a pattern names, e.g. ``{"stem*": 0.8}``; a name
            counts before a pattern, a longer pattern before a shorter one.
        round_to: Kept widths are multiples of it.
        protected: Names or patterns of layers that lose nothing.
        original: Widths (in groups) that floors are shares of, by layer, where the network was
            cut before; as `group_counts` returns them.
    """

    floor: float = 0.2
    floors: Mapping[str, float] | None = None
    round_to: int = 4
    protected: Sequence[str] = ()
    original: Mapping[str, int] | None = None


def group_counts(graph: ChannelGraph) -> dict[str, int]:
    """Return how many prunable groups each layer makes."""
    return {layer: len(groups) for layer, groups in graph.makers().items()}


def rounding(graph: ChannelGraph, round_to: int) -> dict[str, int]:
    """Return what the number of groups that a layer keeps must be a multiple of.

    A group may be several channels of its layer; attention heads are not rounded.
    """
    steps = {}
    for layer, groups in graph.makers().items():
        allowed = set(groups)
        entries = sum(int(one) in allowed for one in graph.groups(graph.produced[layer]))
        width = entries // len(groups) if entries % len(groups) == 0 else 1
        steps[layer] = 1 if layer.endswith(HEADS) else round_to // math.gcd(round_to, width)
    return steps


def choose(
    graph: ChannelGraph,
    scores: Mapping[int, float],
    *,
    ratio: float | None = None,
    threshold: float | None = None,
    ratios: Ratios | None = None,
    limits: Limits | None = None,
) -> set[int]:
    """Return the groups to remove, lowest scores first; groups without a score stay.

    Args:
        graph: The channel graph.
        scores: What each group is worth, as a criterion gives it.
        ratio: Remove this share of all prunable groups, ranked across layers.
        threshold: Remove every group that scores less.
        ratios: Remove this share of each bundle: by a name or pattern of one of its layers (the
            best fitting one, as for floors; 0 where none fits), or by what a function says of the
            `Bundle`.
        limits: Floors, rounding, protected layers.

    Raises:
        InputError: not exactly one of the three ways, or a pattern that fits no layer.
    """
    if sum(one is not None for one in (ratio, threshold, ratios)) != 1:
        raise InputError(
            "a selection takes exactly one of ratio, threshold and ratios, not "
            f"ratio={ratio}, threshold={threshold}, ratios={ratios}"
        )
    state = _State(graph, limits or Limits())
    prunable = graph.prunable()
    ranked = sorted((one for one in prunable if one in scores), key=lambda g: (scores[g], g))
    if threshold is not None:
        state.take(one for one in ranked if scores[one] < threshold)
    elif ratio is not None:
        state.take(ranked, int(ratio * len(prunable)))
    else:
        share = _share_of(graph, ratios)
        for bundle in graph.bundles():
            members = set(bundle.groups)
            wanted = int(share(bundle) * len(members))
            state.take((one for one in ranked if one in members), wanted)
    return state.rounded()


def choose_blocks(
    graph: ChannelGraph,
    scores: Mapping[int, float],
    *,
    count: int,
    limits: Limits | None = None,
    only: Collection[str] | None = None,
) -> set[int]:
    """Return about ``count`` groups to remove in one of many rounds.

    Whole blocks leave, so that widths stay multiples of ``round_to`` after every round: the
    ``round_to`` lowest of a bundle form its first block, and the block with the lowest mean score
    of all leaves first. The last block may exceed ``count``.

    Args:
        graph: The channel graph.
        scores: What each group is worth.
        count: How many groups to remove.
        limits: Floors, rounding, protected layers.
        only: Names of the bundles to cut; None: all.
    """
    state = _State(graph, limits or Limits())
    blocks = []
    for position, bundle in enumerate(graph.bundles()):
        if only is not None and bundle.name not in only:
            continue
        size = max(state.steps[layer] for layer in bundle.layers)
        members = [one for one in bundle.groups if one in scores]
        members.sort(key=lambda group: (scores[group], group))
        edges = [0, *range(len(members) % size or size, len(members) + 1, size)]
        for number, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
            block = members[start:stop]
            mean = sum(scores[one] for one in block) / len(block)
            blocks.append((mean, position, number, block))
    closed: set[int] = set()
    for _, position, _, block in sorted(blocks):
        if len(state.removed) >= count:
            break
        if position not in closed and not state.take_all(block):
            closed.add(position)
    return set(state.removed)


def matching(graph: ChannelGraph, patterns: Sequence[str]) -> set[str]:
    """Return the layers that a name or pattern names.

    Raises:
        InputError: a pattern fits no layer that has channels.
    """
    layers = {slot.layer for slot in graph.slots.values()} | set(graph.produced)
    found = set()
    for pattern in patterns:
        fitting = {one for one in layers if fnmatch.fnmatchcase(one, pattern)}
        if not fitting:
            raise InputError(unknown_name("layer or pattern", pattern, layers))
        found |= fitting
    return found


class _State:
    """The groups removed so far, and what each layer has left."""

    def __init__(self, graph: ChannelGraph, limits: Limits) -> None:
        makers = graph.makers()
        original = limits.original or {}
        floors = limits.floors or {}
        matching(graph, list(floors))
        self.removed: list[int] = []
        self.layers_of: dict[int, list[str]] = {}
        self.kept = {layer: len(groups) for layer, groups in makers.items()}
        self.least = {
            layer: max(1, math.ceil(_of_pattern(floors, [layer], limits.floor) * count))
            for layer, count in ((one, original.get(one, self.kept[one])) for one in makers)
        }
        self.steps = rounding(graph, limits.round_to)
        for layer, groups in makers.items():
            for group in groups:
                self.layers_of.setdefault(group, []).append(layer)
        self.protected: set[int] = set()
        named = matching(graph, limits.protected)
        for slot in graph.slots.values():
            if slot.layer in named and slot.role != "in":
                self.protected.update(int(one) for one in graph.groups(slot.atoms))

    def can_leave(self, group: int) -> bool:
        return group not in self.protected and all(
            self.kept[layer] > self.least[layer] for layer in self.layers_of[group]
        )

    def remove(self, group: int) -> None:
        self.removed.append(group)
        for layer in self.layers_of[group]:
            self.kept[layer] -= 1

    def restore(self, group: int) -> None:
        self.removed.remove(group)
        for layer in self.layers_of[group]:
            self.kept[layer] += 1

    def take(self, ranked: Iterable[int], wanted: float = math.inf) -> None:
        """Remove up to ``wanted`` of the groups, in their order."""
        before = len(self.removed)
        for group in ranked:
            if len(self.removed) - before >= wanted:
                break
            if self.can_leave(group):
                self.remove(group)

    def take_all(self, block: Iterable[int]) -> bool:
        """Remove a whole block, or nothing of it."""
        done: list[int] = []
        for group in block:
            if not self.can_leave(group):
                for one in reversed(done):
                    self.restore(one)
                return False
            self.remove(group)
            done.append(group)
        return True

    def rounded(self) -> set[int]:
        """Put back the best of what was removed until every width is a multiple."""
        for group in reversed(self.removed.copy()):
            if any(self.kept[layer] % self.steps[layer] for layer in self.layers_of[group]):
                self.restore(group)
        return set(self.removed)


def _share_of(graph: ChannelGraph, ratios: Ratios) -> Callable[[Bundle], float]:
    if callable(ratios):
        return ratios
    matching(graph, list(ratios))
    return lambda bundle: _of_pattern(ratios, bundle.layers, 0.0)


def _of_pattern(values: Mapping[str, float], layers: Iterable[str], default: float) -> float:
    """Return the value of the pattern that fits best, whatever the order they are written in.

    A name fits better than a pattern, a longer pattern better than a shorter one.
    """
    fitting = [
        (pattern == layer, len(pattern), pattern)
        for layer in layers
        for pattern in values
        if fnmatch.fnmatchcase(layer, pattern)
    ]
    return values[max(fitting)[-1]] if fitting else default
