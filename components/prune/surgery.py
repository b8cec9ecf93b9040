"""Choose groups to remove, rebuild the network without them, prove that nothing else changed."""

import copy
import math
from collections.abc import Collection, Mapping

import keras
import numpy as np

from components.prune.graph import ChannelGraph
from components.prune.keras_graph import functional
from schemas.errors import FailedError

TOLERANCE = 1e-5


def choose(
    graph: ChannelGraph, scores: Mapping[int, float], *, ratio: float, floor: float, round_to: int
) -> set[int]:
    """Return the groups to remove: the lowest-scored share of all prunable ones.

    Groups made by the same layers form a bundle (a residual stream is one). Each bundle keeps at
    least ``floor`` of its groups, rounded up to a multiple of ``round_to``; what rounding asks
    back are the best of those chosen.
    """
    prunable = graph.prunable()
    bundles = _bundles(graph, prunable)
    ranked = sorted(prunable, key=lambda group: (scores[group], group))
    wanted = int(ratio * len(prunable))
    kept = {name: list(members) for name, members in bundles.items()}
    least = {name: math.ceil(floor * len(members)) for name, members in bundles.items()}
    home = {group: name for name, members in bundles.items() for group in members}
    removed: list[int] = []
    for group in ranked:
        if len(removed) == wanted:
            break
        if len(kept[home[group]]) > max(least[home[group]], 1):
            kept[home[group]].remove(group)
            removed.append(group)
    for group in reversed(removed.copy()):
        if len(kept[home[group]]) % round_to:
            kept[home[group]].append(group)
            removed.remove(group)
    return set(removed)


def shrink(model: keras.Model, graph: ChannelGraph, removed: Collection[int]) -> keras.Model:
    """Return a new network without the removed groups; ``model`` is left as it is.

    Rebuilt from the config with smaller counts, which keeps layer and input names, shared layers
    and the input structure; kept weights are gathered along each axis.
    """
    masks = {
        (slot.layer, slot.weight, slot.axis): ~np.isin(graph.groups(slot.atoms), list(removed))
        for slot in graph.slots
    }
    counts = {
        (setting.layer, setting.key): int(
            (~np.isin(graph.groups(setting.atoms), list(removed))).sum()
        )
        for setting in graph.settings
    }
    small = _rebuilt(model, counts)
    for layer in model.layers:
        values = [np.asarray(weight) for weight in layer.weights]
        for (name, index, axis), mask in masks.items():
            if name == layer.name:
                values[index] = np.compress(mask, values[index], axis=axis)
        small.get_layer(layer.name).set_weights(values)
    return small


def mask(model: keras.Model, graph: ChannelGraph, removed: Collection[int]) -> keras.Model:
    """Return a network of unchanged size in which nothing listens to the removed groups."""
    masked = _rebuilt(model, {})
    for layer in model.layers:
        values = [np.array(weight) for weight in layer.weights]
        for slot in graph.slots:
            if slot.layer == layer.name and slot.role == "in":
                gone = np.isin(graph.groups(slot.atoms), list(removed))
                np.moveaxis(values[slot.weight], slot.axis, 0)[gone] = 0
        masked.get_layer(layer.name).set_weights(values)
    return masked


def prove_equal(masked: keras.Model, small: keras.Model, *, seed: int, examples: int = 16) -> float:
    """Compare both networks on random inputs and return the largest difference.

    Raises:
        FailedError: they differ by more than `TOLERANCE` (relative to the largest answer).
    """
    inputs = random_inputs(masked, seed=seed, examples=examples)
    before = [np.asarray(one) for one in keras.tree.flatten(masked(inputs, training=False))]
    after = [np.asarray(one) for one in keras.tree.flatten(small(inputs, training=False))]
    worst = 0.0
    for one, two in zip(before, after, strict=True):
        difference = float(np.abs(one - two).max())
        limit = TOLERANCE * max(1.0, float(np.abs(one).max()))
        if not difference <= limit:
            raise FailedError(
                f"the pruned network must answer like the masked one within {limit:g}, but "
                f"differs by {difference:g}: its graph was misread; please report the network"
            )
        worst = max(worst, difference)
    return worst


def random_inputs(model: keras.Model, *, seed: int, examples: int):
    """Return random inputs that the model accepts, in the structure it takes them."""
    generator = np.random.default_rng(seed)
    vocabularies = [
        layer.input_dim for layer in model.layers if isinstance(layer, keras.layers.Embedding)
    ]

    def draw(tensor):
        shape = (examples, *(32 if size is None else size for size in tensor.shape[1:]))
        if not np.issubdtype(np.dtype(tensor.dtype), np.integer):
            return generator.normal(size=shape).astype(tensor.dtype)
        top = min(vocabularies, default=256)
        return generator.integers(0, top, size=shape).astype(tensor.dtype)

    return keras.tree.map_structure(draw, functional(model).input)


def _bundles(graph: ChannelGraph, prunable: Collection[int]) -> dict[int, list[int]]:
    """Return the prunable groups that some chain of layers makes together."""
    allowed = set(prunable)
    home: dict[int, int] = {group: group for group in prunable}
    members: dict[int, list[int]] = {group: [group] for group in prunable}
    for atoms in graph.produced.values():
        made = [int(one) for one in dict.fromkeys(graph.groups(atoms)) if int(one) in allowed]
        for group in made[1:]:
            target, source = home[made[0]], home[group]
            if target != source:
                for one in members.pop(source):
                    home[one] = target
                    members[target].append(one)
    return members


def _rebuilt(model: keras.Model, counts: Mapping[tuple[str, str], int]) -> keras.Model:
    config = copy.deepcopy(model.get_config())
    for entry in config["layers"]:
        settings = entry["config"]
        entry.pop("build_config", None)  # it names the old shapes
        for (layer, key), count in counts.items():
            if settings["name"] == layer:
                settings[key] = count
    return type(model).from_config(config)
