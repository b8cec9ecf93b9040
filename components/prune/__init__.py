"""Structured pruning: whole channels leave, so that every file and every step gets smaller.

Plain Keras 3, usable by itself::

    graph = channel_graph(model)
    removed = choose(graph, scores(model, graph, "l1_in_out"), ratio=0.5)  # or threshold, ratios
    small = cut(model, graph, removed, seed=0).model      # proven to equal the masked network
    recalibrate(small, batches)  # then train it a little further

`iterative` and `heuristic` do that in rounds, `sensitivity` says which layers suffer most.
"""

from components.prune.criteria import CRITERIA, scores
from components.prune.graph import Bundle, ChannelGraph
from components.prune.schedules import Pruned, Round, heuristic, iterative
from components.prune.selection import Limits, choose, choose_blocks
from components.prune.sensitivities import Sensitivity, sensitivity
from components.prune.statistics import recalibrate
from components.prune.surgery import Cut, cut, fresh, mask, prove_equal, shrink
from components.prune.walk import channel_graph, passes_channels

__all__ = ["CRITERIA", "Bundle", "ChannelGraph", "Cut", "Limits", "Pruned", "Round", "Sensitivity"]
__all__ += ["channel_graph", "choose", "choose_blocks", "cut", "fresh", "heuristic", "iterative"]
__all__ += ["mask", "passes_channels", "prove_equal", "recalibrate", "scores", "sensitivity"]
__all__ += ["shrink"]
