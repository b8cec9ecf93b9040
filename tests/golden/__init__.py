"""Golden digests: what the code produced when it was last declared right.

Each module here with a function ``compute() -> JSON value`` owns the file ``<module>.json``.
``make golden`` (``python -m tests.golden.renew [module ...]``) rewrites them.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RENEW = "run `make golden` and commit tests/golden/"


def load(name: str) -> Any:
    """Return the stored value of ``<name>.json``, or {} where there is none yet."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def write(name: str, value: Any) -> Path:
    path = FOLDER / f"{name}.json"
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")
    return path
