"""``python -m tests.golden.renew [module ...]``: recompute golden files, all by default.

A module's ``compute()`` goes to ``<module>.json``; one with ``renew()`` writes its own files.
"""

import importlib
import pkgutil
import sys

from tests import golden


def main(names: list[str]) -> None:
    for found in pkgutil.iter_modules(golden.__path__):
        if found.name == "renew" or (names and found.name not in names):
            continue
        module = importlib.import_module(f"tests.golden.{found.name}")
        if hasattr(module, "renew"):
            print(*module.renew(), sep="\n")
        else:
            print(golden.write(found.name, module.compute()))


if __name__ == "__main__":
    main(sys.argv[1:])
