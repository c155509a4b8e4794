"""Certificates and private keys in PEM. Of a private key nothing is kept but that there is one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from keyctl.audit.facts import About, CertificateFact, Unread
from keyctl.findings import Location

# At the beginning of a line: text may stand before it, and in other documents it is indented.
_BEGINNING = re.compile(rb"^-----BEGIN CERTIFICATE-----", re.MULTILINE)
_REFUSALS = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_KEYS = (b"PRIVATE KEY-----",)


def has_certificate(content: bytes) -> bool:
    """Whether a certificate stands in it."""
    return _BEGINNING.search(content) is not None


def has_private_key(content: bytes) -> bool:
    """Whether a private key stands in it."""
    return any(mark in content for mark in _KEYS)


def read(name: str, content: bytes) -> Iterator[CertificateFact | Unread]:
    """Every certificate of the file; one that cannot be read hides none of the others."""
    for start in _BEGINNING.finditer(content):
        try:
            yield _fact(name, x509.load_pem_x509_certificate(content[start.start() :]))
        except _REFUSALS:
            yield Unread("a certificate of it cannot be read", frozenset({About.CERTIFICATE}), Location(name))


def _fact(name: str, certificate: x509.Certificate) -> CertificateFact:
    public = certificate.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kind, bits = type(public).__name__, 0
    if isinstance(public, rsa.RSAPublicKey):
        kind, bits = "RSA", public.key_size
    elif isinstance(public, ec.EllipticCurvePublicKey):
        kind, bits = "EC", public.key_size
    elif isinstance(public, ed25519.Ed25519PublicKey):
        kind = "Ed25519"
    return CertificateFact(
        name,
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        _names(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        _is_ca(certificate),
        _is_server(certificate),
        hashlib.sha256(spki).hexdigest(),
        kind,
        bits,
        Location(name),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_server(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.SERVER_AUTH in usages
