"""Run the nodes of a refresh one after the other on TFX's own local launcher, and watch each."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from pipelines.refresh_report import (
    CACHED,
    DONE,
    FAILED,
    RUNNING,
    NodeEvent,
    NodeResult,
    Progress,
)
from pipelines.refresh_store import Places
from schemas.errors import FailedError, GateRefusal

PUSHER = "Pusher"


class NodeError(Exception):
    """A node raised its ``__cause__``; ``results`` holds the nodes up to and with it."""

    def __init__(self, node: str, results: list[NodeResult]) -> None:
        super().__init__(node)
        self.results = results


def run_nodes(
    pipeline: Any,
    *,
    run: str,
    places: Places,
    progress: Progress,
    never_cached: Collection[str] = (PUSHER,),
) -> list[NodeResult]:
    """Run the nodes one after the other, as LocalDagRunner does, and watch each.

    LocalDagRunner itself says nothing while it runs, stays green when a node's inputs cannot be
    resolved, and would take the Pusher's result from the cache although another model went live.

    Args:
        pipeline: A ``tfx.dsl.Pipeline``.
        run: Identifier of the run.
        places: Where the metadata lies.
        progress: Called at the start and the end of every node, and with a stage's own lines.
        never_cached: Nodes that run again whatever happened before: the Pusher, and a gate that
            measures time, whose verdict of a busy minute must not last.

    Raises:
        NodeError: a node failed; no later node was started.
    """
    from tfx.dsl.compiler import compiler, constants
    from tfx.orchestration import metadata
    from tfx.orchestration.local import runner_utils
    from tfx.orchestration.portable import launcher, runtime_parameter_utils
    from tfx.orchestration.portable.mlmd import execution_lib

    from components import shells

    proto = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        proto, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run}
    )
    deployment = runner_utils.extract_local_deployment_config(proto)
    connection = metadata.sqlite_metadata_connection_config(str(places.metadata))
    results: list[NodeResult] = []
    for index, entry in enumerate(proto.nodes, start=1):
        node = entry.pipeline_node
        name = node.node_info.id
        if name in never_cached:
            node.execution_options.caching_options.enable_cache = False
        tell = teller(progress, index=index, total=len(proto.nodes), node=name)
        tell(RUNNING)
        try:
            with (
                _no_arguments(),
                shells.stage_progress(lambda line, tell=tell: tell(RUNNING, line)),
            ):
                info = launcher.Launcher(
                    pipeline_node=node,
                    mlmd_connection=metadata.Metadata(connection),
                    pipeline_info=proto.pipeline_info,
                    pipeline_runtime_spec=proto.runtime_spec,
                    executor_spec=runner_utils.extract_executor_spec(deployment, name),
                    custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
                ).launch()
            with metadata.Metadata(connection) as handle:
                state = _state(handle, info)
                outputs = execution_lib.get_output_artifacts(handle, info.execution_id)
        except Exception as error:
            seconds = tell("refused" if isinstance(error, GateRefusal) else FAILED)
            results.append(NodeResult(node=name, state=FAILED, seconds=seconds))
            raise NodeError(name, results) from error
        results.append(NodeResult(node=name, state=state, seconds=tell(state), outputs=outputs))
    return results


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """Hide the command line: TFX hands all of it to Beam's options and to absl's flags."""
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        yield
    finally:
        sys.argv = arguments


def _state(handle: Any, info: Any) -> str:
    """Return ``done`` or ``cached`` from the metadata; anything else is an error.

    Raises:
        FailedError: the node was skipped or its inputs could not be resolved, which the launcher
            reports by returning quietly.
    """
    from ml_metadata.proto.metadata_store_pb2 import Execution

    if info is None or info.execution_id is None:
        raise FailedError("it was skipped: an input that it needs does not exist")
    (execution,) = handle.store.get_executions_by_id([info.execution_id])
    states = {Execution.COMPLETE: DONE, Execution.CACHED: CACHED}
    if execution.last_known_state not in states:
        state = Execution.State.Name(execution.last_known_state)
        raise FailedError(f"it ended as {state}: an input that it needs could not be resolved")
    return states[execution.last_known_state]


def teller(progress: Progress, *, index: int, total: int, node: str) -> Callable[..., float]:
    """Return ``tell(state, line="") -> seconds since the first call of this function``."""
    started = time.monotonic()

    def tell(state: str, line: str = "") -> float:
        seconds = time.monotonic() - started
        progress(
            NodeEvent(
                index=index,
                total=total,
                node=node,
                state=state,
                seconds=seconds,
                line=line.removeprefix(f"{node}: "),
            )
        )
        return seconds

    return tell
