"""From a materialized dataset to a pushed model: what a refresh does before, around and after TFX.

Everything of a refresh lies below its root: ``metadata.sqlite`` for all of them, and per recipe
and profile a folder (see `pipelines.refresh_store.Places`). The pipeline is that of
`pipelines.refresh_pipeline`, run by `pipelines.refresh_nodes`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import notify
from components.probes import Probes
from components.serving.baseline import find_baseline
from components.serving.mirror import mirror, result_lines
from components.serving.ready import check_live, check_ready, check_signed
from components.serving.remote import check_place
from components.serving.store import record_refusal
from components.sources import Sources, sources_of
from pipelines.augment.policy import Policy, parse_policy
from pipelines.probes.build import write_probes
from pipelines.quiet import quiet
from pipelines.refresh_gates import check_gates
from pipelines.refresh_nodes import PUSHER, NodeError, run_nodes, teller
from pipelines.refresh_pipeline import OTHER_NODES, build_pipeline
from pipelines.refresh_report import (
    DONE,
    FAILED,
    RUNNING,
    Progress,
    build_report,
    node_progress,
    write_report,
)
from pipelines.refresh_store import Places, heal, only_one, times_judged
from pipelines.refresh_summary import render
from schemas.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_REFUSED,
    FailedError,
    InputError,
    RefineryError,
    unknown_name,
)
from schemas.manifest import SPLITS, Manifest, load_manifest
from schemas.profiles import PROFILES
from schemas.recipe import Recipe
from schemas.refresh import RefreshPlan
from schemas.report import RefreshReport


@dataclass(frozen=True, kw_only=True)
class RefreshOutcome:
    """How a refresh ended: ``pushed``, ``nothing_new`` or ``refused``.

    Attributes:
        status: As in `RefreshReport`.
        exit_code: 0, 3 when a gate refused, or 1 when what is live could not be mirrored.
        report: The report.
        report_path: Where it was written.
        summary: The report as a table for people.
    """

    status: str
    exit_code: int
    report: RefreshReport
    report_path: Path
    summary: str


def run_refresh(
    *,
    recipe: Recipe,
    dataset_dir: Path,
    root: Path,
    profile: str = "full",
    verbose: bool = False,
    unsigned: bool = False,
    progress: Progress | None = None,
) -> RefreshOutcome:
    """Run the refresh of a recipe on its dataset; what an earlier run did already is taken over.

    Args:
        recipe: With a ``refresh`` section, overrides applied.
        dataset_dir: A materialized dataset; it may lie anywhere.
        root: Where metadata, artifacts, served models and reports go. One refresh at a time.
        profile: ``smoke``, ``demo`` or ``full``.
        verbose: Leave the libraries' messages on the terminal instead of in ``refresh.log``.
        unsigned: Push without a signature though what is live has one.
        progress: Called when a node starts and ends; by default lines go to standard error.

    Raises:
        InputError: the recipe, the dataset or the root cannot be used, the root is occupied, or a
            signature is wanted and there is no key.
        FailedError: a node failed; the message says which and why.
    """
    if recipe.refresh is None:
        raise InputError(f"recipe {recipe.name!r} has no refresh section; add one to train from it")
    if profile not in PROFILES:
        raise InputError(unknown_name("profile", profile, PROFILES))
    plan = recipe.refresh.for_profile(profile)
    dataset = Path(dataset_dir).resolve()
    places = Places(Path(root).resolve(), f"{recipe.name}-{profile}")
    if plan.notify is not None:
        notify.check(plan.notify)
    run = datetime.datetime.now().isoformat()
    try:
        ended = _run(
            recipe,
            plan,
            dataset,
            places,
            run,
            verbose=verbose,
            unsigned=unsigned,
            progress=progress,
        )
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):  # whoever interrupts knows it
            tell_failed(recipe, profile, error, run=run)
        raise
    report, trouble = ended.report, ended.trouble
    if trouble is not None and report.status in ("pushed", "nothing_new"):
        _tell(plan, "failed", report.to_json() | {"error": str(trouble)})
    else:
        _tell(plan, report.status, report.to_json())
    if ended.unmirrored:
        print(ended.unmirrored, file=sys.stderr)
    if trouble is not None:
        raise trouble
    status = EXIT_REFUSED if report.status == "refused" else EXIT_DONE
    return RefreshOutcome(
        status=report.status,
        exit_code=EXIT_FAILED if ended.unmirrored else status,
        report=report,
        report_path=places.report,
        summary="\n".join([render(report, path=places.report), *ended.mirrored]),
    )


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """A run that has a report, and what went wrong: in it, or while its end was written down."""

    report: RefreshReport
    trouble: Exception | None
    mirrored: list[str]
    unmirrored: str | None


def _run(
    recipe: Recipe,
    plan: RefreshPlan,
    dataset: Path,
    places: Places,
    run: str,
    *,
    verbose: bool,
    unsigned: bool,
    progress: Progress | None,
) -> _Ended:
    """Check what a refresh needs, run it, and write down how it ended. Tells nobody."""
    manifest = load_manifest(dataset)
    _check_files(dataset, manifest)
    sources = _sources(plan, places, manifest.digest)
    if plan.mirror is not None:
        check_place(plan.mirror)
    check_ready(places.serving, unsigned=unsigned)
    with only_one(places.root), quiet(verbose=verbose, log=places.log) as terminal:
        started = time.monotonic()
        heal(places)
        progress = progress or node_progress(terminal)
        cause: BaseException | None = None
        try:
            baseline = find_baseline(places.serving)
            check_signed(places.serving, baseline.version, unsigned=unsigned)
            check_live(baseline, plan.gates.against_live)
            policy = parse_policy(recipe.policy, recipe.modality)
            probes = _probes(plan, recipe.seed, policy, dataset, places, progress)
            check_gates(
                plan,
                manifest,
                Probes.open(probes),
                policy,
                compared=baseline.state == "present",
            )
            tell = teller(
                progress, index=0, total=len(plan.stages) + OTHER_NODES, node="loading TFX"
            )
            tell(RUNNING)
            pipeline = build_pipeline(
                plan,
                recipe=recipe,
                dataset=dataset,
                manifest=manifest,
                places=places,
                sources=sources,
                probes=probes,
                baseline=baseline,
            )
            tell(DONE)
            timed = plan.gates.ceilings.latency_p95_ms is not None
            results = run_nodes(
                pipeline,
                run=run,
                places=places,
                progress=progress,
                never_cached={PUSHER, *(["SizeGate"] if timed else [])},
            )
        except NodeError as error:
            results, cause = error.results, error.__cause__
        except BaseException:
            with contextlib.suppress(Exception):  # the next refresh heals too, and says what is bad
                heal(places)
            raise
        report = build_report(
            results,
            plan=plan,
            recipe=recipe.name,
            dataset=dataset,
            digest=manifest.digest,
            run=run,
            seconds=time.monotonic() - started,
            cause=cause,
            test_uses=times_judged(places, probes),
        )
        report, unrecorded = _recorded(report, places)
        unwritten = _written_down(report, places)
        trouble = unrecorded or _trouble(report, cause, places) or unwritten
        mirrored: list[str] = []
        unmirrored: str | None = None
        if plan.mirror is not None and report.status in ("pushed", "nothing_new"):
            mirrored, unmirrored = _mirror(plan.mirror, plan, places, progress)
    return _Ended(report=report, trouble=trouble, mirrored=mirrored, unmirrored=unmirrored)


def check_place_of(recipe: Recipe, root: Path, profile: str, *, unsigned: bool = False) -> None:
    """Look whether a refresh could push, see `components.serving.ready.check_ready`."""
    places = Places(Path(root).resolve(), f"{recipe.name}-{profile}")
    check_ready(places.serving, unsigned=unsigned)


def _recorded(report: RefreshReport, places: Places) -> tuple[RefreshReport, Exception | None]:
    """Write a refusal into the history: one that is not there is reported as a failure.

    Returns:
        The report to write, and what kept the history from being written, or None.
    """
    if report.status != "refused":
        return report, None
    about = {name: getattr(report, name) for name in ("recipe", "profile", "run")}
    about["dataset_digest"] = report.dataset_digest
    try:
        record_refusal(places.serving, report.why, about)
    except Exception as error:
        text = f"a gate refused, but the history does not say so: {error}"
        return dataclasses.replace(report, status="failed", error=text), error
    return report, None


def _written_down(report: RefreshReport, places: Places) -> FailedError | None:
    """Write the report; return what kept it from being written, or None."""
    for path in (places.report_of(report.run), places.report):
        try:
            write_report(report, path)
        except OSError as error:
            version = f" (version {report.push.version} is live)" if report.push else ""
            failed = FailedError(
                f"{path}: the report cannot be written ({error.strerror or error}); the refresh "
                f"itself ended as {report.status.replace('_', ' ')}{version}"
            )
            failed.__cause__ = error
            return failed
    return None


def _trouble(
    report: RefreshReport, cause: BaseException | None, places: Places
) -> Exception | None:
    """Return the error of a run that failed, or None."""
    if report.status != "failed":
        return None
    if isinstance(cause, RefineryError):
        return cause
    failed = FailedError(f"{report.error} (details: {places.log})")
    failed.__cause__ = cause
    return failed


def tell_failed(recipe: Recipe, profile: str, error: BaseException, **more: str) -> None:
    """Let those hear whom the recipe names that a refresh failed before it had a report."""
    if recipe.refresh is not None:
        said = {"recipe": recipe.name, "profile": profile, **more, "error": str(error)}
        _tell(recipe.refresh.for_profile(profile), "failed", said)


def _tell(plan: RefreshPlan, status: str, report: Mapping[str, Any]) -> None:
    """Let those hear of the outcome whom the recipe names; nothing that fails here changes it."""
    if plan.notify is not None:
        unheard = notify.notify(plan.notify, status=status, report=report)
        if unheard:
            with contextlib.suppress(OSError):
                print(unheard, file=sys.stderr)


def _mirror(
    url: str, plan: RefreshPlan, places: Places, progress: Progress
) -> tuple[list[str], str | None]:
    """Mirror what is live; whatever goes wrong, the push stands and is told.

    Returns:
        Lines for the summary, and what went wrong and how to repeat it, or None.
    """
    total = len(plan.stages) + OTHER_NODES
    tell = teller(progress, index=total, total=total, node="mirror")
    tell(RUNNING)
    try:
        lines = result_lines(mirror(places.serving, url))
    except Exception as error:
        tell(FAILED)
        kind = "" if isinstance(error, RefineryError) else f"unexpected {type(error).__name__}: "
        again = shlex.join(["beam_runner.py", "mirror", str(places.serving), url])
        return ["mirror: FAILED"], f"error: live, but not mirrored: {kind}{error}; repeat: {again}"
    tell(DONE)
    return [f"mirror: {line}" for line in lines], None


def _probes(
    plan: RefreshPlan,
    seed: int,
    policy: Policy,
    dataset: Path,
    places: Places,
    progress: Progress,
) -> Path:
    """Write the probes of the test split where they are not there yet, and return their folder."""
    tell = teller(progress, index=0, total=len(plan.stages) + OTHER_NODES, node="probes")
    tell(RUNNING)
    folder = write_probes(
        dataset,
        places.probes,
        policy=policy,
        seed=seed,
        robustness=plan.robustness,
        progress=_by_tenths(lambda line: tell(RUNNING, line)),
    )
    tell(DONE)
    return folder


def _by_tenths(tell: Callable[[str], Any]) -> Callable[[int, int], None]:
    """Return a callback that tells how much is done whenever another tenth is."""
    told = 0

    def show(done: int, total: int) -> None:
        nonlocal told
        if 10 * done // total > told:
            told = 10 * done // total
            tell(f"{done:,} of {total:,}")

    return show


def _sources(plan: RefreshPlan, places: Places, dataset: str) -> dict[str, Sources]:
    """Return what each stage reads from outside.

    Raises:
        InputError: it is not there; the message names stage and key.
    """
    found: dict[str, Sources] = {}
    for stage in plan.stages:
        try:
            found[stage.name] = sources_of(stage.config, serving=places.serving, dataset=dataset)
        except InputError as error:
            raise InputError(f"stage {stage.name!r}: {error}") from error
    return found


def _check_files(dataset: Path, manifest: Manifest) -> None:
    """Refuse a dataset that lacks a split, or whose shards are not as long as its manifest says.

    Raises:
        InputError: naming the split or the first such shard.
    """
    for split in SPLITS:
        if not any(one.examples for one in manifest.shards if one.split == split):
            raise InputError(
                f"a refresh needs examples in the splits {', '.join(SPLITS)}; {dataset} has none "
                f"in {split}: give it a share in the recipe and materialize again"
            )
    for shard in manifest.shards:
        path = dataset / shard.path
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            raise InputError(
                f"{path} must have the {shard.bytes:,} bytes of the manifest, "
                f"but {'is missing' if size is None else f'has {size:,}'}: see what "
                f"`beam_runner.py verify {dataset}` says, and materialize again"
            )
