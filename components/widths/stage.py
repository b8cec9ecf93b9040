"""The stage of run-time widths: order the channels, train all widths together, prove each."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.cost import cost
from components.data import Data, training_batches
from components.distill import lesson
from components.evaluate import evaluate
from components.export import Served
from components.lite import LiteModel, convert
from components.prune.criteria import Scores, scores
from components.prune.stage import CALIBRATION_BATCH, TAYLOR_BATCH
from components.prune.surgery import random_inputs
from components.prune.walk import channel_graph
from components.train import Context, fit
from components.widths.network import Slimmable, slimmable
from components.widths.training import sandwich
from schemas.errors import InputError, RefineryError
from schemas.stages import WidthsConfig, width_name

_WARM_UP = 5
_RUNS = 100


def run(context: Context, config: WidthsConfig) -> keras.Model:
    """Return the base with its channels ordered, trained in every width at once.

    The narrower widths go to the context: each is a signature of the export, and a network of its
    own that a later stage can start from.

    Raises:
        InputError: nothing in the base can be narrowed, or two widths keep the same channels.
        FailedError: a width's signature answers otherwise than its network.
    """
    base = context.base
    try:
        slim = slimmable(
            base,
            config.widths,
            _scores(context, config),
            round_to=config.round_to,
            floor=config.floor,
            seed=context.seed,
        )
    except InputError as error:
        raise error.under("widths") from None
    own = lesson(slim.model, context, config)
    network, loss = sandwich(
        slim,
        whole=own.pop("network", None),
        loss=own.pop("loss"),
        in_place=config.in_place,
        label_smoothing=config.label_smoothing,
    )
    fit(slim.model, context, config, loss, network=network, **own)
    slim.recalibrate(_examples(context, config, slim.model, CALIBRATION_BATCH))
    rows = []
    for share in slim.widths:
        small = slim.model if share == 1 else slim.extract(share)
        rows.append(report_of(slim, share, small, context.data))
        context.progress(_told(rows[-1]))
        if share != 1:
            context.served[width_name(share)] = served_width(slim, share, small)
    context.notes.update(
        criterion=config.criterion,
        widths=rows,
        frozen=slim.graph.frozen_by,
        own_variables=sum(
            int(np.prod(one.shape)) for share in slim.widths for one in slim.own_variables(share)
        ),
    )
    return slim.model


def served_width(slim: Slimmable, share: float, network: keras.Model) -> Served:
    """Return what the export needs of one width; ``network`` is what it must answer like."""
    return Served(
        answer=lambda inputs: slim.answer(share, inputs),
        variables=tuple(slim.own_variables(share)),
        network=network,
    )


def report_of(slim: Slimmable, share: float, network: keras.Model, data: Data) -> dict[str, Any]:
    """Return what one width weighs, costs and scores on ``Split-eval``, as plain JSON values.

    ``latency`` is that of its network as TFLite (float32, one thread), as every stage reports it;
    ``signature_ms`` the median of its signature in TensorFlow, where the slices of the shared
    weights are cut anew in every call. Both are for one example.
    """
    scored = evaluate(network, data)
    row: dict[str, Any] = {
        "width": share,
        "signature": "serving_default" if share == 1 else width_name(share),
        "channels": slim.widths[share].channels,
        "parameters": network.count_params(),
        "accuracy": scored.accuracy,
        "loss": scored.loss,
        "largest_difference": slim.prove(share, network),
        "signature_ms": round(1e3 * signature_seconds(slim, share), 4),
        "macs": None,
        "latency": None,
    }
    try:
        row["macs"] = cost(network).macs
        latency = LiteModel(convert(network, "float32")).latency(1)
        row["latency"] = {"median_ms": latency.median_ms, "p95_ms": latency.p95_ms}
    except RefineryError as error:
        row["unmeasured"] = str(error)
    return row


def signature_seconds(
    slim: Slimmable,
    share: float,
    *,
    runs: int = _RUNS,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the median time of one example in one width, as a TensorFlow graph.

    With one thread ``time.process_time`` as the clock tells the same on a busy machine.
    """
    call = tf.function(lambda inputs: slim.answer(share, inputs))
    inputs = keras.tree.map_structure(tf.constant, random_inputs(slim.model, seed=0, examples=1))
    seconds = []
    for _ in range(_WARM_UP + runs):
        started = clock()
        keras.tree.map_structure(lambda one: one.numpy(), call(inputs))
        seconds.append(clock() - started)
    return float(np.median(seconds[_WARM_UP:]))


def _scores(context: Context, config: WidthsConfig) -> Scores:
    """Score the base by the criterion of the settings; Taylor looks at calibration examples."""
    rows = None
    if config.criterion == "taylor":
        rows = _examples(context, config, context.base, TAYLOR_BATCH)
    graph = channel_graph(context.base)
    return scores(context.base, graph, config.criterion, seed=context.seed, batches=rows)


def _examples(context: Context, config: WidthsConfig, model: keras.Model, batch_size: int):
    """Return shuffled batches of training originals."""
    return training_batches(
        context.data,
        model,
        copy=0,
        batch_size=min(batch_size, context.data.examples("train")),
        seed=context.seed,
        examples=config.calibration,
    )


def _told(row: dict[str, Any]) -> str:
    latency = f", {row['latency']['median_ms']:.3f} ms as TFLite" if row["latency"] else ""
    macs = f", {row['macs']:,} MACs" if row["macs"] is not None else ""
    return (
        f"width {row['width']:g} ({row['signature']}): accuracy on eval {row['accuracy']:.4f}, "
        f"{row['parameters']:,} parameters{macs}{latency}, {row['signature_ms']:.3f} ms as a "
        "signature"
    )
