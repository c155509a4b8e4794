from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keyctl.errors import UnusableInputError
from keyctl.pki.inspect import Certificate, key_matches, load_certificates, parse_certificates

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="etcd-ca")


def certificate(not_before: datetime, not_after: datetime) -> Certificate:
    return Certificate("etcd", "etcd-ca", ("etcd.local",), not_before, not_after, serial=7)


def test_a_certificate_is_described_by_what_decides_a_connection(authority: trustme.CA) -> None:
    pair = authority.issue_cert("etcd.local", "127.0.0.1", common_name="etcd")
    found = parse_certificates(pair.cert_chain_pems[0].bytes(), "etcd.crt")[0]
    assert found.subject == "etcd"
    assert "O=etcd-ca" in found.issuer
    assert found.names == ("etcd.local", "127.0.0.1")
    assert found.not_before < datetime.now(UTC) < found.not_after
    assert found.serial > 0


@pytest.mark.parametrize(
    ("here", "there"),
    [
        # The names twice; names of a kind that nobody reads; a version that there is not.
        (b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x11"),
        (b"\x82\x0aetcd.local", b"\xa3\x0aetcd.local"),
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),
    ],
)
def test_a_certificate_that_nobody_can_read_is_refused_and_breaks_nothing(here: bytes, there: bytes) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("etcd.local")]), critical=False)
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x30\x00")
    der = builder.add_extension(odd, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert der.count(here) == 1
    pem = ssl.DER_cert_to_PEM_cert(der.replace(here, there)).encode()
    with pytest.raises(UnusableInputError, match="no certificate can be read from etcd"):
        parse_certificates(pem, "etcd.crt")


def test_all_certificates_of_a_file_are_read_in_order(authority: trustme.CA, tmp_path: Path) -> None:
    other = trustme.CA(organization_name="other")
    path = tmp_path / "ca.crt"
    path.write_bytes(authority.cert_pem.bytes() + other.cert_pem.bytes())
    assert ["etcd-ca" in found.subject for found in load_certificates(path)] == [True, False]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (timedelta(days=-9), timedelta(days=9), None),
        (timedelta(days=-9), timedelta(days=-3, hours=-1), "expired 3 days ago (2026-11-18 11:00 UTC)"),
        (timedelta(days=-9), timedelta(hours=-1), "expired 1 hour ago (2026-11-21 11:00 UTC)"),
        (timedelta(days=-9), timedelta(minutes=-5), "expired 5 min ago (2026-11-21 11:55 UTC)"),
        (timedelta(days=1), timedelta(days=9), "not valid for another 1 day (from 2026-11-22 12:00 UTC)"),
    ],
)
def test_a_certificate_outside_of_its_time_says_by_how_much(
    start: timedelta, end: timedelta, words: str | None
) -> None:
    assert certificate(NOW + start, NOW + end).validity_problem(NOW) == words


def test_a_key_belongs_to_its_certificate_only(authority: trustme.CA, tmp_path: Path) -> None:
    one, two = authority.issue_cert("one.test"), authority.issue_cert("two.test")
    (tmp_path / "one.crt").write_bytes(one.cert_chain_pems[0].bytes())
    (tmp_path / "one.key").write_bytes(one.private_key_pem.bytes())
    (tmp_path / "two.key").write_bytes(two.private_key_pem.bytes())
    assert key_matches(tmp_path / "one.crt", tmp_path / "one.key")
    assert not key_matches(tmp_path / "one.crt", tmp_path / "two.key")


def test_files_that_are_no_pem_are_named(authority: trustme.CA, tmp_path: Path) -> None:
    text, crt = tmp_path / "text", tmp_path / "one.crt"
    text.write_text("hello")
    crt.write_bytes(authority.cert_pem.bytes())
    for call in (
        lambda: load_certificates(text),
        lambda: load_certificates(tmp_path / "absent"),
        lambda: key_matches(text, crt),
        lambda: key_matches(crt, text),
    ):
        with pytest.raises(UnusableInputError, match=r"text|absent"):
            call()
