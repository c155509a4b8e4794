"""What a user reads where an etcd does not let keyctl in: the cause that a probe finds, of real etcds."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyctl.cli import main
from keyctl.errors import ExitCode
from keyctl.pki.issue import Issued, Subject, Usage, issue, write_pair
from tests.support.binaries import binary
from tests.support.etcd_process import free_port, write_client, write_secret
from tests.support.hints import wrong_hints

pytestmark = pytest.mark.live

HOST = "127.0.0.1"
HOUR = timedelta(hours=1)
_START_SECONDS = 20.0
_ENCIPHERMENT = x509.KeyUsage(False, False, True, False, False, False, False, False, False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="etcd-ca")


@contextlib.contextmanager
def etcd(folder: Path, *flags: str, scheme: str = "https") -> Iterator[tuple[int, int]]:
    """One member with `flags`; its client port and its peer port."""
    client, peer = free_port(), free_port()
    urls, peers = f"{scheme}://{HOST}:{client}", f"{scheme}://{HOST}:{peer}"
    command = [
        *(str(binary("etcd")), "--name=one", f"--data-dir={folder / 'data'}", f"--initial-cluster=one={peers}"),
        *(f"--{kind}-client-urls={urls}" for kind in ("listen", "advertise")),
        *(f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", "--unsafe-no-fsync"),
    ]
    with (folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen([*command, "--log-level=warn", *flags], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not (_listens(client) and _listens(peer)):
            running = process.poll() is None and time.monotonic() < deadline
            assert running, (folder / "etcd.log").read_text()[-2000:]
            time.sleep(0.1)
        yield client, peer
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def tls_flags(folder: Path, authority: trustme.CA, serving: tuple[Path, Path]) -> tuple[str, ...]:
    """One CA and one certificate for clients and peers."""
    cert, key = serving
    ca = write_secret(folder / "trusted.crt", authority.cert_pem)
    return (
        *(
            f"--{prefix}{name}"
            for prefix in ("", "peer-")
            for name in ("client-cert-auth=true", f"trusted-ca-file={ca}")
        ),
        *(f"--{prefix}{name}" for prefix in ("", "peer-") for name in (f"cert-file={cert}", f"key-file={key}")),
    )


def serving(folder: Path, authority: trustme.CA) -> tuple[Path, Path]:
    pair = authority.issue_cert(HOST, common_name="etcd")
    return (
        write_secret(folder / "server.crt", *pair.cert_chain_pems),
        write_secret(folder / "server.key", pair.private_key_pem),
    )


def made(folder: Path, authority: trustme.CA, *extensions: x509.ExtensionType) -> tuple[Path, Path]:
    """A server's pair with these extensions alone, as openssl makes it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signing = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    built = x509.CertificateBuilder(signer.subject, name, key.public_key(), 7, now - HOUR, now + HOUR)
    for extension in extensions:
        built = built.add_extension(extension, critical=False)
    pem = built.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    cert = write_secret(folder / "server.crt", trustme.Blob(pem))
    return cert, write_secret(folder / "server.key", trustme.Blob(key.private_bytes(*form)))


def said(capsys: pytest.CaptureFixture[str], port: int, ca: Path, cert: Path, key: Path, *, host: str = HOST) -> str:
    """What `verify-secrets` says, and its exit code says that etcd is out of reach."""
    access = ("--endpoints", f"https://{host}:{port}", "--cacert", str(ca), "--cert", str(cert), "--key", str(key))
    capsys.readouterr()
    assert main.run(["verify-secrets", *access]) == ExitCode.UNREACHABLE
    told = capsys.readouterr().err
    assert wrong_hints([told]) == []
    return told


def test_each_wrong_client_of_a_real_etcd_reads_why_it_is_refused(
    tmp_path: Path, authority: trustme.CA, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = trustme.CA(organization_name="another-ca")
    ours = write_client(tmp_path, authority, authority)
    theirs = write_client(tmp_path, foreign, foreign, "foreign")
    ca = Issued(authority.cert_pem.bytes(), authority.private_key_pem.bytes())
    now = datetime.now(UTC)
    expired = issue(ca, Subject("client", Usage.CLIENT), now=now - 2 * HOUR, lifetime=HOUR)
    only_serves = issue(ca, Subject("etcd", Usage.SERVER, addresses=(HOST,)), now=now, lifetime=HOUR)
    nameless = issue(ca, Subject("client", Usage.CLIENT), now=now, lifetime=HOUR)
    made_by_hand = {"late": expired, "serves": only_serves, "nameless": nameless}
    pairs = {name: write_pair(tmp_path, name, one) for name, one in made_by_hand.items()}
    with etcd(tmp_path, *tls_flags(tmp_path, authority, serving(tmp_path, authority))) as (port, peer):
        assert 'TLS alert "unknown ca"' in said(capsys, port, ours.ca, theirs.cert, theirs.key)
        assert "late.crt is expired 1 hour ago" in said(capsys, port, ours.ca, *pairs["late"])
        assert "is not that of a client" in said(capsys, port, ours.ca, *pairs["serves"])
        assert 'O=etcd-ca"; ' in said(capsys, port, theirs.ca, ours.cert, ours.key)
        assert "is not for localhost; it is for 127.0.0.1" in said(
            capsys, port, ours.ca, ours.cert, ours.key, host="localhost"
        )
        # What names hosts must name one of ours there.
        assert "etcd's peer port (2380) does so" in said(capsys, peer, ours.ca, ours.cert, ours.key)
        assert "speaks TLS and no HTTP/2" in said(capsys, peer, ours.ca, *pairs["nameless"])


def test_an_etcd_without_tls_is_called_that(
    tmp_path: Path, authority: trustme.CA, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = write_client(tmp_path, authority, authority)
    with etcd(tmp_path, scheme="http") as (port, _):
        assert "does not speak TLS" in said(capsys, port, ours.ca, ours.cert, ours.key)


@pytest.mark.parametrize(
    ("named", "usage", "why"),
    [
        pytest.param(False, None, "it is for no name at all", id="without names, as of tutorials"),
        pytest.param(True, _ENCIPHERMENT, "has no digitalSignature", id="of a key usage that gRPC refuses"),
    ],
)
def test_a_certificate_that_clients_do_not_take_is_named_with_what_is_wrong(
    tmp_path: Path,
    authority: trustme.CA,
    capsys: pytest.CaptureFixture[str],
    named: bool,
    usage: x509.KeyUsage | None,
    why: str,
) -> None:
    ours = write_client(tmp_path, authority, authority)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))])
    pair = made(tmp_path, authority, *((names,) if named else ()), *((usage,) if usage else ()))
    with etcd(tmp_path, *tls_flags(tmp_path, authority, pair)) as (port, _):
        assert why in said(capsys, port, ours.ca, ours.cert, ours.key)
