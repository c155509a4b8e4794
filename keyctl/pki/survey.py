"""What one port of etcd answers to those it should refuse, and to us, as values. Nothing is opened or judged here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from keyctl.pki.inspect import Certificate


class Attempt(StrEnum):
    """Who asks, or how."""

    PLAIN = "without TLS"
    NO_CERTIFICATE = "without a certificate"
    FOREIGN = "with a certificate of another CA"
    EXPIRED = "with an expired certificate"
    OLD_PROTOCOL = "with TLS 1.1"
    WEAK_SUITE = "with weak ciphers only"
    OWN = "with our own certificate"


class Outcome(StrEnum):
    """What came of it. Whatever is no clear refusal and no answer either is UNKNOWN."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one attempt, and in words what was seen."""

    attempt: Attempt
    outcome: Outcome
    said: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Every attempt at one port, in a fixed order.

    `served` is the certificate that the port shows, None where no handshake came so far; `is_for_us` whether that is
    for the name by which we asked. `protocol` is what was spoken with the first whose handshake ended: "TLSv1.3".
    """

    answers: tuple[Answer, ...]
    served: Certificate | None = None
    is_for_us: bool | None = None
    protocol: str = ""

    def answer(self, attempt: Attempt) -> Answer:
        """What came of `attempt`."""
        return next(one for one in self.answers if one.attempt is attempt)


class Knock(StrEnum):
    """Whether a port answers at all."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    UNKNOWN = "unknown"


class Surveyor(Protocol):
    """What tries the ports. Sends nothing but a question for the version."""

    def survey(self, host: str, port: int, *, own: bool) -> Survey:
        """Try everything at `host`, a name or an address without brackets; with our own certificate if `own`.

        Raises `UnusableInputError` when our own files cannot be used. What the port does raises nothing.
        """
        ...


def nothing_tried(outcome: Outcome, said: str) -> Survey:
    """The same about every attempt."""
    return Survey(tuple(Answer(attempt, outcome, said) for attempt in Attempt))
