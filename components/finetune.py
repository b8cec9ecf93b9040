"""Fine-tuning: train an existing network further."""

import keras

from components.distill import fit_with_teacher
from components.train import Context
from components.transfer import freeze, with_new_head
from schemas.stages import FinetuneConfig


def run(context: Context, config: FinetuneConfig) -> keras.Model:
    """Train the base network further, from the teacher's answers where there is a teacher.

    Raises:
        InputError: a new head is asked for, but the base has no features to put it on.
    """
    model = context.base
    if config.head == "new":
        classes = len(context.data.schema.label_names)
        model = with_new_head(model, classes, seed=context.seed)
    if config.freeze:
        context.notes["frozen_layers"] = freeze(model, config.freeze)
    fit_with_teacher(model, context, config)
    if config.freeze:
        freeze(model, 0)
    return model
