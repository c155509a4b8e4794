from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

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
