from __future__ import annotations

import functools
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.pki import issue as pki
from keyctl.pki.issue import Issued, KeyKind, Subject, Usage

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SERVER = Subject(common_name="etcd1", usage=Usage.SERVER, names=("etcd.test",), addresses=("127.0.0.1", "::1"))
CLIENT = Subject(common_name="alice", usage=Usage.CLIENT, organizations=("admins", "readers"))


def authority(name: str = "an authority") -> Issued:
    return pki.new_authority(name, now=NOW, lifetime=DAY)


@functools.cache
def authority_of(kind: KeyKind) -> Issued:
    return pki.new_authority("an authority", now=NOW, lifetime=DAY, kind=kind)


def leaf(subject: Subject, signer: Issued | None = None) -> x509.Certificate:
    issued = pki.issue(signer or authority(), subject, now=NOW, lifetime=DAY)
    return x509.load_pem_x509_certificate(issued.certificate)


def test_an_authority_signs_certificates_but_no_authorities() -> None:
    certificate = x509.load_pem_x509_certificate(authority().certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_a_certificate_names_its_server_by_name_and_address() -> None:
    names = leaf(SERVER).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["etcd.test"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_a_client_is_named_with_its_groups() -> None:
    subject = leaf(CLIENT).subject
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["alice"]
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [item.value for item in groups] == ["admins", "readers"]


@pytest.mark.parametrize(
    ("usage", "purposes"),
    [
        (Usage.SERVER, [ExtendedKeyUsageOID.SERVER_AUTH]),
        (Usage.CLIENT, [ExtendedKeyUsageOID.CLIENT_AUTH]),
        (Usage.PEER, [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_a_certificate_is_good_for_its_usage_only(usage: Usage, purposes: list[x509.ObjectIdentifier]) -> None:
    extensions = leaf(Subject(common_name="x", usage=usage, names=("x",))).extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == purposes
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key_usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert key_usage.digital_signature
    assert not key_usage.key_cert_sign


@pytest.mark.parametrize("kind", KeyKind)
@pytest.mark.parametrize("signer", KeyKind)
def test_any_kind_of_authority_signs_any_kind_of_key(signer: KeyKind, kind: KeyKind) -> None:
    issued = pki.issue(authority_of(signer), SERVER, now=NOW, lifetime=DAY, kind=kind)
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_of(signer).certificate))
    assert pki.kind_of(issued) is kind
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment) == (True, kind is KeyKind.RSA)


@pytest.mark.parametrize("content", [b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_an_authority_whose_key_cannot_be_read_signs_nothing(content: bytes) -> None:
    with pytest.raises(UnusableInputError, match="cannot be read"):
        pki.issue(Issued(authority().certificate, content), CLIENT, now=NOW, lifetime=DAY)


def test_a_key_that_signs_no_certificates_here_is_refused() -> None:
    key = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(UnusableInputError, match="signs no certificates"):
        pki.issue(Issued(authority().certificate, key), CLIENT, now=NOW, lifetime=DAY)


def test_each_certificate_has_its_own_serial_number() -> None:
    signer = authority()
    assert leaf(SERVER, signer).serial_number != leaf(SERVER, signer).serial_number


def test_a_certificate_holds_from_now_for_the_asked_time_and_allows_for_slow_clocks() -> None:
    certificate = leaf(CLIENT)
    assert certificate.not_valid_before_utc == (NOW - pki.CLOCK_SKEW).replace(microsecond=0)
    assert certificate.not_valid_after_utc == (NOW + DAY).replace(microsecond=0)


def test_a_certificate_may_not_outlive_its_authority() -> None:
    with pytest.raises(UnusableInputError, match="would outlive its authority"):
        pki.issue(authority(), CLIENT, now=NOW, lifetime=DAY + timedelta(seconds=1))


@pytest.mark.parametrize("usage", [Usage.SERVER, Usage.PEER])
def test_a_server_without_an_address_is_a_mistake(usage: Usage) -> None:
    with pytest.raises(ValueError, match="names no address"):
        Subject(common_name="x", usage=usage)


def test_private_keys_are_not_in_a_repr() -> None:
    assert "PRIVATE" not in repr(authority())
    assert "PRIVATE" not in repr(pki.new_signing_pair())


def test_a_signing_pair_belongs_together() -> None:
    pair = pki.new_signing_pair()
    private = serialization.load_pem_private_key(pair.private_key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == serialization.load_pem_public_key(pair.public_key)


def test_a_key_is_private_from_its_first_instant_and_a_certificate_is_not(tmp_path: Path) -> None:
    certificate, key = pki.write_pair(tmp_path, "ca", authority())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(certificate.stat().st_mode) == 0o644
    assert key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "ca.key").write_text("mine")
    with pytest.raises(RefusedError, match=r"ca\.key exists") as caught:
        pki.write_pair(tmp_path, "ca", authority())
    assert (tmp_path / "ca.key").read_text() == "mine"
    assert caught.value.hints


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "ca.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError):
        pki.write_pair(tmp_path, "ca", authority())
    assert not (tmp_path / "elsewhere").exists()


def handshake(folder: Path, trusted: Issued, server: Issued, client: Issued) -> str:
    """Shake hands over mutual TLS on loopback as strictly as OpenSSL can; returns the client's name as seen."""
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    serving.verify_mode = ssl.CERT_REQUIRED
    for context, stem, issued in ((serving, "server", server), (asking, "client", client)):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=trusted.certificate.decode())
        context.load_cert_chain(*pki.write_pair(folder, stem, issued))
    seen: list[str] = []

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as connection, serving.wrap_socket(connection, server_side=True) as secured:
            seen.append(str((secured.getpeercert() or {})["subject"]))
            secured.sendall(b"hello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=10) as plain,
                asking.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
            ):
                secured.recv(5)
        finally:
            thread.join()
    return seen[0]


def test_server_and_client_accept_each_other(tmp_path: Path) -> None:
    signer = authority()
    server, client = (pki.issue(signer, subject, now=NOW, lifetime=DAY) for subject in (SERVER, CLIENT))
    assert "alice" in handshake(tmp_path, signer, server, client)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("wrong", ["name", "authority", "usage"])
def test_a_server_that_is_not_the_one_is_not_accepted(tmp_path: Path, wrong: str) -> None:
    signer = authority()
    subject = Subject(common_name="x", usage=Usage.SERVER, names=("other.test",)) if wrong == "name" else SERVER
    if wrong == "usage":
        subject = Subject(common_name="x", usage=Usage.CLIENT, addresses=("127.0.0.1",))
    server = pki.issue(authority() if wrong == "authority" else signer, subject, now=NOW, lifetime=DAY)
    client = pki.issue(signer, CLIENT, now=NOW, lifetime=DAY)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, signer, server, client)
