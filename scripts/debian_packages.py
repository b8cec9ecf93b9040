"""Fetch and unpack Debian packages without root and without touching the system's apt state.

The mirror, its keyring, the proxy and the credentials are the machine's own: the entry of its
apt sources that names a Debian release is copied with the release exchanged.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

RELEASES = {"bullseye", "bookworm", "trixie", "oldoldstable", "oldstable", "stable"}


class DebianError(Exception):
    """Debian packages cannot be had on this machine; the message says why."""


def _stanza_for(stanza: str, release: str) -> str | None:
    """Return a deb822 stanza with its release exchanged, or None if it is not Debian's main one."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] += "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    usable = (
        "deb" in fields.get("types", "").split()
        and fields.get("enabled", "yes").lower() not in ("no", "false", "0")
        and RELEASES & set(fields.get("suites", "").split())
        and "main" in fields.get("components", "").split()
        and "uris" in fields
    )
    if not usable:
        return None
    fields.update(types="deb", suites=release, components="main")
    return "\n".join(f"{key}: {value}" for key, value in fields.items()) + "\n"


def _line_for(line: str, release: str) -> str | None:
    """Return a one-line source with its release exchanged, or None if it is not Debian's main."""
    match = re.match(r"\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
    if not match or match[3] not in RELEASES or "main" not in match[4].split("#")[0].split():
        return None
    return f"deb {match[1] or ''}{match[2]} {release} main\n"


def source_for(release: str, etc: Path = Path("/etc/apt")) -> tuple[str, str]:
    """Find the machine's Debian mirror and point it at `release`.

    Args:
        release: Code name of the release wanted, such as "trixie".
        etc: Folder of apt's configuration.

    Returns:
        The text of an apt source file and its suffix, ".sources" or ".list".

    Raises:
        DebianError: No source of this machine serves a Debian release.
    """
    parts = etc / "sources.list.d"
    for path in sorted(parts.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            if text := _stanza_for(stanza, release):
                return text, ".sources"
    for path in [etc / "sources.list", *sorted(parts.glob("*.list"))]:
        for line in path.read_text().splitlines() if path.exists() else []:
            if text := _line_for(line, release):
                return text, ".list"
    raise DebianError(f"no source in {etc} serves a Debian release")


def _private_apt(folder: Path, release: str) -> dict[str, str]:
    """Write an apt configuration that lives in `folder` alone; return the environment to use it."""
    text, suffix = source_for(release)
    for name in ("lists/partial", "cache/archives/partial", "sources", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "sources" / f"debian{suffix}").write_text(text)
    host = subprocess.run(
        ["apt-config", "dump"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    # The host's hooks clean up the host's caches: they have no business here.
    kept = [line for line in host if "invoke" not in line.lower()]
    own = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": folder / "sources",
        "Dir::Etc::Main": "/dev/null",
        "Dir::Etc::Parts": folder / "empty",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": folder / "empty",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "15",
        "Acquire::https::Timeout": "15",
    }
    kept += [f'{key} "{value}";' for key, value in own.items()]
    config = folder / "apt.conf"
    config.write_text("\n".join(kept) + "\n")
    return {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C.UTF-8"}


def unpack(packages: list[str], *, release: str, work: Path, target: Path) -> None:
    """Download packages of a Debian release and unpack them into a folder.

    Args:
        packages: Names of binary packages.
        release: Code name of the release.
        work: Scratch folder, made here, removed at the end.
        target: Folder that receives the packages' files.

    Raises:
        DebianError: apt or dpkg is missing, no Debian mirror is configured, or a download failed.
    """
    missing = [tool for tool in ("apt-get", "apt-config", "dpkg") if not shutil.which(tool)]
    if missing:
        raise DebianError(f"{', '.join(missing)} not found")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        env = _private_apt(work, release)
        debs = work / "debs"
        debs.mkdir()
        for command, cwd in (["update"], work), (["download", *packages], debs):
            done = subprocess.run(
                ["apt-get", "-q", *command], cwd=cwd, env=env, capture_output=True, text=True
            )
            if done.returncode:
                detail = (done.stderr or done.stdout).strip()
                raise DebianError(f"apt-get {' '.join(command)} ({release}) failed:\n{detail}")
        found = sorted(debs.glob("*.deb"))
        if len(found) != len(packages):
            raise DebianError(f"asked apt for {packages}, got {[path.name for path in found]}")
        for path in found:
            subprocess.run(["dpkg", "-x", str(path), str(target)], check=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
