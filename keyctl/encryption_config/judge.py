"""What kube-apiserver would make of a file, and what it would not say: one verdict, and every finding about it.

Never raises for bad input. Reads no file and knows no cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.encryption_config import unread
from keyctl.encryption_config.checks.advice import advice
from keyctl.encryption_config.checks.key_advice import key_advice
from keyctl.encryption_config.decode import Decoded, attempt
from keyctl.encryption_config.server import NEWEST_SERVER, Server
from keyctl.encryption_config.violation import Violation
from keyctl.findings import Finding, Location, Severity

_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Judged:
    """`accepted` is the server's decision, None where keyctl does not read the form; `decoded` is set if it is True."""

    accepted: bool | None
    decoded: Decoded | None
    findings: tuple[Finding, ...]


def judge(
    content: bytes, *, name: str, server: Server = NEWEST_SERVER, required: tuple[str, ...] = ("secrets",)
) -> Judged:
    """The verdict of `server` on `content`; `name` is the file as the reader knows it.

    `required` are the resources that must be encrypted.
    """
    result = attempt(content, name=name, server=server)
    if isinstance(result, Decoded):
        found = (*advice(result, required=required), *key_advice(result, name))
        return Judged(True, result, tuple(sorted(found, key=_worst_first)))
    findings = tuple(_finding(one, name) for one in result)
    return Judged(None if all(one.rule in unread.RULES for one in result) else False, None, findings)


def _worst_first(finding: Finding) -> tuple[int, int, int]:
    return _SEVERITIES.index(finding.severity), finding.location.line or 0, finding.location.column or 0


def _finding(violation: Violation, name: str) -> Finding:
    because = f" ({violation.cause})" if violation.cause else ""
    place = Location(file=name, line=violation.line, column=violation.column)
    return violation.rule.finding(violation.message + because, location=place, fix=violation.hint)
