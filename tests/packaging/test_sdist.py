"""The source distribution that Dataflow's --setup_file ships serves a worker on its own."""

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.light import COPIED, ROOT, copy_tree, make_environment, python_of, run

WORKER = """
import importlib, pickle, pkgutil, sys
import pipelines.augment, pipelines.dataset, schemas
from pipelines.dataset.build import BuildSlices
from schemas.recipe import load_recipe

assert "checkout" not in schemas.__file__, schemas.__file__
for package in (schemas, pipelines.augment, pipelines.dataset):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
assert pickle.loads(pickle.dumps(BuildSlices)) is BuildSlices
print(load_recipe("digits").recipe.name)
print([name for name in ("tensorflow", "tfx") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution from a copy of the sources."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    copy_tree(COPIED, copy)
    out = copy.parent / "dist"
    run([sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", out, copy], cwd=copy)
    (path,) = out.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Build the wheel from the source distribution, as an installation of it does."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "-w", sdist.parent, sdist], cwd=sdist.parent)
    (path,) = sdist.parent.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def worker(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it in an environment that holds the light install alone; return its Python."""
    folder = tmp_path_factory.mktemp("worker") / "env"
    make_environment(folder)
    pip = [sys.executable, "-m", "pip", "--python", python_of(folder), "install", "--no-deps"]
    run([*pip, "--no-index", wheel], cwd=folder.parent)
    return python_of(folder)


def _data_files() -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in ("schemas", "pipelines", "components", "benchmarks")
        for suffix in ("*.yaml", "*.pbtxt")
        for path in (ROOT / folder).rglob(suffix)
    }


def test_sdist_and_wheel_hold_the_data_files(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        in_sdist = {name.split("/", 1)[-1] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    expected = _data_files()
    assert "pipelines/recipes/digits.yaml" in expected
    assert expected - in_sdist == set()
    assert expected - in_wheel == set()


def test_distributions_leave_tests_and_scripts_out(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist() if ".dist-info" not in name}
    assert tops == {"beam_runner.py", "benchmarks", "components", "pipelines", "schemas"}


def test_worker_imports_its_task_without_tensorflow(worker: Path, tmp_path: Path) -> None:
    assert run([worker, "-c", WORKER], cwd=tmp_path).splitlines()[-2:] == ["digits", "[]"]


def test_light_install_holds_no_tensorflow(worker: Path, tmp_path: Path) -> None:
    code = "from importlib.util import find_spec as f; print([f('tensorflow'), f('tfx')])"
    assert run([worker, "-c", code], cwd=tmp_path).strip() == "[None, None]"


def test_light_install_materializes(worker: Path, tmp_path: Path) -> None:
    command = [worker.parent / "beam-refinery", "materialize", "digits", "--set", "copies=1"]
    assert "digest " in run([*command, "--output", tmp_path], cwd=tmp_path)
    assert list(tmp_path.glob("digits/*/Split-train/copy01-slice0000.tfrecord"))


@pytest.mark.full
def test_pip_resolves_the_light_install(sdist: Path, tmp_path: Path) -> None:
    """The real thing, from an index: the newest releases that setup.py admits."""
    run([sys.executable, "-m", "venv", "--without-pip", "env"], cwd=tmp_path)
    python = python_of(tmp_path / "env")
    uv = Path(sys.executable).parent / "uv"
    run([uv, "pip", "install", "--python", python, sdist], cwd=tmp_path)
    assert run([python, "-c", WORKER], cwd=tmp_path).splitlines()[-2:] == ["digits", "[]"]
