"""What all commands of the command line share: usage errors, common flags, slips of the pen."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from schemas.errors import EXIT_BAD_INPUT, InputError, unknown_name

EPILOG = """exit status:
  0  done, or nothing to do
  1  failed
  2  bad usage, recipe or input
  3  a gate refused to push
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like every other error of this program."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = "command" if action.dest == "command" else f"value of {action.dest}"
            raise argparse.ArgumentError(None, unknown_name(what, value, action.choices))

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with status 2."""
        self.exit(EXIT_BAD_INPUT, f"error: {message}\ntry: {self.prog} --help\n")


def command(
    commands: Any,
    name: str,
    handler: Any,
    summary: str,
    *,
    beam_flags: bool = False,
    when_interrupted: str = "",
) -> argparse.ArgumentParser:
    """Add a command to a parser's subparsers.

    Args:
        commands: What ``add_subparsers`` returned.
        name: Of the command.
        handler: Called with the parsed arguments; returns the exit status.
        summary: One line for the help, lower case, without a full stop.
        beam_flags: Whether flags that nobody here knows are Beam's.
        when_interrupted: What to say after Ctrl-C.
    """
    epilog = "Any other flag is passed on to Apache Beam (--runner, --direct_num_workers, ...)."
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog if beam_flags else None,
        allow_abbrev=False,
    )
    parser.add_argument("--verbose", action="store_true", help="show what the libraries say")
    parser.set_defaults(
        handler=handler,
        takes_beam_flags=beam_flags,
        when_interrupted=when_interrupted,
        own_flags=parser._option_string_actions,  # a view: flags are yet to come
    )
    return parser


def check_own(beam_flags: Sequence[str], own: Collection[str]) -> None:
    """Refuse what is a slip of our own flags rather than one of Beam's.

    Raises:
        InputError: with the flag that was meant.
    """
    for flag in beam_flags:
        name = flag.split("=")[0]
        near = difflib.get_close_matches(name, own, n=1, cutoff=0.85)
        meant = near or [one for one in own if len(name) > 3 and one.startswith(name)]
        if meant:
            raise InputError(f"unknown flag {name!r}. Did you mean {meant[0]}?")
