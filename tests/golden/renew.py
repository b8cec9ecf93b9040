"""``python -m tests.golden.renew [module ...]``: recompute golden files, all by default."""

import importlib
import pkgutil
import sys

from tests import golden


def main(names: list[str]) -> None:
    for module in pkgutil.iter_modules(golden.__path__):
        if module.name == "renew" or (names and module.name not in names):
            continue
        compute = importlib.import_module(f"tests.golden.{module.name}").compute
        print(golden.write(module.name, compute()))


if __name__ == "__main__":
    main(sys.argv[1:])
