"""The exit code that findings earn where something is looked at and nothing is changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Severity, Status

DECISIVE = frozenset({Severity.CRITICAL, Severity.HIGH})


def exit_code(findings: Iterable[Finding], *, gaps: Iterable[Finding] = ()) -> ExitCode:
    """20 for what is known to be wrong, else 4 for what could not be looked at, else 0; less than high decides nothing.

    `gaps` failed because something could not be reached.
    """
    weighty = [one for one in findings if one.severity in DECISIVE]
    if any(one.status is Status.FAIL for one in weighty):
        return ExitCode.FINDINGS
    unseen = (*(one for one in weighty if one.status is Status.UNKNOWN), *(g for g in gaps if g.severity in DECISIVE))
    return ExitCode.UNREACHABLE if any(one.status is not Status.PASS for one in unseen) else ExitCode.OK
