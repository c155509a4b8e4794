"""What is stored, whatever the files say: each check here is judged from every value of every etcd, or of a file.

A live etcd and a file are told apart: what a snapshot holds says nothing of the cluster as it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keyctl.audit.checks import write_budget
from keyctl.audit.checks.check import Check, Subjects, check, check_beside, check_once, known
from keyctl.audit.checks.declared import Declared, declared
from keyctl.audit.checks.encryption_config import IDENTITY_LEFT
from keyctl.audit.checks.keys import TOO_MANY_WRITES
from keyctl.audit.checks.mappings import REST
from keyctl.audit.facts import About, Facts
from keyctl.audit.live.api_servers import RunningServer
from keyctl.audit.live.canary import Canary
from keyctl.audit.live.stored_values import StoredValues
from keyctl.audit.verdicts import Verdict, failed, not_applicable, passed, unknown
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import IdentityReader
from keyctl.findings import Evidence, Location, Rule, Severity
from keyctl.stored.decrypt import Reason
from keyctl.stored.judgement import ResourceResult
from keyctl.verify.report import left_behind

LIVE: Subjects[StoredValues] = Subjects(
    About.STORED_VALUES, lambda facts: tuple(one for one in facts.of(StoredValues) if one.live)
)
# What a value lacks that no configuration reads: a key of its name, an entry for its resource, a known provider.
_NO_KEY = frozenset({Reason.UNKNOWN_KEY, Reason.NOT_COVERED, Reason.UNKNOWN_SEAL})
# That some plaintext is not read either is KC-ENC-010, and what only a plugin opens is not known.
_NOT_DAMAGED = _NO_KEY | {Reason.NO_IDENTITY, Reason.KMS}

PLAINTEXT_VALUES = Rule(
    "KC-DAT-101",
    Severity.CRITICAL,
    "plaintext is stored where encryption is required",
    "Only a reading of every stored value tells. Turning encryption on does not touch what was there before.",
    "keyctl verify-secrets, then keyctl rotate",
    "",
    REST,
)
STALE_VALUES = Rule(
    "KC-DAT-102",
    Severity.HIGH,
    "values are under another key than the one that writes",
    "A rotation that never rewrote leaves the old key in use for ever.",
    "keyctl rotate",
    "",
    REST,
)
ORPHANS = Rule(
    "KC-DAT-103",
    Severity.CRITICAL,
    "values need a key that no configuration has",
    "They cannot be read, and lists of their resource fail.",
    "bring the key back from escrow or a backup: keyctl doctor",
    "",
    REST,
)
UNREADABLE = Rule(
    "KC-DAT-104",
    Severity.HIGH,
    "values do not open with the key they name",
    "They are damaged, or were written with other bytes under the same name.",
    "keyctl verify-secrets names them",
    "",
    REST,
)
CANARY = Rule(
    "KC-DAT-105",
    Severity.HIGH,
    "a Secret written now does not arrive encrypted",
    "The shortest proof: write one through the API, read its raw value, delete it.",
    "look at the file that the server has loaded: keyctl status",
    "kubernetes.io, Verify that newly written data is encrypted",
    REST,
)
RESIDUE = Rule(
    "KC-DAT-106",
    Severity.MEDIUM,
    "plaintext is left in old revisions and free pages",
    "Whoever copies the database file or a snapshot reads what was overwritten, until it is compacted and "
    "defragmented.",
    "keyctl sanitize",
    "",
    REST,
)


@dataclass(frozen=True, slots=True)
class _At:
    """A value of a source: the place of a verdict about it."""

    location: Location
    evidence: Evidence


@check_once(PLAINTEXT_VALUES, About.STORED_VALUES)
def no_plaintext(facts: Facts) -> Iterator[Verdict]:
    """Each required resource, in every etcd and in each snapshot; a snapshot alone proves nothing of the cluster."""
    found = facts.of(StoredValues)
    for values in found:
        for one in values.required:
            yield _plaintext(values, one)
    yield from _only_files(found)
    yield from _elsewhere(found, facts)


def _plaintext(values: StoredValues, one: ResourceResult) -> Verdict:
    if one.plaintext:
        names = (name for stored in one.stored if stored.group.encoding for name in stored.group.first)
        return _named(f"{_values(one.plaintext, one)} stored in plaintext", values, next(names, None))
    if not one.values:
        return _nothing(values, one)
    if one.unrecognised or one.unreadable:
        # NOTE: anybody can write the head of an encrypted value; what does not open may be anything.
        message = f"{_values(one.unrecognised + one.unreadable, one)} not opened: KC-DAT-103, KC-DAT-104"
        return unknown(message, values)
    heads = f", {one.not_decrypted} told from their heads" if one.not_decrypted else ""
    return passed(f"{one.values} values of {one.resource}, none of them plaintext{heads}", values)


def _nothing(values: StoredValues, one: ResourceResult) -> Verdict:
    """What a resource means of which nothing is stored: nothing found is not clean."""
    told = one.expected == 0 if values.live else True
    if told and any(other.values for other in values.required):
        return not_applicable("nothing-stored", f"there are no {one.resource}", values)
    if one.missing:
        return unknown(f"the API knows {one.expected} {one.resource}, and none is stored here", values)
    return unknown(f"no value of {one.resource} is stored under {values.whole.prefix}: nothing is proven", values)


def _only_files(found: tuple[StoredValues, ...]) -> Iterator[Verdict]:
    if found and not any(one.live for one in found):
        yield unknown("a snapshot tells of itself only, and no etcd was read: --cluster FILE", found[0])


def _elsewhere(found: tuple[StoredValues, ...], facts: Facts) -> Iterator[Verdict]:
    """An etcd that a manifest names for some resources, and that was not read."""
    if not any(one.live and one.etcds == 1 for one in found):
        return
    for server in facts.api_servers:
        setting = known(server, _OVERRIDES)
        if setting is not None:
            yield unknown("some resources are in another etcd, which the cluster file does not name", setting)


@check(STALE_VALUES, LIVE)
def under_the_key_that_writes(values: StoredValues) -> Iterator[Verdict]:
    """Each required resource, by the API server for which most is stale."""
    if not values.by_config:
        yield unknown(_NO_CONFIG, values)
        return
    for name in (one.resource for one in values.required):
        same = [one for result in values.by_config for one in result.resources if one.resource == name]
        yield _stale(values, max(same, key=lambda one: one.stale))


def _stale(values: StoredValues, one: ResourceResult) -> Verdict:
    if one.stale:
        names = (name for stored in one.stored if stored.stale for name in stored.group.first)
        message = f"{_values(one.stale, one)} under another key than the one that writes"
        return _named(message, values, next(names, None))
    if not one.values:
        return _nothing(values, one)
    if not one.encrypted:
        return not_applicable("plaintext", f"no value of {one.resource} is encrypted: KC-DAT-101", values)
    if one.unreadable:
        return unknown(f"{_values(one.unreadable, one)} not read: KC-DAT-103, KC-DAT-104", values)
    return passed(f"all {_values(one.encrypted, one)} under the key that writes", values)


@check(ORPHANS, LIVE)
def every_key_is_there(values: StoredValues) -> Iterator[Verdict]:
    """Every value of every resource, by all configurations together."""
    right = passed(f"{_encrypted(values)} values are encrypted, each under a key that is configured", values)
    yield _failure(values, lambda reason: reason in _NO_KEY, "need what no configuration has") or _gap(values) or right


@check(UNREADABLE, LIVE)
def every_value_opens(values: StoredValues) -> Iterator[Verdict]:
    """Every value of every resource that has its key."""
    damaged = _failure(values, lambda reason: reason not in _NOT_DAMAGED, "do not open, or are no objects")
    wrong = [*_foreign(values), *([damaged] if damaged else [])]
    unopened = sum(one.not_decrypted for one in values.whole.resources)
    yield from wrong
    if wrong:
        return
    if gap := _gap(values):
        yield gap
    elif unopened:
        yield unknown(f"{unopened} values were told from their heads: only a KMS plugin opens them", values)
    else:
        yield passed(f"{_encrypted(values)} values are encrypted, and an object came out of each", values)


def _failure(values: StoredValues, counts: Callable[[Reason], bool], what: str) -> Verdict | None:
    """The values that did not open for a reason that `counts`; None without any."""
    result = values.whole
    found = sum(number for (_, reason), number in result.problem_counts.items() if counts(reason))
    first = next((one.etcd_key for one in result.problems if counts(one.reason)), None)
    return _named(f"{found} of {result.source.count} values {what}", values, first) if found else None


def _gap(values: StoredValues) -> Verdict | None:
    """Why nothing can be told of encrypted values; None where something can."""
    if not values.by_config:
        return unknown(_NO_CONFIG, values)
    if not values.whole.source.count:
        return unknown(f"nothing is stored under {values.whole.prefix}", values)
    if not _encrypted(values):
        return not_applicable("plaintext", "no value is encrypted: KC-DAT-101", values)
    return None


def _foreign(values: StoredValues) -> Iterator[Verdict]:
    """Values that are no plaintext either: where identity does not read, they are refused before anybody looks."""
    refused = {resource for resource, reason in values.whole.problem_counts if reason is Reason.NO_IDENTITY}
    for group in (stored.group for one in values.whole.resources if one.resource in refused for stored in one.stored):
        number = group.values - group.failed
        if group.provider is None and number:
            message = f"{number} values of {group.resource} are neither objects nor encrypted in any known way"
            yield _named(message, values, next(iter(group.first), None))


def _encrypted(values: StoredValues) -> int:
    return sum(one.encrypted for one in values.whole.resources)


@check_once(CANARY, About.RUNNING_SERVER)
def arrives_encrypted(facts: Facts) -> Iterator[Verdict]:
    """The Secret that was written through each server, where that was asked for."""
    found = facts.of(Canary)
    servers = {one.name: one for one in facts.of(RunningServer)}
    for one in found:
        yield _canary(one, servers.get(one.server))
    if servers and not found:
        yield unknown("no Secret was written to see how it arrives: --canary", next(iter(servers.values())))


def _canary(canary: Canary, server: RunningServer | None) -> Verdict:
    if canary.problem:
        return unknown(f"the Secret of {canary.server}: {canary.problem}", canary)
    if canary.plaintext:
        return failed(f"{canary.server} writes Secrets in plaintext", canary)
    if canary.under is None:
        return unknown(f"what {canary.server} writes is of no encryption that is known", canary)
    config = server.disk.config if server else None
    if server is not None and config is not None and effective.writer(config, effective.SECRETS).ref != canary.under:
        return failed(f"{canary.server} writes Secrets with {canary.under}, and not as {server.disk.path} says", canary)
    return passed(f"{canary.server} writes Secrets with {canary.under}", canary)


@check_once(RESIDUE, About.STORED_VALUES)
def nothing_left_behind(facts: Facts) -> Iterator[Verdict]:
    """What lies behind the live values of each file: history, freed pages, WAL, old files."""
    found = facts.of(StoredValues)
    files = [one for one in found if not one.live]
    for one in files:
        left = one.whole.left
        if left.wrong:
            yield failed(f"{left_behind(left)} behind the live values", one)
        elif left.not_looked_at:
            areas = ", ".join(area.value for area in left.not_looked_at)
            yield unknown(f"not looked at to the end: {areas}", one)
        else:
            yield passed("no plaintext and no retired key behind the live values", one)
    if found and not files:
        yield unknown("a live etcd does not show what it keeps behind its values: --snapshot FILE", found[0])


@check_beside(IDENTITY_LEFT, LIVE)
def plaintext_read_while_there_is_some(values: StoredValues, facts: Facts) -> Iterator[Verdict]:
    """Each configuration that is declared, for each resource that it encrypts and of which something is stored."""
    told = tuple(declared(facts))
    for one in told:
        yield from _identity(one, values)
    if not told:
        yield unknown("no configuration was read", values)


def _identity(told: Declared, values: StoredValues) -> Iterator[Verdict]:
    at = _At(told.location, values.evidence)
    judged, needless = 0, []
    for one in values.resources:
        readers = effective.readers(told.config, one.resource)
        if isinstance(readers[0], IdentityReader):
            continue
        judged += one.values
        reads = any(isinstance(reader, IdentityReader) for reader in readers)
        if one.plaintext and not reads:
            message = f"{told.name} does not read plaintext of {one.resource}, and {one.plaintext} stored values are"
            yield failed(message, at, severity=Severity.HIGH)
        elif reads and not one.plaintext and one.values:
            needless.append(one.resource)
    if needless:
        message = f"{told.name} still reads plaintext of {', '.join(needless)}, and none is stored"
        yield failed(message, at, severity=Severity.LOW)
    elif judged:
        yield passed(f"{told.name} reads plaintext where there is some, and nowhere else", at)
    else:
        yield not_applicable("nothing-stored", f"nothing is stored of what {told.name} encrypts", at)


@check_beside(TOO_MANY_WRITES, LIVE)
def nonces_left(values: StoredValues, facts: Facts) -> Iterator[Verdict]:
    """Each aesgcm key."""
    found = write_budget.of_aesgcm(values, facts)
    yield from found.values()
    if not found and any(declared(facts)):
        yield not_applicable("no-aesgcm", "no key of aesgcm", values)
    elif not found:
        yield unknown("no configuration was read", values)


_OVERRIDES = "etcd-servers-overrides"
_NO_CONFIG = "the configuration of no API server was read"


def _values(number: int, one: ResourceResult) -> str:
    return f"{number} {'value' if number == 1 else 'values'} of {one.resource} {'is' if number == 1 else 'are'}"


def _named(message: str, values: StoredValues, key: str | None) -> Verdict:
    """A failure that names its first value: in words too, for by these a baseline knows it again."""
    place = values.location
    at = _At(Location(file=place.file, endpoint=place.endpoint, etcd_key=key), values.evidence)
    return failed(f"{message}, first {key}" if key else message, at)


CHECKS: tuple[Check, ...] = (
    no_plaintext,
    under_the_key_that_writes,
    every_key_is_there,
    every_value_opens,
    arrives_encrypted,
    nothing_left_behind,
    plaintext_read_while_there_is_some,
    nonces_left,
)
