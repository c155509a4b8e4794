from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

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
def serving(context: ssl.SSLContext | None, answer: bytes = HTTP_OK) -> Generator[int]:
    """A server that answers each connection once; without `context` it speaks no TLS. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(TIMEOUT)
                        secured = context.wrap_socket(connection, server_side=True) if context else connection
                        with secured:
                            secured.recv(1024)
                            secured.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            thread.join()


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


def test_a_plain_address_is_not_tried(tmp_path: Path, authority: trustme.CA) -> None:
    goal = target(tmp_path, 2379, authority, authority)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        words = explain(f"http://127.0.0.1:{listener.getsockname()[1]}", goal.ca, goal.cert, goal.key, None, TIMEOUT)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "is not https" in words
