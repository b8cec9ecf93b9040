"""What a benchmark found: figures over repeated runs, and all that they depend on."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from schemas.errors import FailedError, InputError
from schemas.validation import validated

RESULTS = Path(__file__).resolve().parent / "results"
_FORBID = ConfigDict(extra="forbid")
_DIGITS = 4

Runs = Sequence[float]


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class Spread:
    """One quantity over its runs, in the order they were made."""

    median: float
    min: float
    max: float
    runs: list[float] = Field(min_length=1)

    @classmethod
    def over(cls, runs: Runs) -> Spread:
        """Summarise runs, rounded to what a table can show."""
        values = [_rounded(float(run)) for run in runs]
        return cls(
            median=_rounded(statistics.median(values)),
            min=min(values),
            max=max(values),
            runs=values,
        )

    @model_validator(mode="after")
    def _check(self) -> Spread:
        if (self.min, self.max) != (min(self.runs), max(self.runs)) or self.median != _rounded(
            statistics.median(self.runs)
        ):
            raise ValueError(f"median, min and max must be those of the runs {self.runs}")
        return self


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class Figure:
    """A figure with its unit: one spread, or one per part (per node, per op)."""

    summary: str
    unit: str
    total: Spread | None = None
    parts: dict[str, Spread] | None = None

    @model_validator(mode="after")
    def _check(self) -> Figure:
        if (self.total is None) == (self.parts is None):
            raise ValueError("a figure has either a total or parts")
        return self


@dataclass(frozen=True, kw_only=True, config=_FORBID)
class Result:
    """The content of ``benchmarks/results/NAME.json``.

    Attributes:
        benchmark: Its name.
        command: What measured it.
        date: ISO date.
        machine: CPU model, cores, memory, system.
        versions: Python and libraries.
        seeds: Every seed in play.
        conditions: Dataset, policy, sizes, runner and what is compared with what.
        figures: By key.
    """

    benchmark: str
    command: str
    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    seeds: dict[str, int]
    conditions: dict[str, str]
    figures: dict[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        data = asdict(self)
        for figure in data["figures"].values():
            del figure["parts" if figure["parts"] is None else "total"]
        return data


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark module returns.

    Attributes:
        runs: Per key of its ``FIGURES`` the value of every run, or those of every part.
        conditions: As in `Result`.
        seeds: As in `Result`.
    """

    runs: dict[str, list[float] | dict[str, list[float]]]
    conditions: dict[str, str]
    seeds: dict[str, int]


def figures_of(
    declared: Mapping[str, tuple[str, str]], runs: Mapping[str, Any]
) -> dict[str, Figure]:
    """Return the figures of runs, in declared order.

    Raises:
        FailedError: The keys are not those declared.
    """
    if set(declared) != set(runs):
        raise FailedError(f"measured {sorted(runs)}, but FIGURES declares {sorted(declared)}.")
    figures = {}
    for key, (unit, summary) in declared.items():
        values = runs[key]
        if isinstance(values, Mapping):
            spreads = {part: Spread.over(some) for part, some in values.items()}
            figures[key] = Figure(summary=summary, unit=unit, parts=spreads)
        else:
            figures[key] = Figure(summary=summary, unit=unit, total=Spread.over(values))
    return figures


def result_path(name: str) -> Path:
    """Return where the committed result of a benchmark lies."""
    return RESULTS / f"{name}.json"


def write_result(result: Result) -> Path:
    """Write a result where `load_result` finds it, and return the path."""
    path = result_path(result.benchmark)
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(result.to_json(), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")
    return path


def load_result(name: str) -> Result:
    """Read and validate the committed result of a benchmark.

    Raises:
        InputError: It was never measured, or the file breaks the schema.
    """
    path = result_path(name)
    if not path.is_file():
        raise InputError(f"{path.name}: not measured yet; run `python -m benchmarks {name}`.")
    try:
        result = validated(Result, json.loads(path.read_text("utf-8")))
    except (InputError, ValueError) as error:
        raise InputError(
            f"{path.name}: {error} Run `python -m benchmarks {name}` again."
        ) from error
    return result


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
