"""What a command found, in one shape for all commands and all formats.

Values only: nothing here renders, reads or decides. A command fills a `Report`;
`keyctl.reports` turns it into text, JSON or JUnit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keyctl.errors import ExitCode


class Severity(StrEnum):
    """How bad a failed finding is."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Status(StrEnum):
    """What a check concluded. `UNKNOWN` is never a pass."""

    FAIL = "fail"
    PASS = "pass"  # noqa: S105 — a status, not a password
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not-applicable"
    MANUAL = "manual"
    WAIVED = "waived"


class Evidence(StrEnum):
    """How the fact behind a finding was obtained: E0 said, E1 file, E2 process, E3 stored data."""

    E0 = "E0"
    E1 = "E1"
    E2 = "E2"
    E3 = "E3"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a finding points: a place in a file, a key of etcd, or an endpoint."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    etcd_key: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check about one object.

    `excuse` says on whose word a WAIVED one may stay, and until when. A FAIL that `counts` not is below the severity
    that was asked for, or was known before: it does not make the exit code.
    """

    id: str
    severity: Severity
    status: Status
    message: str
    location: Location = Location()
    evidence: Evidence = Evidence.E3
    fix: str | None = None
    mappings: tuple[str, ...] = ()
    excuse: str | None = None
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """What can be wrong, told once for every command: findings carry its `id`, `keyctl explain` and the docs its text.

    `title` is the mistake in one line, `why` what comes of it, `fix` what to do; `source` says where the fact is
    from. `severity` is that of a failed finding.
    """

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    source: str = ""
    mappings: tuple[str, ...] = ()

    def finding(
        self,
        message: str,
        *,
        location: Location = Location(),
        fix: str | None = None,
        status: Status = Status.FAIL,
        evidence: Evidence = Evidence.E1,
    ) -> Finding:
        """One finding under this rule; `fix` says more exactly than the rule's own what to do here."""
        return Finding(
            self.id, self.severity, status, message, location, evidence, fix or self.fix, mappings=self.mappings
        )


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for a reader. `numeric` holds the indexes of right-aligned columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    title: str | None = None
    wide_only: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Gauge:
    """A measure for who watches by machine: `keyctl_report_<name>`, and its samples, each with its labels.

    `unit` is the end of the name, or "". No label holds what grows without end.
    """

    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run says. `data` holds the fields that only this `kind` has, JSON-ready.

    `made` and `rules`, which tells what the ids of the findings mean, are there when a report is written to a file.
    `gauges` are measures that only this kind has; only a report for monitoring shows them.
    """

    kind: str
    exit_code: ExitCode
    verdict: str
    findings: tuple[Finding, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    made: datetime | None = None
    rules: tuple[Rule, ...] = ()
    gauges: tuple[Gauge, ...] = ()
