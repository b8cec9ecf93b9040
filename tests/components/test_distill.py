"""The distillation loss against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.distill import distillation_loss
from components.train import Triangular, label_loss, weighted_mean


def test_loss_by_hand():
    # T = 2: teacher (ln 9, 0)/2 -> (3/4, 1/4); student (0, 0) -> (1/2, 1/2).
    teacher, student = tf.constant([[math.log(9), 0.0]]), tf.constant([[0.0, 0.0]])
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    hard = math.log(2)

    loss = distillation_loss(2.0, 0.9, 0.0)(student, tf.constant([1]), teacher)

    assert loss.numpy() == pytest.approx([0.9 * 4 * divergence + 0.1 * hard], rel=1e-6)


def test_loss_of_an_example_does_not_depend_on_the_others():
    teacher = tf.constant([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    student = tf.constant([[1.0, 0.5, 0.0], [0.0, 0.1, 0.2]])
    labels = tf.constant([0, 1])
    loss = distillation_loss(4.0, 0.7, 0.1)

    both = loss(student, labels, teacher).numpy()
    each = [loss(student[i : i + 1], labels[i : i + 1], teacher[i : i + 1]).numpy() for i in (0, 1)]

    assert both == pytest.approx(np.concatenate(each), rel=1e-6)


def test_agreeing_with_the_teacher_leaves_only_the_hard_part():
    logits = tf.constant([[1.0, -1.0], [0.3, 0.2]])
    labels = tf.constant([0, 1])

    alike = distillation_loss(4.0, 1.0, 0.0)(logits, labels, logits).numpy()
    assert alike == pytest.approx([0, 0], abs=1e-6)
    hard = distillation_loss(4.0, 0.0, 0.0)(logits, labels, -logits).numpy()
    assert hard == pytest.approx(label_loss(0.0)(logits, labels).numpy())


def test_label_smoothing_by_hand():
    # Targets 0.95 and 0.05; both log-probabilities are -ln 2.
    loss = label_loss(0.1)(tf.constant([[0.0, 0.0]]), tf.constant([0]))
    assert loss.numpy() == pytest.approx([math.log(2)])

    logits = tf.constant([[math.log(3), 0.0]])
    expected = -0.95 * math.log(0.75) - 0.05 * math.log(0.25)
    assert label_loss(0.1)(logits, tf.constant([0])).numpy() == pytest.approx([expected])


def test_soft_labels_are_read_like_hard_ones():
    logits = tf.constant([[math.log(3), 0.0], [0.0, 0.5]])
    hard, shares = tf.constant([1, 0]), tf.constant([[0.0, 1.0], [1.0, 0.0]])
    shared, known = label_loss(0.1)(logits, shares), label_loss(0.1)(logits, hard)
    assert shared.numpy().tolist() == known.numpy().tolist()

    expected = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)
    mixed = tf.constant([[0.25, 0.75]])
    assert label_loss(0.0)(logits[:1], mixed).numpy() == pytest.approx([expected])


def test_weighted_loss_by_hand():
    # Probabilities of the labels: 1/2, 3/4 and 1/4; weights of 1 on average keep the scale.
    logits = tf.constant([[0.0, 0.0], [math.log(3), 0.0], [math.log(3), 0.0]])
    losses = label_loss(0.0)(logits, tf.constant([0, 0, 1]))
    expected = (0.5 * math.log(2) - 0.5 * math.log(0.75) - 2 * math.log(0.25)) / 3

    assert float(weighted_mean(losses, tf.constant([0.5, 0.5, 2.0]))) == pytest.approx(expected)
    assert float(weighted_mean(losses, tf.ones(3))) == float(tf.reduce_mean(losses))
    assert float(weighted_mean(losses[:1], tf.constant([2.0]))) == pytest.approx(2 * math.log(2))


def test_triangular_schedule():
    rate = Triangular(0.2, 100)
    values = [float(rate(step)) for step in range(100)]

    assert max(values) == pytest.approx(0.2, rel=0.02)
    assert np.argmax(values) in (29, 30)
    assert 0 < values[0] < 0.01
    assert 0 < values[-1] < 0.01
