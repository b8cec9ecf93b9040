"""Who hears how a refresh ended: the ``notify:`` settings."""

import re
from typing import Literal

from pydantic import ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from schemas.errors import InputError

STRICT = ConfigDict(extra="forbid")

Status = Literal["pushed", "refused", "failed", "nothing_new"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_S = 3600


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Notify:
    """A command that gets the report on its standard input, or a webhook that it is posted to.

    ``command`` is a program and its arguments; no shell reads it. ``webhook_env`` names the
    environment variable that holds the URL: URLs hold secrets, and never stand in a recipe.
    ``on`` says at which ends of a refresh, ``timeout_s`` how many seconds it may take.
    """

    command: tuple[str, ...] | None = None
    webhook_env: str | None = None
    on: tuple[Status, ...] = ("pushed", "refused", "failed")
    timeout_s: float = 30.0

    @model_validator(mode="after")
    def _check(self) -> "Notify":
        if (self.command is None) == (self.webhook_env is None):
            given = "neither" if self.command is None else "both"
            raise InputError(
                f"notify takes exactly one of command and webhook_env, not {given}; e.g. command: "
                "[mail, -s, refresh, team@example.org]"
            )
        if self.command is not None:
            if not self.command or not self.command[0]:
                raise InputError(
                    f"command begins with a program, not {list(self.command)!r}; e.g. [mail, -s, "
                    "refresh, team@example.org]",
                    path=("command",),
                )
            if any("\0" in one for one in self.command):
                raise InputError(
                    f"command may hold no NUL character, but {list(self.command)!r} does; remove "
                    "it",
                    path=("command",),
                )
        if self.webhook_env is not None and not _VARIABLE.fullmatch(self.webhook_env):
            # whoever writes the URL here is not to find it in a log
            raise InputError(
                "webhook_env is the name of an environment variable (letters, digits, _), not the "
                "URL itself; write webhook_env: REFRESH_WEBHOOK, and set that variable to the URL",
                path=("webhook_env",),
            )
        if not self.on or len(set(self.on)) != len(self.on):
            raise InputError(
                f"on lists each end of a refresh once, and at least one, not {list(self.on)!r}; "
                "write [refused, failed], or leave notify out",
                path=("on",),
            )
        if not 0 < self.timeout_s <= _LONGEST_S:
            raise InputError(
                f"timeout_s is above 0 and at most {_LONGEST_S} seconds, not {self.timeout_s!r}; "
                "30 is usual",
                path=("timeout_s",),
            )
        return self
