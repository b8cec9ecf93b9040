"""The networks of a search: made, trained from rung to rung, and weighed as what ships."""

from dataclasses import replace
from typing import cast

import keras
import numpy as np

from components.cost import cost
from components.data import Data
from components.distill import fit_with_teacher
from components.evaluate import evaluate
from components.lite import LiteModel, convert
from components.prune import stage as prune
from components.quantize import calibration_inputs
from components.search.halving import Plan
from components.search.points import Point
from components.search.space import (
    LABELS,
    Candidate,
    copies_of,
    prune_config,
    seed_of,
    tune_config,
)
from components.signals import LiveTeacher, StoredSignals
from components.train import Context
from schemas.stages import SearchConfig

CALIBRATION = 200


class Networks:
    """What every trial needs: the base, the data, the teacher, the settings."""

    def __init__(self, context: Context, config: SearchConfig, plan: Plan) -> None:
        signals = context.signals
        if context.teacher is not None:  # one for all trials: it scores each copy once
            signals = cast(StoredSignals, LiveTeacher(context.teacher, context.data))
        self._context = replace(context, teacher=None, signals=signals, progress=lambda line: None)
        self._config = config
        self._plan = plan
        self._calibration: np.ndarray | None = None

    def cut(self, candidate: Candidate, number: int) -> keras.Model:
        """Return a candidate's network after the first rung."""
        settings = prune_config(candidate, self._config, self._plan.epochs(0))
        return prune.run(self._prepared(candidate, number, 0), settings)

    def train(self, model: keras.Model, candidate: Candidate, number: int, rung: int) -> None:
        """Train a candidate's network in place through a later rung.

        Each rung has a learning rate schedule of its own that ends at zero, so that networks are
        compared when they have settled (warm restarts: Loshchilov and Hutter, "SGDR", 2017).
        """
        context = self._prepared(candidate, number, rung)
        fit_with_teacher(
            model, context, tune_config(candidate, self._config, self._plan.epochs(rung))
        )

    def weigh(self, model: keras.Model) -> Point:
        """Convert a network to TFLite and measure that on ``Split-eval``."""
        context, method = self._context, self._config.quantization
        if method == "int8" and self._calibration is None:
            self._calibration = calibration_inputs(
                context.data, model, count=CALIBRATION, seed=context.seed
            )
        return weigh(model, convert(model, method, calibration=self._calibration), context.data)

    def _prepared(self, candidate: Candidate, number: int, rung: int) -> Context:
        """Return the context of one training: its seed, its copies, its teacher."""
        seed = seed_of(self._context.seed, number, rung)
        keras.utils.set_random_seed(seed)
        stop = self._plan.rungs[rung]
        start = stop - self._plan.epochs(rung)
        return replace(
            self._context,
            data=_of_copies(self._context.data, self._config.copies, start, stop),
            seed=seed,
            notes={},
            signals=None if candidate.lesson == LABELS else self._context.signals,
        )


def weigh(model: keras.Model, content: bytes, data: Data) -> Point:
    """Measure a network by its TFLite model, on ``Split-eval``."""
    lite = LiteModel(content)
    return Point(
        accuracy=evaluate(model, data, "eval", forward=lite.logits).accuracy,
        bytes=len(content),
        macs=cost(model).macs,
        latency_ms=lite.latency(1).median_ms,
    )


def _of_copies(data: Data, copies: int | None, start: int, stop: int) -> Data:
    """Return a dataset with the training copies alone that these epochs read."""
    wanted = copies_of(data.copies()[:copies], start, stop)
    shards = tuple(one for one in data.shards if one.split != "train" or one.copy in wanted)
    return replace(data, shards=shards)
