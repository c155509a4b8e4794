"""What gRPC asks of an etcd beyond mutual TLS: said where the probe finds nothing wrong, and a call failed."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from keyctl.pki import beyond
from tests.support.etcd_process import write_client, write_secret
from tests.support.hints import wrong_commands
from tests.unit.pki.test_probe import HTTP_OK, TIMEOUT, serving

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_ENCIPHERMENT = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
_SIGNATURE = x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def explained(
    folder: Path,
    answer: bytes,
    *,
    usage: x509.KeyUsage | None = None,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None,
    protocols: Sequence[str] = ("h2", "http/1.1"),
) -> list[str]:
    """What is said of a server with a certificate like this, which gives `answer`; the CA is its own."""
    key, now = key or ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "etcd")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = made.add_extension(usage, critical=False) if usage else made
    signed = made.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ca = write_secret(folder / "server.crt", trustme.Blob(signed.public_bytes(serialization.Encoding.PEM)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, write_secret(folder / "server.key", trustme.Blob(key.private_bytes(*form))))
    context.set_alpn_protocols(list(protocols))
    authority = trustme.CA()
    tls = write_client(folder, authority, authority)
    with serving(context, answer) as port:
        words = beyond.explain(f"https://127.0.0.1:{port}", ca, tls.cert, tls.key, None, TIMEOUT)
    assert wrong_commands(words) == []
    return words.splitlines()


@pytest.mark.parametrize("usage", [None, _SIGNATURE])
def test_nothing_is_said_of_an_etcd_that_nothing_is_wrong_with(tmp_path: Path, usage: x509.KeyUsage | None) -> None:
    assert explained(tmp_path, SETTINGS, usage=usage) == []


def test_a_key_usage_that_grpc_refuses_is_named_with_what_mends_it(tmp_path: Path) -> None:
    cause, hint = explained(tmp_path, SETTINGS, usage=_ENCIPHERMENT)
    assert "has no digitalSignature" in cause
    assert "keyUsage=digitalSignature" in hint


def test_a_kind_of_key_that_grpc_does_not_know_is_named(tmp_path: Path) -> None:
    cause, hint = explained(tmp_path, SETTINGS, key=ed25519.Ed25519PrivateKey.generate())
    assert ("Ed25519" in cause, "ECDSA" in hint) == (True, True)


@pytest.mark.parametrize(
    ("answer", "protocols"),
    [
        pytest.param(HTTP_OK, ("http/1.1",), id="it chooses HTTP/1.1"),
        pytest.param(
            b"HTTP/1.1 400 Bad Request\r\n\r\n", ("h2",), id="a peer port: it agrees to HTTP/2 and speaks none"
        ),
    ],
)
def test_a_port_without_http_2_is_no_client_port(tmp_path: Path, answer: bytes, protocols: tuple[str, ...]) -> None:
    cause, hint = explained(tmp_path, answer, protocols=protocols)
    assert ("speaks TLS and no HTTP/2" in cause, "2379" in hint) == (True, True)


def test_what_the_probe_finds_comes_first(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = write_client(tmp_path, authority, authority)
    words = beyond.explain("https://etcd.invalid:2379", tls.ca, tls.cert, tls.key, None, TIMEOUT)
    assert words.startswith("name: no address")
