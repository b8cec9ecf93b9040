"""Which channels must leave together: the data that walking a network leaves behind.

Every channel that a layer makes is an *atom*. Operations that mix two tensors channel by channel
unite their atoms (union-find), and every weight axis that a channel owns is written down. The
idea of finding coupled channels through dependencies is that of Fang et al., "DepGraph: Towards
Any Structural Pruning" (2023).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

Atoms = np.ndarray


@dataclass(frozen=True)
class Slot:
    """An axis of a weight along which each entry belongs to an atom.

    Attributes:
        layer: Path of the layer: its name, after the names of the models around it (``a/b/name``).
        weight: Index in ``layer.weights``.
        axis: Axis of that weight, from 0.
        role: ``in`` consumes the channels, ``out`` makes them, ``pass`` goes along with them.
        atoms: ``int64[n]``, one atom per entry.
    """

    layer: str
    weight: int
    axis: int
    role: str
    atoms: Atoms


@dataclass(frozen=True)
class Setting:
    """A number in a layer's config that counts channels (``units``, ``filters`` ...).

    Attributes:
        layer: Path of the layer.
        keys: Where in its config, e.g. ``("units",)`` or ``("layer", "config", "units")``.
        index: Position in the list that stands there, or None for a plain number.
        atoms: ``int64[n]``: the number is how many of them are left.
    """

    layer: str
    keys: tuple[str, ...]
    index: int | None
    atoms: Atoms


@dataclass(frozen=True)
class Bundle:
    """A dependency group: layers that make the same channels, and those channels' groups.

    A residual stream is one bundle of many layers; a plain convolution is one by itself.
    """

    layers: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def name(self) -> str:
        """The first of the layers: it names the bundle, in a pruned network too."""
        return self.layers[0]


@dataclass
class ChannelGraph:
    """The outcome of the walk; atoms are compared through `group`.

    Attributes:
        slots: Every weight axis that belongs to channels, by layer, weight and axis.
        settings: Every config number that counts channels, by layer, keys and index.
        produced: Per layer that makes channels, its atoms. Attention makes two kinds: its heads
            stand under the layer's path with `HEADS` behind it.
        frozen_by: What froze channels, as ``name (Class)``, and why.
        refused: Paths of the layers that may not be cut at all, and why.
    """

    slots: dict[tuple[str, int, int], Slot] = field(default_factory=dict)
    settings: dict[tuple[str, tuple[str, ...], int | None], Setting] = field(default_factory=dict)
    produced: dict[str, Atoms] = field(default_factory=dict)
    frozen_by: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)
    _frozen: set[int] = field(default_factory=set)

    def new(self, count: int) -> Atoms:
        """Make ``count`` atoms, each its own group."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def group(self, atom: int) -> int:
        """Return the group that an atom belongs to."""
        root = int(atom)
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[atom] != root:
            self._parents[atom], atom = root, self._parents[atom]
        return root

    def groups(self, atoms: Atoms) -> Atoms:
        """Return the group of each atom."""
        return np.array([self.group(int(atom)) for atom in atoms], dtype=np.int64)

    def unite(self, first: Atoms, second: Atoms) -> None:
        """Make channel *i* of both leave together."""
        for one, two in zip(first, second, strict=True):
            low, high = sorted((self.group(int(one)), self.group(int(two))))
            self._parents[high] = low

    def freeze(self, atoms: Atoms | None) -> None:
        """Forbid these channels to leave."""
        if atoms is not None:
            self._frozen.update(int(atom) for atom in atoms)

    def loose(self, atoms: Atoms | None) -> bool:
        """Tell whether any of these atoms is not frozen itself."""
        return atoms is not None and any(int(atom) not in self._frozen for atom in atoms)

    def refuse(self, layer: str, reason: str) -> None:
        """Freeze all that is written down about a layer, and note that it may not be cut."""
        self.refused.setdefault(layer, reason)
        for one in (*self.slots.values(), *self.settings.values()):
            if one.layer == layer:
                self.freeze(one.atoms)

    def own(self, slot: Slot) -> None:
        """Write a slot down; a shared layer's second call unites its channels with the first's."""
        known = self.slots.setdefault((slot.layer, slot.weight, slot.axis), slot)
        if known is not slot:
            self.unite(known.atoms, slot.atoms)

    def count(self, setting: Setting) -> None:
        """Write a setting down; the second time, its channels unite with the first's."""
        known = self.settings.setdefault((setting.layer, setting.keys, setting.index), setting)
        if known is not setting:
            self.unite(known.atoms, setting.atoms)

    def prunable(self) -> list[int]:
        """Return the groups that may leave: made by a layer, and not frozen anywhere."""
        frozen = {self.group(atom) for atom in self._frozen}
        made = {int(one) for atoms in self.produced.values() for one in self.groups(atoms)}
        return sorted(made - frozen)

    def makers(self) -> dict[str, list[int]]:
        """Return the prunable groups that each layer makes; layers without any are left out."""
        allowed = set(self.prunable())
        found = {}
        for layer, atoms in self.produced.items():
            groups = [int(one) for one in dict.fromkeys(self.groups(atoms)) if int(one) in allowed]
            if groups:
                found[layer] = groups
        return found

    def bundles(self) -> list[Bundle]:
        """Return the prunable groups by the chain of layers that makes them, in walking order."""
        makers = self.makers()
        home = {group: layer for layer, groups in reversed(makers.items()) for group in groups}
        top = {layer: layer for layer in makers}

        def first(layer: str) -> str:
            while top[layer] != layer:
                layer = top[layer]
            return layer

        order = {layer: position for position, layer in enumerate(makers)}
        for layer, groups in makers.items():
            for group in groups:
                one, two = sorted((first(layer), first(home[group])), key=order.__getitem__)
                top[two] = one
        members: dict[str, list[str]] = {}
        for layer in makers:
            members.setdefault(first(layer), []).append(layer)
        return [
            Bundle(tuple(layers), tuple(sorted({g for one in layers for g in makers[one]})))
            for layers in members.values()
        ]

    def widths(self, removed: Iterable[int] = ()) -> dict[str, tuple[int, int]]:
        """Return how many channels each layer makes, and how many without the removed groups."""
        gone = list(removed)
        return {
            layer: (len(atoms), int((~np.isin(self.groups(atoms), gone)).sum()))
            for layer, atoms in self.produced.items()
        }


HEADS = " heads"
