"""What predictions look like part by part: reported always, gated only if a recipe asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from components.acceptance.limits import shares
from components.acceptance.predictions import Predictions
from components.acceptance.proportions import lower_bound
from components.acceptance.rules import TEST, Rule
from schemas.report import PartRow


def parts(
    tables: Mapping[str, Predictions], alpha: float
) -> tuple[tuple[PartRow, ...], tuple[PartRow, ...]]:
    """Return `slice_rows` of the originals and `corruption_rows` of the other tables."""
    others = {name: table for name, table in tables.items() if name != TEST}
    slices = slice_rows(tables[TEST], alpha) if TEST in tables else ()
    return slices, corruption_rows(others, alpha)


def alpha_of(rules: Iterable[Rule]) -> float:
    """Return the strictest level of some rules; 0.05 where there are none."""
    return min((one.alpha for one in rules), default=0.05)


def slice_rows(table: Predictions, alpha: float) -> tuple[PartRow, ...]:
    """Return the accuracy of every slice, classes included, in order of their names.

    Args:
        table: Answers to the originals, with their slices.
        alpha: Level of the lower bounds.
    """
    parts = ((name, table.only(name)) for name in table.slice_names())
    return tuple(_row(name, part, alpha) for name, part in parts if part.examples)


def corruption_rows(tables: Mapping[str, Predictions], alpha: float) -> tuple[PartRow, ...]:
    """Return the accuracy on the corrupted examples: each table as a whole, then its families.

    Args:
        tables: By name, such as ``unseen_corruptions``; variants are ``FAMILY/SEVERITY``.
        alpha: Level of the lower bounds.
    """
    return tuple(_corruptions(tables, alpha))


def _corruptions(tables: Mapping[str, Predictions], alpha: float) -> Iterator[PartRow]:
    for name, table in sorted(tables.items()):
        yield _row(name, table, alpha)
        for family in _families(table.variants):
            yield _row(f"{name}/{family}", table.of_family(family), alpha)


def _families(variants: Iterable[str]) -> list[str]:
    return sorted({one.split("/")[0] for one in variants})


def _row(name: str, part: Predictions, alpha: float) -> PartRow:
    right = float(shares(part).sum())
    return PartRow(
        name=name,
        examples=part.examples,
        accuracy=right / part.examples,
        bound=lower_bound(right, part.examples, alpha),
    )
