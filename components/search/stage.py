"""The search stage: the smallest network above the floor is what it publishes."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from components.search.picture import plot
from components.search.tables import table, verdict
from components.search.trials import Trial, identity, network, search
from components.train import Context
from schemas.canonical import digest
from schemas.errors import FailedError
from schemas.stages import SearchConfig

PICTURE = "search.png"


def run(context: Context, config: SearchConfig) -> keras.Model:
    """Return the smallest network above the floor; its study lies in the workspace.

    Raises:
        FailedError: no network reaches the floor.
    """
    with _folder(context, config) as folder:
        found = search(context, config, folder)
        context.notes.update(
            floor=found.floor,
            budget=found.budget,
            spent=found.spent,
            rungs=list(found.plan.rungs),
            networks=list(found.plan.networks),
            dense=asdict(found.dense),
            trials=[_entry(one) for one in found.trials],
            front=[one.number for one in found.front],
            smallest=None if found.smallest is None else found.smallest.number,
            table=table(found).splitlines(),
        )
        context.progress(verdict(found))
        if found.smallest is None:
            raise FailedError(f"{verdict(found)} Lower floor, or raise budget or epochs.")
        context.extras[PICTURE] = plot(found)
        return network(found.smallest)


@contextlib.contextmanager
def _folder(context: Context, config: SearchConfig) -> Iterator[Path]:
    """Give the folder of the study: one per identity, beside the model directory.

    A refresh that was cut off runs the stage again in another folder of the same parent, and finds
    the study there. Without a workspace nothing is kept.
    """
    if context.workspace is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        name = digest(identity(context, config))[:12]
        yield context.workspace / f".search-{name}"


def _entry(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        **asdict(trial.candidate),
        "epochs": trial.epochs,
        "rungs": [asdict(one) for one in trial.points],
    }
