"""Which channels must leave together: the data that walking a network leaves behind.

Every channel that a layer makes is an *atom*. Operations that mix two tensors channel by channel
unite their atoms (union-find), and every weight axis that a channel owns is written down. The
idea of finding coupled channels through dependencies is that of Fang et al., "DepGraph: Towards
Any Structural Pruning" (2023).
"""

from dataclasses import dataclass, field

import numpy as np

Atoms = np.ndarray


@dataclass(frozen=True)
class Slot:
    """An axis of a weight along which each entry belongs to an atom.

    Attributes:
        layer: Name of the layer.
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
    """A number in a layer's config that counts channels (``units``, ``filters`` ...)."""

    layer: str
    key: str
    atoms: Atoms


@dataclass
class ChannelGraph:
    """The outcome of the walk; atoms are compared through `group`.

    Attributes:
        slots: Every weight axis that belongs to channels.
        settings: Every config number that counts channels.
        produced: Per layer that makes channels, its atoms.
        unknown: Operations that froze their inputs, as ``name (Class)``.
    """

    slots: list[Slot] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    produced: dict[str, Atoms] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
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
        return np.array([self.group(atom) for atom in atoms], dtype=np.int64)

    def unite(self, first: Atoms, second: Atoms) -> None:
        """Make channel *i* of both leave together."""
        for one, two in zip(first, second, strict=True):
            low, high = sorted((self.group(one), self.group(two)))
            self._parents[high] = low

    def freeze(self, atoms: Atoms | None) -> None:
        """Forbid these channels to leave."""
        if atoms is not None:
            self._frozen.update(int(atom) for atom in atoms)

    def loose(self, atoms: Atoms | None) -> bool:
        """Tell whether any of these atoms is not frozen itself."""
        return atoms is not None and any(int(atom) not in self._frozen for atom in atoms)

    def prunable(self) -> list[int]:
        """Return the groups that may leave: made by a layer, and not frozen anywhere."""
        frozen = {self.group(atom) for atom in self._frozen}
        made = {int(one) for atoms in self.produced.values() for one in self.groups(atoms)}
        return sorted(made - frozen)
