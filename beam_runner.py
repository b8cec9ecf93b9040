"""The command line of beam-refinery: materialize datasets, refresh models, look at both.

Heavy libraries are imported inside the handlers: ``--help`` and ``list`` load none of TensorFlow,
Beam and TFX.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from components.serving.arguments import (
    history_arguments,
    mirror_arguments,
    refresh_arguments,
    rollback_arguments,
    trust_arguments,
)
from pipelines.command_line import EPILOG, Parser, check_own, command
from pipelines.quiet import lasting, quiet
from schemas.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    InputError,
    RefineryError,
)
from schemas.profiles import PROFILES

EXIT_INTERRUPTED = 130
DEFAULT_OUTPUT = "data"
_SHOWN_KEYS = 8
_SHOWN_TEXTS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    with redirect_stdout(lasting(sys.stdout)), redirect_stderr(lasting(sys.stderr)):
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args, rest = _parser().parse_known_args(arguments)
        if rest and not args.takes_beam_flags:
            raise InputError(
                f"unrecognized arguments: {' '.join(rest)} (see `{args.command} --help`)."
            )
        check_own(rest, args.own_flags)
    except RefineryError as error:
        return _fail(error, sys.stderr)
    except SystemExit as stop:  # argparse: --help, or usage that it refused
        return int(stop.code or 0)
    try:
        args.beam_flags = rest
        status = int(args.handler(args))
        sys.stdout.flush()  # so that a full disk shows here
        return status
    except KeyboardInterrupt:
        print(f"interrupted. {args.when_interrupted}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except RefineryError as error:
        if args.verbose:
            traceback.print_exc()
        return _fail(error, sys.stderr)
    except Exception as error:  # a defect: say what, and how to see where
        if args.verbose:
            traceback.print_exc()
        hint = "" if args.verbose else " (--verbose shows where)"
        print(f"error: unexpected {type(error).__name__}: {error}{hint}", file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="beam_runner.py",
        description="Reproducible training sets and gated model refreshes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = command(commands, "list", _list, "what recipes, ops, sources and stages there are")
    listing.add_argument(
        "what", nargs="?", choices=("recipes", "ops", "sources", "stages"), help="default: all"
    )

    materialize = command(
        commands,
        "materialize",
        _materialize,
        "augment a dataset and write its shards",
        beam_flags=True,
        when_interrupted="Finished shards are kept; the same command resumes.",
    )
    _recipe_arguments(materialize, "RECIPE", "name of a shipped recipe, or path of a YAML file")
    materialize.add_argument(
        "--output",
        default=DEFAULT_OUTPUT,
        metavar="DIR",
        help="datasets go to DIR/<recipe>/<fingerprint> (default: %(default)s)",
    )

    verify = command(
        commands, "verify", _verify, "re-hash a dataset, or prove every version of a serving folder"
    )
    verify.add_argument("dataset", metavar="DATASET_DIR|SERVING_DIR")
    verify.add_argument("--json", action="store_true", help="print the verdict as JSON")
    trust_arguments(verify)

    show = command(commands, "show", _show, "counts, ops, and originals beside their copies")
    show.add_argument("dataset", metavar="DATASET_DIR")
    show.add_argument("--key", help="show the stored copies of this example")
    show.add_argument(
        "--sheet",
        metavar="FILE",
        help="where the contact sheet of an image dataset goes (default: <recipe>-sheet.png here)",
    )

    replay = command(
        commands, "replay", _replay, "recompute a stored example from its source and compare"
    )
    replay.add_argument("dataset", metavar="DATASET_DIR")
    replay.add_argument("key", metavar="KEY")
    replay.add_argument("copy", metavar="COPY", type=int)

    rollback = command(
        commands, "rollback", _rollback, "make the model of an earlier version live again"
    )
    rollback_arguments(rollback)

    mirror = command(
        commands,
        "mirror",
        _mirror,
        "copy what a serving folder serves to a bucket or another folder",
        when_interrupted="What is live there is whole; the same command goes on.",
    )
    mirror_arguments(mirror)

    history = command(commands, "history", _history, "pushes, refusals and roll-backs")
    history_arguments(history)

    refresh = command(
        commands,
        "refresh",
        _refresh,
        "train, distil, prune, evaluate and push a model if the gates pass",
        beam_flags=True,
        when_interrupted="Finished steps are kept; the same command resumes.",
    )
    _recipe_arguments(refresh, "RECIPE|DATASET_DIR", "a recipe, or a materialized dataset")
    refresh.add_argument(
        "--root", required=True, metavar="DIR", help="metadata, artifacts and served models"
    )
    refresh.add_argument("--profile", choices=PROFILES, default="full", help="default: %(default)s")
    refresh.add_argument(
        "--output",
        default=DEFAULT_OUTPUT,
        metavar="DIR",
        help="where a missing dataset is materialized first (default: %(default)s)",
    )
    refresh_arguments(refresh)
    return parser


def _recipe_arguments(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    parser.add_argument("recipe", metavar=metavar, help=text)
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the recipe, e.g. copies=1 or source.data_dir=/data; repeatable",
    )


def _list(args: argparse.Namespace) -> int:
    from pipelines.listings import LISTINGS

    for what in [args.what] if args.what else list(LISTINGS):
        rows = LISTINGS[what]()
        width = max(len(name) for name, _ in rows)
        print(f"{what}:")
        for name, text in rows:
            print(f"  {name:<{width}}  {text}")
    return EXIT_DONE


def _materialize(args: argparse.Namespace) -> int:
    from schemas.recipe import load_recipe

    file = load_recipe(args.recipe, args.settings)
    with quiet(verbose=args.verbose) as terminal:
        _build_dataset(file, args, terminal)
    return EXIT_DONE


def _build_dataset(file: Any, args: argparse.Namespace, terminal: TextIO) -> str:
    """Materialize a recipe, say what happened, and return the dataset's path."""
    from pipelines.dataset.materialize import materialize
    from pipelines.dataset.plan import make_plan
    from pipelines.dataset.show import guards

    plan = make_plan(file, args.output)
    for note in plan.notes:
        print(note, file=terminal)
    outcome = materialize(plan, args.beam_flags, stream=terminal)
    manifest = outcome.manifest
    if outcome.status == "up_to_date":
        print(f"up to date: {outcome.path} ({manifest.examples:,} examples, verified)")
    else:
        rate = manifest.examples / max(outcome.seconds, 1e-9)
        print(
            f"wrote {manifest.examples:,} examples in {outcome.seconds:.1f} s "
            f"({rate:,.0f} examples/s) to {outcome.path}"
        )
        if manifest.counts["quarantined"]:
            print(f"quarantined {manifest.counts['quarantined']:,} bad records (see quarantine/)")
        for line in guards(manifest):
            print(line.strip())
    print(f"digest {manifest.digest}")
    return outcome.path


def _verify(args: argparse.Namespace) -> int:
    from components.serving.commands import is_serving_folder, run_verify
    from pipelines.dataset.verify import verify

    if is_serving_folder(args.dataset):
        return run_verify(args)
    verdict = verify(args.dataset)
    if args.json:
        print(json.dumps(verdict.to_json(), indent=1))
    elif verdict.ok and verdict.manifest is not None:
        print(f"ok: {verdict.manifest.examples:,} examples, digest {verdict.manifest.digest}")
    else:
        for problem in verdict.problems:
            print(problem)
        print(f"not ok: {len(verdict.problems)} problems; `materialize` builds the dataset again")
    return EXIT_DONE if verdict.ok else EXIT_FAILED


def _rollback(args: argparse.Namespace) -> int:
    from components.serving.commands import run_rollback

    return run_rollback(args)


def _mirror(args: argparse.Namespace) -> int:
    from components.serving.commands import run_mirror

    with quiet(verbose=args.verbose):  # clients of object stores tell of every retry
        return run_mirror(args)


def _history(args: argparse.Namespace) -> int:
    from components.serving.commands import run_history

    return run_history(args)


def _show(args: argparse.Namespace) -> int:
    from pipelines.dataset import files
    from pipelines.dataset.lookup import find, first_keys, open_manifest
    from pipelines.dataset.show import contact_sheet, summary

    manifest = open_manifest(args.dataset)
    is_text = manifest.schema.modality == "text"
    if args.key:
        keys = [args.key]
    else:
        print(summary(args.dataset, manifest))
        keys = first_keys(args.dataset, _SHOWN_TEXTS if is_text else _SHOWN_KEYS)
    groups = [find(args.dataset, manifest, key) for key in keys]
    if is_text:
        for group in groups:
            _print_texts(group, manifest.schema.label_names)
        return EXIT_DONE
    if not groups:  # an empty training split
        return EXIT_DONE
    for group in groups:
        for one in group if args.key else group[:1]:
            label = manifest.schema.label_names[one.label]
            print(f"  {one.key} copy {one.copy} [{label}] {'; '.join(one.ops) or 'original'}")
    sheet = args.sheet or f"{manifest.name}-sheet.png"
    files.write_atomic(str(Path(sheet).absolute()), contact_sheet(groups))
    print(f"contact sheet (originals left): {sheet}")
    return EXIT_DONE


def _print_texts(group: Sequence[Any], label_names: Sequence[str]) -> None:
    from pipelines.dataset.show import text_diff

    original = group[0]
    print(f"\n{original.key} [{label_names[original.label]}]\n  {original.value}")
    for one in group[1:]:
        print(f"  copy {one.copy}: {'; '.join(one.ops) or 'unchanged'}")
        print(f"  {text_diff(original.value, one.value, colour=sys.stdout.isatty())}")


def _replay(args: argparse.Namespace) -> int:
    from pipelines.dataset.lookup import replay

    result = replay(args.dataset, args.key, args.copy)
    name = f"{args.key} copy {args.copy}"
    print(f"{name}: {'; '.join(result.stored.ops) or 'original'}")
    for difference in result.differences:
        print(f"note: {difference}")
    if result.equal:
        print(f"equal: recomputed from the source, {len(result.stored.record)} bytes")
        return EXIT_DONE
    print(f"DIFFERENT: the stored example is not what its recipe gives now ({result.ops})")
    return EXIT_FAILED


def _refresh(args: argparse.Namespace) -> int:
    from components import notify
    from pipelines.refresh import check_place_of, run_refresh, tell_failed
    from schemas.manifest import MANIFEST, load_manifest
    from schemas.recipe import load_recipe, parse_recipe, shipped

    if args.recipe not in shipped() and Path(args.recipe).is_dir():
        if args.settings or args.beam_flags:
            raise InputError("--set and Beam flags go with a recipe, not with a finished dataset.")
        dataset = args.recipe
        manifest = load_manifest(dataset)
        file = parse_recipe(manifest.recipe, origin=str(Path(dataset) / MANIFEST))
    else:
        file = load_recipe(args.recipe, args.settings)
        if file.recipe.refresh is None:
            raise file.located(InputError("the recipe has no refresh section; add one."))
        if file.recipe.refresh.notify is not None:
            notify.check(file.recipe.refresh.notify)
        try:
            check_place_of(file.recipe, Path(args.root), args.profile, unsigned=args.unsigned)
            with quiet(verbose=args.verbose) as terminal:
                dataset = _build_dataset(file, args, terminal)
        except Exception as error:
            tell_failed(file.recipe, args.profile, error)
            raise
    outcome = run_refresh(
        recipe=file.recipe,
        dataset_dir=Path(dataset),
        root=Path(args.root),
        profile=args.profile,
        verbose=args.verbose,
        unsigned=args.unsigned,
    )
    print(outcome.summary)
    return outcome.exit_code


def _fail(error: RefineryError, stream: TextIO) -> int:
    print(f"error: {error}", file=stream)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
