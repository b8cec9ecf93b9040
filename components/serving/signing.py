"""Signing a version and its bundle by OpenSSF model-signing; and with what, and whose counts.

A signature is a Sigstore bundle over an in-toto statement that names every signed file with its
SHA-256, relative to the serving folder; the program ``model_signing`` verifies it as well. Keys
come from files; neither their paths nor their contents are written anywhere.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.serving.bundle import SIGNATURE
from components.serving.history import PROMOTIONS
from schemas.errors import FailedError, InputError, RefineryError

KEY = "BEAM_REFINERY_SIGNING_KEY"
PASSWORD = "BEAM_REFINERY_SIGNING_PASSWORD"  # noqa: S105 - the variable's name
CERTIFICATE = "BEAM_REFINERY_SIGNING_CERTIFICATE"
CHAIN = "BEAM_REFINERY_SIGNING_CHAIN"
SIGSTORE = "BEAM_REFINERY_SIGSTORE"
TOKEN = "SIGSTORE_ID_TOKEN"  # noqa: S105
PUBLIC_KEY = "BEAM_REFINERY_PUBLIC_KEY"
BY_KEY, BY_CERTIFICATE, BY_SIGSTORE = "a key", "a certificate", "Sigstore"


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

    @property
    def kind(self) -> str:
        """What it signs with."""
        if self.sigstore:
            return BY_SIGSTORE
        return BY_CERTIFICATE if self.certificate else BY_KEY

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

    @property
    def kind(self) -> str:
        """What must have signed; to be asked where it checks anything."""
        if self.public_key:
            return BY_KEY
        return BY_CERTIFICATE if self.chain else BY_SIGSTORE


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
    library = signing_library()
    contents = _read(key)
    try:
        config = library.signing.Config().set_hashing_config(hashing(library))
        if key.sigstore:
            _sigstore_signer(config)
        elif key.certificate:
            from cryptography import x509

            certificate = x509.load_pem_x509_certificate(contents[key.certificate])
            if problem := validity_problem(certificate, _utcnow(), "now"):
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
                f"Sigstore cannot sign ({words(error)}): it needs the network and an identity; "
                f"offline, sign with a key ({KEY})"
            ) from error
        raise InputError(
            f"the signing key cannot be used ({words(error)}): give an elliptic-curve key in PEM "
            f"form (P-256, P-384 or P-521), with its own certificate if any, and {PASSWORD} if it "
            "is encrypted"
        ) from error


def signing_library() -> Any:
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


def hashing(library: Any) -> Any:
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


def validity_problem(certificate: Any, moment: datetime.datetime, when: str) -> str | None:
    """Return what is wrong with a certificate at that moment, or None."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin <= moment <= end:
        return None
    return (
        f"the certificate must be valid {when} ({moment:%Y-%m-%d}); it is from "
        f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    )


def _utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def words(error: BaseException) -> str:
    """Return the class and a short first line of the message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
