"""Results as Markdown, and the README's tables between their markers.

A table stands between ``<!-- benchmarks:NAME -->`` and ``<!-- /benchmarks:NAME -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.registry import module_of
from benchmarks.result import Figure, Result, Spread
from schemas.errors import InputError

README = Path(__file__).resolve().parent.parent / "README.md"
_BLOCK = re.compile(
    r"<!-- benchmarks:(?P<name>\w+) -->\n(?P<body>.*?)<!-- /benchmarks:\1 -->", re.S
)


def render(result: Result) -> str:
    """Return a result as a Markdown table, with its conditions below.

    A benchmark's module may have ``table_lines(figures)`` where medians do not tell enough.
    """
    lines_of = getattr(module_of(result.benchmark), "table_lines", _table_lines)
    lines = lines_of(result.figures)
    machine = result.machine
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}"
    lines += ["", f"Measured {result.date} by `{result.command}` on {where}.", ""]
    lines += [f"- {name}: {text}" for name, text in result.conditions.items()]
    return "\n".join(lines) + "\n"


def updated(readme: str, names: Iterable[str], load: Callable[[str], Result]) -> str:
    """Return the text of a README with every benchmark's table renewed.

    Args:
        readme: The text as it is.
        names: The benchmarks that it must show.
        load: Returns the committed result of a benchmark.

    Raises:
        InputError: A benchmark has no markers, or markers name no benchmark.
    """
    wanted, shown = set(names), {match["name"] for match in _BLOCK.finditer(readme)}
    for name in sorted(wanted - shown):
        raise InputError(
            f"README.md has no table of the benchmark {name!r}; put `<!-- benchmarks:{name} -->` "
            f"and `<!-- /benchmarks:{name} -->` on lines of their own where it belongs."
        )
    for name in sorted(shown - wanted):
        raise InputError(f"README.md has a table of {name!r}, which is no benchmark; remove it.")

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- benchmarks:{name} -->\n{render(load(name))}<!-- /benchmarks:{name} -->"

    return _BLOCK.sub(block, readme)


def _table_lines(figures: Mapping[str, Figure]) -> list[str]:
    lines = ["| figure | median | min to max | runs |", "|---|---:|---:|---:|"]
    for figure in figures.values():
        for label, spread in _rows(figure):
            ends = f"{_number(spread.min)} to {_number(spread.max)}"
            median = f"{_number(spread.median)} {figure.unit}".rstrip()
            lines.append(f"| {label} | {median} | {ends} | {len(spread.runs)} |")
    return lines


def _rows(figure: Figure) -> Iterator[tuple[str, Spread]]:
    if figure.total is not None:
        yield figure.summary, figure.total
    for part, spread in (figure.parts or {}).items():
        yield f"{figure.summary}: {part}", spread


def _number(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
