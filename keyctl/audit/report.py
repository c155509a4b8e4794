"""An audit as a `Report`: every check with its status, how much was judged, and the exit code."""

from __future__ import annotations

from collections import Counter

from keyctl import __version__
from keyctl.audit import integrity
from keyctl.audit.baseline import KNOWN_AS
from keyctl.audit.checks.catalogue import RULES
from keyctl.audit.engine import Audit, Judged, Outcome, finding
from keyctl.audit.facts import Facts
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Severity, Status

_SEVERITIES = tuple(Severity)
# The first that came decides.
_CODES = (
    (Outcome.EXPIRED, ExitCode.WAIVER),
    (Outcome.FAILED, ExitCode.FINDINGS),
    (Outcome.UNKNOWN, ExitCode.UNEVALUATED),
)


def report(done: Audit, facts: Facts) -> Report:
    """Everything there is to say."""
    told = (finding(one, done.profile) for check in done.checks for one in check.results)
    findings = tuple(sorted(told, key=_worst_first))
    data: dict[str, object] = {
        "profile": done.profile.name,
        "keyctl": __version__,
        "date": facts.today.isoformat(),
        "coverage": {"applicable": done.applicable, "evaluated": done.evaluated},
        "outcomes": [outcome.name.lower() for outcome, _ in _CODES if outcome in done.outcomes],
        "knownFailures": done.known,
        "filesLookedInto": facts.looked,
        KNOWN_AS: {file: facts.names[file] for file in _files_of(findings) if file in facts.names},
        "checks": [_check(one) for one in done.checks],
        **integrity.data(facts, done.profile, RULES),
    }
    return Report("AuditReport", exit_code(done), _verdict(done, facts), findings, data, notes=_notes(done, facts))


def _worst_first(one: Finding) -> tuple[int, int]:
    """What fails stands before what is not known, and the critical before the rest."""
    severity = _SEVERITIES.index(one.severity) if one.status is Status.FAIL else 0
    return next(index for index, (status, _) in enumerate(_WORDS) if status is one.status), severity


def exit_code(done: Audit) -> ExitCode:
    """22 before 20 before 21."""
    return next((code for outcome, code in _CODES if outcome in done.outcomes), ExitCode.OK)


def _files_of(findings: tuple[Finding, ...]) -> list[str]:
    return sorted({one.location.file for one in findings if one.location.file})


def _check(check: Judged) -> dict[str, object]:
    return {
        "id": check.rule.id,
        "title": check.rule.title,
        "status": str(check.status),
        "results": [
            {
                "status": str(one.status),
                "literal": str(one.verdict.literal) if one.verdict.literal else None,
                "reason": one.verdict.reason or None,
                "location": one.verdict.location.file,
                "line": one.verdict.location.line,
            }
            for one in check.results
        ],
    }


def _verdict(done: Audit, facts: Facts) -> str:
    found = Counter(one.status for one in done.checks)
    words = [f"{found[status]} {word}" for status, word in _WORDS if found[status] or status is Status.PASS]
    share = 100 * done.evaluated // done.applicable if done.applicable else 0
    judged = f"{done.evaluated} of the {done.applicable} checks that apply were judged ({share} %)"
    if not done.evaluated:
        judged = f"nothing was judged; {_looked_into(facts)}"
    return f"{done.profile.name}: {', '.join(words)}; {judged}"


_WORDS = (
    (Status.FAIL, "failed"),
    (Status.UNKNOWN, "unknown"),
    (Status.MANUAL, "for a person"),
    (Status.WAIVED, "waived"),
    (Status.PASS, "right"),
    (Status.NOT_APPLICABLE, "not applicable"),
)


def _notes(done: Audit, facts: Facts) -> tuple[str, ...]:
    differing = [
        f"{check.rule.id}: by its wording {one.verdict.literal}, in effect {one.verdict.status}"
        for check in done.checks
        for one in check.results
        if one.verdict.literal not in (None, one.verdict.status)
    ]
    known = (f"failures that are in the baseline and do not count: {done.known}",) if done.known else ()
    return (_looked_into(facts), *known, *dict.fromkeys(differing))


def _looked_into(facts: Facts) -> str:
    return "1 file was looked into" if facts.looked == 1 else f"{facts.looked} files were looked into"
