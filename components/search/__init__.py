"""Search: the smallest network above an accuracy floor, at a budget of training epochs.

Plain Keras 3 and Optuna, usable by itself::

    found = smallest(model, data, floor=0.78, budget=96, folder="study", teacher=model)
    if found.smallest:                     # None: no candidate meets the floor
        small = network(found.smallest)
    print(table(found))                    # Markdown
    Path("front.png").write_bytes(plot(found))
"""

from components.search.halving import Plan, plan
from components.search.networks import weigh
from components.search.picture import plot
from components.search.points import Point, front, hypervolume, promoted, ranks
from components.search.space import Candidate
from components.search.tables import table
from components.search.trials import Found, Trial, network, smallest

__all__ = ["Candidate", "Found", "Plan", "Point", "Trial", "front", "hypervolume", "network"]
__all__ += ["plan", "plot", "promoted", "ranks", "smallest", "table", "weigh"]
