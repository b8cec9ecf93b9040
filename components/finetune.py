"""Fine-tuning: train an existing network further."""

import keras

from components.distill import fit_with_teacher
from components.train import Context
from schemas.refresh import FinetuneConfig


def run(context: Context, config: FinetuneConfig) -> keras.Model:
    """Train the base network further, from the teacher's answers where there is a teacher."""
    fit_with_teacher(context.base, context, config)
    return context.base
