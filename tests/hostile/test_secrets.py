"""Passwords, keys and webhook URLs: in no message, traceback, report or history."""

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

import beam_runner
from components.notify import check, notify
from components.serving import signing
from schemas.errors import InputError
from schemas.notify import Notify
from tests.hostile import cases_serving
from tests.hostile.inputs import write_films

CANARY = "canary-7f3a91"
ROLLBACK = ["rollback", "serving", "--reason", "test", "--verbose"]
HOOKS = [
    f"https://user:{CANARY}@127.0.0.1:9/x",
    f"https://127.0.0.1:9/hooks/{CANARY}",
    f"http://127.0.0.1:9/?token={CANARY}",
    f"{CANARY}",
    f"ftp://{CANARY}/x",
    f"https://{CANARY}\n/x",
    f"https://[{CANARY}/x",
    f"https://127.0.0.1:{CANARY}/x",
]


@pytest.fixture
def serving(tmp_path, monkeypatch, built):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(cases_serving.BUILT["serving"], "serving")
    return Path("serving")


def written_below(folder):
    return b"".join(path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())


def pem(password=None):
    how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n".encode(), None),
        (f"{CANARY}\n".encode() * 20, CANARY),
        (pem(), CANARY),
        (pem("another"), CANARY),
        (pem("another"), None),
    ],
    ids=["garbage in PEM", "garbage", "needless password", "wrong password", "no password"],
)
def test_a_key_that_cannot_sign(serving, monkeypatch, capfd, content, password):
    folder = Path(f"{CANARY}-of-a-path")
    folder.mkdir()
    (folder / "key.pem").write_bytes(content)
    monkeypatch.setenv(signing.KEY, str(folder / "key.pem"))
    if password:
        monkeypatch.setenv(signing.PASSWORD, password)
    assert beam_runner.main(ROLLBACK) == 2
    out, err = capfd.readouterr()
    assert "the signing key cannot be used" in err
    assert CANARY not in out + err
    assert CANARY.encode() not in written_below(serving)
    assert not (serving / "3").exists()


def test_a_key_that_signs(serving, monkeypatch, capfd):
    key = pem(CANARY)
    Path("key.pem").write_bytes(key)
    monkeypatch.setenv(signing.KEY, "key.pem")
    monkeypatch.setenv(signing.PASSWORD, CANARY)
    assert beam_runner.main(ROLLBACK) == 0
    assert beam_runner.main(["history", "serving", "--json"]) == 0
    out, err = capfd.readouterr()
    written = written_below(serving)
    assert (serving / ".promotions/3/model.sig").is_file()
    for secret in (CANARY.encode(), key.splitlines()[1]):
        assert secret not in written
        assert secret not in (out + err).encode()


def test_a_missing_key_is_not_named(serving, monkeypatch, capfd):
    monkeypatch.setenv(signing.KEY, f"/nowhere/{CANARY}.pem")
    assert beam_runner.main(ROLLBACK) == 2
    assert CANARY not in "".join(capfd.readouterr())


def test_what_holds_secrets_does_not_show_them():
    key = signing.SigningKey(key=Path(CANARY), password=CANARY)
    assert CANARY not in f"{key} {key!r} {[key]}"


@pytest.mark.parametrize("url", HOOKS)
def test_webhooks(monkeypatch, capfd, url):
    monkeypatch.setenv("REFRESH_WEBHOOK", url)
    hook = Notify(webhook_env="REFRESH_WEBHOOK", on=("failed",), timeout_s=2)
    said = notify(hook, status="failed", report={"error": "x"}) or ""
    assert said.startswith("notify: ")
    try:
        check(hook)
    except InputError as error:
        said += str(error)
    assert CANARY not in said + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "hook",
    [
        {"webhook_env": HOOKS[0]},
        {"webhook": HOOKS[1]},
        {"webhook_env": [HOOKS[0]]},
        {"webhook_env": {"url": HOOKS[0]}},
        HOOKS[1],
    ],
    ids=["as the variable", "as a key of its own", "in a list", "in a mapping", "alone"],
)
def test_a_url_in_a_recipe_is_refused_and_not_repeated(tmp_path, monkeypatch, capfd, hook):
    monkeypatch.chdir(tmp_path)
    stage = {"name": "teacher", "kind": "train", "config": {}}
    refresh = {"model": "text_embedding", "push": "teacher", "stages": [stage]}
    refresh |= {"gates": {"floors": {"accuracy": 0.5}}}
    write_films(refresh=refresh | {"notify": hook})
    assert beam_runner.main(["materialize", "mine.yaml", "--output", "out", "--verbose"]) == 2
    out, err = capfd.readouterr()
    assert "notify" in err.splitlines()[-1]
    assert CANARY not in out + err
