"""One set of weights that answers in several widths."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from components.prune.graph import ChannelGraph
from components.prune.keras_graph import leaves
from components.prune.statistics import recalibrate
from components.prune.surgery import cut, random_inputs, shrink
from components.prune.walk import channel_graph
from components.widths.order import cells, ordered
from schemas.errors import FailedError, InputError

TOLERANCE = 1e-5

Take = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class Width:
    """One width.

    Attributes:
        share: Share of each layer's channels that it keeps, before rounding.
        removed: The groups of the channel graph that it does without.
        channels: How many channels each layer that can be narrowed makes.
    """

    share: float
    removed: frozenset[int]
    channels: dict[str, int]


def slimmable(
    model: keras.Model,
    shares: Sequence[float],
    scores: Mapping[int, float],
    *,
    round_to: int = 4,
    floor: float = 0.1,
    seed: int = 0,
) -> "Slimmable":
    """Order the channels of a network and declare the widths that it is to have.

    Args:
        model: The network; it is left as it is.
        shares: The widths, widest first; the first is 1.
        scores: What each group of its `channel_graph` is worth, as a criterion of
            `components.prune` says. Cells that hold a group without a score stay whole.
        round_to: Channels are rounded up to multiples of it.
        floor: Least share of its channels that a layer keeps in any width.
        seed: Decides the inputs of the proofs.

    Raises:
        InputError: shares out of order, nothing that could be narrowed, or two widths alike.
        FailedError: the ordered network does not answer like the network.
    """
    if list(shares) != sorted(set(shares), reverse=True) or len(shares) < 2:
        raise InputError(f"widths are at least two, each below the one before, not {list(shares)}")
    if shares[0] != 1 or shares[-1] <= 0:
        raise InputError(f"widths begin with 1.0 and end above 0, not {list(shares)}")
    graph = channel_graph(model)
    whole = graph.widths()
    widths: list[Width] = []
    for share in shares:
        removed: set[int] = set()
        for cell in cells(graph, round_to=round_to):
            if all(group in scores for group in cell.groups):
                removed.update(cell.groups[cell.kept(max(share, floor)) :])
        left = graph.widths(removed)
        channels = {layer: left[layer][1] for layer in whole if layer in graph.makers()}
        if widths and widths[-1].removed == removed:
            before = widths[-1]
            told = ", ".join(f"{layer} {count}" for layer, count in list(channels.items())[:3])
            raise InputError(
                f"widths {before.share:g} and {share:g} keep the same channels "
                f"({told or 'nothing in this network can be narrowed'}): leave one out, or lower "
                f"round_to ({round_to}) or floor ({floor:g})"
            )
        widths.append(Width(share=share, removed=frozenset(removed), channels=channels))
    return Slimmable(ordered(model, graph, scores, seed=seed), graph, widths, seed=seed)


class Slimmable:
    """A network with ordered channels, and its widths; see `slimmable`.

    Attributes:
        model: The network in full width. Training it trains the weights of every width.
        graph: Its channel graph.
        widths: By share, widest first.
    """

    def __init__(
        self, model: keras.Model, graph: ChannelGraph, widths: Sequence[Width], *, seed: int
    ) -> None:
        self.model = model
        self.graph = graph
        self.widths = {width.share: width for width in widths}
        self._seed = seed
        self._narrow = {one.share: _Narrow(model, graph, one) for one in widths if one.removed}

    def answer(self, share: float, inputs, *, training: bool = False):
        """Return what the network answers in that width, computed with the shared weights.

        With ``training`` the BatchNorm statistics of that width are renewed.
        """
        narrow = self._narrow.get(self._width(share).share)
        if narrow is None:
            return self.model(inputs, training=training)
        return narrow(inputs, training=training)

    def own_variables(self, share: float) -> list[keras.Variable]:
        """Return the variables that only this width has."""
        narrow = self._narrow.get(self._width(share).share)
        return [] if narrow is None else list(narrow.own.values())

    def extract(self, share: float) -> keras.Model:
        """Return one width as a network of its own, which shares nothing.

        Raises:
            FailedError: it does not answer like the masked network, or like `answer`.
        """
        width = self._width(share)
        small = cut(self.model, self.graph, width.removed, seed=self._seed).model
        narrow = self._narrow.get(share)
        if narrow is not None:
            narrow.give(small)
        self.prove(share, small)
        return small

    def prove(self, share: float, network: keras.Model, *, examples: int = 16) -> float:
        """Compare a network with that width on random inputs; return the largest difference.

        It is relative to the largest answer where that exceeds 1.

        Raises:
            FailedError: it exceeds `TOLERANCE`.
        """
        inputs = random_inputs(self.model, seed=self._seed, examples=examples)
        pairs = zip(
            keras.tree.flatten(self.answer(share, inputs)),
            keras.tree.flatten(network(inputs, training=False)),
            strict=True,
        )
        worst = 0.0
        for one, two in pairs:
            one, two = (np.asarray(tf.cast(each, tf.float32)) for each in (one, two))
            worst = max(worst, float(np.abs(one - two).max()) / max(1.0, float(np.abs(one).max())))
        if not worst <= TOLERANCE:
            raise FailedError(
                f"a width must answer like the network of its own within {TOLERANCE:g}, but width "
                f"{share:g} differs by {worst:g}"
            )
        return worst

    def recalibrate(self, batches: Iterable) -> None:
        """Replace the BatchNorm statistics of every width by its own averages over batches.

        Args:
            batches: As `components.prune.recalibrate` takes them.
        """
        rows = list(batches)
        recalibrate(self.model, rows)
        for share, narrow in self._narrow.items():
            small = self.extract(share)
            recalibrate(small, rows)
            narrow.take(small)

    def _width(self, share: float) -> Width:
        if share not in self.widths:
            known = ", ".join(f"{one:g}" for one in self.widths)
            raise InputError(f"the network has no width {share:g}; it has {known}")
        return self.widths[share]


class _Narrow:
    """A narrow network that computes with slices of the full network's weights.

    Its own variables are BatchNorm statistics, and the state of random layers.
    """

    def __init__(self, model: keras.Model, graph: ChannelGraph, width: Width) -> None:
        self.shell = shrink(model, graph, width.removed)
        whole = dict(leaves(model))
        taken: dict[int, tuple[keras.Variable, Take]] = {}
        self.own: dict[tuple[str, int], keras.Variable] = {}
        for path, layer in leaves(self.shell):
            for index, weight in enumerate(layer.weights):
                if _is_statistic(layer, weight):
                    self.own[path, index] = weight
                else:
                    slots = [
                        (slot.axis, ~np.isin(graph.groups(slot.atoms), list(width.removed)))
                        for slot in graph.slots.values()
                        if (slot.layer, slot.weight) == (path, index)
                    ]
                    source = whole[path].weights[index]
                    taken[id(weight)] = (source, _take(slots, len(source.shape)))
        self._trainable = [taken[id(one)] for one in self.shell.trainable_variables]
        self._others = [(one, taken.get(id(one))) for one in self.shell.non_trainable_variables]

    def __call__(self, inputs, *, training: bool):
        others = [
            one.value if found is None else found[1](found[0].value) for one, found in self._others
        ]
        trainable = [take(source.value) for source, take in self._trainable]
        outputs, renewed = self.shell.stateless_call(trainable, others, inputs, training=training)
        if training:
            for (one, found), value in zip(self._others, renewed, strict=True):
                if found is None:
                    one.assign(value)
        return outputs

    def give(self, network: keras.Model) -> None:
        """Write the own variables into a network of this width."""
        layers = dict(leaves(network))
        for (path, index), weight in self.own.items():
            layers[path].weights[index].assign(weight)

    def take(self, network: keras.Model) -> None:
        """Read the own variables from a network of this width."""
        layers = dict(leaves(network))
        for (path, index), weight in self.own.items():
            weight.assign(layers[path].weights[index])


def _is_statistic(layer: keras.Layer, weight: keras.Variable) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization) and (
        weight is layer.moving_mean or weight is layer.moving_variance
    )


def _take(slots: Sequence[tuple[int, np.ndarray]], rank: int) -> Take:
    """Return what cuts a weight down: one slice where the first entries stay, else a gather."""
    firsts = [slice(None)] * rank
    scattered: list[tuple[int, np.ndarray]] = []
    for axis, stays in slots:
        kept = np.flatnonzero(stays)
        if len(kept) == len(stays):
            continue
        if kept[-1] == len(kept) - 1:
            firsts[axis] = slice(0, len(kept))
        else:
            scattered.append((axis, kept))

    def take(value: tf.Tensor) -> tf.Tensor:
        if any(one.stop is not None for one in firsts):
            value = value[tuple(firsts)]
        for axis, kept in scattered:
            value = tf.gather(value, kept, axis=axis)
        return value

    return take
