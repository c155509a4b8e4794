"""Revocation lists, in PEM or DER. What is no list is none of this module's."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from keyctl.audit.revocation import RevocationList
from keyctl.findings import Location

_BEGINNING = b"-----BEGIN X509 CRL-----"


def read(name: str, content: bytes) -> Iterator[RevocationList]:
    """The list of the file, nothing where it is none."""
    try:
        if _BEGINNING in content:
            found = x509.load_pem_x509_crl(content[content.index(_BEGINNING) :])
        elif name.endswith(".crl"):
            found = x509.load_der_x509_crl(content)
        else:
            return
        yield RevocationList(name, found.issuer.rfc4514_string(), found.next_update_utc, Location(name))
    except (ValueError, UnsupportedAlgorithm):
        return
