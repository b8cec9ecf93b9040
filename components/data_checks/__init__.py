"""Whether anything may be trained on a dataset: the data gate, run before the first stage.

`check_dataset` decides, `refusal` says why not and what to do; `docs/data_gates.md` explains each
check. Loads neither Keras nor TensorFlow before a dataset is profiled.
"""

from components.data_checks.checks import check_dataset
from components.data_checks.profiles import DatasetProfile, SplitProfile, profile
from components.data_checks.store import DECISION, PROFILE, read, read_profile, write
from components.data_checks.wording import refusal

__all__ = [
    "DECISION",
    "PROFILE",
    "DatasetProfile",
    "SplitProfile",
    "check_dataset",
    "profile",
    "read",
    "read_profile",
    "refusal",
    "write",
]
