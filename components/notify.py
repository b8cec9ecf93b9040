"""Tell people how a refresh ended: a command, or a webhook.

A notification that fails changes nothing about the refresh. Secrets stay out of what a command
sees, and a webhook's URL out of every message: only its host is named.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

from components.serving.signing import PASSWORD, TOKEN
from schemas.errors import InputError
from schemas.notify import Notify

_SECRETS = (PASSWORD, TOKEN)
_PREFIX = "BEAM_REFINERY_"
_LONGEST = 300
_VALUE = 4000
_GRACE_S = 1.0


class _Unheard(Exception):
    """The notification failed; the message says why and holds no secret."""


def check(settings: Notify) -> None:
    """Look for what a notification needs, before hours of training.

    Raises:
        InputError: there is no such command, or the variable holds no URL to post to.
    """
    if settings.command is not None:
        program = settings.command[0]
        if shutil.which(program) is None:
            there = os.path.isfile(program)
            fix = f"chmod +x {program}" if there else "install it, or name one with its path"
            raise InputError(
                f"notify.command runs {program!r}, which is no program that can be started here; "
                f"{fix}"
            )
        return
    try:
        _url(settings)
    except _Unheard as error:
        raise InputError(f"notify.webhook_env: {error}") from None


def notify(settings: Notify, *, status: str, report: Mapping[str, Any]) -> str | None:
    """Hand the report of a refresh to the command or the webhook, if it is to hear of it.

    A command gets the report as JSON on its standard input, and ``BEAM_REFINERY_STATUS``,
    ``_RECIPE``, ``_PROFILE``, ``_RUN``, ``_DATASET_DIGEST``, ``_VERSION`` (if one was pushed) and
    ``_REASONS`` in its environment. A webhook gets the same JSON by POST.

    Args:
        settings: Who hears of what.
        status: How the refresh ended.
        report: What `schemas.report.RefreshReport.to_json` gives.

    Returns:
        None when all went well or nobody was to hear; else one line that says what went wrong.
    """
    if status not in settings.on:
        return None
    content = json.dumps({**report, "status": status}).encode()
    try:
        if settings.command is not None:
            _run(settings.command, content, _environment(status, report), settings.timeout_s)
        else:
            _post(_url(settings), content, settings.timeout_s)
    except _Unheard as error:
        return f"notify: {error}"
    except (OSError, RuntimeError) as error:  # no memory, process, thread or file is left
        return f"notify: not sent: {_reason(error)}"
    return None


def _environment(status: str, report: Mapping[str, Any]) -> dict[str, str]:
    """Return this process's environment without secrets, with the outcome in a few words."""
    told = {name: report.get(name) for name in ("recipe", "profile", "run", "dataset_digest")}
    told["status"] = status
    told["version"] = (report.get("push") or {}).get("version")
    told["reasons"] = "; ".join(report.get("reasons") or ()) or report.get("error")
    named = {
        _PREFIX + name.upper(): _plain(str(value), _VALUE)
        for name, value in told.items()
        if value is not None
    }
    kept = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    return {**kept, **named}


def _run(
    command: tuple[str, ...], content: bytes, environment: dict[str, str], timeout_s: float
) -> None:
    name = os.path.basename(command[0])
    # Not a pipe, which a command that reads none blocks; and in memory: a full disk is to be told.
    with os.fdopen(os.memfd_create("report.json"), "w+b") as given:
        given.write(content)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - the recipe names it, and no shell reads it
                command,
                env=environment,
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise _Unheard(f"the command {name} cannot be started: {error.strerror}") from error
    try:
        said = _Tail(process.stderr)
        status = process.wait(timeout_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise _Unheard(
            f"the command {name} was not done within {timeout_s:g} s, and was ended"
        ) from None
    if status == 0:
        return
    line = said.last_line()
    ended = f"ended with status {status}"
    if status < 0:
        ended = f"was killed by signal {-status} ({signal.strsignal(-status)})"
    raise _Unheard(f"the command {name} {ended}" + (f": {line}" if line else ""))


class _Tail:
    """The last lines of a stream, read in a thread of its own, so that any amount may be written.

    A process that the command left behind may hold the stream open for ever.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines: collections.deque[bytes] = collections.deque(maxlen=20)
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(_VALUE):
                self._lines.append(line)

    def last_line(self) -> str:
        self._thread.join(_GRACE_S)
        lines = (_plain(one.decode("utf-8", "replace"), _LONGEST) for one in list(self._lines))
        return next(reversed([line for line in lines if line]), "")


def _url(settings: Notify) -> SplitResult:
    """Return the webhook's URL.

    Raises:
        _Unheard: the variable is not set, or holds something else than a URL to post to.
    """
    name = settings.webhook_env or ""
    value = os.environ.get(name, "")
    if not value:
        raise _Unheard(f"the environment variable {name} is not set; set it to the webhook's URL")
    try:
        parts = urlsplit(value)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fit = False
    if not fit or "@" in parts.netloc or not value.isascii() or any(one <= " " for one in value):
        raise _Unheard(
            f"the environment variable {name} does not hold a URL that can be posted to: one of "
            "http or https, with a host, in ASCII without spaces, without user and password"
        )
    return parts


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST arrives as a GET without the report: it is an error here."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _post(url: SplitResult, content: bytes, timeout_s: float) -> None:
    where = f"the webhook at {url.hostname}"
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        url.geturl(),
        data=content,
        headers={"Content-Type": "application/json", "User-Agent": "beam-refinery"},
        method="POST",
    )
    outcome: list[str | None] = []

    def send() -> None:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
                outcome.append(None)
        except urllib.error.HTTPError as error:
            error.close()
            outcome.append(f"answered with status {error.code}")
        except (OSError, HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            if not isinstance(cause, TimeoutError):
                outcome.append(f"was not reached: {_reason(cause)}")

    # The socket's own limit is one for each step: a server may take them one byte at a time.
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    sender.join(timeout_s)
    said = outcome[0] if outcome else f"did not answer within {timeout_s:g} s"
    if said is not None:
        raise _Unheard(f"{where} {said}")


def _reason(cause: Any) -> str:
    """Return why something failed; what libraries say of a URL is not repeated."""
    said = cause.strerror if isinstance(cause, OSError) else None
    return _plain(said or type(cause).__name__, _LONGEST)


def _plain(text: str, longest: int) -> str:
    return "".join(one for one in text if one.isprintable()).strip()[:longest]
