"""Checks that depend on the day of the audit alone."""

from __future__ import annotations

from datetime import timedelta

from keyctl.audit.checks.advisories import AS_OF
from keyctl.audit.facts import Facts
from keyctl.findings import Status
from tests.unit.audit.cases import Case

CASES: list[Case] = [
    ("KC-VER-004", Status.PASS, Facts(AS_OF + timedelta(days=90))),
    ("KC-VER-004", Status.FAIL, Facts(AS_OF + timedelta(days=91))),
    ("KC-VER-004", Status.PASS, Facts(AS_OF)),
    ("KC-VER-004", Status.UNKNOWN, Facts(AS_OF - timedelta(days=1))),
]
