"""Try one port as those would whom it must refuse: without TLS, without a certificate, with a foreign one, by old TLS.

A refusal is a TLS alert that says so, or for a caller without TLS a closed connection of a port that speaks TLS. An
answer to our question is none. Everything else, above all silence, is not known. Nothing is sent but a question for
the version, and our own certificate only to a server that our CA vouches for.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from keyctl.errors import UnusableInputError
from keyctl.pki import hello
from keyctl.pki.inspect import Certificate, parse_certificates
from keyctl.pki.issue import Issued
from keyctl.pki.probe import HTTP_1, HTTP_2, PREFACE, Target, context_for, wants_tls
from keyctl.pki.strangers import Pair, Strangers, strangers
from keyctl.pki.survey import Answer, Attempt, Outcome, Survey, nothing_tried
from keyctl.stored.display import display

# How long a refusal may take to arrive under TLS 1.3, where it follows a finished handshake: a question sent into a
# connection that was refused may lose it to a reset. Only who is let in is waited for so long.
_REFUSAL_SECONDS = 1.0
_MOST = 1024
# What OpenSSL says over TLS 1.2 to who has no certificate, and any server to who shares no cipher with it.
_NOTHING_IN_COMMON = "handshake failure"
# Alerts by which a server refuses who asks.
_REFUSALS = frozenset(
    {
        "access denied",
        "bad certificate",
        "certificate expired",
        "certificate required",
        "certificate revoked",
        "certificate unknown",
        _NOTHING_IN_COMMON,
        "unknown ca",
        "unsupported certificate",
    }
)
_SETTINGS = 4


@contextmanager
def surveyor(target: Target, timeout: float, *, now: datetime, authority: Issued | None = None) -> Generator[Prober]:
    """What tries ports with the CA, the certificate and the server name of `target`; `timeout` limits each step.

    With `authority`, etcd's CA and its key, an expired certificate is tried, too.
    """
    with strangers(now, authority) as others:
        yield Prober(target, timeout, others)


@dataclass(frozen=True, slots=True)
class Prober:
    """A `Surveyor`. Its host and port are those of each question, not those of `us`."""

    us: Target
    timeout: float
    others: Strangers

    def survey(self, host: str, port: int, *, own: bool) -> Survey:
        """See `Surveyor`."""
        there = replace(self.us, host=host, port=port, server_name=self.us.server_name if own else None)
        try:
            socket.create_connection((host, port), timeout=self.timeout).close()
        except OSError as error:
            return nothing_tried(Outcome.UNKNOWN, f"no connection to {there}: {_reason(error)}")
        except UnicodeError:
            # Members choose the names that they tell.
            return nothing_tried(Outcome.UNKNOWN, f"no connection to {display(host)}: no host has such a name")
        talks = [_without_verification(there, attempt, pair, self.timeout) for attempt, pair in self._pairs()]
        if not self.others.expired:
            talks.append(_Talk(Answer(Attempt.EXPIRED, Outcome.NOT_TRIED, "the key of etcd's CA is not at hand")))
        talks.append(_as_ourselves(there, self.timeout) if own and there.cert else _Talk(_not_tried_as_us(own)))
        if all(one.answer.outcome is not Outcome.ACCEPTED for one in talks):
            talks = [_doubted(one) for one in talks]
        speaks_tls = any(one.protocol or one.answer.outcome is Outcome.REFUSED for one in talks)
        answers = (
            _without_tls(there, self.timeout, speaks_tls=speaks_tls),
            *(one.answer for one in talks),
            _greeted(there, Attempt.OLD_PROTOCOL, self.timeout),
            _greeted(there, Attempt.WEAK_SUITE, self.timeout),
        )
        served = next((one.served for one in talks if one.served), None)
        protocol = next((one.protocol for one in talks if one.protocol), "")
        return Survey(answers, served, _is_for(served, there) if served else None, protocol)

    def _pairs(self) -> tuple[tuple[Attempt, Pair | None], ...]:
        others = self.others
        return (
            (Attempt.NO_CERTIFICATE, None),
            (Attempt.FOREIGN, others.foreign),
            *(((Attempt.EXPIRED, others.expired),) if others.expired else ()),
        )


@dataclass(frozen=True, slots=True)
class _Talk:
    answer: Answer
    served: Certificate | None = None
    protocol: str = ""


def _doubted(talk: _Talk) -> _Talk:
    """The same where nobody was let in by the ciphers that we speak: it need not be about the certificate."""
    if _NOTHING_IN_COMMON not in talk.answer.said:
        return talk
    return replace(talk, answer=replace(talk.answer, outcome=Outcome.UNKNOWN))


def _not_tried_as_us(own: bool) -> Answer:
    why = "no certificate of ours was given" if own else "we have no certificate for it"
    return Answer(Attempt.OWN, Outcome.NOT_TRIED, why)


def _without_verification(there: Target, attempt: Attempt, pair: Pair | None, timeout: float) -> _Talk:
    """A handshake with whoever is there: what a stranger does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return _talk(there, attempt, context, timeout)


def _as_ourselves(there: Target, timeout: float) -> _Talk:
    """As every connection of ours is made. Raises `UnusableInputError` when the files cannot be used."""
    return _talk(there, Attempt.OWN, context_for(there), timeout)


def _talk(there: Target, attempt: Attempt, context: ssl.SSLContext, timeout: float) -> _Talk:
    context.set_alpn_protocols([HTTP_2, HTTP_1])
    served, protocol = None, ""
    try:
        with (
            socket.create_connection((there.host, there.port), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=there.server_name or there.host) as secured,
        ):
            served, protocol = _shown(there, secured), secured.version() or ""
            outcome, said = _asked(secured, timeout)
    except ssl.SSLCertVerificationError as error:
        outcome, said = Outcome.UNKNOWN, f"the server's certificate is refused: {error.verify_message}"
    except ssl.SSLError as error:
        outcome, said = _alert(error)
    except OSError as error:
        outcome, said = Outcome.UNKNOWN, _reason(error)
    return _Talk(Answer(attempt, outcome, said), served, protocol)


def _asked(secured: ssl.SSLSocket, timeout: float) -> tuple[Outcome, str]:
    """Read before asking: only then a TLS 1.3 server has looked at our certificate."""
    secured.settimeout(min(_REFUSAL_SECONDS, timeout))
    answer = None
    with suppress(TimeoutError):
        answer = secured.recv(_MOST)
    if answer is None:
        secured.settimeout(timeout)
        secured.sendall(PREFACE if secured.selected_alpn_protocol() == HTTP_2 else _question())
        answer = secured.recv(_MOST)
    if answer:
        return Outcome.ACCEPTED, f"it answered over {secured.version()}"
    return Outcome.UNKNOWN, "it closed the connection without a word after the handshake"


def _alert(error: ssl.SSLError) -> tuple[Outcome, str]:
    before, alert, after = (error.reason or "").rpartition("ALERT_")
    words = (after if alert else before + after).replace("_", " ").lower()
    if alert and words in _REFUSALS:
        return Outcome.REFUSED, f'TLS alert "{words}"'
    return Outcome.UNKNOWN, f'TLS alert "{words}"' if alert else (words or "the handshake failed")


def _without_tls(there: Target, timeout: float, *, speaks_tls: bool) -> Answer:
    """HTTP/1.1, and HTTP/2 as gRPC speaks it: etcd may serve either of them alone."""
    seen = [_plain(there, words, timeout) for words in (_question(), PREFACE)]
    for outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN):
        for one, said in seen:
            if one is outcome:
                return Answer(Attempt.PLAIN, outcome, said)
    clear = next((said for one, said in seen if one is Outcome.REFUSED), "")
    if clear or speaks_tls:
        return Answer(Attempt.PLAIN, Outcome.REFUSED, clear or "it closed the connection, and speaks TLS")
    said = "it closed the connection, and whether it speaks TLS is not known"
    return Answer(Attempt.PLAIN, Outcome.UNKNOWN, said)


def _plain(there: Target, words: bytes, timeout: float) -> tuple[Outcome | None, str]:
    """What came of it; None where the connection was closed without a word."""
    answer, deadline = b"", time.monotonic() + timeout
    try:
        with socket.create_connection((there.host, there.port), timeout=timeout) as plain:
            plain.sendall(words)
            while len(answer) < _MOST and (more := plain.recv(_MOST)):
                answer += more
                left = deadline - time.monotonic()
                if answer[3:4] == bytes((_SETTINGS,)) or left <= 0:
                    break
                plain.settimeout(left)
    except (ConnectionResetError, BrokenPipeError):
        # What was said before the reset counts.
        pass
    except OSError as error:
        if not answer:
            return Outcome.UNKNOWN, _reason(error)
    return _said_in_plain(answer)


def _said_in_plain(answer: bytes) -> tuple[Outcome | None, str]:
    line = display(answer.partition(b"\r\n")[0][:40].decode("ascii", "replace"))
    if not answer:
        return None, ""
    if answer[:1] == b"\x15":
        return Outcome.REFUSED, "it answered with a TLS alert"
    if answer.startswith(b"HTTP/"):
        if wants_tls(answer):
            return Outcome.REFUSED, "it answered that it wants HTTPS"
        return Outcome.ACCEPTED, f"it answered in plaintext: {line}"
    if len(answer) >= 9 and answer[3] == _SETTINGS:
        return Outcome.ACCEPTED, "it answered in plaintext: HTTP/2"
    return Outcome.UNKNOWN, "it answered something that is neither TLS nor HTTP"


def _greeted(there: Target, attempt: Attempt, timeout: float) -> Answer:
    old = attempt is Attempt.OLD_PROTOCOL
    offer = hello.greeting(*((hello.TLS_1_1, hello.OLD_SUITES) if old else (hello.TLS_1_2, hello.WEAK_SUITES)))
    try:
        with socket.create_connection((there.host, there.port), timeout=timeout) as plain:
            plain.sendall(offer)
            found = hello.read(plain.recv(_MOST))
    except OSError as error:
        return Answer(attempt, Outcome.UNKNOWN, _reason(error))
    match found.reply:
        case hello.Reply.AGREED if old and found.version > hello.TLS_1_1:
            return Answer(attempt, Outcome.UNKNOWN, "it chose a protocol that was not offered")
        case hello.Reply.AGREED:
            return Answer(attempt, Outcome.ACCEPTED, found.said)
        case hello.Reply.DECLINED:
            return Answer(attempt, Outcome.REFUSED, found.said)
        case _:
            return Answer(attempt, Outcome.UNKNOWN, found.said)


def _question() -> bytes:
    return b"GET /version HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n"


def _shown(there: Target, secured: ssl.SSLSocket) -> Certificate | None:
    der = secured.getpeercert(binary_form=True)
    with suppress(UnusableInputError):
        return parse_certificates(ssl.DER_cert_to_PEM_cert(der).encode(), str(there))[0] if der else None
    return None


def _is_for(served: Certificate, there: Target) -> bool:
    """Whether a client that compares names, as each of Go's and gRPC does, takes it for the server it asked."""
    wanted = (there.server_name or there.host).lower().rstrip(".")
    with suppress(ValueError):
        return str(ipaddress.ip_address(wanted)) in served.names
    _, _, rest = wanted.partition(".")
    return any(one.lower() in (wanted, f"*.{rest}") for one in served.names)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror or str(error) or "the connection broke").lower()
