"""The distillation loss against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.distill import distillation_loss
from components.train import Triangular, label_loss


def test_loss_by_hand():
    # T = 2: teacher (ln 9, 0)/2 -> (3/4, 1/4); student (0, 0) -> (1/2, 1/2).
    teacher, student = tf.constant([[math.log(9), 0.0]]), tf.constant([[0.0, 0.0]])
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    hard = math.log(2)

    loss = distillation_loss(2.0, 0.9, 0.0)(student, tf.constant([1]), teacher)

    assert float(loss) == pytest.approx(0.9 * 4 * divergence + 0.1 * hard, rel=1e-6)


def test_loss_is_the_mean_over_examples():
    teacher = tf.constant([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    student = tf.constant([[1.0, 0.5, 0.0], [0.0, 0.1, 0.2]])
    labels = tf.constant([0, 1])
    loss = distillation_loss(4.0, 0.7, 0.1)

    both = float(loss(student, labels, teacher))
    each = [float(loss(student[i : i + 1], labels[i : i + 1], teacher[i : i + 1])) for i in (0, 1)]

    assert both == pytest.approx(np.mean(each), rel=1e-6)


def test_agreeing_with_the_teacher_leaves_only_the_hard_part():
    logits = tf.constant([[1.0, -1.0], [0.3, 0.2]])
    labels = tf.constant([0, 1])

    assert float(distillation_loss(4.0, 1.0, 0.0)(logits, labels, logits)) == pytest.approx(0)
    assert float(distillation_loss(4.0, 0.0, 0.0)(logits, labels, -logits)) == pytest.approx(
        float(label_loss(0.0)(logits, labels))
    )


def test_label_smoothing_by_hand():
    # Targets 0.95 and 0.05; both log-probabilities are -ln 2.
    loss = label_loss(0.1)(tf.constant([[0.0, 0.0]]), tf.constant([0]))
    assert float(loss) == pytest.approx(math.log(2))

    logits = tf.constant([[math.log(3), 0.0]])
    expected = -0.95 * math.log(0.75) - 0.05 * math.log(0.25)
    assert float(label_loss(0.1)(logits, tf.constant([0]))) == pytest.approx(expected, rel=1e-6)


def test_soft_labels_are_read_like_hard_ones():
    logits = tf.constant([[math.log(3), 0.0], [0.0, 0.5]])
    hard, shares = tf.constant([1, 0]), tf.constant([[0.0, 1.0], [1.0, 0.0]])
    assert float(label_loss(0.1)(logits, shares)) == float(label_loss(0.1)(logits, hard))

    expected = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)
    mixed = tf.constant([[0.25, 0.75]])
    assert float(label_loss(0.0)(logits[:1], mixed)) == pytest.approx(expected, rel=1e-6)


def test_triangular_schedule():
    rate = Triangular(0.2, 100)
    values = [float(rate(step)) for step in range(100)]

    assert max(values) == pytest.approx(0.2, rel=0.02)
    assert np.argmax(values) in (29, 30)
    assert 0 < values[0] < 0.01
    assert 0 < values[-1] < 0.01
