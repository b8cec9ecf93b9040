"""Run-time widths: one network whose first channels are smaller networks.

Yu et al., "Slimmable Neural Networks" (2019) and Yu and Huang, "Universally Slimmable Networks and
Improved Training Techniques" (2019). Plain Keras 3, usable by itself::

    slim = slimmable(model, (1.0, 0.5, 0.25), scores(model, channel_graph(model), "l1_in_out"))
    network, loss = sandwich(slim)  # train slim.model: loss(network(inputs), labels)
    slim.recalibrate(batches)       # BatchNorm statistics of each width's own
    small = slim.extract(0.5)       # a network of its own, proven to answer like slim.answer(0.5)

The channels are ordered by importance once, which changes no answer; a width keeps the first ones.
All widths use the same weights. Only BatchNorm statistics are a width's own: what a channel's mean
is depends on how many channels are summed into it.
"""

from components.widths.network import Slimmable, Width, slimmable
from components.widths.order import Cell, cells, ordered
from components.widths.training import sandwich

__all__ = ["Cell", "Slimmable", "Width", "cells", "ordered", "sandwich", "slimmable"]
