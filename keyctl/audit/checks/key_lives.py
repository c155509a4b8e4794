"""How old keys are, and what they are kept for: by the ledger of the key store.

The ledger knows when a key came into it. Of a key that was imported nobody knows how old its bytes are; such a key
never passes for a young one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from keyctl.audit.checks.ages import days, long, moment
from keyctl.audit.checks.check import Subjects, check, check_beside
from keyctl.audit.checks.mappings import KEY
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.ledger import Ledger
from keyctl.audit.verdicts import Verdict, failed, passed, unknown
from keyctl.encryption_config.effective import SECRETS, writer
from keyctl.encryption_config.model import StaticReader
from keyctl.findings import Rule, Severity
from keyctl.keys.backups import needing
from keyctl.keys.key import Key
from keyctl.keys.ledger import KeyRecord, KeyState, Origin

TOO_OLD = Rule(
    "KC-KEY-101",
    Severity.HIGH,
    "the key that writes is older than the policy allows",
    "The longer a key is used, the more there is under it when it leaks. NIST SP 800-57 gives a symmetric data key at "
    "most two years of writing.",
    "keyctl rotate, and on a schedule: keyctl rotate --if-due",
    "NIST SP 800-57 part 1, revision 5, table 1",
    KEY,
)
RETIRED = Rule(
    "KC-KEY-102",
    Severity.HIGH,
    "a retired key is kept although nothing needs it",
    "What no value, history or backup needs is only there to be stolen.",
    "destroy what nothing needs: keyctl keys list",
    "",
    (*KEY, "pci-4.0.1/3.7.5"),
)
# What is asked for; docs/audit.md tells a reader.
OLD = timedelta(days=365)
TOO_OLD_TO_WRITE = timedelta(days=730)
TOO_OLD_TO_READ = TOO_OLD_TO_WRITE + timedelta(days=3 * 365)

LEDGERS: Subjects[Ledger] = Subjects(About.KEY, lambda facts: facts.of(Ledger))


@check_beside(TOO_OLD, LEDGERS)
def young_enough(ledger: Ledger, facts: Facts) -> Iterator[Verdict]:
    """Each key that writes: those that the ledger calls active, and what the servers' files have first."""
    known = {one.fingerprint for one in ledger.records}
    writing = tuple(_writing(facts))
    for server, key in writing:
        if key.fingerprint not in known:
            yield unknown(f"{key.ref}, which writes Secrets by the file of {server.name}, is not in the ledger", server)
    active = [one for one in ledger.records if one.state is KeyState.ACTIVE]
    prints = {one.fingerprint for one in active}
    # A file that still has a retired key first writes with that one, whatever the ledger calls active.
    others = {key.fingerprint for _, key in writing} - prints
    for record in (*active, *_one_of_each(ledger, others)):
        yield _aged(record, ledger)
    if not active:
        yield unknown("no key of the ledger is active", ledger)


@check(RETIRED, LEDGERS)
def destroyed_when_done(ledger: Ledger) -> Iterator[Verdict]:
    """Each key that is retired and still there."""
    retired = [one for one in ledger.records if one.state in (KeyState.DEACTIVATED, KeyState.COMPROMISED)]
    for record in retired:
        needed = needing(ledger.register, record.ref, record.fingerprint)
        since = _since(record, ledger)
        age = None if since is None else ledger.looked_at - since
        if age is not None and age > TOO_OLD_TO_READ:
            yield failed(f"{record.ref} is {long(age)} old, and no key should read for longer than that", ledger)
        elif needed:
            yield passed(f"{record.ref} is retired, and {len(needed)} registered backups need it", ledger)
        elif record.last_write is not None:
            at = record.last_write.at[:10]
            yield failed(f"{record.ref} is kept: no backup needs it, and by {at} no stored value did", ledger)
        else:
            yield unknown(f"{record.ref} is retired; whether a stored value needs it was never proven", ledger)
    if ledger.records and not retired:
        yield passed("no retired key is kept", ledger)
    elif not ledger.records:
        yield unknown("the ledger knows no key", ledger)


def _writing(facts: Facts) -> Iterator[tuple[RunningServer, Key]]:
    """What writes Secrets by the file of each running server, where that is a static key."""
    for server in facts.of(RunningServer):
        writes = writer(server.disk.config, SECRETS)
        if isinstance(writes, StaticReader):
            yield server, writes.key


def _one_of_each(ledger: Ledger, prints: Collection[str]) -> Iterator[KeyRecord]:
    """A record for each of these fingerprints that the ledger knows."""
    yield from {one.fingerprint: one for one in ledger.records if one.fingerprint in prints}.values()


def _same_bytes(record: KeyRecord, ledger: Ledger) -> list[KeyRecord]:
    """Every name that these bytes ever had: a new one makes no key younger."""
    return [one for one in ledger.records if one.fingerprint == record.fingerprint]


def _since(record: KeyRecord, ledger: Ledger) -> datetime | None:
    """Since when the bytes are known at the least; None where the ledger tells no time."""
    times = [moment(one.created) for one in _same_bytes(record, ledger)]
    told = [at for at in times if at is not None]
    return min(told) if len(told) == len(times) else None


def _is_imported(record: KeyRecord, ledger: Ledger) -> bool:
    same = _same_bytes(record, ledger)
    return any(one.origin is Origin.IMPORTED for one in same) or all(one.origin is Origin.RENAMED for one in same)


def _aged(record: KeyRecord, ledger: Ledger) -> Verdict:
    since = _since(record, ledger)
    if since is None:
        return unknown(f"the ledger does not tell since when {record.ref} is there", ledger)
    age = ledger.looked_at - since
    if age > TOO_OLD_TO_WRITE:
        return failed(f"{record.ref} is {long(age)} old and writes", ledger)
    if age > OLD:
        return failed(
            f"{record.ref} is {long(age)} old: change it before {days(TOO_OLD_TO_WRITE)}", ledger, severity=Severity.LOW
        )
    if age < timedelta(hours=-1):
        return unknown(f"{record.ref} is from {since:%Y-%m-%d %H:%M}, which is still to come", ledger)
    if _is_imported(record, ledger):
        return unknown(f"{record.ref} was imported {long(age)} ago; how old its bytes are is not known", ledger)
    return passed(f"{record.ref} is {long(age)} old", ledger)
