"""What a process that loads a model may know of the environment: what computing needs, no more.

A SavedModel is a program. A list of what is let through is safe against the next name of a secret,
where a list of what is held back is not. Its families are open, though: of their names, those that
speak of a secret are held back too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAMES = ("HOME", "LANG", "LANGUAGE", "PATH", "TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
_FAMILIES = (
    "CUDA", "GLIBC", "GOMP", "KERAS", "KMP", "LC", "LD", "MALLOC", "MKL", "NVIDIA", "OMP", "ONEDNN",
    "OPENBLAS", "TF", "TF2", "XLA",
)  # fmt: skip
_ALLOWED = re.compile(f"({'|'.join(_NAMES)})|({'|'.join(_FAMILIES)})(_.*)?|PYTHON[A-Z]+")
# Terraform's and OpenTofu's names begin as TensorFlow's do: variables, arguments (-var), state.
_SECRET = re.compile(
    r"^TF_(VAR|CLI|ENCRYPTION|HTTP|STATE)(_|$)|TOKEN|SECRET|PASS|PWD|CRED|AUTH|KEY|_PAT(_|$)"
)


def of_a_model(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a process with a model in it gets.

    These are where programs, libraries and temporary files are, the language, and the settings of
    Python, TensorFlow and what they compute with; none of those whose name speaks of a secret. A
    secret under another name of these families goes through.
    """
    return {
        name: value
        for name, value in environment.items()
        if _ALLOWED.fullmatch(name) and not _SECRET.search(name.upper())
    }
