"""Notifications: real commands, a real server, and what must never be said."""

import contextlib
import http.server
import json
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from components.notify import check, notify
from schemas.errors import InputError
from schemas.notify import Notify
from schemas.validation import validated

PROJECT = Path(__file__).parents[2]
REPORT = {
    "recipe": "digits",
    "profile": "full",
    "run": "2026-11-24T14:13:29",
    "dataset_digest": "d" * 64,
    "status": "refused",
    "reasons": ["accuracy is below\nthe floor", "too large"],
    "push": None,
    "error": None,
}
PATH = "/services/T0/very-secret?token=swordfish"
VARIABLE = "REFRESH_WEBHOOK"


def python(program, *arguments, **settings):
    return Notify(command=(sys.executable, "-c", program, *arguments), **settings)


def told(settings, status="refused", **changed):
    return notify(settings, status=status, report=REPORT | {"status": status} | changed)


# settings


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({}, (), "exactly one of command and webhook_env, not neither"),
        ({"command": ["a"], "webhook_env": "A"}, (), "exactly one of .*, not both"),
        ({"command": []}, ("command",), r"begins with a program, not \[\]"),
        ({"command": [""]}, ("command",), "begins with a program"),
        ({"command": ["a", "b\0c"]}, ("command",), "no NUL"),
        ({"webhook_env": "A", "on": []}, ("on",), r"at least one, not \[\]"),
        ({"webhook_env": "A", "on": ["failed", "failed"]}, ("on",), "each end of a refresh once"),
        ({"webhook_env": "A", "on": ["done"]}, ("on", 0), "nothing_new"),
        ({"webhook_env": "A", "timeout_s": 0}, ("timeout_s",), "above 0 and at most 3600"),
        ({"webhook_env": "A", "timeout_s": float("nan")}, ("timeout_s",), "not nan"),
        ({"webhook": "A"}, ("webhook",), "Did you mean 'webhook_env'"),
    ],
)
def test_settings_that_cannot_be_meant(value, path, message):
    with pytest.raises(InputError, match=message) as caught:
        validated(Notify, value)
    assert caught.value.path == path


def test_a_url_in_a_recipe_is_refused_and_not_repeated():
    with pytest.raises(InputError, match="name of an environment variable") as caught:
        validated(Notify, {"webhook_env": f"https://example.org{PATH}"})
    assert "swordfish" not in str(caught.value)


def test_settings_as_a_recipe_writes_them():
    settings = validated(Notify, {"command": ["mail", "-s", "refresh", "team@example.org"]})
    assert settings.on == ("pushed", "refused", "failed")
    assert settings.timeout_s == 30


# commands


def test_a_command_gets_report_and_outcome(tmp_path, monkeypatch):
    for name in [one for one in os.environ if one.startswith("BEAM_REFINERY_")]:
        monkeypatch.delenv(name)  # a session's own, such as where translations are kept
    monkeypatch.setenv("BEAM_REFINERY_SIGNING_PASSWORD", "swordfish")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", "swordfish")
    monkeypatch.setenv("BEAM_REFINERY_BY", "ann@ci")
    program = (
        "import json, os, sys\n"
        "told = {'report': json.load(sys.stdin), 'environment': dict(os.environ)}\n"
        "json.dump(told, open(sys.argv[1], 'w'))\n"
    )
    settings = python(program, str(tmp_path / "told"), on=("pushed",))
    check(settings)
    assert told(settings, status="refused") is None
    assert not (tmp_path / "told").exists(), "not asked to hear of a refusal"

    assert told(settings, status="pushed", push={"version": 3}) is None
    heard = json.loads((tmp_path / "told").read_text())
    assert heard["report"] == REPORT | {"status": "pushed", "push": {"version": 3}}
    found = {
        name.removeprefix("BEAM_REFINERY_").lower(): value
        for name, value in heard["environment"].items()
        if name.startswith("BEAM_REFINERY_")
    }
    assert found == {
        "status": "pushed",
        "recipe": "digits",
        "profile": "full",
        "run": REPORT["run"],
        "dataset_digest": "d" * 64,
        "version": "3",
        "reasons": "accuracy is belowthe floor; too large",
        "by": "ann@ci",
    }
    assert "swordfish" not in json.dumps(heard)


def test_an_error_is_the_reason_of_a_failure(tmp_path):
    program = "import os, sys\nopen(sys.argv[1], 'w').write(os.environ['BEAM_REFINERY_REASONS'])"
    settings = python(program, str(tmp_path / "told"))
    assert told(settings, status="failed", reasons=[], error="the disk is full") is None
    assert (tmp_path / "told").read_text() == "the disk is full"


def test_a_command_that_fails_is_one_line():
    program = "import sys\nprint('one\\ntwo \\x1b[31mred\\n\\n', file=sys.stderr)\nsys.exit(3)"
    line = told(python(program))
    name = os.path.basename(sys.executable)
    assert line == f"notify: the command {name} ended with status 3: two [31mred"
    assert told(python("raise SystemExit(1)")) == f"notify: the command {name} ended with status 1"


def test_a_command_that_is_killed():
    line = told(python("import os; os.kill(os.getpid(), 9)"))
    assert line.endswith("was killed by signal 9 (Killed)")


def test_a_command_that_is_not_there(tmp_path):
    settings = Notify(command=("no-such-program-anywhere", "--token=swordfish"))
    with pytest.raises(InputError, match="no-such-program-anywhere.*no program") as caught:
        check(settings)
    assert "swordfish" not in str(caught.value)
    line = told(settings)
    assert line == (
        "notify: the command no-such-program-anywhere cannot be started: No such file or directory"
    )
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    settings = Notify(command=(str(plain),))
    with pytest.raises(InputError, match=r"no program that can be started here; chmod \+x"):
        check(settings)
    assert told(settings).endswith("plain cannot be started: Permission denied")
    plain.chmod(stat.S_IRWXU)
    plain.write_bytes(b"\0nothing of the kind")
    assert told(settings).endswith("plain cannot be started: Exec format error")


def test_what_the_system_refuses_is_a_line_and_no_error():
    """In a process of its own: no file may be written, no descriptor opened, no thread started."""
    program = (
        "import resource, sys\n"
        "from components.notify import notify\n"
        "from schemas.notify import Notify\n"
        "settings = Notify(command=('true',), on=('failed',))\n"
        "kind = getattr(resource, sys.argv[1])\n"
        "before = resource.getrlimit(kind)\n"
        "resource.setrlimit(kind, (int(sys.argv[2]), before[1]))\n"
        "print(notify(settings, status='failed', report={'error': 'the disk is full'}))\n"
    )
    for limit, value, said in [
        ("RLIMIT_FSIZE", 0, "notify: not sent: File too large"),
        ("RLIMIT_NOFILE", 3, "notify: not sent: Too many open files"),
    ]:
        child = subprocess.run(
            [sys.executable, "-c", program, limit, str(value)],
            check=True, capture_output=True, text=True, cwd=PROJECT,
        )  # fmt: skip
        assert child.stdout.strip() == said


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    """The report needs no file: there may be no folder that takes one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    settings = python(
        "import sys\nopen(sys.argv[1], 'w').write(sys.stdin.read())", str(tmp_path / "told")
    )
    assert told(settings) is None
    assert json.loads((tmp_path / "told").read_text()) == REPORT


def test_a_command_ends_with_the_thread_that_cannot_start(tmp_path, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert told(python("import signal; signal.pause()")) == "notify: not sent: RuntimeError"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path):
    """A grandchild holds the pipe too: it is at its end when both are gone."""
    os.mkfifo(tmp_path / "pipe")
    program = (
        "import signal, subprocess, sys\n"
        "pipe = open(sys.argv[1], 'wb', buffering=0)\n"
        "wait = [sys.executable, '-c', 'import signal; signal.pause()']\n"
        "subprocess.Popen(wait, stdout=pipe)\n"
        "pipe.write(b'both')\n"
        "signal.pause()\n"
    )
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    line = told(python(program, str(tmp_path / "pipe"), timeout_s=5))
    assert line.endswith("was not done within 5 s, and was ended")
    assert os.read(pipe, 100) == b"both"
    at_end = select.poll()
    at_end.register(pipe, select.POLLIN)
    assert at_end.poll(20_000) == [(pipe, select.POLLHUP)]
    os.close(pipe)


def test_an_interrupt_goes_through():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            told(python("import signal; signal.pause()"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_any_amount_of_output_and_a_report_that_is_not_read():
    program = (
        "import sys\n"
        "for i in range(20_000):\n"
        "    print('x' * 400, i)\n    print('y' * 400, i, file=sys.stderr)\n"
        "print('z' * 5000, file=sys.stderr)\nsys.exit(2)\n"
    )
    line = told(python(program), reasons=["r" * 500] * 2000)
    assert "ended with status 2: zzz" in line
    assert len(line) < 500


def test_a_command_may_leave_a_process_behind():
    """It holds the error stream open; nobody waits for it."""
    program = (
        "import subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'],"
        " stdin=subprocess.PIPE)\n"
        "print(left.pid, file=sys.stderr)\n"
    )
    assert told(python(program)) is None


# webhooks


@contextlib.contextmanager
def server(answer):
    """Serve one POST by ``answer(handler, body)``; yields what arrives and the address."""
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, self.headers["Content-Type"], body))
            answer(self)

        def do_GET(self):
            heard.append(("GET", self.path))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield heard, f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def replying(status, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


HOOK = Notify(webhook_env=VARIABLE)


def test_a_webhook_gets_the_report(monkeypatch):
    with server(replying(204)) as (heard, address):
        monkeypatch.setenv(VARIABLE, address + PATH)
        check(HOOK)
        assert told(HOOK) is None
    ((path, kind, body),) = heard
    assert (path, kind) == (PATH, "application/json")
    assert json.loads(body) == REPORT


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_webhook_that_refuses(status, monkeypatch):
    with server(replying(status)) as (_, address):
        monkeypatch.setenv(VARIABLE, address + PATH)
        line = told(HOOK)
    assert line == f"notify: the webhook at 127.0.0.1 answered with status {status}"


@pytest.mark.parametrize("target", ["/elsewhere", "file:///etc/passwd", "ftp://127.0.0.1/x"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status, target, monkeypatch):
    with server(replying(status, Location=target)) as (heard, address):
        monkeypatch.setenv(VARIABLE, address + PATH)
        line = told(HOOK)
    assert line == f"notify: the webhook at 127.0.0.1 answered with status {status}"
    assert len(heard) == 1


def test_a_webhook_that_never_answers(monkeypatch):
    done = threading.Event()
    with server(lambda handler: done.wait(60)) as (_, address):
        monkeypatch.setenv(VARIABLE, address + PATH)
        line = told(Notify(webhook_env=VARIABLE, timeout_s=0.4))
        done.set()
    assert line == "notify: the webhook at 127.0.0.1 did not answer within 0.4 s"


def test_a_webhook_that_drips(monkeypatch):
    """Every byte comes in time, the answer never."""
    done = threading.Event()

    def drip(handler):
        with contextlib.suppress(OSError):
            while not done.wait(0.05):
                handler.wfile.write(b"H")

    with server(drip) as (_, address):
        monkeypatch.setenv(VARIABLE, address + PATH)
        line = told(Notify(webhook_env=VARIABLE, timeout_s=0.4))
        done.set()
    assert line == "notify: the webhook at 127.0.0.1 did not answer within 0.4 s"


def test_a_webhook_that_speaks_something_else(monkeypatch):
    with server(lambda handler: handler.wfile.write(b"SSH-2.0 hello\r\n")) as (_, address):
        monkeypatch.setenv(VARIABLE, address + PATH)
        line = told(HOOK)
    assert line == "notify: the webhook at 127.0.0.1 was not reached: BadStatusLine"


def test_a_webhook_where_nobody_listens(monkeypatch):
    with server(replying(204)) as (_, address):
        pass
    monkeypatch.setenv(VARIABLE, address + PATH)
    line = told(HOOK)
    assert line == "notify: the webhook at 127.0.0.1 was not reached: Connection refused"
    monkeypatch.setenv(VARIABLE, address.replace("http:", "https:") + PATH)
    assert told(HOOK) == line


def test_a_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"notify.webhook_env: .*{VARIABLE} is not set; set it"):
        check(HOOK)
    line = told(HOOK)
    assert line.startswith(f"notify: the environment variable {VARIABLE} is not set")


@pytest.mark.parametrize(
    "value",
    [
        "file:///etc/swordfish",
        "ftp://example.org/swordfish",
        "swordfish",
        "https:///swordfish",
        "https://ann:swordfish@example.org/",
        "https://example.org:99999/swordfish",
        "https://example.org/sword fish",
        "https://example.org/swordfish\r\nHost: elsewhere",
        "https://exämple.org/swordfish",
        "http://[::1/swordfish",
    ],
)
def test_a_variable_that_holds_no_url_to_post_to(value, monkeypatch):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(InputError, match="does not hold a URL that can be posted to") as caught:
        check(HOOK)
    for text in (str(caught.value), told(HOOK)):
        assert VARIABLE in text
        assert "swordfish" not in text
        assert "\n" not in text
