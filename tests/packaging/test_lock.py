"""The lock file, setup.py and the Dockerfile agree."""

import re
from importlib.metadata import requires

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.packaging.light import ROOT

LOCK = [
    Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]


def _versions(python: str, machine: str) -> dict[str, str]:
    """Return the versions that the lock file pins for a Python version on Linux."""
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "platform_machine": machine,
        "sys_platform": "linux",
    }
    chosen = [one for one in LOCK if one.marker is None or one.marker.evaluate(environment)]
    names = [one.name for one in chosen]
    assert len(names) == len(set(names)), "one version of each package"
    return {one.name: str(one.specifier).removeprefix("==") for one in chosen}


def test_lock_names_no_registry() -> None:
    assert not re.search(r"://|--index|--find-links", (ROOT / "requirements.lock").read_text())


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_lock_pins_what_setup_asks_for(python: str, machine: str) -> None:
    pinned = _versions(python, machine)
    wanted = [Requirement(text) for text in requires("beam-refinery") or []]
    assert len(wanted) > 20
    for requirement in wanted:
        name = requirement.name.lower().replace("_", "-")
        assert requirement.specifier.contains(pinned[name]), (requirement, pinned[name])


def test_container_has_the_locked_beam() -> None:
    images = re.findall(r"apache/beam_python\S+:(\S+)", (ROOT / "Dockerfile").read_text())
    assert images == [_versions("3.12", "x86_64")["apache-beam"]]
