"""Fine-tuning: train an existing network further."""

import keras

from components.data import open_dataset
from components.distill import lesson
from components.train import Context, fit
from components.transfer import (
    accuracy_on_previous,
    check_not_forgotten,
    freeze,
    frozen_count,
    frozen_share,
    pace_of,
    weighted_layers,
    with_new_head,
)
from schemas.stages import FinetuneConfig


def run(context: Context, config: FinetuneConfig) -> keras.Model:
    """Train the base network further, from the teacher's answers where there is a teacher.

    Raises:
        InputError: a new head is asked for, but the base has no features to put it on; or the base
            does not know the classes of the previous dataset.
        GateRefusal: too much of what it knew of the previous dataset was forgotten.
    """
    model = context.base
    if config.head == "new":
        classes = len(context.data.schema.label_names)
        model = with_new_head(model, classes, seed=context.seed)
    previous = open_dataset(config.previous) if config.previous else None
    before = accuracy_on_previous(model, previous, context.data) if previous else None
    pace = pace_of(
        model, share=config.freeze, unfreeze=config.unfreeze, layer_decay=config.layer_decay
    )
    fit(model, context, config, **lesson(model, context, config), pace=pace)
    freeze(model, 0)
    if config.freeze:
        context.notes["layers"] = len(weighted_layers(model))
        context.notes["frozen_layers"] = [
            frozen_count(model, frozen_share(config.freeze, epoch, config.unfreeze))
            for epoch in range(config.epochs)
        ]
    if previous:
        after = accuracy_on_previous(model, previous, context.data)
        context.notes.update(previous_accuracy_before=before, previous_accuracy_after=after)
        context.progress(f"accuracy on the previous eval split {before:.4f} -> {after:.4f}")
        check_not_forgotten(before, after, tolerance=config.tolerance)
    return model
