"""A table with a row per part and a column per figure, for figures that share their parts."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.result import Figure, Spread


def table_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Return the Markdown lines: medians, with the ends of the runs behind ratios."""
    heads = [f"{one.summary} ({one.unit})" if one.unit else one.summary for one in figures.values()]
    names = dict.fromkeys(name for one in figures.values() for name in one.parts or {})
    rows = [
        [name, *(_cell((one.parts or {}).get(name), one.unit) for one in figures.values())]
        for name in names
    ]
    cells = [["median", *heads], ["---", *("---:" for _ in heads)], *rows]
    return [f"| {' | '.join(row)} |" for row in cells]


def _cell(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return ""
    if unit != "times":
        return f"{spread.median:,.0f}"
    return f"{spread.median:.2f} ({spread.min:.2f} to {spread.max:.2f})"
