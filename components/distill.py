"""Distillation: a student learns a teacher's softened answers (Hinton et al., 2015)."""

import keras
import numpy as np
import tensorflow as tf

from components.evaluate import compiled, logits_of
from components.models import build_model
from components.train import Context, Loss, fit, label_loss, smoothed_cross_entropy
from schemas.errors import InputError
from schemas.refresh import DistillConfig, FinetuneConfig, PruneConfig


def run(context: Context, config: DistillConfig) -> keras.Model:
    """Train a new network on the teacher's answers and on the labels."""
    model = build_model(config.model, context.data)
    fit_with_teacher(model, context, config)
    return model


def fit_with_teacher(
    model: keras.Model, context: Context, config: DistillConfig | PruneConfig | FinetuneConfig
) -> None:
    """Train ``model`` in place from the context's teacher, or on labels where it has none.

    The teacher scores each stored copy once, when an epoch first reads it.

    Raises:
        InputError: teacher and model answer with different numbers of classes.
    """
    teacher = context.teacher
    if teacher is None:
        fit(model, context, config, label_loss(config.label_smoothing))
        return
    if teacher.output_shape[-1] != model.output_shape[-1]:
        raise InputError(
            f"teacher and student must know the same classes, not {teacher.output_shape[-1]} and "
            f"{model.output_shape[-1]}: train the teacher on this dataset"
        )
    stored: dict[int, np.ndarray] = {}
    forward = compiled(teacher)

    def answers(copy: int) -> np.ndarray:
        if copy not in stored:
            stored[copy] = logits_of(
                teacher,
                context.data,
                "train",
                copy=copy,
                examples=config.examples,
                forward=forward,
            )
        return stored[copy]

    loss = distillation_loss(config.temperature, config.alpha, config.label_smoothing)
    fit(model, context, config, loss, beside=answers)


def distillation_loss(temperature: float, alpha: float, smoothing: float) -> Loss:
    """Return ``alpha * T^2 * KL(teacher/T || student/T) + (1 - alpha) * cross-entropy``.

    It is ``float32[N]`` of the arguments ``(logits, labels, teacher_logits)``; the factor ``T^2``
    keeps the gradients of both parts on one scale, whatever the temperature.
    """

    def loss(logits, labels, teacher_logits):
        soft = tf.nn.softmax(teacher_logits / temperature)
        log_soft = tf.nn.log_softmax(teacher_logits / temperature)
        log_student = tf.nn.log_softmax(logits / temperature)
        divergence = tf.reduce_sum(soft * (log_soft - log_student), axis=-1)
        hard = smoothed_cross_entropy(logits, labels, smoothing)
        return alpha * temperature**2 * divergence + (1 - alpha) * hard

    return loss
