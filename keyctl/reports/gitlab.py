"""A report for the code quality widget of GitLab: what fails, and, as information, what is not known.

GitLab has no word for a check that passed, was waived or does not apply: those are left out. An empty list reads as
clean, so what could not be judged stands in it.
"""

from __future__ import annotations

import json

from keyctl.findings import Finding, Report, Severity, Status
from keyctl.reports.identity import fingerprints, path
from keyctl.reports.printable import printable

_SEVERITIES = {
    Severity.CRITICAL: "blocker",
    Severity.HIGH: "critical",
    Severity.MEDIUM: "major",
    Severity.LOW: "minor",
    Severity.INFO: "info",
}
_SHOWN = frozenset({Status.FAIL, Status.UNKNOWN, Status.MANUAL})
_LONGEST = 1024


def render(report: Report) -> str:
    """A JSON array without a newline at its end; `[]` when there is nothing to mend and nothing left unknown."""
    marked = zip(report.findings, fingerprints(report.findings), strict=True)
    return json.dumps([_issue(one, mark) for one, mark in marked if one.status in _SHOWN], indent=1)


def _issue(finding: Finding, mark: str) -> dict[str, object]:
    is_fail = finding.status is Status.FAIL
    text = finding.message if is_fail else f"{finding.status}: {finding.message}"
    if not finding.location.file:
        text += " (in no file)"
    elif not finding.location.line:
        text += " (the file as a whole)"
    if is_fail and finding.fix:
        text += f". What to do: {finding.fix}"
    return {
        "engine_name": "keyctl",
        "type": "issue",
        "check_name": printable(finding.id),
        "categories": ["Security"],
        "description": printable(text, _LONGEST),
        "fingerprint": mark,
        "severity": _SEVERITIES[finding.severity] if is_fail else "info",
        # NOTE: GitLab asks for a line; where none is known the first one stands, and the text says so.
        "location": {"path": printable(path(finding)), "lines": {"begin": finding.location.line or 1}},
    }
