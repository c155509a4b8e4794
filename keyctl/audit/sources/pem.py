"""Certificates and private keys in PEM. Of a private key nothing is kept but the hash of its public half."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keyctl.audit.facts import About, CertificateFact, Unread
from keyctl.audit.private_keys import PrivateKeyFact
from keyctl.findings import Location
from keyctl.pki.describe import UNREADABLE, Described, describe, spki_of

# At the beginning of a line: text may stand before it, and in other documents it is indented.
_BEGINNING = re.compile(rb"^-----BEGIN CERTIFICATE-----", re.MULTILINE)
_PRIVATE = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)


def has_certificate(content: bytes) -> bool:
    """Whether a certificate stands in it."""
    return _BEGINNING.search(content) is not None


def has_private_key(content: bytes) -> bool:
    """Whether a private key stands in it."""
    return _PRIVATE.search(content) is not None


def read(name: str, content: bytes) -> Iterator[CertificateFact | Unread]:
    """Every certificate of the file; one that cannot be read hides none of the others."""
    for start in _BEGINNING.finditer(content):
        try:
            line = content.count(b"\n", 0, start.start()) + 1
            yield fact_of(name, describe(x509.load_pem_x509_certificate(content[start.start() :])), line=line)
        except UNREADABLE:
            yield Unread("a certificate of it cannot be read", frozenset({About.CERTIFICATE}), Location(name))


def private_keys(name: str, content: bytes) -> Iterator[PrivateKeyFact]:
    """Every private key of the file that opens without a password; of the others nothing is known."""
    for start in _PRIVATE.finditer(content):
        try:
            public = load_pem_private_key(content[start.start() :], None).public_key()
        except (TypeError, ValueError, UnsupportedAlgorithm):
            continue
        yield PrivateKeyFact(name, spki_of(public), Location(name))


def fact_of(name: str, certificate: Described, *, line: int | None = None) -> CertificateFact:
    """A certificate of the file `name`, beginning at `line`, as checks judge it."""
    return CertificateFact(
        name,
        certificate.subject,
        certificate.issuer,
        certificate.names,
        certificate.not_before,
        certificate.not_after,
        certificate.is_ca,
        certificate.usages is not None and certificate.serves,
        certificate.spki,
        certificate.key_type,
        certificate.key_bits,
        Location(name, line),
        for_anything=certificate.usages is None,
        signature_hash=certificate.signature_hash,
        is_client=certificate.asks,
    )
