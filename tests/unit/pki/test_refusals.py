from __future__ import annotations

import contextlib
import socket
import ssl
import stat
import threading
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from keyctl.errors import UnusableInputError
from keyctl.pki import hello, refusals
from keyctl.pki.issue import Issued
from keyctl.pki.probe import Target
from keyctl.pki.strangers import strangers
from keyctl.pki.survey import Attempt, Outcome, Survey
from tests.support.etcd_process import free_port, write_client, write_secret

TIMEOUT = 2.0
HTTP_OK = b"HTTP/1.1 200 OK\r\n\r\n"
WANTS_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
A, R, U, N = Outcome.ACCEPTED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.NOT_TRIED
Serve = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="etcd-ca")


@contextlib.contextmanager
def listening(serve: Serve) -> Generator[int]:
    """A server on loopback that hands each connection to `serve`, one after the other. Yields its port."""
    port, stopped = free_port(), threading.Event()
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.05)

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
            yield port
        finally:
            stopped.set()
            thread.join()


def speaking(context: ssl.SSLContext, answer: bytes = HTTP_OK) -> Serve:
    """TLS as in `context`: a handshake, a question, an answer."""

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1024)
            secured.sendall(answer)

    return serve


def saying(answer: bytes) -> Serve:
    """No TLS: a question, an answer, and the end."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(answer)

    return serve


def server(
    signer: trustme.CA, clients: trustme.CA | None, *names: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """A context of etcd's: it wants a certificate of `clients`, or none where that is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signer.issue_cert(*(names or ("127.0.0.1",)), common_name="etcd").configure_cert(context)
    if clients:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = newest
    return context


def survey(
    folder: Path, port: int, authority: trustme.CA, *, own: bool = True, at_hand: Issued | None = None
) -> Survey:
    tls = write_client(folder, authority, authority)
    us = Target("elsewhere", 1, tls.ca, tls.cert, tls.key)
    with refusals.surveyor(us, TIMEOUT, now=datetime.now(UTC), authority=at_hand) as prober:
        return prober.survey("127.0.0.1", port, own=own)


def outcomes(survey: Survey) -> dict[Attempt, Outcome]:
    return {one.attempt: one.outcome for one in survey.answers}


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def test_a_port_that_is_set_up_right_refuses_every_stranger_and_lets_us_in(
    tmp_path: Path, authority: trustme.CA, newest: ssl.TLSVersion
) -> None:
    with listening(speaking(server(authority, authority, newest=newest))) as port:
        found = survey(tmp_path, port, authority)
    assert outcomes(found) == {
        Attempt.PLAIN: R, Attempt.NO_CERTIFICATE: R, Attempt.FOREIGN: R, Attempt.OLD_PROTOCOL: R,
        Attempt.WEAK_SUITE: R, Attempt.OWN: A, Attempt.EXPIRED: N,
    }  # fmt: skip
    assert found.served is not None
    assert (found.served.subject, found.is_for_us) == ("etcd", True)
    assert found.protocol == newest.name.replace("_", ".")


def test_a_port_that_asks_for_no_certificate_lets_everybody_in_who_speaks_tls(
    tmp_path: Path, authority: trustme.CA
) -> None:
    with listening(speaking(server(authority, None))) as port:
        found = survey(tmp_path, port, authority)
    assert outcomes(found)[Attempt.NO_CERTIFICATE] is A
    assert outcomes(found)[Attempt.FOREIGN] is A
    assert outcomes(found)[Attempt.PLAIN] is R


def test_a_port_that_trusts_another_ca_lets_that_ones_certificates_in_and_not_ours(
    tmp_path: Path, authority: trustme.CA
) -> None:
    other = trustme.CA(organization_name="other")
    with listening(speaking(server(authority, other))) as port:
        found = survey(tmp_path, port, authority)
    assert outcomes(found)[Attempt.OWN] is R
    assert "unknown ca" in found.answer(Attempt.OWN).said


def test_our_certificate_is_not_shown_to_a_server_that_our_ca_does_not_vouch_for(
    tmp_path: Path, authority: trustme.CA
) -> None:
    stranger, seen = trustme.CA(), list[bytes | None]()
    context = server(stranger, None)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            seen.append(secured.getpeercert(binary_form=True))
            secured.recv(1024)
            secured.sendall(HTTP_OK)

    with listening(serve) as port:
        found = survey(tmp_path, port, authority)
    assert outcomes(found)[Attempt.OWN] is U
    assert "the server's certificate is refused" in found.answer(Attempt.OWN).said
    assert not any(seen)


@pytest.mark.parametrize(
    ("serve", "outcome", "said"),
    [
        pytest.param(saying(HTTP_OK), A, "in plaintext: HTTP/1.1 200 OK", id="http"),
        pytest.param(saying(SETTINGS), A, "in plaintext: HTTP/2", id="gRPC without TLS"),
        pytest.param(saying(WANTS_TLS), R, "wants HTTPS", id="the notice of a TLS server"),
        pytest.param(saying(b"\x15\x03\x01\x00\x02\x02\x28"), R, "TLS alert", id="a TLS alert"),
        pytest.param(saying(b"220 mail"), U, "neither TLS nor HTTP", id="something else"),
        pytest.param(saying(b""), U, "whether it speaks TLS is not known", id="nothing, and no TLS either"),
        pytest.param(lambda connection: threading.Event().wait(TIMEOUT + 0.5), U, "no answer in time", id="silence"),
    ],
)
def test_what_a_port_says_to_plain_words(
    tmp_path: Path, authority: trustme.CA, serve: Serve, outcome: Outcome, said: str
) -> None:
    tls = write_client(tmp_path, authority, authority)
    with listening(serve) as port:
        there = Target("127.0.0.1", port, tls.ca)
        answer = refusals._without_tls(there, 0.5, speaks_tls=False)
    assert (answer.outcome, said in answer.said) == (outcome, True), answer


def test_a_port_that_closes_is_refusing_plain_words_only_where_it_speaks_tls(
    tmp_path: Path, authority: trustme.CA
) -> None:
    with listening(lambda connection: None) as port:
        found = survey(tmp_path, port, authority)
    assert set(outcomes(found).values()) == {U, N}


def test_one_plain_door_beside_tls_on_one_port_is_open(tmp_path: Path, authority: trustme.CA) -> None:
    tls = speaking(server(authority, authority))

    def both(connection: socket.socket) -> None:
        first = connection.recv(1, socket.MSG_PEEK)
        (tls if first == b"\x16" else saying(HTTP_OK))(connection)

    with listening(both) as port:
        found = survey(tmp_path, port, authority)
    assert outcomes(found)[Attempt.PLAIN] is A
    assert outcomes(found)[Attempt.NO_CERTIFICATE] is R


def test_a_handshake_that_ends_without_an_answer_is_neither_let_in_nor_refused(
    tmp_path: Path, authority: trustme.CA
) -> None:
    context = server(authority, None)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass

    with listening(serve) as port:
        found = survey(tmp_path, port, authority)
    assert outcomes(found)[Attempt.NO_CERTIFICATE] is U
    assert outcomes(found)[Attempt.OWN] is U


@pytest.mark.parametrize(
    ("oldest", "ciphers", "attempt"),
    [
        pytest.param(ssl.TLSVersion.MINIMUM_SUPPORTED, "ALL:@SECLEVEL=0", Attempt.OLD_PROTOCOL, id="TLS 1.1"),
        pytest.param(ssl.TLSVersion.TLSv1_2, "AES128-SHA:@SECLEVEL=0", Attempt.WEAK_SUITE, id="RSA key exchange"),
    ],
)
def test_a_port_that_agrees_to_what_is_weak_is_told(
    tmp_path: Path, oldest: ssl.TLSVersion, ciphers: str, attempt: Attempt
) -> None:
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA).configure_cert(context)
    context.set_ciphers(ciphers)
    context.minimum_version = oldest
    with listening(speaking(context)) as port:
        assert outcomes(survey(tmp_path, port, authority))[attempt] is A


@pytest.mark.parametrize(
    ("alert", "outcome"),
    [
        pytest.param(42, R, id="bad certificate"),
        pytest.param(116, R, id="certificate required"),
        pytest.param(40, U, id="handshake failure"),
        pytest.param(80, U, id="internal error"),
        pytest.param(70, U, id="protocol version"),
        pytest.param(112, U, id="unrecognized name"),
    ],
)
def test_an_alert_refuses_a_certificate_only_where_it_is_about_one(
    tmp_path: Path, authority: trustme.CA, alert: int, outcome: Outcome
) -> None:
    with listening(saying(bytes((0x15, 3, 3, 0, 2, 2, alert)))) as port:
        found = outcomes(survey(tmp_path, port, authority))
    assert {found[one] for one in (Attempt.NO_CERTIFICATE, Attempt.FOREIGN, Attempt.OWN)} == {outcome}


def test_a_server_that_answers_old_tls_with_new_one_has_not_agreed(tmp_path: Path, authority: trustme.CA) -> None:
    newer = b"\x16\x03\x03\x00\x06\x02\x00\x00\x00\x03\x03"
    with listening(saying(newer)) as port:
        answer = outcomes(survey(tmp_path, port, authority))
    assert (answer[Attempt.OLD_PROTOCOL], answer[Attempt.WEAK_SUITE]) == (U, A)


def test_nobody_there_is_not_known_and_no_refusal(tmp_path: Path, authority: trustme.CA) -> None:
    found = survey(tmp_path, free_port(), authority)
    assert set(outcomes(found).values()) == {U}
    assert {one.said for one in found.answers} == {found.answers[0].said}
    assert "connection refused" in found.answers[0].said


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "."])
def test_a_name_that_no_host_can_have_is_not_known_and_breaks_nothing(host: str, tmp_path: Path) -> None:
    with refusals.surveyor(Target("", 1, tmp_path / "ca.crt", None, None), TIMEOUT, now=datetime.now(UTC)) as prober:
        found = prober.survey(host, 1, own=False)
    assert set(outcomes(found).values()) == {U}


def test_a_silent_port_ends_with_the_time_and_is_not_known(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.pki.test_refusals.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        found = survey(tmp_path, silent.getsockname()[1], authority)
    assert set(outcomes(found).values()) == {U, N}


def test_a_port_that_drips_its_answer_ends_with_the_time(tmp_path: Path, authority: trustme.CA) -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(1024)
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    tls = write_client(tmp_path, authority, authority)
    with listening(drip) as port:
        begun = time.monotonic()
        answer = refusals._without_tls(Target("127.0.0.1", port, tls.ca), 0.3, speaks_tls=True)
        took = time.monotonic() - begun
    assert answer.outcome is U
    assert took < 5


def test_an_expired_certificate_is_tried_where_the_ca_is_at_hand(tmp_path: Path, authority: trustme.CA) -> None:
    at_hand = Issued(authority.cert_pem.bytes(), authority.private_key_pem.bytes())
    with listening(speaking(server(authority, authority))) as port:
        found = survey(tmp_path, port, authority, at_hand=at_hand)
    assert found.answer(Attempt.EXPIRED).said == 'TLS alert "certificate expired"'


def test_peers_are_not_asked_with_a_clients_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    with listening(speaking(server(authority, authority))) as port:
        assert outcomes(survey(tmp_path, port, authority, own=False))[Attempt.OWN] is N


def test_a_failed_handshake_is_a_refusal_only_where_another_one_came_to_its_end(
    tmp_path: Path, authority: trustme.CA
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with listening(speaking(server(authority, authority, newest=ssl.TLSVersion.TLSv1_2))) as port:
        with_ours = survey(tmp_path / "a", port, authority)
        without = survey(tmp_path / "b", port, authority, own=False)
    assert [one.answer(Attempt.NO_CERTIFICATE).outcome for one in (with_ours, without)] == [R, U]
    assert "handshake failure" in without.answer(Attempt.NO_CERTIFICATE).said


@pytest.mark.parametrize(
    ("names", "asked", "fits"),
    [
        (("127.0.0.1",), None, True),
        (("10.0.0.1", "etcd.local"), None, False),
        (("etcd.local",), "ETCD.local", True),
        (("*.etcd.local",), "one.etcd.local", True),
        (("*.etcd.local",), "etcd.local", False),
    ],
)
def test_the_served_certificate_is_compared_with_the_name_we_ask_by(
    tmp_path: Path, authority: trustme.CA, names: tuple[str, ...], asked: str | None, fits: bool
) -> None:
    tls = write_client(tmp_path, authority, authority)
    us = Target("127.0.0.1", 1, tls.ca, tls.cert, tls.key, asked)
    with (
        listening(speaking(server(authority, authority, *names))) as port,
        refusals.surveyor(us, TIMEOUT, now=datetime.now(UTC)) as prober,
    ):
        found = prober.survey("127.0.0.1", port, own=True)
    assert found.is_for_us is fits
    assert (outcomes(found)[Attempt.OWN] is A) is fits


def test_files_of_ours_that_cannot_be_used_are_told(tmp_path: Path, authority: trustme.CA) -> None:
    tls = write_client(tmp_path, authority, authority)
    broken = write_secret(tmp_path / "broken.key")
    us = Target("127.0.0.1", 1, tls.ca, tls.cert, broken)
    with (
        listening(speaking(server(authority, authority))) as port,
        refusals.surveyor(us, TIMEOUT, now=datetime.now(UTC)) as prober,
        pytest.raises(UnusableInputError),
    ):
        prober.survey("127.0.0.1", port, own=True)


def test_the_strangers_lie_in_a_directory_of_their_own_and_are_gone_afterwards(authority: trustme.CA) -> None:
    at_hand = Issued(authority.cert_pem.bytes(), authority.private_key_pem.bytes())
    with strangers(datetime.now(UTC), at_hand) as others:
        folder = others.foreign.key.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(others.foreign.key.stat().st_mode) == 0o600
        assert others.expired is not None
    assert not folder.exists()


def test_without_the_ca_there_is_no_expired_stranger() -> None:
    with strangers(datetime.now(UTC) - timedelta(hours=1)) as others:
        assert others.expired is None


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"", hello.Reply.UNCLEAR),
        (b"\x15", hello.Reply.UNCLEAR),
        (b"\x15\x03\x01\x00\x02\x02\x50", hello.Reply.UNCLEAR),
        (b"\x15\x03\x01\x00\x02\x02\x46", hello.Reply.DECLINED),
        (b"\x16\x03\x01", hello.Reply.UNCLEAR),
        (b"\x16\x03\x01\x00\x06\x01\x00\x00\x00\x03\x02", hello.Reply.UNCLEAR),
        (b"\x16\x03\x01\x00\x06\x02\x00\x00\x00\x03\x02", hello.Reply.AGREED),
        (b"HTTP/1.1 400 Bad Request", hello.Reply.UNCLEAR),
    ],
)
def test_a_greeting_is_declined_by_the_alerts_that_say_so_and_by_nothing_else(
    answer: bytes, reply: hello.Reply
) -> None:
    assert hello.read(answer).reply is reply
