"""The one catalogue of findings: every rule that a finding can name, for `keyctl explain` and for the docs."""

from __future__ import annotations

import textwrap

from keyctl.audit.checks import catalogue as audit_checks
from keyctl.backup import rules as backup_rules
from keyctl.cli.checkup import rules as checkup_rules
from keyctl.encryption_config import catalogue
from keyctl.etcd_access import rules as access_rules
from keyctl.findings import Rule
from keyctl.hosts import manifest_rules
from keyctl.kms import rules as kms_rules
from keyctl.pki import rules as pki_rules
from keyctl.rotation.diagnosis import rules as diagnosis_rules
from keyctl.stored import rules

CATALOGUE: tuple[Rule, ...] = tuple(
    sorted(
        (
            *catalogue.RULES,
            *manifest_rules.RULES,
            *rules.RULES,
            *backup_rules.RULES,
            *checkup_rules.RULES,
            *diagnosis_rules.RULES,
            *audit_checks.RULES,
            *kms_rules.RULES,
            *pki_rules.RULES,
            *access_rules.RULES,
        ),
        key=lambda rule: rule.id,
    )
)
_WIDTH = 100


def told(rule: Rule) -> str:
    """A rule for a reader at a terminal."""
    parts = [f"{rule.id} ({rule.severity}): {rule.title}", "", textwrap.fill(rule.why, _WIDTH), ""]
    parts.append(textwrap.fill(f"What to do: {rule.fix}.", _WIDTH, subsequent_indent="  "))
    if rule.source:
        parts.append(textwrap.fill(f"Known from: {rule.source}.", _WIDTH, subsequent_indent="  "))
    return "\n".join(parts)


def page() -> str:
    """docs/findings.md as it must be."""
    return _HEAD + "\n".join(_section(rule) for rule in CATALOGUE)


def _section(rule: Rule) -> str:
    source = f"\nKnown from: {rule.source}.\n" if rule.source else ""
    return f"## {rule.id}\n\n**{rule.title}** ({rule.severity})\n\n{rule.why}\n\nWhat to do: {rule.fix}.\n{source}"


_HEAD = """# Findings

What keyctl can find wrong, by id; `keyctl explain ID` prints the same offline. Generated: `make generate`.

| ids | what |
|---|---|
| KC-CFG-0xx | kube-apiserver accepts it without a word, and it is wrong |
| KC-CFG-1xx | kube-apiserver refuses the EncryptionConfiguration for it |
| KC-CFG-2xx | keyctl does not read this form and says so, whatever kube-apiserver makes of it |
| KC-CFG-3xx | replacing one configuration by another, server after server |
| KC-KEY-0xx | the names and bytes of keys |
| KC-KMS-0xx | KMS v2 plugins: keyctl kms check |
| KC-CRT-0xx | certificates beside their keys and signers: keyctl certs check |
| KC-ACC-0xx | etcd's own users and roles: keyctl etcd-access check |
| KC-FLAG-0xx | the flags of the static pods |
| KC-DAT-0xx | stored values |
| KC-DOC-0xx | the dependencies: keyctl doctor |
| KC-ROT-0xx | the servers beside each other and beside what is stored: keyctl doctor, keyctl status |
| KC-SNAP-0xx | snapshots |
| KC-SRV-0xx | the API servers beside each other |
| KC-ENC-0xx | keyctl audit: encryption; all its checks: [audit-checks.md](audit-checks.md) |
| KC-DAT-1xx, KC-KEY-1xx | keyctl audit: stored data, keys |
| KC-TLS-0xx, KC-AUTH-0xx | keyctl audit: TLS of etcd, who is let in |
| KC-NET-0xx, KC-FS-0xx, KC-VER-0xx | keyctl audit: addresses, files, versions |
| KC-BKP-0xx, KC-LOG-0xx, KC-META-0xx | keyctl audit: backups, logs, the audit itself |

"""
