"""What an alert rule of Prometheus is to the audit: a name and an expression. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from keyctl.findings import Evidence, Location


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule: an alert that is called `name`, or, where it `records`, a series of that name that alerts may use."""

    name: str
    expression: str
    records: bool
    location: Location
    evidence: Evidence = Evidence.E1
