"""Run a plan: lock, look at what is there, build what is missing, check that it was published."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from filelock import Timeout

from pipelines.dataset import files, store
from pipelines.dataset.plan import Plan
from pipelines.dataset.progress import Progress
from pipelines.dataset.sources import keep
from pipelines.dataset.verify import verify
from pipelines.dataset.workers import watched
from schemas.errors import FailedError, InputError
from schemas.locks import held
from schemas.manifest import MANIFEST, Manifest, parse_manifest

DEFAULT_RUNNER = "FnApiRunner"
_SHOWN_PROBLEMS = 5
_OWN_ERROR = re.compile(r"^(?:schemas\.errors\.)?(Failed|Input)Error: (.*)$", re.MULTILINE)
_STEP = re.compile(r" \[while running '.*?'\]")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did.

    Attributes:
        status: ``built``, or ``up_to_date`` when the verified dataset was already there.
        path: The dataset directory.
        manifest: Its manifest.
        resumed: Shards taken over from an interrupted run.
        seconds: Time spent building.
    """

    status: Literal["built", "up_to_date"]
    path: str
    manifest: Manifest
    resumed: int
    seconds: float


def materialize(
    plan: Plan, beam_flags: Sequence[str] = (), *, stream: TextIO | None = None
) -> Outcome:
    """Build the dataset of a plan, or find it finished, or resume it.

    Args:
        plan: What to build.
        beam_flags: Flags for Beam (``--runner``, ``--direct_num_workers``, …).
        stream: Where progress is written; standard error by default.

    Raises:
        InputError: Bad records, damaged sources, wrong Beam flags, an output in use, an inferred
            schema that cannot be written.
        FailedError: The run failed; what is finished is kept and resumed.
    """
    stream = stream or sys.stderr
    options = pipeline_options(beam_flags)
    output = plan.job.output
    files.make_folder(output)
    if not files.is_writable(output) and (existing := _verified(output)) is not None:
        return _up_to_date(output, existing)
    with _locked(output), store.staged(output) as staging:
        plan = dataclasses.replace(plan, job=dataclasses.replace(plan.job, staging=staging))
        _clean(plan)
        if plan.new_schema is not None:
            keep(*plan.new_schema)
        existing = _existing(plan, stream)
        if existing is not None:
            return _up_to_date(output, existing)
        done = store.finished(plan.job, plan.tasks)
        if done:
            print(f"resuming: {len(done)} of {plan.shards} shards are finished", file=stream)
        else:
            files.remove_tree(files.join(output, store.QUARANTINE))
        todo = store.remaining(plan.job, plan.tasks, done)
        start = time.monotonic()
        with Progress(plan, already=len(done), stream=stream):
            _run(plan, todo, options)
        manifest = _published(plan)
        files.remove_tree(files.join(output, store.WORK))
        return Outcome(
            status="built",
            path=output,
            manifest=manifest,
            resumed=len(done),
            seconds=time.monotonic() - start,
        )


def pipeline_options(flags: Sequence[str]) -> Any:
    """Return Beam's options; several direct workers are processes unless flagged otherwise.

    Raises:
        InputError: Beam knows no such flag, or its value is wrong.
    """
    import argparse

    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    parser = _BeamArgumentParser(allow_abbrev=False, exit_on_error=False, add_help=False)
    for kind in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):  # two option classes share a flag
            kind._add_argparse_args(parser)
    try:
        known, unknown = parser.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise InputError(f"Beam refuses a flag: {error}.") from error
    if unknown:
        names = [name for action in parser._actions for name in action.option_strings]
        close = difflib.get_close_matches(unknown[0].split("=")[0], names, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InputError(f"neither this command nor Beam knows {unknown[0]!r}.{hint}")
    _check_runner(known.runner or DEFAULT_RUNNER)
    extra = []
    if known.runner in (None, DEFAULT_RUNNER):
        extra = [] if known.runner else [f"--runner={DEFAULT_RUNNER}"]
        mode_given = any(flag.startswith("--direct_running_mode") for flag in flags)
        if (known.direct_num_workers or 1) != 1 and not mode_given:
            extra.append("--direct_running_mode=multi_processing")
    return PipelineOptions([*flags, *extra])


def _check_runner(name: str) -> None:
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(name)
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        raise InputError(f"--runner={name}: {error}") from error


def _run(plan: Plan, todo: list[Any], options: Any) -> None:
    import apache_beam as beam

    from pipelines.dataset.build import Materialize

    problems = files.join(plan.job.output, store.WORK, store.PROBLEMS)
    files.remove(problems)
    try:
        with watched(), beam.Pipeline(options=options) as pipeline:
            pipeline | "Materialize" >> Materialize(plan, todo)
    except Exception as error:  # a runner may raise anything
        raise translated(error) from error
    if files.exists(problems):
        lines = files.read_bytes(problems).decode("utf-8").splitlines()
        more = len(lines) - _SHOWN_PROBLEMS
        raise InputError(
            "; ".join(lines[:_SHOWN_PROBLEMS]) + (f" (and {more} more slices)" if more > 0 else "")
        )


def translated(error: Exception) -> BaseException:
    """Return what a runner's exception means: Beam renames, annotates and quotes ours as text."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):  # it hit a task that ran in this process
            return KeyboardInterrupt()
        cause = cause.__cause__ or cause.__context__
    text = _STEP.sub("", str(error))
    quoted = _OWN_ERROR.findall(text)
    if isinstance(error, InputError | FailedError):
        is_input, reason = isinstance(error, InputError), text
    elif quoted:
        is_input, reason = quoted[-1][0] == "Input", quoted[-1][1]
    else:
        is_input, reason = False, f"{type(error).__name__}: {text}"
    if is_input:
        return InputError(reason)
    return FailedError(f"{reason} Finished shards are kept; the same command resumes.")


def _up_to_date(output: str, manifest: Manifest) -> Outcome:
    return Outcome(status="up_to_date", path=output, manifest=manifest, resumed=0, seconds=0.0)


def _verified(output: str) -> Manifest | None:
    """Return the manifest of a dataset that nobody can write to, where it is whole."""
    if not files.exists(files.join(output, MANIFEST)):
        return None
    verdict = verify(output)
    return verdict.manifest if verdict.ok else None


def _existing(plan: Plan, stream: TextIO) -> Manifest | None:
    """Return the manifest of the finished dataset, if it verifies."""
    output = plan.job.output
    if not files.exists(files.join(output, MANIFEST)):
        return None
    verdict = verify(output)
    if verdict.ok and verdict.manifest is not None:
        files.remove_tree(files.join(output, store.WORK))
        return verdict.manifest
    print(f"the dataset is damaged ({verdict.problems[0]}); building it again", file=stream)
    files.remove(files.join(output, MANIFEST))
    return None


def _published(plan: Plan) -> Manifest:
    path = files.join(plan.job.output, MANIFEST)
    if not files.exists(path):
        raise FailedError("the run ended without a manifest; run the same command again to resume.")
    return parse_manifest(files.read_bytes(path), path)


def _clean(plan: Plan) -> None:
    """Delete what a killed run left half-written; refuse what is not this dataset's.

    Raises:
        InputError: A foreign file: readers that list the folder would take it for data.
    """
    output = plan.job.output
    for path in files.sizes(output):
        if path.rsplit("/", 1)[-1].startswith(files.TEMPORARY):
            files.remove(files.join(output, path))
    foreign = [
        path
        for path in store.stray_files(output, store.expected_files(plan.job, plan.tasks))
        if not path.startswith(f"{store.QUARANTINE}/")
    ]
    if foreign:
        raise InputError(
            f"{output} holds {foreign[0]!r}, which is no part of the dataset "
            f"({len(foreign)} such files in all). Move them elsewhere."
        )


@contextlib.contextmanager
def _locked(output: str) -> Iterator[None]:
    """Hold the output for this process (local file systems only: object stores have no locks)."""
    if files.is_remote(output):
        yield
        return
    path = Path(output) / store.LOCK
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(path, wait=False))
            path.write_text(f"{os.getpid()}\n")
        except Timeout as error:
            holder = path.read_text().strip() or "unknown"
            raise InputError(
                f"{output} is being written by another job (process {holder}); wait for it to "
                "end, or choose another --output."
            ) from error
        except OSError as error:
            raise InputError(
                f"cannot write in {output}: {error.strerror}. Choose another --output."
            ) from error
        try:
            yield
        finally:
            path.write_text("")
