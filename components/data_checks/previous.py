"""The last accepted dataset, which the next is compared with: its profile, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from components.data_checks.profiles import DatasetProfile


@dataclass(frozen=True, kw_only=True)
class Previous:
    """What a dataset is compared with.

    Attributes:
        state: ``present``; ``first_run``: no dataset was accepted before; ``missing``: one was, or
            may have been, and nothing that can be trusted tells what it looked like.
        profile: Where it is present.
        why: Why there is none.
    """

    state: Literal["present", "first_run", "missing"]
    profile: DatasetProfile | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        kept = self.profile.to_json() if self.profile else None
        return {"state": self.state, "profile": kept, "why": self.why}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Previous:
        """Read what `to_json` wrote."""
        kept = DatasetProfile.from_json(data["profile"]) if data["profile"] else None
        return cls(state=data["state"], profile=kept, why=data["why"])


FIRST_RUN = Previous(state="first_run", why="no dataset was accepted before")
