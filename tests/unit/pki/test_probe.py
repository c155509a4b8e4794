from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyctl.errors import UnusableInputError
from keyctl.pki.issue import Issued, Subject, Usage, issue, write_pair
from keyctl.pki.probe import ProbeResult, Stage, Target, explain, probe
from tests.support.etcd_process import free_port, write_client, write_secret

TIMEOUT = 2.0
HTTP_OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="etcd-ca")


@pytest.fixture(scope="module")
def foreign() -> trustme.CA:
    return trustme.CA(organization_name="kubernetes-ca")


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Generator[int]:
    """A server that hands each connection to `serve`, one after the other. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        stopped = threading.Event()

        def accept() -> None:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(TIMEOUT)
                        serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            thread.join()


def serving(context: ssl.SSLContext | None, answer: bytes = HTTP_OK) -> contextlib.AbstractContextManager[int]:
    """A server that answers each connection once; without `context` it speaks no TLS."""

    def serve(connection: socket.socket) -> None:
        secured = context.wrap_socket(connection, server_side=True) if context else connection
        with secured:
            secured.recv(1024)
            secured.sendall(answer)

    return listening(serve)


def server_context(
    signer: trustme.CA, clients: trustme.CA, *, version: ssl.TLSVersion, expires: datetime | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signer.issue_cert("127.0.0.1", "etcd.local", common_name="etcd", not_after=expires).configure_cert(context)
    clients.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    return context


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def port(request: pytest.FixtureRequest, authority: trustme.CA) -> Generator[int]:
    with serving(server_context(authority, authority, version=request.param)) as number:
        yield number


def target(tmp_path: Path, port: int, signer: trustme.CA, trusted: trustme.CA, **changes: str) -> Target:
    tls = write_client(tmp_path, signer, trusted)
    return Target("127.0.0.1", port, tls.ca, tls.cert, tls.key, **changes)


def test_the_right_certificates_pass_every_stage(tmp_path: Path, port: int, authority: trustme.CA) -> None:
    goal = target(tmp_path, port, authority, authority)
    assert probe(goal, TIMEOUT) == ProbeResult(Stage.AUTHORISATION, ok=True, cause=f"127.0.0.1:{port} answered")
    assert explain(f"https://127.0.0.1:{port}", goal.ca, goal.cert, goal.key, None, TIMEOUT) == ""


def test_no_client_certificate_fails_at_the_client(tmp_path: Path, port: int, authority: trustme.CA) -> None:
    goal = target(tmp_path, port, authority, authority)
    result = probe(Target("127.0.0.1", port, goal.ca), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_CLIENT, False)
    assert "none was given" in result.cause


def test_a_foreign_client_certificate_names_both_authorities(
    tmp_path: Path, port: int, authority: trustme.CA, foreign: trustme.CA
) -> None:
    result = probe(target(tmp_path, port, foreign, authority), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_CLIENT, False)
    assert "unknown ca" in result.cause
    assert "kubernetes-ca" in result.cause
    assert "etcd-ca" in result.cause
    assert "--cert" in result.hint


def test_an_expired_client_certificate_says_since_when(tmp_path: Path, port: int, authority: trustme.CA) -> None:
    goal = target(tmp_path, port, authority, authority)
    pair = authority.issue_cert("client.test", not_after=datetime.now(UTC) - timedelta(days=4))
    cert = write_secret(tmp_path / "expired.crt", *pair.cert_chain_pems)
    key = write_secret(tmp_path / "expired.key", pair.private_key_pem)
    result = probe(Target("127.0.0.1", port, goal.ca, cert, key), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_CLIENT, False)
    assert "expired.crt is expired 4 days ago" in result.cause


def test_a_key_of_another_certificate_is_seen_before_connecting(tmp_path: Path, authority: trustme.CA) -> None:
    goal = target(tmp_path, free_port(), authority, authority)
    other = write_secret(tmp_path / "other.key", authority.issue_cert("other.test").private_key_pem)
    result = probe(Target(goal.host, goal.port, goal.ca, goal.cert, other), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_CLIENT, False)
    assert "does not belong" in result.cause


def test_a_server_of_a_foreign_ca_names_both_authorities(
    tmp_path: Path, port: int, authority: trustme.CA, foreign: trustme.CA
) -> None:
    result = probe(target(tmp_path, port, authority, foreign), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert "kubernetes-ca" in result.cause
    assert "--cacert" in result.hint


def test_the_issuer_of_a_foreign_server_is_read_from_its_certificate(
    tmp_path: Path, authority: trustme.CA, foreign: trustme.CA
) -> None:
    context = server_context(authority, authority, version=ssl.TLSVersion.TLSv1_3)
    with serving(context) as port:
        result = probe(target(tmp_path, port, authority, foreign), TIMEOUT)
    assert "O=etcd-ca" in result.cause


def test_a_wrong_host_name_lists_the_names_of_the_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    with serving(server_context(authority, authority, version=ssl.TLSVersion.TLSv1_3)) as port:
        goal = target(tmp_path, port, authority, authority, server_name="elsewhere.local")
        result = probe(goal, TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert result.cause == "the server's certificate is not for elsewhere.local; it is for etcd.local, 127.0.0.1"


def test_an_expired_server_certificate_says_since_when(tmp_path: Path, authority: trustme.CA) -> None:
    expires = datetime.now(UTC) - timedelta(days=2, hours=1)
    with serving(server_context(authority, authority, version=ssl.TLSVersion.TLSv1_3, expires=expires)) as port:
        result = probe(target(tmp_path, port, authority, authority), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert "the server's certificate is expired 2 days ago" in result.cause


def test_a_server_without_tls_is_recognised(tmp_path: Path, authority: trustme.CA) -> None:
    with serving(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        result = probe(target(tmp_path, port, authority, authority), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert "does not speak TLS" in result.cause


def test_a_refusal_over_http_is_a_matter_of_authorisation(tmp_path: Path, authority: trustme.CA) -> None:
    context = server_context(authority, authority, version=ssl.TLSVersion.TLSv1_3)
    with serving(context, b"HTTP/1.1 403 Forbidden\r\n\r\n") as port:
        result = probe(target(tmp_path, port, authority, authority), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.AUTHORISATION, False)
    assert "403" in result.cause


def test_a_closed_port_fails_at_tcp(tmp_path: Path, authority: trustme.CA) -> None:
    result = probe(target(tmp_path, free_port(), authority, authority), TIMEOUT)
    assert (result.stage, result.ok, result.cause) == (Stage.TCP, False, "connection refused")


def test_a_silent_server_fails_within_the_time_limit(tmp_path: Path, authority: trustme.CA) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = probe(target(tmp_path, listener.getsockname()[1], authority, authority), 0.2)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert "within 0.2 s" in result.cause


def test_an_unknown_name_fails_at_the_name(tmp_path: Path, authority: trustme.CA) -> None:
    goal = target(tmp_path, 2379, authority, authority)
    words = explain("https://etcd.invalid:2379", goal.ca, goal.cert, goal.key, None, TIMEOUT)
    assert words.splitlines()[0].startswith("name: no address for etcd.invalid")
    assert len(words.splitlines()) == 2


def greeted_by(answer: bytes) -> Callable[[socket.socket], None]:
    """A server that closes the connection of who greets it with TLS, as etcd without TLS does, and answers others."""

    def serve(connection: socket.socket) -> None:
        if connection.recv(1024)[:1] != b"\x16":
            connection.sendall(answer)

    return serve


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        pytest.param(HTTP_OK, True, id="an etcd without TLS"),
        pytest.param(
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", False, id="TLS"
        ),
        pytest.param(b"220 mail", False, id="something else"),
    ],
)
def test_a_server_that_closes_without_a_word_speaks_no_tls_where_it_answers_without(
    tmp_path: Path, authority: trustme.CA, answer: bytes, plain: bool
) -> None:
    with listening(greeted_by(answer)) as port:
        result = probe(target(tmp_path, port, authority, authority), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert ("does not speak TLS" in result.cause) == plain


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test"])
def test_a_name_that_no_host_can_have_fails_at_the_name(tmp_path: Path, authority: trustme.CA, host: str) -> None:
    goal = target(tmp_path, 2379, authority, authority)
    result = probe(Target(host, 2379, goal.ca, goal.cert, goal.key), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.NAME, False)


def test_a_common_name_is_no_name_of_a_server(tmp_path: Path, authority: trustme.CA) -> None:
    ca, context = without_names(tmp_path, "localhost")
    with serving(context) as port:
        tls = write_client(tmp_path, authority, authority)
        result = probe(Target("127.0.0.1", port, ca, tls.cert, tls.key, "localhost"), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_SERVER, False)
    assert "it is for no name at all" in result.cause
    assert "subjectAltName" in result.hint


def test_what_a_stranger_wrote_into_its_certificate_does_nothing_to_a_terminal(
    tmp_path: Path, authority: trustme.CA
) -> None:
    _, context = without_names(tmp_path, "\x1b[2Jetcd")
    with serving(context) as port:
        result = probe(target(tmp_path, port, authority, authority), TIMEOUT)
    assert (result.stage, "\x1b" in result.cause, "etcd" in result.cause) == (Stage.TLS_SERVER, False, True)


def without_names(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate with a common name alone, and a server that shows it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 7, now, now + timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signed = made.sign(key, hashes.SHA256())
    certificate = write_secret(folder / "self.crt", trustme.Blob(signed.public_bytes(serialization.Encoding.PEM)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, write_secret(folder / "self.key", trustme.Blob(key.private_bytes(*form))))
    return certificate, context


def test_a_certificate_that_may_only_serve_is_told_from_one_of_another_ca(
    tmp_path: Path, port: int, authority: trustme.CA
) -> None:
    now = datetime.now(UTC)
    ca = Issued(authority.cert_pem.bytes(), authority.private_key_pem.bytes())
    subject = Subject("etcd", Usage.SERVER, addresses=("127.0.0.1",))
    cert, key = write_pair(tmp_path, "serving", issue(ca, subject, now=now, lifetime=timedelta(hours=1)))
    goal = target(tmp_path, port, authority, authority)
    result = probe(Target("127.0.0.1", port, goal.ca, cert, key), TIMEOUT)
    assert (result.stage, result.ok) == (Stage.TLS_CLIENT, False)
    assert "the extended key usage of" in result.cause
    assert "is not that of a client" in result.cause


def test_a_port_that_is_for_grpc_alone_is_no_refusal_of_our_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    context = server_context(authority, authority, version=ssl.TLSVersion.TLSv1_3)
    context.set_alpn_protocols(["h2"])

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            if secured.selected_alpn_protocol() == "h2":
                secured.recv(1024)
                secured.sendall(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))

    with listening(serve) as port:
        assert probe(target(tmp_path, port, authority, authority), TIMEOUT).ok


def test_files_that_are_gone_are_told(tmp_path: Path, port: int) -> None:
    with pytest.raises(UnusableInputError, match="cannot be read"):
        probe(Target("127.0.0.1", port, tmp_path / "absent.crt"), TIMEOUT)


def test_a_plain_address_is_not_tried(tmp_path: Path, authority: trustme.CA) -> None:
    goal = target(tmp_path, 2379, authority, authority)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        words = explain(f"http://127.0.0.1:{listener.getsockname()[1]}", goal.ca, goal.cert, goal.key, None, TIMEOUT)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "is not https" in words
