"""The audit about itself. The engine judges these: they are about the run, not about the cluster."""

from __future__ import annotations

from keyctl.findings import Rule, Severity

WAIVERS = Rule(
    "KC-META-001",
    Severity.MEDIUM,
    "a waiver is expired, or excuses nothing",
    "An excuse without an end becomes the rule. An expired one excuses nothing any more; the exit code is 22.",
    "mend what it excuses, or have it renewed by its owner",
    "docs/audit.md",
)
COVERAGE = Rule(
    "KC-META-002",
    Severity.HIGH,
    "not everything that applies could be judged",
    "All right, of the little that was looked at, says little. Each check that is unknown says what it lacked.",
    "give keyctl audit the files that it names",
    "docs/audit.md",
)
INTEGRITY = Rule(
    "KC-META-003",
    Severity.LOW,
    "the report cannot be tied to what was looked at",
    "As evidence a report must name the version and the rules it was made with, and the inputs by their hashes, and be "
    "signed.",
    "keep the report with the revision of what was audited",
    "docs/audit.md",
    ("nist-800-53/AU-10",),
)

RULES: tuple[Rule, ...] = (WAIVERS, COVERAGE, INTEGRITY)
