"""Families of corruptions: what they are, their random numbers, and which a policy has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipelines.augment.calls import OpCall
from pipelines.augment.draws import Draws
from pipelines.augment.policy import Policy
from schemas.errors import InputError
from schemas.probes import SEVERITIES

Corrupt = Callable[[Any, int, Draws], Any]

SEED_NAME = "probe"
"""First name of every stream of a probe; no op or policy draws from a stream of that name."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of corruption at five severities.

    Attributes:
        name: As in ``schemas.probes``.
        summary: One sentence for listings.
        ops: Names of the training ops that make examples of this kind: a policy that may apply one
            of them has seen the family.
        corrupt: ``(batch, severity, draws) -> batch`` of the same length, types and shape, with a
            generator per row. The batch is not changed, and row ``i`` of the result depends on row
            ``i`` of the batch and of ``draws`` alone.
        version: Raised with every change of the result.
    """

    name: str
    summary: str
    ops: tuple[str, ...]
    corrupt: Corrupt
    version: int = 1

    def apply(self, batch: Any, keys: Sequence[str], *, severity: int, seed: int) -> Any:
        """Return the corrupted batch; a row depends on itself, its key and the scalars alone.

        Args:
            batch: ``uint8[N, H, W, C]`` images or N texts. Never changed.
            keys: One stable key per row.
            severity: 1 (least) to 5.
            seed: Seed of the recipe, in ``[0, 2**64)``.

        Raises:
            InputError: If the severity or the seed is out of range, or a key is missing.
        """
        if len(keys) != len(batch):
            raise InputError(f"a key per row is needed, got {len(keys)} for {len(batch)} rows")
        return self.corrupt(batch, severity, probe_draws(self.name, keys, severity, seed))


def probe_draws(family: str, keys: Sequence[str], severity: int, seed: int) -> Draws:
    """Return the generators of one family and severity, apart from all that training draws.

    They belong to copy 0, which training leaves as it is, and to streams of their own name.

    Raises:
        InputError: If the severity or the seed is out of range.
    """
    check_severity(severity)
    root = Draws.root(seed, keys, 0).stream(SEED_NAME)
    return root.stream(family).stream(f"severity {severity:d}")


def check_severity(severity: int) -> None:
    """Refuse what is not a severity.

    Raises:
        InputError: If it is none of 1 to 5.
    """
    if severity not in SEVERITIES:
        raise InputError(f"a severity is 1 (least) to 5, not {severity}: choose one of them")


def seen(families: Mapping[str, Family] | Iterable[Family], policy: Policy) -> frozenset[str]:
    """Return the names of the families that examples made by ``policy`` may show a model.

    One call is enough, however rare or weak. Calls that cannot happen (probability, weight or
    strength 0) do not count; those inside of an op that applies others, such as augmix, do.
    """
    applied = ops_of(policy)
    some = families.values() if isinstance(families, Mapping) else families
    return frozenset(one.name for one in some if not applied.isdisjoint(one.ops))


def ops_of(policy: Policy) -> frozenset[str]:
    """Return the names of all ops that a policy may apply, in every branch and inside of ops."""
    return frozenset(_ops_of(policy))


def _ops_of(policy: Policy) -> Iterator[str]:
    for branch in policy.branches:
        if not branch.weight:
            continue
        for slot in branch.slots:
            for call, weight in zip(slot.choices, slot.weights, strict=True):
                if weight and _may_act(call):
                    yield call.op
                    inside = INNER.get(call.op)
                    if inside is not None:
                        yield from _ops_of(inside(**call.resolved().setting_values()))


def _may_act(call: OpCall) -> bool:
    """Tell whether a call can change a row: never at probability 0 or at strength 0."""
    strength = call.strength if isinstance(call.strength, tuple) else (call.strength,) * 2
    return call.probability > 0 and max(strength[:2]) > 0


def _chain_of_augmix(*, depth: int, severity: int, **_settings: Any) -> Policy:
    from pipelines.augment.image.augmix import chain

    return chain(depth, severity)


INNER: Mapping[str, Callable[..., Policy]] = MappingProxyType({"augmix": _chain_of_augmix})
"""Ops that apply other ops, to the policy of those, given the settings of the call."""
