"""What an example becomes: ops, the random numbers that drive them, and policies of ops.

Needs NumPy, OpenCV and NLTK; never Beam or TensorFlow. ``registry`` holds the ops, ``policy`` says
which of them a recipe applies, ``draws`` makes every row a pure function of its key::

    policy = parse_policy({"preset": "classic"}, "image")
    images, trace = policy.apply(images, keys, seed=1, copy=1)
"""

from pipelines.augment.calls import Branch, OpCall, Slot
from pipelines.augment.draws import Draws
from pipelines.augment.policy import Policy, parse_policy
from pipelines.augment.presets import PRESETS
from pipelines.augment.registry import Op, get, image_op, names, table, text_op

__all__ = [
    "PRESETS",
    "Branch",
    "Draws",
    "Op",
    "OpCall",
    "Policy",
    "Slot",
    "get",
    "image_op",
    "names",
    "parse_policy",
    "table",
    "text_op",
]
