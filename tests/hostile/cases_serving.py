"""Serving folders that somebody else wrote to: `verify`, `history` and `rollback` of them."""

import json
import os
import shutil
from pathlib import Path

from components.serving.seals import indented, one_line, sealed
from tests.hostile.harness import Case

BUILT: dict[str, Path] = {}
"""Set by the test: a serving folder of two versions, copied for every case."""

BUNDLE = "serving/.promotions/2/bundle.json"
HISTORY = "serving/.promotions/history.jsonl"
VERIFY = ("verify", "serving")
ROLLBACK = ("rollback", "serving", "--reason", "test", "--unsigned")


def serving(change, command=VERIFY, says="", status=(1,), verdict=None):
    def make():
        shutil.copytree(BUILT["serving"], "serving", symlinks=True)
        change()

    verdict = command[0] == "verify" if verdict is None else verdict
    return Case(make, command, says, status=status, verdict=verdict)


def write(path, content):
    data = content.encode() if isinstance(content, str) else content
    return lambda: Path(path).write_bytes(data) and None


def bundle(change, says="bundle.json", command=VERIFY, status=(1,)):
    """A bundle whose own seal is right all the same."""

    def rewrite():
        value = json.loads(Path(BUNDLE).read_text())
        change(value)
        Path(BUNDLE).write_text(indented(sealed(value)))

    return serving(rewrite, command, says, status)


def event(command=VERIFY, says="line 3", status=(1,), **changes):
    """A further line in the history, its seal and chain right."""

    def append():
        lines = Path(HISTORY).read_text().splitlines()
        last = json.loads(lines[-1])
        value = last | {"version": None, "previous": last["sha256"], "event": "refused"} | changes
        with open(HISTORY, "a") as file:
            file.write(one_line(sealed(value)))

    return serving(append, command, says, status)


def replaced(path, make):
    def change():
        if Path(path).is_dir():
            shutil.rmtree(path)
        else:
            Path(path).unlink()
        make(path)

    return change


def inside(path, content):
    """A file of the bundle, made to fit: the bundle names its digest, the history its seal."""

    def rewrite():
        import hashlib

        data = content.encode()
        Path("serving", path).write_bytes(data)
        value = json.loads(Path(BUNDLE).read_text())
        value["files"][path] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        value = sealed(value)
        Path(BUNDLE).write_text(indented(value))
        lines = [json.loads(line) for line in Path(HISTORY).read_text().splitlines()]
        lines[-1]["bundle"] = value["sha256"]
        Path(HISTORY).write_text("".join(one_line(sealed(line)) for line in lines))

    return serving(rewrite, says="")


PROMOTED = ".promotions/2"
CASES = {
    "CURRENT: path": serving(write("serving/CURRENT", "../1\n"), says="CURRENT"),
    "CURRENT: negative": serving(write("serving/CURRENT", "-2\n"), says="CURRENT"),
    "CURRENT: a billion digits": serving(write("serving/CURRENT", "9" * 10**6), says="CURRENT"),
    "CURRENT: 10**17": serving(write("serving/CURRENT", f"{10**17}\n"), says="CURRENT"),
    "CURRENT: of other digits": serving(write("serving/CURRENT", "\u0662\n"), says="CURRENT"),
    "CURRENT: underscore": serving(write("serving/CURRENT", "0_2\n"), says="CURRENT"),
    "CURRENT: not text": serving(write("serving/CURRENT", b"\xff\xfe2\0"), says="CURRENT"),
    "CURRENT: empty": serving(write("serving/CURRENT", b""), says="CURRENT"),
    "CURRENT: another's": serving(write("serving/CURRENT", "7\n"), says="names version 7"),
    "CURRENT: fifo": serving(replaced("serving/CURRENT", os.mkfifo), says="CURRENT"),
    "CURRENT: endless": serving(
        replaced("serving/CURRENT", lambda path: os.symlink("/dev/zero", path)), says="CURRENT"
    ),
    "push.json: not JSON": serving(write("serving/2/push.json", "{"), says="push.json"),
    "push.json: fifo": serving(replaced("serving/2/push.json", os.mkfifo), says="neither"),
    "push.json: link": serving(
        replaced("serving/2/push.json", lambda path: os.symlink("/etc/passwd", path)), says="2"
    ),
    "push.json: a list": serving(write("serving/2/push.json", "[1]"), says="push.json"),
    "push.json: nested deeply": serving(write("serving/2/push.json", "[" * 99_999), says="push"),
    "push.json: live one, rolled back": serving(
        write("serving/2/push.json", "[" * 99_999), ROLLBACK, "", (0,), False
    ),
    "version: link to another": serving(
        replaced("serving/2", lambda path: os.symlink("1", path)), says="2"
    ),
    "version: link outside": serving(
        replaced("serving/2", lambda path: os.symlink("/etc", path)), says="is a link"
    ),
    "version: fifo inside": serving(lambda: os.mkfifo("serving/2/pipe"), says="neither"),
    "version: device inside": serving(
        lambda: os.symlink("/dev/zero", "serving/2/zero"), says="neither"
    ),
    "version: name with an escape": serving(
        lambda: Path("serving/2/\x1b[2J").touch(), says=r"\x1b[2J"
    ),
    "version: a file named 9": serving(lambda: Path("serving/9").touch(), says="9"),
    "version: 18 nines": serving(
        lambda: os.mkdir("serving/" + "9" * 18), ROLLBACK, "no number is left"
    ),
    "bundle: fifo": serving(replaced(BUNDLE, os.mkfifo), says="bundle.json"),
    "bundle: link": serving(
        replaced(BUNDLE, lambda path: os.symlink("/etc/passwd", path)), says="bundle.json"
    ),
    "bundle: folder": serving(replaced(BUNDLE, os.mkdir), says="bundle.json"),
    "bundle: not UTF-8": serving(write(BUNDLE, b"\xff{}"), says="bundle.json"),
    "bundle: nested deeply": serving(write(BUNDLE, "[" * 99_999), says="bundle.json"),
    "bundle: a number": serving(write(BUNDLE, "3"), says="bundle.json"),
    "bundle: a huge number": serving(write(BUNDLE, "9" * 9_999), says="bundle.json"),
    "bundle: NaN": serving(write(BUNDLE, '{"a": NaN, "sha256": ""}'), says="bundle.json"),
    "bundle: no files": bundle(lambda value: value.pop("files")),
    "bundle: files are a list": bundle(lambda value: value.update(files=[1])),
    "bundle: file without a size": bundle(lambda value: value["files"].update({"2/x": {}})),
    "bundle: file outside": bundle(
        lambda value: value["files"].update({"../x": {"bytes": 1, "sha256": ""}})
    ),
    "bundle: size is text": bundle(
        lambda value: value["files"].update({"2/x": {"bytes": "1", "sha256": ""}})
    ),
    "bundle: identity is a list": bundle(lambda value: value.update(identity=[1])),
    "bundle: event is text": bundle(lambda value: value.update(event="pushed")),
    "bundle: event of another version": bundle(lambda value: value["event"].update(version=1)),
    "bundle: version is text": bundle(lambda value: value["event"].update(version="2")),
    "bundle: version is a path": bundle(lambda value: value["event"].update(version="../2")),
    "bundle: version of 40 digits": bundle(lambda value: value["event"].update(version=10**40)),
    "bundle: time is a number": bundle(lambda value: value["event"].update(time=3)),
    "bundle: unknown entry": bundle(lambda value: value["event"].update(command="rm")),
    "bundle: another format": bundle(lambda value: value.update(format_version=99), "format 99"),
    "bundle: roll-back to it": bundle(
        lambda value: value.update(identity=[1]), "live already", (*ROLLBACK, "--to", "2"), (2,)
    ),
    "bundle's manifest: garbage": inside(f"{PROMOTED}/dataset.json", "{"),
    "bundle's manifest: paths above": inside(f"{PROMOTED}/dataset.json", '{"format_version": 1}'),
    "bundle's stage: a list": inside(f"{PROMOTED}/stages/01-teacher.json", "[1]"),
    "bundle's stage: nested deeply": inside(f"{PROMOTED}/stages/01-teacher.json", "[" * 99_999),
    "bundle's stage: not JSON": inside(f"{PROMOTED}/stages/01-teacher.json", "no"),
    "bundle's stage: digest is a list": inside(
        f"{PROMOTED}/stages/01-teacher.json", '{"digest": [1]}'
    ),
    "bundle's decision: a number": inside(f"{PROMOTED}/decisions/01-accuracy.json", "3"),
    "bundle's decision: checks are text": inside(
        f"{PROMOTED}/decisions/01-accuracy.json",
        '{"gate": "accuracy", "blessed": true, "checks": ["x"], "problems": []}',
    ),
    "bundle's decision: values are text": inside(
        f"{PROMOTED}/decisions/01-accuracy.json",
        '{"gate": "a", "blessed": true, "problems": [], "checks": [{"measure": "m", "kind": '
        '"at_least", "limit": "low", "value": 1, "examples": 3, "live": null}]}',
    ),
    "bundle's decision: evidence elsewhere": inside(
        f"{PROMOTED}/decisions/01-accuracy.json",
        '{"gate": "../../..", "blessed": true, "decisions": []}',
    ),
    "history: fifo": serving(
        replaced(HISTORY, os.mkfifo), ("history", "serving"), "not a plain file"
    ),
    "history: link": serving(
        replaced(HISTORY, lambda path: os.symlink("/etc/passwd", path)), ROLLBACK, "a link"
    ),
    "history: folder": serving(replaced(HISTORY, os.mkdir), ("history", "serving"), "history"),
    "history: binary": serving(write(HISTORY, bytes(range(256)) + b"\n"), says="line 1"),
    "history: nested deeply": serving(write(HISTORY, "[" * 99_999 + "\n"), says="line 1"),
    "history: version is a list": event(version=[1], event="pushed"),
    "history: version is text": event(version="1", event="pushed"),
    "history: version of 40 digits": event(version=10**40, event="pushed"),
    "history: event is a mapping": event(event={}),
    "history: reason is a list": event(reason=["x"]),
    "history: about is text": event(about="x"),
    "history: unknown entry": event(more=1),
    "history: removes the live version": event(
        ROLLBACK, "", (0,), event="retired", version=2, reason="keep 1"
    ),
    "history: not chained": event(previous="0" * 64),
    "history: escape in a reason": event(
        ("history", "serving"), r"\x1b[2J", (0,), reason="\x1b[2J\nrefused"
    ),
    "promotions: link": serving(
        lambda: (os.rename("serving/.promotions", "elsewhere"),
                 os.symlink("../elsewhere", "serving/.promotions")),
        ROLLBACK, "is a link",
    ),
    "lock: link": serving(
        lambda: (Path("mine").write_text("mine"), os.path.lexists("serving/.push.lock")
                 and os.remove("serving/.push.lock"),
                 os.symlink("../mine", "serving/.push.lock")),
        ROLLBACK,
    ),
    "folder: nothing": Case(lambda: os.mkdir("serving"), ROLLBACK, "no serving folder"),
    "folder: a file": Case(lambda: Path("serving").touch(), ROLLBACK, "no serving folder"),
    "folder: of history alone": Case(
        lambda: os.makedirs("serving/.promotions"), ROLLBACK, "no version before"
    ),
    "folder: NUL": Case(lambda: None, ("history", "ser\0ving"), "no serving folder"),
    "folder: long": Case(lambda: None, ("history", "s" * 5_000), "no serving folder"),
    "rollback: version of 500 digits": serving(
        lambda: None, (*ROLLBACK, "--to", "9" * 500), "is not there", (2,)
    ),
    "rollback: negative version": serving(
        lambda: None, (*ROLLBACK, "--to=-1"), "is not there", (2,)
    ),
    "rollback: blank reason": serving(
        lambda: None, ("rollback", "serving", "--reason", " \n"), "reason", (2,)
    ),
    "key: public one is a fifo": serving(
        lambda: os.mkfifo("pipe"), (*VERIFY, "--public-key", "pipe"), "no such file", (2,), False
    ),
    "key: chain is a device": serving(
        lambda: None, (*VERIFY, "--chain", "/dev/zero"), "no such file", (2,), False
    ),
    "key: identity alone": serving(
        lambda: None, (*VERIFY, "--identity", "x"), "issuer", (2,), False
    ),
    "key: signing one is a folder": serving(
        lambda: None, ("rollback", "serving", "--reason", "x", "--signing-key", "serving"),
        "SIGNING_KEY", (2,),
    ),
    "key: signing one is garbage": serving(
        lambda: Path("key.pem").write_bytes(os.urandom(64)),
        ("rollback", "serving", "--reason", "x", "--signing-key", "key.pem"), "key", (1, 2),
    ),
    "key: signing one is a pickle": serving(
        lambda: Path("key.pem").write_bytes(b"\x80\x04\x95csystem\n."),
        ("rollback", "serving", "--reason", "x", "--signing-key", "key.pem"), "key", (1, 2),
    ),
}  # fmt: skip
