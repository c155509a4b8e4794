"""Revocation lists of files, and which certificates may stand for a client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from keyctl.audit.collect import collect
from keyctl.audit.facts import CertificateFact
from keyctl.audit.revocation import RevocationList
from keyctl.audit.sources import crl, pem
from keyctl.pki.issue import Subject, Usage, issue, new_authority
from tests.unit.audit.given import TODAY

NEXT = datetime(2026, 11, 1, tzinfo=UTC)


def revocations(encoding: Encoding) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "etcd-ca")])
    builder = x509.CertificateRevocationListBuilder(name, NEXT - timedelta(days=30), NEXT)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(encoding)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_list_says_whose_it_is_and_until_when_it_holds(tmp_path: Path, encoding: Encoding) -> None:
    path = tmp_path / "clients.crl"
    path.write_bytes(revocations(encoding))
    (found,) = collect([tmp_path], today=TODAY).of(RevocationList)
    assert (found.path, found.issuer, found.next_update) == (str(path), "CN=etcd-ca", NEXT)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.crl", b""),
        ("a.crl", b"no list"),
        ("a.pem", b"-----BEGIN X509 CRL-----\nbm8=\n-----END X509 CRL-----\n"),
        ("a.crt", b"\x30\x03\x02\x01\x01"),
    ],
)
def test_what_is_no_list_is_none(name: str, content: bytes) -> None:
    assert list(crl.read(name, content)) == []


def test_der_is_looked_for_in_files_that_are_called_so() -> None:
    assert list(crl.read("a.pem", revocations(Encoding.DER))) == []


@pytest.mark.parametrize(("usage", "is_client"), [(Usage.SERVER, False), (Usage.CLIENT, True), (Usage.PEER, True)])
def test_a_certificate_says_whether_it_may_stand_for_a_client(usage: Usage, is_client: bool) -> None:
    now = datetime(2026, 10, 1, tzinfo=UTC)
    authority = new_authority("etcd-ca", now=now, lifetime=timedelta(days=30))
    names = () if usage is Usage.CLIENT else ("etcd.local",)
    issued = issue(authority, Subject("one", usage, names=names), now=now, lifetime=timedelta(days=3))
    (found,) = pem.read("one.crt", issued.certificate)
    assert isinstance(found, CertificateFact)
    assert found.is_client is is_client
