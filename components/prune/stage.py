"""The pruning stage: choose, cut, prove, recalibrate, fine-tune."""

import keras
import tensorflow as tf

from components.data import Data, training_batches
from components.distill import fit_with_teacher
from components.prune.criteria import CRITERIA
from components.prune.surgery import choose, mask, prove_equal, shrink
from components.prune.walk import channel_graph
from components.train import Context
from schemas.refresh import PruneConfig

CALIBRATION_BATCH = 250


def run(context: Context, config: PruneConfig) -> keras.Model:
    """Return a smaller network than the base, recalibrated and fine-tuned."""
    base = context.base
    graph = channel_graph(base)
    prunable = graph.prunable()
    scores = CRITERIA[config.criterion](base, graph)
    removed = choose(
        graph, scores, ratio=config.ratio, floor=config.floor, round_to=config.round_to
    )
    small = shrink(base, graph, removed)
    difference = prove_equal(mask(base, graph, removed), small, seed=context.seed)
    context.notes.update(
        channels=len(prunable),
        removed=len(removed),
        parameters_before=base.count_params(),
        parameters_after=small.count_params(),
        largest_difference=difference,
        frozen_by=graph.unknown,
    )
    context.progress(
        f"removed {len(removed)} of {len(prunable)} channel groups, parameters "
        f"{base.count_params():,} -> {small.count_params():,}, proof within {difference:.1e}"
        + (f", frozen by {', '.join(graph.unknown)}" if graph.unknown else "")
    )
    recalibrate(small, context.data, examples=config.calibration, seed=context.seed)
    fit_with_teacher(small, context, config)
    return small


def recalibrate(model: keras.Model, data: Data, *, examples: int, seed: int) -> None:
    """Replace the BatchNorm statistics by averages over training originals, weights untouched."""
    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    rows = training_batches(
        data,
        model,
        copy=0,
        batch_size=min(CALIBRATION_BATCH, data.examples("train")),
        seed=seed,
        examples=examples,
    )
    for index, (inputs, *_) in enumerate(rows):
        for norm in norms:
            norm.momentum = index / (index + 1)  # a running mean over the batches so far
        model(tf.convert_to_tensor(inputs), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
