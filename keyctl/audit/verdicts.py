"""What a check says of one thing: a status, why, and where. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.audit.facts import Placed
from keyctl.findings import Evidence, Location, Severity, Status


@dataclass(frozen=True, slots=True)
class Verdict:
    """One result. `literal` is what the framework's wording gives, where that is not what the software does.

    `reason` is the word that programs read of a NOT_APPLICABLE: "external-etcd". `severity` stands where it is another
    than the rule's, `fix` where more exact words than the rule's are known.
    """

    status: Status
    message: str
    location: Location
    evidence: Evidence
    literal: Status | None = None
    reason: str = ""
    severity: Severity | None = None
    fix: str | None = None


def passed(message: str, at: Placed, *, literal: Status | None = None) -> Verdict:
    """Evidence at `at` proves it."""
    return Verdict(Status.PASS, message, at.location, at.evidence, literal)


def failed(
    message: str,
    at: Placed,
    *,
    literal: Status | None = None,
    severity: Severity | None = None,
    fix: str | None = None,
) -> Verdict:
    """Evidence at `at` disproves it."""
    return Verdict(Status.FAIL, message, at.location, at.evidence, literal, severity=severity, fix=fix)


def unknown(message: str, at: Placed) -> Verdict:
    """It applies, and what is at `at` does not tell."""
    return Verdict(Status.UNKNOWN, message, at.location, at.evidence)


def not_applicable(reason: str, message: str, at: Placed) -> Verdict:
    """It does not apply, for `reason`."""
    return Verdict(Status.NOT_APPLICABLE, message, at.location, at.evidence, reason=reason)
