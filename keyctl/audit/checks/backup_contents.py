"""What snapshots hold: plaintext that should not be there, values under keys that must be had and be kept elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from keyctl.audit.checks.check import Subjects, check_beside
from keyctl.audit.checks.mappings import BKP
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.backups import Content, Need, RawKey, Snapshot
from keyctl.audit.live.ledger import Ledger
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.findings import Rule, Severity
from keyctl.keys.backups import BackupKind
from keyctl.keys.key import STATIC_PROVIDERS
from keyctl.keys.ledger import KeyRecord, KeyState
from keyctl.stored.judgement import is_encrypted
from keyctl.stored.source import Area

SNAPSHOTS: Subjects[Snapshot] = Subjects(About.BACKUP, lambda facts: facts.of(Snapshot))

PLAINTEXT = Rule(
    "KC-BKP-003",
    Severity.CRITICAL,
    "a backup holds plaintext",
    "A snapshot from before encryption keeps every Secret in plaintext for as long as it is kept.",
    "keyctl verify-secrets --snapshot FILE; destroy it, or change what it holds",
    "",
    ("nist-800-53/CP-9(8)", "pci-4.0.1/3.5.1", *BKP),
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
_AREAS = {Area.HISTORY: "history", Area.FREE_PAGES: "freed pages"}


@check_beside(PLAINTEXT, SNAPSHOTS)
def no_plaintext(snapshot: Snapshot, facts: Facts) -> Iterator[Verdict]:
    """Secrets, what the file itself has encrypted elsewhere, and what the given configurations encrypt."""
    content = snapshot.content
    if content is None:
        yield unknown(_why_unread(snapshot), snapshot)
        return
    decoded = [one.judged.decoded for one in facts.configurations]
    required = _required(content, [one.config for one in decoded if one is not None])
    found = list(_plaintext(content, required, snapshot))
    yield from found
    if found:
        return
    judged = sum(one.values for one in content.groups if one.resource in required)
    strange = sum(one.values for one in content.groups if one.resource in required and one.provider is None)
    left = replace(content.left, required=required, only=True)
    if not judged:
        others = ", ".join(f"{count} keys below {name}" for name, count in content.others[:3])
        elsewhere = f"; there are {others}" if others else ""
        yield unknown(f"no value of {', '.join(sorted(required))} is under {content.prefix}{elsewhere}", snapshot)
    elif strange:
        yield unknown(f"{_values(strange)} neither an object nor encrypted in a known way", snapshot)
    elif left.not_looked_at:
        yield unknown(f"not looked at to its end: {', '.join(map(str, left.not_looked_at))}", snapshot)
    elif None in decoded:
        yield unknown("no Secret is in plaintext; what else must not be is not known: KC-ENC-006", snapshot)
    else:
        yield passed(
            f"all {_values(judged)} of {', '.join(sorted(required))} are encrypted, live and left behind", snapshot
        )


@check_beside(KEYS, SNAPSHOTS)
def keys_to_be_had(snapshot: Snapshot, facts: Facts) -> Iterator[Verdict]:
    """By fingerprints, where a key was at hand that opens the values; by names, that there is none."""
    content = snapshot.content
    if content is None:
        yield unknown(_why_unread(snapshot), snapshot)
    elif not content.values:
        yield unknown(f"nothing is in it under {content.prefix}", snapshot)
    elif not content.needs:
        yield not_applicable("plaintext", "nothing in it is encrypted, and no key is needed", snapshot)
    else:
        beside = tuple(_beside(snapshot, content, facts))
        yield from beside
        ledgers = facts.of(Ledger)
        doubts = [one for need in content.needs for one in _doubts(need, content, ledgers, snapshot)]
        yield from doubts
        if not doubts and not beside:
            names = ", ".join(str(one.ref) for one in content.needs)
            yield passed(f"the key store has the keys that open it: {names}", snapshot)


def _why_unread(snapshot: Snapshot) -> str:
    if snapshot.closed:
        return "it is encrypted: with --identity IDENTITY it is looked into"
    return "it could not be read: KC-BKP-002"


def _required(content: Content, configs: list[EncryptionConfig]) -> frozenset[str]:
    """Secrets, what is encrypted elsewhere in the file, and what one of `configs` encrypts."""
    live = {one.resource for one in content.groups if not one.infrastructure}
    left = {one.resource for one in content.left.groups if one.resource}
    encrypted = {one.resource for one in content.groups if is_encrypted(one)}
    named = {name for config in configs for name in effective.required_resources(config)}
    covered = {
        name
        for config in configs
        for name in live | left
        if not name.startswith("*") and not isinstance(effective.writer(config, name), IdentityReader)
    }
    return frozenset({effective.SECRETS} | encrypted | named | covered)


def _plaintext(content: Content, required: frozenset[str], at: Snapshot) -> Iterator[Verdict]:
    live = Counter[str]()
    for one in content.groups:
        if one.encoding is not None and not one.infrastructure and one.resource in required:
            live[one.resource] += one.values
    for resource, count in sorted(live.items()):
        yield failed(f"{_values(count)} of {resource} in plaintext, live", at)
    left = replace(content.left, required=required, only=True)
    behind = Counter[tuple[Area, str]]()
    for group in left.groups:
        if left.is_plaintext(group):
            behind[group.area, group.resource or "objects that are cut"] += group.values
    for (area, resource), count in sorted(behind.items()):
        where = _AREAS.get(area, str(area))
        yield failed(f"{_values(count)} of {resource} in plaintext in {where}", at, severity=Severity.HIGH)


def _beside(snapshot: Snapshot, content: Content, facts: Facts) -> Iterator[Verdict]:
    """What lies in the same directory and opens it."""
    prints = {one.fingerprint for one in content.needs}
    unproven = {one.ref for one in content.needs if one.fingerprint is None and one.opened}
    for key in facts.of(RawKey):
        if key.directory == snapshot.directory and (key.fingerprint in prints or key.ref in unproven):
            yield failed(
                f"the key {key.ref}, which opens it, lies beside it: {key.what}, {key.location.file}", snapshot
            )
    for ledger in facts.of(Ledger):
        for escrow in ledger.register:
            if escrow.kind is BackupKind.ESCROW and escrow.location.startswith(f"{snapshot.directory.rstrip('/')}/"):
                message = f"the escrow of its keys lies beside it, and is lost with it: {escrow.location}"
                yield failed(message, snapshot, severity=Severity.MEDIUM)


def _doubts(need: Need, content: Content, ledgers: tuple[Ledger, ...], at: Snapshot) -> Iterator[Verdict]:
    """Why the key may not be had; nothing where it is."""
    if need.ref.provider not in STATIC_PROVIDERS:
        of = f", key {need.key_id}" if need.key_id else ""
        yield unknown(f"it needs {need.ref}{of}: whether the KMS still has it is not looked at", at)
        return
    if not ledgers:
        yield unknown(f"it needs {need.ref}: whether that is kept is not known; give --cluster FILE", at)
        return
    records = [record for ledger in ledgers for record in ledger.records]
    if not records:
        yield unknown(f"it needs {need.ref}, and the key store is empty: where that key is kept is not known", at)
    elif need.opened and need.opened < need.values:
        closed = f"{need.values - need.opened} of {_values(need.values)}"
        yield failed(f"the key {need.ref} leaves {closed} under that name closed", at)
    elif need.fingerprint in {one.fingerprint for one in records if _is_there(one)}:
        return
    elif need.opened and need.fingerprint is not None:
        yield failed(f"the key store does not have {need.ref}, which opens it", at)
    elif need.opened:
        yield unknown(f"which of two keys opens what is under {need.ref} is not known", at)
    else:
        yield _never_opened(need, content, [one for one in records if one.ref == need.ref], ledgers, at)


def _never_opened(
    need: Need, content: Content, named: list[KeyRecord], ledgers: tuple[Ledger, ...], at: Snapshot
) -> Verdict:
    escrowed = [one for ledger in ledgers for one in ledger.register if one.kind is BackupKind.ESCROW]
    kept = [one for one in named if _is_there(one)]
    if any(one.fingerprint not in content.tried for one in kept):
        return unknown(f"the key store has {need.ref}; whether it opens {_values(need.values)} was not tried", at)
    if kept:
        return failed(f"the key {need.ref} of the key store opens none of {_values(need.values)} under that name", at)
    if any(need.ref in one.needs for one in escrowed):
        return unknown(f"the key store does not have {need.ref}; an escrow has a key of that name", at)
    what = "destroyed" if named else "never there"
    return failed(f"{_values(need.values)} under {need.ref}, which the key store does not have: {what}", at)


def _is_there(record: KeyRecord) -> bool:
    return record.state is not KeyState.DESTROYED


def _values(number: int) -> str:
    return f"{number} {'value' if number == 1 else 'values'}"
