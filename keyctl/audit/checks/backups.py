"""Backups: nothing of them is told by configuration files."""

from __future__ import annotations

from keyctl.audit.checks.check import Check, manual, pending
from keyctl.audit.checks.mappings import BKP
from keyctl.audit.facts import About
from keyctl.findings import Rule, Severity

_REGISTER = "the register of snapshots, or a directory of them"

AGE = Rule(
    "KC-BKP-001",
    Severity.HIGH,
    "the newest backup is too old",
    "What was written since is lost with the cluster.",
    "take them on a schedule, for example with keyctl snapshot",
    "",
    BKP,
)
INTEGRITY = Rule(
    "KC-BKP-002",
    Severity.HIGH,
    "a backup is damaged or was changed",
    "Encryption does not protect a snapshot from being changed; a checksum and a manifest do.",
    "keyctl snapshot verify FILE",
    "",
    ("nist-800-53/CP-9(1)", "nist-800-53/SI-7", *BKP),
)
PLAINTEXT = Rule(
    "KC-BKP-003",
    Severity.CRITICAL,
    "a backup holds plaintext",
    "A snapshot from before encryption keeps every Secret in plaintext for as long as it is kept.",
    "keyctl verify-secrets --snapshot FILE; destroy it, or change what it holds",
    "",
    ("nist-800-53/CP-9(8)", "pci-4.0.1/3.5.1", *BKP),
)
ENCRYPTED = Rule(
    "KC-BKP-004",
    Severity.HIGH,
    "backups are stored without encryption of their own",
    "Only the values are encrypted in a snapshot, not the names of objects, and not what identity wrote.",
    "encrypt the file or the bucket",
    "",
    ("nist-800-53/CP-9(8)", *BKP),
)
KEYS = Rule(
    "KC-BKP-005",
    Severity.CRITICAL,
    "the keys that a backup needs are not to be had, or lie beside it",
    "Without the key a restored cluster cannot read its Secrets; with the key beside it the backup is as good as "
    "plaintext.",
    "keyctl snapshot inspect FILE names the keys; keyctl keys escrow keeps them elsewhere",
    "",
    ("nist-800-53/SC-12(1)", *BKP),
)
TESTED = Rule(
    "KC-BKP-006",
    Severity.HIGH,
    "no backup was restored to see whether it can be",
    "Only a restore shows that it works.",
    "keyctl snapshot restore-test FILE",
    "",
    ("nist-800-53/CP-9(1)", "soc2/A1.3", *BKP),
)
RETENTION = Rule(
    "KC-BKP-007",
    Severity.MEDIUM,
    "backups are kept longer than they should be",
    "Each keeps a retired key alive, and what was once plaintext.",
    "destroy them and say so: keyctl snapshot forget FILE",
    "",
    ("pci-4.0.1/3.7.5", *BKP),
)

CHECKS: tuple[Check, ...] = (
    pending(AGE, About.CLUSTER, _REGISTER),
    pending(INTEGRITY, About.CLUSTER, _REGISTER),
    pending(PLAINTEXT, About.CLUSTER, f"{_REGISTER}, and the encryption configuration"),
    manual(ENCRYPTED, About.CLUSTER, "how the place of the backups is encrypted"),
    pending(KEYS, About.CLUSTER, f"{_REGISTER}, and the ledger of keys"),
    pending(TESTED, About.CLUSTER, "the record of a restore test"),
    pending(RETENTION, About.CLUSTER, _REGISTER),
)
