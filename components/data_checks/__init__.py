"""Whether anything may be trained on a dataset: the data gate, run before the first stage.

`check_dataset` decides, and says why not and what to do; `docs/data_gates.md` explains each check.
Loads neither Keras nor TensorFlow before a dataset is profiled.
"""

from components.data_checks.checks import check_dataset
from components.data_checks.previous import FIRST_RUN, Previous
from components.data_checks.profiles import DatasetProfile, SplitProfile, profile
from components.data_checks.store import DECISION, PROFILE, read_decision, write

__all__ = [
    "DECISION",
    "FIRST_RUN",
    "PROFILE",
    "DatasetProfile",
    "Previous",
    "SplitProfile",
    "check_dataset",
    "profile",
    "read_decision",
    "write",
]
