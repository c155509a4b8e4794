"""Certificates and private keys in PEM. Of a private key nothing is kept but that there is one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509

from keyctl.audit.facts import About, CertificateFact, Unread
from keyctl.findings import Location
from keyctl.pki.describe import UNREADABLE, Described, describe

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
