"""An environment with the light install alone: no TensorFlow, no TFX, no checkout on its path.

Its packages are links to those of the running environment, so it needs no network and a second.
"""

import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
COPIED = [
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "beam_runner.py",
    "benchmarks",
    "components",
    "pipelines",
    "pyproject.toml",
    "schemas",
    "setup.py",
    "tests",
]


def python_of(folder: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return folder / "bin" / "python"


def copy_tree(names: list[str], target: Path) -> None:
    """Copy files and folders of the checkout to a new folder, without what Python cached."""
    target.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(ROOT / name, target)


def run(command: list[str | Path], *, cwd: Path) -> str:
    """Run a command and return what it printed; a failure shows that."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


def light_distributions() -> dict[str, Distribution]:
    """Return the installed distributions that beam-refinery without extras pulls in."""
    found: dict[str, Distribution] = {}
    todo = [Requirement("beam-refinery")]
    while todo:
        wanted = todo.pop()
        name = wanted.name.lower().replace("_", "-")
        if name in found and not wanted.extras:
            continue
        found[name] = distribution(name)
        for text in found[name].requires or []:
            requirement = Requirement(text)
            extras = wanted.extras or {""}
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            ):
                todo.append(requirement)
    del found["beam-refinery"]
    return found


def _link_tree(source: Path, target: Path, files: set[tuple[str, ...]]) -> None:
    """Link what `files` (paths below `source`) needs; a namespace package stays a real folder."""
    for top in {parts[0] for parts in files}:
        below = {parts[1:] for parts in files if parts[0] == top and len(parts) > 1}
        destination = target / top
        if below and ("__init__.py",) not in below and not top.endswith((".dist-info", ".libs")):
            destination.mkdir(exist_ok=True)
            _link_tree(source / top, destination, below)
        elif not destination.exists():
            destination.symlink_to(source / top)


def make_environment(folder: Path) -> Path:
    """Make a virtual environment with the light install's dependencies; return its packages."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder.parent)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for one in light_distributions().values():
        files = {
            path.parts
            for path in one.files or []
            if path.parts[0] not in ("..", "__pycache__") and path.suffix != ".pyc"
        }
        _link_tree(Path(str(one.locate_file(""))), packages, files)
    return packages
