"""Successive halving: many networks are trained a little, the better share of them further.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"
(2016): one bracket of Li et al., "Hyperband" (2018). All that is counted is training epochs, so
that a budget buys the same on every machine.
"""

from dataclasses import dataclass

from schemas.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a budget is spent.

    Attributes:
        rungs: Epochs that a network has been trained for at the end of each rung, ascending.
        networks: How many networks each rung trains.
    """

    rungs: tuple[int, ...]
    networks: tuple[int, ...]

    def epochs(self, rung: int) -> int:
        """Return how many epochs a network is trained for in that rung."""
        return self.rungs[rung] - (self.rungs[rung - 1] if rung else 0)

    @property
    def spent(self) -> int:
        """Return the epochs of all networks and rungs."""
        return sum(count * self.epochs(rung) for rung, count in enumerate(self.networks))


def rungs_of(epochs: int, rungs: int, reduction: int) -> tuple[int, ...]:
    """Return the cumulative epochs of the rungs: ``epochs`` at the last, a share of it before.

    Rungs that would be shorter than an epoch, or as long as their neighbour, fall out.
    """
    lengths = {epochs // reduction**step for step in range(rungs)}
    return tuple(sorted(one for one in lengths if one >= 1))


def plan(budget: int, *, epochs: int, rungs: int, reduction: int) -> Plan:
    """Return the largest bracket that a budget pays for.

    Each rung trains a ``1 / reduction`` share (rounded down, but at least one network) of those
    of the rung before. What is left of the budget lets more networks into the last rung, then
    into the one before, and so on; the rest is not spent.

    Args:
        budget: Training epochs in all.
        epochs: Those of a network that reaches the last rung.
        rungs: How many rungs at most.
        reduction: Which share of a rung's networks goes on.

    Raises:
        InputError: the budget does not train a single network to the end.
    """
    lengths = rungs_of(epochs, rungs, reduction)
    if budget < lengths[-1]:
        raise InputError(
            f"budget must be at least {lengths[-1]} epochs, what one network is trained for, not "
            f"{budget}: raise it, or lower epochs",
            path=("budget",),
        )
    first = 1
    while _bracket(lengths, first + 1, reduction).spent <= budget:
        first += 1
    return _filled(_bracket(lengths, first, reduction), budget)


def _bracket(lengths: tuple[int, ...], first: int, reduction: int) -> Plan:
    networks = [first]
    for _ in lengths[1:]:
        networks.append(max(1, networks[-1] // reduction))
    return Plan(rungs=lengths, networks=tuple(networks))


def _filled(found: Plan, budget: int) -> Plan:
    """Let more networks into the later rungs as long as the budget pays for it."""
    networks, left = list(found.networks), budget - found.spent
    for rung in range(len(networks) - 1, 0, -1):
        more = min(left // found.epochs(rung), networks[rung - 1] - networks[rung])
        networks[rung] += more
        left -= more * found.epochs(rung)
    return Plan(rungs=found.rungs, networks=tuple(networks))
