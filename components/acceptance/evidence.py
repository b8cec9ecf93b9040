"""What a decision rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from components.acceptance.predictions import Predictions
from components.acceptance.rules import TEST
from schemas.errors import InputError

LiveState = Literal["present", "itself", "first_run", "missing", "incompatible"]


@dataclass(frozen=True, kw_only=True)
class LiveEvidence:
    """The live model's side.

    Attributes:
        state: ``present``; ``itself``: the candidate is what is live; ``first_run``: nothing was
            ever live; ``missing``: something is, and it cannot be read or scored;
            ``incompatible``: it takes other inputs or has other classes.
        tables: Its predictions by the names of the candidate's tables; empty unless present.
        why: Why it is missing or incompatible.
    """

    state: LiveState
    tables: Mapping[str, Predictions] = field(default_factory=dict)
    why: str = ""

    def __post_init__(self) -> None:
        if (self.state == "present") != bool(self.tables):
            raise InputError(
                f"a live model that is present has tables of predictions, others have none; not "
                f"{self.state!r} with {sorted(self.tables)}"
            )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that `decide` looks at.

    Attributes:
        tables: The candidate's predictions by name, ``test`` first of all: one answer per example,
            as tests of a loss or of a comparison suppose. Forms of examples have other tables.
        costs: What the candidate costs, by name: a number, or all the measurements of a latency.
        live: The live model's predictions, or why there are none.
        files: Digest of the candidate's files (`components.tree`) whose costs these are; tables
            name theirs themselves.
    """

    tables: Mapping[str, Predictions]
    costs: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    live: LiveEvidence = field(default_factory=lambda: LiveEvidence(state="first_run"))
    files: str | None = None

    def __post_init__(self) -> None:
        for tables in (self.tables, self.live.tables):
            if (table := tables.get(TEST)) and table.examples != len(table.keys):
                raise InputError(
                    f"the table {TEST!r} must hold one answer per example, not {len(table.keys):,} "
                    f"about {table.examples:,}; put the forms of an example into another table"
                )
        for name, cost in self.costs.items():
            values = cost if isinstance(cost, Sequence) else [cost]
            if not all(math.isfinite(value) for value in values):
                raise InputError(
                    f"the cost {name} must be a number, not {cost!r}; leave out what was not "
                    "measured"
                )
