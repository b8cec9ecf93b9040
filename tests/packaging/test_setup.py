"""Set-up: sources of Debian packages, corpora, and the bootstrap itself from nothing."""

import gzip
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.light import COPIED, ROOT, copy_tree

DEB822 = """\
Types: deb
URIs: http://vendor.example/tool
Suites: stable-tool
Components: main

# the mirror
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
EXCHANGED = """\
types: deb
uris: http://mirror.example/debian
suites: trixie
components: main
signed-by: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the scripts on the path, as running one does."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.fixture
def debian(scripts: None) -> ModuleType:
    return importlib.import_module("debian_packages")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822_source_keeps_its_mirror_and_keyring(debian: ModuleType, etc: Path) -> None:
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert debian.source_for("trixie", etc) == (EXCHANGED, ".sources")


def test_disabled_source_is_not_used(debian: ModuleType, etc: Path) -> None:
    text = DEB822.replace("# the mirror", "Enabled: no")
    (etc / "sources.list.d" / "debian.sources").write_text(text)
    with pytest.raises(debian.DebianError, match="no source in"):
        debian.source_for("trixie", etc)


def test_one_line_source_keeps_its_mirror_and_options(debian: ModuleType, etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb http://vendor.example/tool bookworm-tool main\n"
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm contrib main # ours\n"
    )
    expected = "deb [signed-by=/k.gpg] http://mirror.example/debian trixie main\n"
    assert debian.source_for("trixie", etc) == (expected, ".list")


def test_ubuntu_is_not_taken_for_debian(debian: ModuleType, etc: Path) -> None:
    (etc / "sources.list").write_text("deb http://mirror.example/ubuntu jammy main universe\n")
    with pytest.raises(debian.DebianError, match="no source in"):
        debian.source_for("trixie", etc)


def test_lexicographer_files_come_from_the_manual(scripts: None, tmp_path: Path) -> None:
    corpora = importlib.import_module("corpora")
    parts = ["adj.all", "adj.pert", "adv.all", "noun.Tops", *["noun.x"] * 25, *["verb.x"] * 16]
    rows = [f"{i:02d}\t{name} \tfiles" for i, name in enumerate(parts)]
    page = tmp_path / "lexnames.5WN.gz"
    page.write_bytes(gzip.compress("\n".join(rows).encode()))
    lines = corpora.lexicographer_files(page).splitlines()
    assert lines[:4] == ["00\tadj.all\t3", "01\tadj.pert\t3", "02\tadv.all\t4", "03\tnoun.Tops\t1"]
    page.write_bytes(gzip.compress("\n".join(rows[:-1]).encode()))
    with pytest.raises(ValueError, match="it lists 44"):
        corpora.lexicographer_files(page)


def _setup(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [folder / "scripts" / "bootstrap.sh"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    copy_tree([*COPIED, "requirements.lock", "scripts"], folder)
    return folder


def test_environment_of_another_origin_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    process = _setup(checkout)
    printed, _ = process.communicate()
    assert process.returncode == 1
    assert "was not made by this script: move it away" in printed
    assert (checkout / ".venv" / "pyvenv.cfg").exists()


def test_unsuitable_python_is_named(checkout: Path) -> None:
    process = _setup(checkout, PYTHON="/nonexistent/python")
    printed, _ = process.communicate()
    assert process.returncode == 1
    assert "PYTHON=/nonexistent/python is not a complete Python 3.11, 3.12 or 3.13" in printed


@pytest.mark.full
def test_setup_from_nothing_killed_and_healed(checkout: Path) -> None:
    """Kill set-up while it installs packages; the next run heals it, the third has nothing to do.

    Variables of another environment that leak in make no difference.
    """
    leaked = {"PYTHONPATH": "/nonexistent", "VIRTUAL_ENV": "/nonexistent", "PIP_TARGET": "/tmp/x"}
    killed = _setup(checkout, **leaked)
    assert killed.stdout is not None
    seen = ""
    while "locked packages" not in seen:
        seen += killed.stdout.read(1) or pytest.fail(f"set-up ended early:\n{seen}")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    healed, _ = _setup(checkout, **leaked).communicate()
    assert "starting afresh (killed in: packages)" in healed
    assert "ready in" in healed
    idle = _setup(checkout, **leaked)
    assert idle.communicate() == ("", None)
    assert idle.returncode == 0
    code = "import tfx, ml_metadata, schemas; print(schemas.__file__)"
    done = subprocess.run(
        [checkout / ".venv" / "bin" / "python", "-c", code],
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(checkout / "schemas" / "__init__.py")
    assert sys.prefix != str(checkout / ".venv")
