"""Signatures of a version and its bundle, by OpenSSF model-signing.

A signature is a Sigstore bundle over an in-toto statement that names every signed file with its
SHA-256, relative to the serving folder; the program ``model_signing`` verifies it as well. Keys
come from files; neither their paths nor their contents are written anywhere.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.serving.bundle import SIGNATURE, Bundle, bundle_folder
from components.serving.history import PROMOTIONS
from schemas.errors import FailedError, InputError, RefineryError

KEY = "BEAM_REFINERY_SIGNING_KEY"
PASSWORD = "BEAM_REFINERY_SIGNING_PASSWORD"  # noqa: S105 - the variable's name
CERTIFICATE = "BEAM_REFINERY_SIGNING_CERTIFICATE"
CHAIN = "BEAM_REFINERY_SIGNING_CHAIN"
SIGSTORE = "BEAM_REFINERY_SIGSTORE"
TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105
PUBLIC_KEY = "BEAM_REFINERY_PUBLIC_KEY"


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """What to sign with: a private key, alone or with its certificate; or Sigstore.

    Attributes:
        key: Elliptic-curve private key in PEM form (P-256, P-384 or P-521).
        password: Of the key, or None.
        certificate: Signing certificate of the key in PEM form, or None.
        chain: Certificates between it and a root.
        sigstore: Sign with an identity instead of a key; needs the network.
    """

    key: Path | None = None
    password: str | None = None
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()
    sigstore: bool = False

    def __repr__(self) -> str:
        return "SigningKey(sigstore)" if self.sigstore else "SigningKey(...)"


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whose signatures count. All empty: signatures are not checked.

    Attributes:
        public_key: Public key in PEM form.
        chain: Root and intermediate certificates in PEM form.
        identity: Sigstore identity, e.g. a mail address or a workflow; needs ``issuer``.
        issuer: The OpenID Connect issuer of that identity.
        required: Whether an unsigned version is a problem.
    """

    public_key: Path | None = None
    chain: tuple[Path, ...] = ()
    identity: str | None = None
    issuer: str | None = None
    required: bool = False

    @property
    def checks(self) -> bool:
        """Whether there is anything to check a signature with."""
        return bool(self.public_key or self.chain or self.identity)


def signing_key(
    key: str | None = None, environment: Mapping[str, str] = os.environ
) -> SigningKey | None:
    """Return what to sign with, or None: then versions stay unsigned.

    Args:
        key: Path of a private key; by default that of the environment.
        environment: Variables that name key, password, certificate and chain, or Sigstore.

    Raises:
        InputError: a named file does not exist, or the names do not go together.
    """
    path = key or environment.get(KEY)
    certificate, chain = environment.get(CERTIFICATE), environment.get(CHAIN)
    if environment.get(SIGSTORE):
        if path or certificate or chain:
            raise InputError(
                f"{SIGSTORE} signs with an identity, not with a key: unset one of them"
            )
        return SigningKey(sigstore=True)
    if not path:
        if certificate or chain:
            raise InputError(f"a signing certificate needs its private key: set {KEY} as well")
        return None
    files = tuple(Path(one) for one in (chain or "").split(os.pathsep) if one)
    for what, one in ((KEY, Path(path)), (CERTIFICATE, certificate), *((CHAIN, f) for f in files)):
        if one is not None and not os.path.isfile(one):  # Path.is_file raises with the path
            raise InputError(
                f"{what} must name an existing file: the path of a PEM file, or unset it"
            )
    return SigningKey(
        key=Path(path),
        password=environment.get(PASSWORD),
        certificate=Path(certificate) if certificate else None,
        chain=files,
    )


def trust(
    *,
    public_key: str | None = None,
    chain: Iterable[str] = (),
    identity: str | None = None,
    issuer: str | None = None,
    required: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Trust:
    """Return whose signatures count.

    A public key may also be named by the environment. Who names a key, a chain or an identity
    wants signatures: an unsigned version is then a problem.

    Raises:
        InputError: more than one kind, a missing file, or ``required`` without anything to check.
    """
    chain = tuple(Path(one) for one in chain)
    if not (chain or identity or issuer):
        public_key = public_key or environment.get(PUBLIC_KEY)
    kinds = [bool(public_key), bool(chain), bool(identity or issuer)]
    if sum(kinds) > 1:
        raise InputError(
            "a signature is checked with a public key, a chain or an identity: give one"
        )
    if bool(identity) != bool(issuer):
        raise InputError("a Sigstore identity goes with its issuer: give --identity and --issuer")
    if required and not any(kinds):
        raise InputError(
            "--require-signature needs something to check with: --public-key, --chain, or "
            "--identity with --issuer"
        )
    for one in (*([Path(public_key)] if public_key else []), *chain):
        if not os.path.isfile(one):
            raise InputError(f"{one}: no such file; name a public key or certificate in PEM form")
    return Trust(
        public_key=Path(public_key) if public_key else None,
        chain=chain,
        identity=identity,
        issuer=issuer,
        required=any(kinds),
    )


def sign(root: Path, version: int, key: SigningKey) -> None:
    """Sign every file below ``root``, and write the signature into the bundle of ``version``.

    Raises:
        InputError: the key or certificate cannot be read or used, or has expired.
        FailedError: Sigstore cannot be reached.
    """
    library = _library()
    contents = _read(key)
    try:
        config = library.signing.Config().set_hashing_config(_hashing(library))
        if key.sigstore:
            _sigstore_signer(config)
        elif key.certificate:
            from cryptography import x509

            certificate = x509.load_pem_x509_certificate(contents[key.certificate])
            if problem := _validity_problem(certificate, _utcnow(), "now"):
                raise InputError(problem)
            config.use_certificate_signer(
                private_key=key.key,
                signing_certificate=key.certificate,
                certificate_chain=key.chain or (key.certificate,),  # it takes no empty one
            )
        else:
            # The library hands the password on as it is, and cryptography wants bytes.
            password: Any = os.fsencode(key.password) if key.password else None
            config.use_elliptic_key_signer(private_key=key.key, password=password)
        config.sign(root, root / PROMOTIONS / str(version) / SIGNATURE)
    except (RefineryError, OSError):
        raise
    except Exception as error:
        if key.sigstore:
            raise FailedError(
                f"Sigstore cannot sign ({_words(error)}): it needs the network and an identity; "
                f"offline, sign with a key ({KEY})"
            ) from error
        raise InputError(
            f"the signing key cannot be used ({_words(error)}): give an elliptic-curve key in PEM "
            f"form (P-256, P-384 or P-521), with its own certificate if any, and {PASSWORD} if it "
            "is encrypted"
        ) from error


def check_key(key: SigningKey | None) -> None:
    """Sign a file of no meaning, so that a key that cannot be used shows before hours of training.

    Sigstore is not tried: whatever it signs is in its public log for ever.

    Raises:
        InputError: as `sign` does.
    """
    if key is None or key.sigstore:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / PROMOTIONS / "1").mkdir(parents=True)
        (root / "tried").write_text("tried\n")
        sign(root, 1, key)


def signature_problems(serving: Path, bundle: Bundle, whose: Trust) -> list[str]:
    """Check the signature of a version.

    Returns:
        Why it does not count; empty where it covers exactly the files of the version and bundle,
        as they are on the disk.

    Raises:
        InputError: what is to check it with cannot be used.
        FailedError: Sigstore cannot be reached.
    """
    path = bundle_folder(serving, bundle.version) / SIGNATURE
    name = f"{PROMOTIONS}/{bundle.version}/{SIGNATURE}"
    if not path.is_file():
        return [f"{name}: missing: the version is not signed"]
    library = _library()
    config = library.verifying.Config().set_hashing_config(_hashing(library))
    config.set_ignore_unsigned_files(True)  # other versions; ours are compared below
    try:
        if whose.public_key:
            config.use_elliptic_key_verifier(public_key=whose.public_key)
        elif whose.chain:
            config.use_certificate_verifier(certificate_chain=list(whose.chain))
        else:
            config.use_sigstore_verifier(identity=whose.identity, oidc_issuer=whose.issuer)
    except Exception as error:
        if whose.identity:
            raise FailedError(f"Sigstore cannot be reached to verify ({_words(error)})") from error
        raise InputError(
            f"what is to check signatures cannot be used ({_words(error)}): give a public key or "
            "certificates in PEM form"
        ) from error
    try:
        content = path.read_text("utf-8")
        config.verify(serving, path)
        signed = _signed_names(content)
    except Exception as error:
        if str(error).startswith("Signature mismatch"):  # the files that differ are named already
            return [f"{name}: signs other contents than those that are there"]
        return [f"{name}: damaged, or not signed by whom it should be ({_words(error)})"]
    expected = {*bundle.files, f"{PROMOTIONS}/{bundle.version}/bundle.json"}
    if signed != expected:
        other = sorted(signed ^ expected)[0]
        return [f"{name}: signs other files than those of version {bundle.version}, e.g. {other}"]
    if whose.chain:
        return _certificate_problems(name, content, bundle)
    return []


def _library() -> Any:
    """Return the module ``model_signing``.

    Raises:
        InputError: it is not installed.
    """
    try:
        import model_signing
    except ImportError as error:
        raise InputError(
            f"signatures need the extra [signing] ({error}): pip install 'beam-refinery[signing]'"
        ) from error
    return model_signing


def _hashing(library: Any) -> Any:
    """Return a configuration that leaves out no file (git's are left out by default)."""
    config = library.hashing.Config().use_file_serialization(max_workers=1)
    return config.set_ignored_paths(paths=[], ignore_git_paths=False)


def _read(key: SigningKey) -> dict[Path, bytes]:
    """Return the content of every file that a key names, so that none fails with its path later.

    Raises:
        InputError: one cannot be read; it says which variable names it, and not where it is.
    """
    found = {}
    files = ((KEY, key.key), (CERTIFICATE, key.certificate), *((CHAIN, one) for one in key.chain))
    for what, path in files:
        if path is None:
            continue
        try:
            found[path] = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{what} must name a file that can be read ({error.strerror}): let this user read "
                "it, or name another"
            ) from None
    return found


def _sigstore_signer(config: Any) -> None:
    from sigstore.oidc import detect_credential

    token = os.environ.get(TOKEN)
    if not token and not detect_credential():
        raise InputError(
            f"Sigstore signs for an identity, and there is none here: set {TOKEN}, run where "
            f"credentials are ambient (GitHub Actions, GCP, …), or sign with a key ({KEY})"
        )
    config.use_sigstore_signer(use_ambient_credentials=not token, identity_token=token)


def _signed_names(content: str) -> set[str]:
    """Return the files that a signature names; to be believed once it was verified."""
    envelope = json.loads(content)["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    return {one["name"] for one in statement["predicate"]["resources"]}


def _certificate_problems(name: str, content: str, bundle: Bundle) -> list[str]:
    """Look whether the certificate was valid when the version was made.

    The library takes the chain at the certificate's first moment and never asks when it ended.
    """
    from cryptography import x509

    material = json.loads(content)["verificationMaterial"]["x509CertificateChain"]
    raw = base64.b64decode(material["certificates"][0]["rawBytes"])
    made = datetime.datetime.fromisoformat(bundle.event.time)
    problem = _validity_problem(x509.load_der_x509_certificate(raw), made, "when it signed")
    return [f"{name}: {problem}"] if problem else []


def _validity_problem(certificate: Any, moment: datetime.datetime, when: str) -> str | None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin <= moment <= end:
        return None
    return (
        f"the certificate must be valid {when} ({moment:%Y-%m-%d}); it is from "
        f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    )


def _utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _words(error: BaseException) -> str:
    """Return the class and a short first line of the message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
