"""The masking stage: single weights go, at once or gradually, and training keeps them gone."""

from dataclasses import replace

import keras

from components.data import training_batches
from components.distill import fit_with_teacher
from components.prune.masks import Masks, cubic, enforced, kernels, magnitude, pattern, sparsity
from components.prune.statistics import recalibrate
from components.train import Context
from schemas.errors import FailedError
from schemas.pruning import MaskConfig

CALIBRATION_BATCH = 250


def run(context: Context, config: MaskConfig) -> keras.Model:
    """Return the base with masked weights at zero, recalibrated and trained further.

    Raises:
        FailedError: a masked weight is not zero at the end.
    """
    model = context.base
    for step in range(1, config.rounds):
        masks = _masks(model, config, cubic(config.ratio or 0.0, step, config.rounds))
        _train(model, masks, context, config, step)
    masks = _masks(model, config, config.ratio)
    _train(model, masks, context, config, 0)
    found = kernels(model)
    for name, mask in masks.items():
        if found[name].numpy()[~mask].any():
            raise FailedError(f"layer {name!r}: a masked weight grew back; the mask is broken")
    layers = sparsity(model)
    weights, zeros = sum(one.weights for one in layers), sum(one.zeros for one in layers)
    context.notes.update(
        sparsity=zeros / weights,
        weights=weights,
        zeros=zeros,
        layers={one.layer: [one.weights, one.zeros] for one in layers},
        whole=[one.layer for one in layers if one.layer not in masks],
    )
    context.progress(f"masked {zeros:,} of {weights:,} weights ({zeros / weights:.1%})")
    return model


def _masks(model: keras.Model, config: MaskConfig, ratio: float | None) -> Masks:
    if config.pattern is not None:
        keep, group = (int(part) for part in config.pattern.split(":"))
        return pattern(model, keep, group, protected=config.protected)
    return magnitude(
        model,
        ratio=ratio,
        threshold=config.threshold,
        scope=config.scope,
        protected=config.protected,
    )


def _train(
    model: keras.Model, masks: Masks, context: Context, config: MaskConfig, step: int
) -> None:
    """Train in place under the masks: between rounds (numbered from 1), or after them (0)."""
    epochs = config.round_epochs if step else config.epochs
    with enforced(model, masks):
        size = min(CALIBRATION_BATCH, context.data.examples("train"))
        rows = training_batches(
            context.data,
            model,
            copy=0,
            batch_size=size,
            seed=context.seed,
            examples=config.calibration,
        )
        recalibrate(model, rows)
        if epochs:
            seed = context.seed + 101 * step
            settings = replace(config, epochs=epochs)
            fit_with_teacher(model, replace(context, seed=seed), settings)
