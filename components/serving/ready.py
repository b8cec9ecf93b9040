"""What would keep a refresh from pushing at its end, looked at before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from components.serving.baseline import Baseline
from components.serving.bundle import is_signed
from components.serving.history import PROMOTIONS, read_history
from components.serving.signatures import check_key
from components.serving.signing import KEY, PUBLIC_KEY, signing_key, trust
from components.serving.store import CURRENT, LOCK, current_version
from schemas.errors import InputError
from schemas.gates import AgainstLive


def check_ready(serving: Path, *, unsigned: bool = False) -> None:
    """Refuse a refresh that could not push, or would push what nobody there trusts.

    Args:
        serving: The serving folder that it pushes to; it need not be there yet.
        unsigned: Whether an unsigned version may follow a signed one.

    Raises:
        InputError: no version can be put there, the signing key cannot be used or is not the one
            that signatures are checked with, or it is missing.
    """
    _check_folder(serving)
    check_key(signing_key(), trust())
    check_signed(serving, current_version(serving), unsigned=unsigned)


def check_signed(serving: Path, version: int, *, unsigned: bool = False) -> None:
    """Refuse to push without a key where signatures are wanted.

    Args:
        serving: The serving folder.
        version: The live version, 0 where there is none.
        unsigned: Whether that is meant.

    Raises:
        InputError: The environment names no key, and the live version is signed or a public key
            is named; or it names one, and no signature is meant.
    """
    if signing_key() is not None:
        if unsigned:
            raise InputError(f"--unsigned and a signing key: unset {KEY}, or leave out --unsigned")
        return
    if unsigned:
        return
    way = (
        f"set {KEY} (whatever starts the refresh has an environment of its own), or give "
        "--unsigned to do without"
    )
    event = read_history(serving).of_version(version) if version else None
    if is_signed(serving, version) or (event is not None and event.signature is not None):
        raise InputError(
            f"version {version} is live and signed, and a refresh would push an unsigned one in "
            f"its place: {way}"
        )
    if trust().checks:
        raise InputError(
            f"{PUBLIC_KEY} is set, so an unsigned version is a problem, and a refresh would push "
            f"one: {way}"
        )


def check_live(baseline: Baseline, against: AgainstLive | None) -> None:
    """Refuse before training what the gate would refuse after it, whatever is trained.

    Where it is known what was live, a candidate that is the same passes, and mends it.

    Args:
        baseline: What is live.
        against: The rule of the comparison with it, or None.

    Raises:
        InputError: what is live cannot be named, and there must be a comparison.
    """
    if against is None or against.on_missing != "refuse":
        return
    if baseline.state == "missing" and baseline.identity is None:
        raise InputError(
            f"{baseline.why}, so nothing can be compared with what is live: restore that version, "
            f"make another live (`rollback`), remove {CURRENT} where nothing was ever live, or set "
            "refresh.gates.against_live.on_missing: floors for one refresh"
        )


def _check_folder(serving: Path) -> None:
    """Look whether versions can be put there; what is not there yet is made by the push."""
    for folder in (serving.parent, serving, serving / PROMOTIONS):
        if not os.path.lexists(folder):
            continue
        if not folder.is_dir():
            raise InputError(
                f"{folder} must be a folder, for models are pushed there, and is none: move it "
                "away, or choose another --root"
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            locked = os.statvfs(folder).f_flag & os.ST_RDONLY
            why = "Read-only file system" if locked else "Permission denied"
            raise InputError(
                f"{folder} must be writable, for models are pushed there ({why}): let this user "
                "write there, or choose another --root"
            )
    for file in (serving / LOCK, serving / CURRENT):
        if os.path.lexists(file) and not file.is_symlink() and not file.is_file():
            raise InputError(f"{file} must be a file, and is none: remove it")
