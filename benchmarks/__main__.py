"""The command line: ``python -m benchmarks list | NAME | readme``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks import tables
from benchmarks.registry import BENCHMARKS, module_of, run
from benchmarks.result import load_result, write_result
from schemas.errors import EXIT_DONE, EXIT_FAILED, InputError, RefineryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.name == "list":
            return _list(names_only=options.names)
        if options.name == "readme":
            return _readme(check=options.check)
        return _run(options.name, quick=options.quick, as_json=options.json)
    except RefineryError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", metavar="list | readme | NAME", help="what to do, or to measure")
    parser.add_argument("--names", action="store_true", help="list: bare names, one a line")
    parser.add_argument("--check", action="store_true", help="readme: only say whether it agrees")
    parser.add_argument(
        "--quick", action="store_true", help="NAME: under a minute, same keys, writes nothing"
    )
    parser.add_argument("--json", action="store_true", help="NAME: print the result as JSON")
    return parser


def _list(*, names_only: bool) -> int:
    for name, summary in BENCHMARKS.items():
        print(name if names_only else f"{name:<14} {summary}")
        if not names_only:
            for key, (unit, meaning) in module_of(name).FIGURES.items():
                print(f"  {key:<26} {meaning}{f' ({unit})' if unit else ''}")
    return EXIT_DONE


def _readme(*, check: bool) -> int:
    if not tables.README.is_file():
        raise InputError("README.md: no such file.")
    before = tables.README.read_text("utf-8")
    after = tables.updated(before, BENCHMARKS, load_result)
    if before == after:
        print("README.md agrees with benchmarks/results")
        return EXIT_DONE
    if check:
        print("README.md differs from benchmarks/results; run `python -m benchmarks readme`.")
        return EXIT_FAILED
    tables.README.write_text(after, "utf-8")
    print("README.md renewed")
    return EXIT_DONE


def _run(name: str, *, quick: bool, as_json: bool) -> int:
    result = run(name, quick=quick)
    if not quick:
        print(f"wrote {write_result(result)}", file=sys.stderr)
    print(json.dumps(result.to_json(), indent=1) if as_json else tables.render(result), end="")
    if as_json:
        print()
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
