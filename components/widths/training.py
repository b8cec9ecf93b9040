"""Training of all widths at once.

Sandwich rule and in-place distillation of Yu and Huang (2019): every step trains the widest, the
narrowest and the widths between; the widest learns from labels or a teacher, the others from what
the widest answers in the same step. Here they look at the labels as well: in short trainings the
widest still has to learn itself.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from components.distill import distillation_loss
from components.train import Loss, label_loss
from components.widths.network import Slimmable


def sandwich(
    slim: Slimmable,
    *,
    whole: Callable[..., Any] | None = None,
    loss: Loss | None = None,
    in_place: float = 0.5,
    label_smoothing: float = 0.1,
) -> tuple[Callable[..., Any], Loss]:
    """Return what is called in place of the network, and the loss of what it returns.

    Args:
        slim: The network.
        whole: Gives the full width's outputs, the logits first; by default the network itself.
        loss: The full width's loss, ``float32[N]`` of ``(outputs, labels, *beside)``; by default
            smoothed cross-entropy.
        in_place: Share of the full width's answers in the loss of the others, at temperature 1;
            the labels' is the rest.
        label_smoothing: Of the labels.

    Returns:
        ``network(inputs, training)`` and ``loss(outputs, labels, *beside) -> float32[N]``, the sum
        over the widths.
    """
    whole = whole or slim.model
    first = loss or label_loss(label_smoothing)
    from_whole = distillation_loss(1.0, in_place, label_smoothing)
    narrower = list(slim.widths)[1:]

    def network(inputs, training: bool = True):
        outputs = whole(inputs, training=training)
        return outputs, [slim.answer(one, inputs, training=training) for one in narrower]

    def total(outputs, labels, *beside):
        full, narrow = outputs
        logits = full[0] if isinstance(full, list | tuple) else full
        target = tf.stop_gradient(logits)
        losses = [from_whole(one, labels, target) for one in narrow]
        return tf.add_n([first(full, labels, *beside), *losses])

    return network, total
