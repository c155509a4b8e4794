"""The catalogue has every check that was asked for, under its id and its severity."""

from __future__ import annotations

from keyctl.audit.checks.catalogue import RULES
from keyctl.findings import Severity

CRITICAL, HIGH, MEDIUM, LOW, INFO = Severity

# The list of checks that the audit was specified by. Ids of keys and of stored data begin at 101: docs/adr/0016.
ROWS = {
    "KC-ENC-001": CRITICAL, "KC-ENC-002": CRITICAL, "KC-ENC-003": HIGH, "KC-ENC-004": HIGH, "KC-ENC-005": MEDIUM,
    "KC-ENC-006": CRITICAL, "KC-ENC-007": CRITICAL, "KC-ENC-008": HIGH, "KC-ENC-009": MEDIUM, "KC-ENC-010": MEDIUM,
    "KC-ENC-011": HIGH, "KC-ENC-012": HIGH, "KC-ENC-013": HIGH, "KC-ENC-014": CRITICAL, "KC-ENC-015": MEDIUM,
    "KC-ENC-016": INFO,
    "KC-DAT-101": CRITICAL, "KC-DAT-102": HIGH, "KC-DAT-103": CRITICAL, "KC-DAT-104": HIGH, "KC-DAT-105": HIGH,
    "KC-DAT-106": MEDIUM, "KC-DAT-107": MEDIUM,
    "KC-KEY-101": HIGH, "KC-KEY-102": HIGH, "KC-KEY-103": HIGH, "KC-KEY-104": CRITICAL, "KC-KEY-105": HIGH,
    "KC-KEY-106": HIGH, "KC-KEY-107": MEDIUM, "KC-KEY-108": MEDIUM, "KC-KEY-109": LOW,
    "KC-TLS-001": CRITICAL, "KC-TLS-002": CRITICAL, "KC-TLS-003": CRITICAL, "KC-TLS-004": HIGH, "KC-TLS-005": CRITICAL,
    "KC-TLS-006": HIGH, "KC-TLS-007": CRITICAL, "KC-TLS-008": CRITICAL, "KC-TLS-009": CRITICAL, "KC-TLS-010": HIGH,
    "KC-TLS-011": HIGH, "KC-TLS-012": MEDIUM, "KC-TLS-013": MEDIUM, "KC-TLS-014": MEDIUM,
    "KC-AUTH-001": HIGH, "KC-AUTH-002": MEDIUM, "KC-AUTH-003": MEDIUM,
    "KC-NET-001": HIGH, "KC-NET-002": CRITICAL, "KC-NET-003": MEDIUM, "KC-NET-004": LOW,
    "KC-FS-001": HIGH, "KC-FS-002": HIGH, "KC-FS-003": MEDIUM, "KC-FS-004": HIGH, "KC-FS-005": HIGH, "KC-FS-006": LOW,
    "KC-VER-001": HIGH, "KC-VER-002": HIGH, "KC-VER-003": MEDIUM, "KC-VER-004": LOW,
    "KC-BKP-001": HIGH, "KC-BKP-002": HIGH, "KC-BKP-003": CRITICAL, "KC-BKP-004": HIGH, "KC-BKP-005": CRITICAL,
    "KC-BKP-006": HIGH, "KC-BKP-007": MEDIUM,
    "KC-LOG-001": HIGH, "KC-LOG-002": HIGH, "KC-LOG-003": MEDIUM, "KC-LOG-004": MEDIUM, "KC-LOG-005": LOW,
}  # fmt: skip
# They have no severity of their own there.
ABOUT_ITSELF = {"KC-META-001", "KC-META-002", "KC-META-003"}


def test_every_row_of_the_specification_is_in_the_catalogue_with_its_severity() -> None:
    assert {rule.id: rule.severity for rule in RULES if rule.id not in ABOUT_ITSELF} == ROWS
    assert {rule.id for rule in RULES} - ROWS.keys() == ABOUT_ITSELF
