"""The search itself: try, keep the better share, train it further, and say what is smallest."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.attention import feature_maps, pairs_of
from components.data import Data
from components.models import model_digest
from components.prune import channel_graph
from components.search.halving import Plan, plan
from components.search.networks import Networks
from components.search.points import Point, front
from components.search.space import Candidate, space_of
from components.search.study import open_study
from components.search.walk import Progress, Walk
from components.signals import StoredSignals
from components.train import Context
from schemas.canonical import digest, sha256
from schemas.errors import InputError
from schemas.stages import SearchConfig, config_settings
from schemas.validation import validated


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One candidate and what became of it.

    Attributes:
        number: Its number, from 0, in the order of trying.
        candidate: What was tried.
        points: What it reached at the end of each rung that it went through.
        epochs: What it was trained for.
        path: File of its network.
    """

    number: int
    candidate: Candidate
    points: tuple[Point, ...]
    epochs: int
    path: Path

    @property
    def point(self) -> Point:
        """What it reached in the end."""
        return self.points[-1]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The outcome of a search.

    Attributes:
        floor: Least accuracy that was asked for.
        budget: Epochs that could be spent.
        plan: How they were spent.
        dense: What the network reaches that was searched from.
        trials: Every candidate.
        front: Those that no other surpasses in accuracy, bytes and MACs together, the smallest
            first.
        smallest: The one of fewest bytes (then MACs) whose accuracy is not below the floor; None
            where there is none.
    """

    floor: float
    budget: int
    plan: Plan
    dense: Point
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    smallest: Trial | None

    @property
    def spent(self) -> int:
        """Training epochs that were spent."""
        return self.plan.spent


def smallest(
    model: keras.Model,
    data: Data,
    *,
    floor: float,
    budget: int,
    folder: str | Path,
    teacher: keras.Model | StoredSignals | None = None,
    seed: int = 0,
    progress: Progress = lambda line: None,
    **settings: Any,
) -> Found:
    """Find the smallest network above an accuracy floor that pruning and fine-tuning give.

    Candidates are drawn by Optuna and trained by successive halving. All is selected on
    ``Split-eval``; the test split is not read. What is decided depends on accuracy, bytes and
    MACs: the latency is measured and reported, but it varies, and so decides nothing. On one kind
    of machine the same arguments give the same trials, whether or not a run was cut off: the
    folder keeps every finished training, and the next run goes on behind it. A larger budget uses
    what is there.

    Args:
        model: The trained network to start from; it is left as it is.
        data: The dataset.
        floor: Least accuracy on ``Split-eval``, as a share.
        budget: Training epochs of all candidates together.
        folder: Where the study lies, with the network of every trial.
        teacher: What candidates may learn from, a network or stored answers; often the model
            itself. Without it they learn from labels alone.
        seed: Decides candidates and trainings.
        progress: Called with one line of text per training.
        settings: Other fields of `SearchConfig`.

    Raises:
        InputError: settings out of range, a budget too small for one network, a network without
            channels that may leave, or a folder with another study.
        FailedError: a training diverged, or a proof of the pruning did not hold.
    """
    stored = isinstance(teacher, StoredSignals)
    context = Context(
        data=data,
        base=model,
        teacher=None if stored else teacher,
        seed=seed,
        progress=progress,
        notes={},
        signals=teacher if stored else None,
    )
    config = validated(SearchConfig, {"floor": floor, "budget": budget, **settings})
    return search(context, config, folder)


def search(context: Context, config: SearchConfig, folder: str | Path) -> Found:
    """Search as `smallest` does, with what a stage is given."""
    tf.config.experimental.enable_op_determinism()
    model = context.base
    spent = plan(
        config.budget, epochs=config.epochs, rungs=config.rungs, reduction=config.reduction
    )
    teacher = context.teacher is not None or context.signals is not None
    space = space_of(model, channel_graph(model), config, teacher=teacher)
    if teacher and config.attention:
        signals = context.signals
        sizes = feature_maps(context.teacher) if signals is None else signals.sizes
        pairs_of(sizes, feature_maps(model), config.attention_layers)
    networks = Networks(context, config, spent)
    with open_study(folder, identity(context, config)) as study:
        run = Walk(study, networks, space, spent, context.seed, config.floor, context.progress)
        dense = study.dense
        if dense is None:
            dense = networks.weigh(model)
            study.tell_dense(dense)
        points = run.rungs()
        trials = tuple(
            Trial(
                number=number,
                candidate=study.candidate(space, number),
                points=tuple(reached),
                epochs=spent.rungs[len(reached) - 1],
                path=study.path(number, len(reached) - 1),
            )
            for number, reached in enumerate(points)
        )
    return _found(config, spent, dense, trials)


def _found(config: SearchConfig, spent: Plan, dense: Point, trials: tuple[Trial, ...]) -> Found:
    best = front([one.point.costs for one in trials])
    fitting = [one for one in trials if one.point.accuracy >= config.floor]
    return Found(
        floor=config.floor,
        budget=config.budget,
        plan=spent,
        dense=dense,
        trials=trials,
        front=tuple(sorted((trials[one] for one in best), key=_by_size)),
        smallest=min(fitting, key=_by_size, default=None),
    )


def _by_size(trial: Trial) -> tuple[int, int, float, int]:
    point = trial.point
    return point.bytes, point.macs, -point.accuracy, trial.number


def identity(context: Context, config: SearchConfig) -> dict[str, Any]:
    """Return all that decides what a trial comes to; the budget only decides how many are run."""
    import optuna

    settings = config_settings(config)
    del settings["budget"]
    teacher = context.signals.manifest.digest if context.signals is not None else None
    if context.teacher is not None:
        teacher = model_digest(context.teacher)
    return {
        "model": model_digest(context.base),
        "teacher": teacher,
        "dataset": context.data.digest,
        "settings": settings,
        "seed": context.seed,
        "code": _code(),
        "versions": {one.__name__: one.__version__ for one in (keras, optuna, tf)},
    }


@lru_cache
def _code() -> str:
    """Return a digest of this package's sources: other code may come to another network."""
    folder = Path(__file__).resolve().parents[1]
    return digest(
        {
            path.relative_to(folder).as_posix(): sha256(path.read_bytes())
            for path in sorted(folder.rglob("*.py"))
        }
    )


def network(trial: Trial) -> keras.Model:
    """Load the network of a trial.

    Raises:
        InputError: its file is gone or damaged.
    """
    try:
        return keras.saving.load_model(trial.path, compile=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{trial.path}: cannot be read as a network ({error})") from error
