"""Backups: how old, how sound, what they hold, which keys they need. Judged from the files, and from the register.

No snapshot says when it was taken. What counts is when its manifest says that these very bytes were saved, and when the
newest Lease in it was renewed; the time of the file alone proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from keyctl.audit.checks.ages import days, long, moment
from keyctl.audit.checks.backup_contents import SNAPSHOTS, keys_to_be_had, no_plaintext
from keyctl.audit.checks.check import Check, check_beside, check_once, manual
from keyctl.audit.checks.mappings import BKP
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.backups import BackupPlace, Snapshot
from keyctl.audit.live.ledger import Ledger
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.findings import Evidence, Rule, Severity
from keyctl.keys.backups import Backup, BackupKind, Proof
from keyctl.keys.ledger import KeyState

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
ENCRYPTED = Rule(
    "KC-BKP-004",
    Severity.HIGH,
    "backups are stored without encryption of their own",
    "Only the values are encrypted in a snapshot, not the names of objects, and not what identity wrote.",
    "encrypt the file or the bucket",
    "",
    ("nist-800-53/CP-9(8)", *BKP),
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

# What is asked for; docs/audit.md tells a reader.
OLDEST_NEWEST = timedelta(hours=24)
OLDEST_TEST = timedelta(days=90)
LONGEST_KEPT = timedelta(days=365)
# Clocks differ by less.
_AMISS = timedelta(hours=1)
_GIVE = "give the cluster file: --cluster FILE"


@check_once(AGE, About.BACKUP)
def newest_is_young(facts: Facts) -> Iterator[Verdict]:
    """The newest of all sound ones; what is damaged is no backup."""
    places, snapshots = facts.of(BackupPlace), facts.of(Snapshot)
    if not places:
        yield from _registered_only(facts)
        return
    yield from _empty(places, facts)
    if not snapshots:
        return
    now = places[0].looked_at
    sound = [one for one in snapshots if not one.wrong]
    dated = sorted(((at, one) for one in sound if (at := _taken(one)) is not None), key=lambda pair: pair[0])
    if dated and now - dated[-1][0] <= OLDEST_NEWEST:
        at, newest = dated[-1]
        shown = newest if newest.renewed is not None else replace(newest, evidence=Evidence.E1)
        yield passed(f"the newest backup is {long(now - at)} old, by {_witness(newest)}", shown)
        return
    undated = [one for one in sound if _taken(one) is None and now - one.modified <= OLDEST_NEWEST]
    for one in undated:
        yield unknown(f"when it was taken is not known: {_why_undated(one)}; its file is young", one)
    if undated:
        return
    if dated:
        at, newest = dated[-1]
        yield failed(f"the newest backup is {long(now - at)} old, by {_witness(newest)}", newest)
    elif sound:
        newest = max(sound, key=lambda one: one.modified)
        told = f"its file is {long(now - newest.modified)} old"
        yield unknown(f"when the newest backup was taken is not known: {_why_undated(newest)}; {told}", newest)
    else:
        yield failed("no snapshot is sound: KC-BKP-002", snapshots[0])


@check_beside(INTEGRITY, SNAPSHOTS)
def whole(snapshot: Snapshot, facts: Facts) -> Iterator[Verdict]:
    """Its SHA-256, every page and record, its manifest, and what the register knows of it."""
    for one in snapshot.wrong:
        yield failed(one, snapshot)
    registered = [one for one in _snapshots(facts) if one.location == snapshot.path and one.sha256]
    for noted in registered:
        if snapshot.sha256 and noted.sha256 != snapshot.sha256:
            yield failed(
                "the register has another SHA-256 for it: it was changed, or another file took its name", snapshot
            )
            return
    if snapshot.wrong:
        return
    if snapshot.closed:
        yield passed("it is encrypted; its bytes are those that were looked through, as its manifest has it", snapshot)
        return
    if not snapshot.sha256:
        yield unknown("it has no SHA-256 of its own; its pages and records are sound", snapshot)
        return
    also = [*(["its manifest"] if snapshot.manifest else []), *(["the register"] if registered else [])]
    by = f"; as {' and '.join(also)} {'have' if also[1:] else 'has'} it" if also else "; no manifest lies beside it"
    yield passed(f"its SHA-256, every page and every record are sound{by}", snapshot)


@check_once(TESTED, About.BACKUP)
def restored_lately(facts: Facts) -> Iterator[Verdict]:
    """The newest test that the register knows."""
    ledgers = facts.of(Ledger)
    if not ledgers:
        for place in facts.of(BackupPlace)[:1]:
            yield unknown(f"tests are noted in the register of the key store: {_GIVE}", place)
        return
    for ledger in ledgers:
        noted = [one for one in ledger.register if one.kind is BackupKind.SNAPSHOT]
        tests = [(at, one) for one in noted if one.tested and (at := moment(one.tested.at)) is not None]
        if not noted:
            yield unknown("the register knows no snapshot", ledger)
        elif not tests:
            yield failed(f"no restore test is noted of any of {len(noted)} registered snapshots", ledger)
        else:
            yield _tested(*max(tests, key=lambda pair: pair[0]), ledger)


@check_once(RETENTION, About.BACKUP)
def not_kept_too_long(facts: Facts) -> Iterator[Verdict]:
    """Each snapshot, and each that the register knows and nobody looked at."""
    snapshots = facts.of(Snapshot)
    for one in snapshots:
        yield from _kept(one, facts)
    seen = {one.path for one in snapshots} | {one.sha256 for one in snapshots if one.sha256}
    for ledger in facts.of(Ledger):
        others = [one for one in ledger.register if one.kind is BackupKind.SNAPSHOT]
        others = [one for one in others if not {one.location, one.sha256} & seen]
        old = [one for one in others if _is_old(moment(one.at), ledger.looked_at)]
        for noted in old:
            yield failed(f"the snapshot {noted.location} is registered since {noted.at[:10]}", ledger)
        if others and not old:
            yield passed(f"none of {len(others)} other registered snapshots is older than {days(LONGEST_KEPT)}", ledger)


def _empty(places: tuple[BackupPlace, ...], facts: Facts) -> Iterator[Verdict]:
    """The directories without a snapshot: somebody named them as places of backups."""
    unread = [one.location.file or "" for one in facts.unread if About.BACKUP in one.about]
    for place in places:
        if not place.snapshots and any(_lies_in(one, place.location.file or "") for one in unread):
            yield unknown("no snapshot could be looked into", place)
        elif not place.snapshots:
            yield failed("no snapshot lies in it", place)


def _lies_in(file: str, directory: str) -> bool:
    """Whether it is the directory or lies below it, as both are spelled: what lies below "." is spelled without it."""
    return file == directory or file.startswith(f"{directory}/") or (directory == "." and not file.startswith("/"))


def _registered_only(facts: Facts) -> Iterator[Verdict]:
    for ledger in facts.of(Ledger):
        noted = [at for one in ledger.register if one.kind is BackupKind.SNAPSHOT and (at := moment(one.at))]
        if noted:
            newest = f"the newest was registered {long(ledger.looked_at - max(noted))} ago"
            yield unknown(f"no directory of backups was looked through: --backups DIR; {newest}", ledger)


def _taken(snapshot: Snapshot) -> datetime | None:
    """When it was taken, None where nothing tells, what tells disagrees, or it would lie in the future."""
    known = [one for one in (snapshot.saved, snapshot.renewed) if one is not None]
    if not known or max(known) - min(known) > _AMISS or max(known) - snapshot.looked_at > _AMISS:
        return None
    return known[0]


def _witness(snapshot: Snapshot) -> str:
    return "its manifest" if snapshot.saved is not None else "the newest Lease in it"


def _why_undated(snapshot: Snapshot) -> str:
    known = [one for one in (snapshot.saved, snapshot.renewed) if one is not None]
    if not known:
        return "neither a manifest of it nor a Lease in it tells"
    if max(known) - snapshot.looked_at > _AMISS:
        return f"it says {max(known):%Y-%m-%d %H:%M}, which is still to come"
    return f"its manifest says {known[0]:%Y-%m-%d %H:%M}, the newest Lease in it {known[1]:%Y-%m-%d %H:%M}"


def _snapshots(facts: Facts) -> list[Backup]:
    return [one for ledger in facts.of(Ledger) for one in ledger.register if one.kind is BackupKind.SNAPSHOT]


def _tested(at: datetime, snapshot: Backup, ledger: Ledger) -> Verdict:
    proof = snapshot.tested.proof if snapshot.tested else Proof.FAILED
    age = ledger.looked_at - at
    if proof is Proof.FAILED:
        return failed(f"the newest restore test, of {snapshot.location}, failed {long(age)} ago", ledger)
    if age > OLDEST_TEST:
        return failed(f"the newest restore test, of {snapshot.location}, was {long(age)} ago", ledger)
    if age < -_AMISS:
        return unknown(f"the newest restore test is noted for {at:%Y-%m-%d %H:%M}, which is still to come", ledger)
    if proof is Proof.OPENED:
        return failed(f"the values of {snapshot.location} were opened {long(age)} ago; no API server served it", ledger)
    return passed(f"an API server served {snapshot.location} {long(age)} ago", ledger)


def _is_old(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at > LONGEST_KEPT


def _kept(snapshot: Snapshot, facts: Facts) -> Iterator[Verdict]:
    content = snapshot.content
    noted = [moment(one.at) for one in _snapshots(facts) if one.sha256 and one.sha256 == snapshot.sha256]
    # It was taken before it was registered.
    times = [at for at in (_taken(snapshot), *noted) if at is not None]
    records = [record for ledger in facts.of(Ledger) for record in ledger.records]
    needs = content.needs if content else ()
    held = [one for one in records if any(need.ref == one.ref or need.fingerprint == one.fingerprint for need in needs)]
    lost = [str(one.ref) for one in held if one.state is KeyState.COMPROMISED]
    retired = [str(one.ref) for one in held if one.state is KeyState.DEACTIVATED]
    if times and _is_old(min(times), snapshot.looked_at):
        yield failed(f"it is {long(snapshot.looked_at - min(times))} old", snapshot)
    elif lost:
        yield failed(f"it holds values under a compromised key: {', '.join(lost)}", snapshot)
    elif not times:
        yield unknown(f"how old it is is not known: {_why_undated(snapshot)}", snapshot)
    else:
        under = f"; it holds values under the retired {', '.join(retired)}" if retired else ""
        yield passed(f"it is {long(snapshot.looked_at - min(times))} old{under}", snapshot)


CHECKS: tuple[Check, ...] = (
    newest_is_young,
    whole,
    no_plaintext,
    manual(ENCRYPTED, About.BACKUP, "how the place of the backups is encrypted"),
    keys_to_be_had,
    restored_lately,
    not_kept_too_long,
)
