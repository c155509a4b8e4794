from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from keyctl.errors import UnusableInputError
from keyctl.etcd.tls import MutualTls
from tests.support.etcd_process import write_client, write_secret


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> MutualTls:
    return write_client(tmp_path, authority, authority)


def test_a_matching_pair_is_accepted_without_a_word(tls: MutualTls, caplog: pytest.LogCaptureFixture) -> None:
    tls.check()
    assert caplog.records == []


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_missing_file_is_named(tls: MutualTls, tmp_path: Path, name: str) -> None:
    absent = tmp_path / "absent.pem"
    with pytest.raises(UnusableInputError, match=r"absent\.pem cannot be read") as caught:
        replace(tls, **{name: absent}).check()
    assert caught.value.cause == "No such file or directory"


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_file_that_is_not_pem_is_named(tls: MutualTls, tmp_path: Path, name: str) -> None:
    der = tmp_path / "file.der"
    der.write_bytes(b"\x30\x82")
    with pytest.raises(UnusableInputError, match=r"file\.der is not PEM"):
        replace(tls, **{name: der}).check()


def test_a_ca_file_without_a_certificate_is_refused(tls: MutualTls) -> None:
    with pytest.raises(UnusableInputError, match=r"no certificate can be read from .*client\.key"):
        replace(tls, ca=tls.key).check()


def test_a_key_of_another_certificate_is_refused(tls: MutualTls, tmp_path: Path, authority: trustme.CA) -> None:
    other = write_secret(tmp_path / "other.key", authority.issue_cert("other.test").private_key_pem)
    with pytest.raises(UnusableInputError, match=r"other\.key does not belong to certificate .*client\.crt"):
        replace(tls, key=other).check()


def test_an_encrypted_key_is_refused_and_no_password_asked(tls: MutualTls, tmp_path: Path) -> None:
    key = load_pem_private_key(tls.key.read_bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    encrypted = write_secret(tmp_path / "encrypted.key", trustme.Blob(pem))
    with pytest.raises(UnusableInputError, match="cannot be used") as caught:
        replace(tls, key=encrypted).check()
    assert "not encrypted" in caught.value.hints[0]


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_may_read_is_warned_about(
    tls: MutualTls, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    tls.key.chmod(mode)
    tls.check()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"chmod 600 {tls.key}" in caplog.text
