"""Distillation: a student learns a teacher's softened answers (Hinton et al., 2015).

Where asked it also learns where the teacher looks: attention transfer (Zagoruyko and Komodakis,
2017), see `components.attention`.
"""

from typing import Any

import keras
import tensorflow as tf

from components.attention import (
    attention_distance,
    attention_map,
    feature_maps,
    pairs_of,
    watched,
)
from components.models import build_model
from components.signals import LiveTeacher, Teacher, as_maps
from components.train import Context, Loss, fit, label_loss, smoothed_cross_entropy
from schemas.errors import InputError
from schemas.fitting import Teachable
from schemas.stages import DistillConfig


def run(context: Context, config: DistillConfig) -> keras.Model:
    """Train a new network on the teacher's answers and on the labels."""
    model = build_model(config.model, context.data)
    fit_with_teacher(model, context, config)
    return model


def fit_with_teacher(model: keras.Model, context: Context, config: Teachable) -> None:
    """Train ``model`` in place from the context's teacher, or on labels where it has none.

    Raises:
        InputError: teacher and model answer with different numbers of classes, or have no
            attention maps that can be compared.
    """
    fit(model, context, config, **lesson(model, context, config))


def lesson(model: keras.Model, context: Context, config: Teachable) -> dict[str, Any]:
    """Return what `fit` needs beside model, context and config: loss, and where the teacher is in.

    A teacher in memory scores each stored copy once, when an epoch first reads it; one whose
    answers were stored is not needed any more. Both give the same training.

    Raises:
        InputError: as `fit_with_teacher`.
    """
    teacher: Teacher | None = context.signals
    if context.teacher is not None:
        teacher = LiveTeacher(context.teacher, context.data)
    if teacher is None:
        return {"loss": label_loss(config.label_smoothing)}
    if teacher.classes != model.output_shape[-1]:
        raise InputError(
            f"teacher and student must know the same classes, not {teacher.classes} and "
            f"{model.output_shape[-1]}: train the teacher on this dataset"
        )
    loss = distillation_loss(config.temperature, config.alpha, config.label_smoothing)
    layers: list[str] = []
    network = None
    if config.attention:
        pairs = pairs_of(teacher.sizes, feature_maps(model), config.attention_layers)
        context.notes["attention_layers"] = [list(pair) for pair in pairs]
        layers = [theirs for theirs, _ in pairs]
        network = watched(model, [ours for _, ours in pairs])
        loss = with_attention(loss, config.attention)
    return {
        "loss": loss,
        "beside": lambda copy: teacher.answers(copy, config.examples, layers),
        "network": network,
    }


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


def with_attention(loss: Loss, beta: float) -> Loss:
    """Add ``beta`` times the `attention_distance` to a loss.

    The result takes ``([logits, *features], labels, teacher_logits, *stored_maps)``: activations
    of the student's layers, and the teacher's maps as they are stored.
    """

    def both(outputs, labels, teacher_logits, *stored):
        logits, *features = outputs
        distance = attention_distance(
            [as_maps(one) for one in stored], [attention_map(one) for one in features]
        )
        return loss(logits, labels, teacher_logits) + beta * distance

    return both
