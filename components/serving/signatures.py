"""Check the signatures of versions, and that a signing key fits what they are checked with."""

from __future__ import annotations

import base64
import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

from components.serving.bundle import SIGNATURE, Bundle, bundle_folder
from components.serving.history import PROMOTIONS
from components.serving.signing import (
    BY_CERTIFICATE,
    BY_KEY,
    BY_SIGSTORE,
    PUBLIC_KEY,
    SigningKey,
    Trust,
    hashing,
    sign,
    signing_library,
    validity_problem,
    words,
)
from schemas.errors import FailedError, InputError

_CHECKED_WITH = {
    BY_KEY: f"--public-key (or {PUBLIC_KEY})",
    BY_CERTIFICATE: "--chain",
    BY_SIGSTORE: "--identity and --issuer",
}
# What a signature holds of its signer, by the names of Sigstore's bundle format.
_MATERIALS = {
    "publicKey": BY_KEY,
    "x509CertificateChain": BY_CERTIFICATE,
    "certificate": BY_SIGSTORE,
}


def check_key(key: SigningKey | None, whose: Trust | None = None) -> None:
    """Sign a file of no meaning, so that a key that cannot be used shows before hours of training.

    Sigstore is not tried: whatever it signs is in its public log for ever.

    Args:
        key: The key, or None.
        whose: Whose signatures count: what the key signs must be among them.

    Raises:
        InputError: as `sign` does; or ``whose`` would not take its signature.
    """
    if key is None:
        return
    checked = whose if whose is not None and whose.checks else None
    if checked is not None and key.kind != checked.kind:
        raise InputError(
            f"what {key.kind} signs is not checked with {_CHECKED_WITH[checked.kind]}, so what is "
            f"published would not verify: give {_CHECKED_WITH[key.kind]}, or leave it out"
        )
    if key.sigstore:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / PROMOTIONS / "1").mkdir(parents=True)
        (root / "tried").write_text("tried\n")
        sign(root, 1, key)
        if checked is None:
            return
        verifier = _verifier(checked)
        try:
            verifier.verify(root, root / PROMOTIONS / "1" / SIGNATURE)
        except Exception as error:
            raise InputError(
                f"the signing key does not belong to {_CHECKED_WITH[checked.kind]}, so what is "
                "published would not verify: give those that belong together, or leave out the "
                f"latter ({words(error)})"
            ) from error


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
    verifier = _verifier(whose)
    try:
        content = path.read_text("utf-8")
        if (kind := _kind_of(content)) != whose.kind:
            return [f"{name}: signed with {kind}; give {_CHECKED_WITH[kind]}"]
        verifier.verify(serving, path)
        signed = _signed_names(content)
    except Exception as error:
        if str(error).startswith("Signature mismatch"):  # the files that differ are named already
            return [f"{name}: signs other contents than those that are there"]
        return [f"{name}: damaged, or not signed by whom it should be ({words(error)})"]
    expected = {*bundle.files, f"{PROMOTIONS}/{bundle.version}/bundle.json"}
    if signed != expected:
        other = sorted(signed ^ expected)[0]
        return [f"{name}: signs other files than those of version {bundle.version}, e.g. {other}"]
    if whose.chain:
        return _certificate_problems(name, content, bundle)
    return []


def _verifier(whose: Trust) -> Any:
    """Return what checks signatures.

    Raises:
        InputError: what is to check them cannot be used.
        FailedError: Sigstore cannot be reached.
    """
    library = signing_library()
    config = library.verifying.Config().set_hashing_config(hashing(library))
    config.set_ignore_unsigned_files(True)  # other versions; `signature_problems` compares ours
    try:
        if whose.public_key:
            config.use_elliptic_key_verifier(public_key=whose.public_key)
        elif whose.chain:
            config.use_certificate_verifier(certificate_chain=list(whose.chain))
        else:
            config.use_sigstore_verifier(identity=whose.identity, oidc_issuer=whose.issuer)
    except Exception as error:
        if whose.identity:
            raise FailedError(f"Sigstore cannot be reached to verify ({words(error)})") from error
        raise InputError(
            f"what is to check signatures cannot be used ({words(error)}): give a public key or "
            "certificates in PEM form"
        ) from error
    return config


def _kind_of(content: str) -> str:
    """Return what a signature says that it was made with; nothing vouches for it.

    Raises:
        ValueError, LookupError, TypeError: it is none.
    """
    material = json.loads(content)["verificationMaterial"]
    for name, kind in _MATERIALS.items():
        if name in material:
            return kind
    raise ValueError("it names no signer")


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
    problem = validity_problem(x509.load_der_x509_certificate(raw), made, "when it signed")
    return [f"{name}: {problem}"] if problem else []
