"""What kube-apiserver accepts in an EncryptionConfiguration without a word, although it is wrong.

Takes a configuration that loads; what does not load is told by `rules`. Prints nothing and repairs nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from keyctl.encryption_config.effective import (
    SECRETS,
    GroupResource,
    all_static_keys,
    covering_entries,
    is_covered,
    named_resources,
    writer,
)
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.findings import Evidence, Finding, Severity, Status
from keyctl.keys.key import KeyRef

# The core group is closed: Kubernetes adds new resources to named groups only. Those that are stored:
_CORE_RESOURCES = (
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "serviceaccounts",
    "services",
)


def advice(config: EncryptionConfig) -> tuple[Finding, ...]:
    """The failed checks, the worst first; empty when nothing is wrong with the file itself."""
    return (*_secrets_plaintext(config), *_unknown_resources(config), *_repeated_keys(config))


def _secrets_plaintext(config: EncryptionConfig) -> Iterator[Finding]:
    if not is_covered(config, SECRETS):
        yield _finding(
            "KC-CFG-002",
            Severity.CRITICAL,
            "no entry covers secrets: they are stored in plaintext",
            "add an entry for secrets: keyctl enable",
        )
    elif isinstance(writer(config, SECRETS), IdentityReader):
        entry = covering_entries(config, SECRETS)[0]
        yield _finding(
            "KC-CFG-001",
            Severity.CRITICAL,
            f"identity is the first provider of resources[{entry}]: secrets are stored in plaintext",
            "put an encrypting provider first, on every server: keyctl enable",
        )


def _unknown_resources(config: EncryptionConfig) -> Iterator[Finding]:
    for text in named_resources(config):
        parsed = GroupResource.parse(text)
        if parsed.group or parsed.is_wildcard or parsed.resource in _CORE_RESOURCES:
            continue
        near = difflib.get_close_matches(parsed.resource, _CORE_RESOURCES, n=1)
        guess = f"write {near[0]}" if near else "write resource.group, as kubectl api-resources prints them"
        yield _finding(
            "KC-CFG-003",
            Severity.HIGH,
            f'"{text}" is no resource of the core group: the line encrypts nothing',
            guess,
        )


def _repeated_keys(config: EncryptionConfig) -> Iterator[Finding]:
    materials: dict[KeyRef, set[bytes]] = {}
    for key in all_static_keys(config):
        materials.setdefault(key.ref, set()).add(key.material)
    for ref, distinct in materials.items():
        if len(distinct) > 1:
            yield _finding(
                "KC-CFG-004",
                Severity.HIGH,
                f"{ref} stands for {len(distinct)} different keys: values do not tell which one they need",
                "rewrite the values under a key with a new name, then remove these",
            )
    for index, entry in enumerate(config.entries):
        refs = [reader.ref for element in entry.providers for reader in element.readers]
        for ref in dict.fromkeys(ref for ref in refs if ref.name and refs.count(ref) > 1):
            yield _finding(
                "KC-CFG-005",
                Severity.LOW,
                f"{ref} stands more than once in resources[{index}]",
                "keep the first of them, if their secrets are equal",
            )


def _finding(rule: str, severity: Severity, message: str, fix: str) -> Finding:
    return Finding(rule, severity, Status.FAIL, message, evidence=Evidence.E1, fix=fix)
