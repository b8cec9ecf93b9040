"""Signatures: by key, by certificate, by Sigstore; missing, wrong, damaged, expired."""

import base64
import datetime
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

pytest.importorskip("model_signing")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from components.serving.history import read_history
from components.serving.rollback import rollback
from components.serving.show import verdict_lines
from components.serving.signatures import check_key
from components.serving.signing import SigningKey, Trust, signing_key, trust
from components.serving.verify import verify_serving
from schemas.errors import FailedError, GateRefusal, InputError
from tests.serving.support import everything, promotion, push_text


def write_key(path, key, password=None):
    encryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    path.write_bytes(key.private_bytes(*pem))
    public = path.with_suffix(".pub")
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(key.public_key().public_bytes(*form))
    return path, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two key pairs: (private, public)."""
    folder = tmp_path_factory.mktemp("keys")
    return [
        write_key(folder / f"{name}.pem", ec.generate_private_key(ec.SECP256R1()))
        for name in ("ours", "other")
    ]


@pytest.fixture
def serving(tmp_path, keys):
    """A serving folder whose second version is signed, the first is not."""
    push_text(tmp_path, "first")
    push_text(tmp_path, "second", key=SigningKey(key=keys[0][0]))
    return tmp_path / "serving"


def verdict_of(serving, whose):
    verdict = verify_serving(serving, whose=whose)
    problems = [*verdict.problems, *(p for one in verdict.versions for p in one.problems)]
    return [one.signature for one in verdict.versions], problems


def test_signed_unsigned_and_not_asked(serving, keys):
    assert verdict_of(serving, None) == (["none", "not checked"], [])
    signatures, problems = verdict_of(serving, Trust(public_key=keys[0][1], required=True))
    assert signatures == ["none", "valid"]
    assert problems == [".promotions/1/model.sig: missing: the version is not signed"]
    assert verdict_of(serving, Trust(public_key=keys[0][1])) == (["none", "valid"], [])
    assert [one.signature is not None for one in read_history(serving).events] == [False, True]


def test_somebody_elses_signature_does_not_count(serving, keys):
    signatures, problems = verdict_of(serving, Trust(public_key=keys[1][1]))
    assert signatures == ["none", "invalid"]
    assert len(problems) == 1
    assert problems[0].startswith(".promotions/2/model.sig: damaged, or not signed by whom")


def test_the_program_of_the_library_agrees(serving, keys):
    program = Path(sys.executable).with_name("model_signing")
    command = [program, "verify", "key", "--signature", ".promotions/2/model.sig",
               "--public_key", keys[0][1], "--ignore_unsigned_files", "."]  # fmt: skip
    done = subprocess.run(command, cwd=serving, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (serving / "2" / "saved_model.pb").write_text("s3cond")
    done = subprocess.run(command, cwd=serving, text=True, capture_output=True)
    assert done.returncode != 0


def test_every_flipped_byte_of_a_signature_is_named(serving, keys):
    path = serving / ".promotions" / "2" / "model.sig"
    content = path.read_bytes()
    for position in range(0, len(content), len(content) // 12):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        for whose in (None, Trust(public_key=keys[0][1])):
            _, problems = verdict_of(serving, whose)
            assert any(one.startswith(".promotions/2/model.sig: ") for one in problems)


def test_a_signature_covers_every_file_of_version_and_bundle(serving):
    content = json.loads((serving / ".promotions" / "2" / "model.sig").read_text())
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    signed = {one["name"] for one in statement["predicate"]["resources"]}
    names = {name for name in everything(serving) if name.startswith(("2/", ".promotions/2/"))}
    assert signed == names - {".promotions/2/model.sig"}


def test_the_signature_of_another_version_does_not_count(tmp_path, keys):
    for text in ("first", "second"):
        push_text(tmp_path, text, key=SigningKey(key=keys[0][0]))
    folder = tmp_path / "serving" / ".promotions"
    (folder / "2" / "model.sig").write_bytes((folder / "1" / "model.sig").read_bytes())
    _, problems = verdict_of(tmp_path / "serving", Trust(public_key=keys[0][1]))
    assert any("2/model.sig: signs other files than those of version 2" in one for one in problems)
    assert any("not the signature that the history names" in one for one in problems)


def test_a_roll_back_of_a_signed_version_is_signed_or_said_not_to_be(serving, keys):
    push_text(serving.parent, "third")
    key, whose = SigningKey(key=keys[0][0]), Trust(public_key=keys[0][1], required=True)
    with pytest.raises(InputError, match="version 2 is signed, .* give --signing-key, or --unsig"):
        rollback(serving, reason="x")
    assert rollback(serving, reason="x", key=key, whose=whose).version == 4
    assert verdict_of(serving, Trust(public_key=keys[0][1]))[0][3] == "valid"
    assert (serving / ".promotions/4/origin/model.sig").is_file()
    with pytest.raises(GateRefusal, match="version 1 does not verify.*not signed"):
        rollback(serving, to=1, reason="x", whose=whose)
    push_text(serving.parent, "fourth")
    assert rollback(serving, reason="x", unsigned=True, to=2).version == 6


def certificate(name, key, issuer=None, *, days=(-1, 300), ca=False):
    """Return a certificate for ``key``, by ``issuer`` = (name, key) or by itself."""
    issuer_name, issuer_key = issuer or (name, key)
    today = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "encipher_only", "decipher_only"), False)  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today + datetime.timedelta(days=days[0]))
        .not_valid_after(today + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A root certificate, and a function that signs certificates for new keys with it."""
    folder = tmp_path_factory.mktemp("authority")
    root = ec.generate_private_key(ec.SECP256R1())
    own = certificate("root", root, ca=True, days=(-900, 900))
    (folder / "root.crt").write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def issue(name, **settings):
        key = ec.generate_private_key(ec.SECP256R1())
        path, _ = write_key(folder / f"{name}.pem", key)
        found = certificate(name, key, ("root", root), **settings)
        path.with_suffix(".crt").write_bytes(found.public_bytes(serialization.Encoding.PEM))
        return SigningKey(key=path, certificate=path.with_suffix(".crt"))

    return folder / "root.crt", issue


def test_certificates(tmp_path, authority, keys):
    root, issue = authority
    push_text(tmp_path, "first", key=issue("release"))
    serving = tmp_path / "serving"
    assert verdict_of(serving, Trust(chain=(root,))) == (["valid"], [])
    stranger = tmp_path / "stranger.crt"
    own = certificate("root", ec.generate_private_key(ec.SECP256R1()), ca=True, days=(-900, 900))
    stranger.write_bytes(own.public_bytes(serialization.Encoding.PEM))
    assert verdict_of(serving, Trust(chain=(stranger,)))[0] == ["invalid"]
    assert verdict_of(serving, Trust(public_key=keys[0][1]))[0] == ["invalid"]


@pytest.mark.parametrize("days", [(-300, -1), (1, 300)])
def test_a_certificate_that_is_not_valid_does_not_sign(tmp_path, authority, days):
    with pytest.raises(InputError, match="the certificate must be valid now"):
        push_text(tmp_path, "first", key=authority[1](f"expired{days[0]}", days=days))
    assert not [one for one in (tmp_path / "serving").iterdir() if one.name != ".push.lock"]


def test_a_version_signed_with_an_expired_certificate_is_named(tmp_path, authority, monkeypatch):
    """A signer who does not look at the date, as the library itself does not."""
    from components.serving import signing

    monkeypatch.setattr(signing, "validity_problem", lambda *_: None)
    push_text(tmp_path, "first", key=authority[1]("late", days=(-300, -1)))
    monkeypatch.undo()
    signatures, problems = verdict_of(tmp_path / "serving", Trust(chain=(authority[0],)))
    assert signatures == ["invalid"]
    assert problems[0].startswith(
        ".promotions/1/model.sig: the certificate must be valid when it signed ("
    )


def test_what_it_was_signed_with_is_said_where_something_else_is_to_check_it(
    tmp_path, authority, keys
):
    root, issue = authority
    push_text(tmp_path, "first", key=issue("by-certificate"))
    push_text(tmp_path, "second", key=SigningKey(key=keys[0][0]))
    for whose, problem in (
        (Trust(public_key=keys[0][1]), "1/model.sig: signed with a certificate; give --chain"),
        (Trust(chain=(root,)), "2/model.sig: signed with a key; give --public-key (or BEAM_REFI"),
    ):
        _, (found,) = verdict_of(tmp_path / "serving", whose)
        assert found.startswith(f".promotions/{problem}")


def test_a_version_that_is_whole_and_not_signed_by_whom_it_should_be_is_untrusted(serving, keys):
    verdict = verify_serving(serving, whose=Trust(public_key=keys[1][1], required=True))
    assert [one["state"] for one in verdict.to_json()["versions"]] == ["untrusted", "untrusted"]
    shown = "\n".join(verdict_lines(verdict))
    assert "version 1    UNTRUSTED      pushed" in shown
    assert "version 2    UNTRUSTED live pushed" in shown
    assert not verdict.ok
    (serving / "2" / "saved_model.pb").write_text("s3cond")
    verdict = verify_serving(serving, whose=Trust(public_key=keys[1][1]))
    assert [one.state for one in verdict.versions] == ["ok", "damaged"]


def test_nothing_is_signed_that_those_who_check_would_reject(serving, authority, keys):
    """A roll-back and a refresh check the pair before anything is published."""
    push_text(serving.parent, "third")
    before = everything(serving)
    root, issue = authority
    certified = issue("pair")
    ours, other = (SigningKey(key=one[0]) for one in keys)
    public, chain = Trust(public_key=keys[0][1], required=True), Trust(chain=(root,), required=True)
    for key, whose, message in (
        (other, public, "the signing key does not belong to --public-key .*would not verify"),
        (certified, public, "a certificate signs is not checked with --public-key .*give --chain"),
        (ours, chain, "a key signs is not checked with --chain.*give --public-key"),
        (SigningKey(sigstore=True), public, "Sigstore signs is not checked .*--identity and"),
    ):
        with pytest.raises(InputError, match=message):
            rollback(serving, reason="x", key=key, whose=whose)
        with pytest.raises(InputError, match=message):
            check_key(key, whose)
    assert everything(serving) == before
    stranger = certificate("root", ec.generate_private_key(ec.SECP256R1()), ca=True)
    path = serving.parent / "stranger.crt"
    path.write_bytes(stranger.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(InputError, match="the signing key does not belong to --chain"):
        check_key(certified, Trust(chain=(path,)))
    check_key(certified, chain)
    assert rollback(serving, reason="x", key=ours, whose=public).version == 4


def test_an_encrypted_key_wants_its_password(tmp_path):
    path, public = write_key(tmp_path / "k.pem", ec.generate_private_key(ec.SECP384R1()), "s3same")
    for password in (None, "wrong"):
        with pytest.raises(
            InputError, match="cannot be used .*PASSWORD if it is encrypted"
        ) as seen:
            push_text(tmp_path, "first", key=SigningKey(key=path, password=password))
        assert str(path) not in str(seen.value)
        assert "wrong" not in str(seen.value)
    push_text(tmp_path, "first", key=SigningKey(key=path, password="s3same"))
    assert verdict_of(tmp_path / "serving", Trust(public_key=public)) == (["valid"], [])
    kept = b"".join(everything(tmp_path / "serving").values())
    for secret in (b"s3same", b"PRIVATE", str(path).encode()):
        assert secret not in kept


def test_keys_that_cannot_sign_are_refused_before_anything_is_live(tmp_path):
    path, public = write_key(tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    (tmp_path / "text.pem").write_text("no key")
    for bad in (path, tmp_path / "text.pem"):
        with pytest.raises(InputError, match="the signing key cannot be used"):
            push_text(tmp_path, "first", key=SigningKey(key=bad))
        assert not (tmp_path / "serving" / "CURRENT").exists()
    push_text(tmp_path, "first")
    (tmp_path / "serving/.promotions/1/model.sig").write_text("{}")
    with pytest.raises(InputError, match="what is to check signatures cannot be used"):
        verify_serving(tmp_path / "serving", whose=Trust(public_key=public))


def test_a_key_is_tried_before_it_is_needed(tmp_path, keys):
    check_key(None)
    check_key(SigningKey(key=keys[0][0]))
    locked, _ = write_key(tmp_path / "c.pem", ec.generate_private_key(ec.SECP256R1()), "secret")
    check_key(SigningKey(key=locked, password="secret"))  # noqa: S106
    (tmp_path / "text.pem").write_text("no key")
    for bad in (SigningKey(key=tmp_path / "text.pem"), SigningKey(key=locked)):
        with pytest.raises(InputError, match="the signing key cannot be used"):
            check_key(bad)


@pytest.mark.parametrize("what", ["KEY", "CERTIFICATE", "CHAIN"])
def test_a_file_that_cannot_be_read_is_named_by_its_variable(tmp_path, authority, what):
    """It was there when the environment was read: a secret that was unmounted meanwhile."""
    release = authority[1](f"gone-{what}")
    root = tmp_path / "root.crt"
    root.write_bytes(authority[0].read_bytes())
    key = signing_key(
        environment={
            "BEAM_REFINERY_SIGNING_KEY": str(release.key),
            "BEAM_REFINERY_SIGNING_CERTIFICATE": str(release.certificate),
            "BEAM_REFINERY_SIGNING_CHAIN": str(root),
        }
    )
    path = {"KEY": key.key, "CERTIFICATE": key.certificate, "CHAIN": key.chain[0]}[what]
    path.unlink()
    for use in (check_key, lambda key: push_text(tmp_path, "first", key=key)):
        with pytest.raises(InputError, match="that can be read .No such file") as caught:
            use(key)
        assert str(caught.value).startswith(f"BEAM_REFINERY_SIGNING_{what} must name a file")
        shown = "".join(traceback.format_exception(caught.value))
        assert path.name not in shown
        assert str(path.parent) not in shown
    assert not (tmp_path / "serving" / "CURRENT").exists()


def test_a_password_may_be_any_bytes(tmp_path):
    private = ec.generate_private_key(ec.SECP256R1())
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    encryption = serialization.BestAvailableEncryption(b"p\xf6ss")
    (tmp_path / "k.pem").write_bytes(private.private_bytes(*pem, encryption))
    check_key(SigningKey(key=tmp_path / "k.pem", password=os.fsdecode(b"p\xf6ss")))


def test_the_environment_names_key_and_certificate(tmp_path):
    (tmp_path / "a.pem").write_text("")
    name = "BEAM_REFINERY_SIGNING_KEY"
    assert signing_key(environment={}) is None
    found = signing_key(environment={name: f"{tmp_path}/a.pem"})
    assert found == SigningKey(key=tmp_path / "a.pem")
    assert str(tmp_path) not in repr(found)
    assert signing_key(environment={"BEAM_REFINERY_SIGSTORE": "1"}).sigstore
    for environment, message in (
        ({name: f"{tmp_path}/b.pem"}, f"{name} must name an existing file"),
        ({"BEAM_REFINERY_SIGNING_CERTIFICATE": "c"}, f"needs its private key: set {name}"),
        ({"BEAM_REFINERY_SIGSTORE": "1", name: "a"}, "not with a key: unset one"),
    ):
        with pytest.raises(InputError, match=message):
            signing_key(environment=environment)


def test_what_checks_signatures_must_go_together(tmp_path):
    (tmp_path / "a.pub").write_text("")
    assert trust(environment={}) == Trust()
    assert trust(environment={"BEAM_REFINERY_PUBLIC_KEY": f"{tmp_path}/a.pub"}).required
    for settings, message in (
        ({"required": True}, "--require-signature needs something to check with"),
        ({"identity": "a@b"}, "give --identity and --issuer"),
        ({"public_key": "x"}, "x: no such file"),
        ({"public_key": "x", "chain": ["y"]}, "give one"),
    ):
        with pytest.raises(InputError, match=message):
            trust(environment={}, **settings)


def test_sigstore_without_an_identity_says_what_it_needs(tmp_path, monkeypatch):
    for name in [one for one in os.environ if one.startswith(("SIGSTORE_", "GITHUB_", "ACTIONS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda *_: None)
    with pytest.raises(InputError, match="set SIGSTORE_ID_TOKEN, .* or sign with a key"):
        push_text(tmp_path, "first", key=SigningKey(sigstore=True))
    assert not (tmp_path / "serving" / "CURRENT").exists()


def test_sigstore_offline_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", "none")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(FailedError, match="Sigstore cannot sign .* sign with a key"):
        push_text(tmp_path, "first", key=SigningKey(sigstore=True))
    push_text(tmp_path, "first", promotion=promotion(tmp_path / "shown"))
    (tmp_path / "serving/.promotions/1/model.sig").write_text("{}")
    with pytest.raises(FailedError, match="Sigstore cannot be reached to verify"):
        verify_serving(tmp_path / "serving", whose=Trust(identity="a@b", issuer="https://c"))
