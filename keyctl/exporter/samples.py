"""From what was seen to numbers. Pure: facts in, samples out.

What is not known has no sample: neither zero nor the last number stands for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import assert_never

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.exporter import catalogue
from keyctl.exporter.board import Sample
from keyctl.exporter.catalogue import Family
from keyctl.exporter.facts import (
    AlarmsSeen,
    BackupsSeen,
    CertificatesSeen,
    EtcdSeen,
    Facts,
    KeysSeen,
    RotationSeen,
    ServersSeen,
    ValuesSeen,
)
from keyctl.findings import Status
from keyctl.keys.backups import Proof
from keyctl.keys.ledger import STATES, KeyState
from keyctl.keys.shown import shown_name
from keyctl.rotation.diagnosis import rules
from keyctl.rotation.diagnosis.diagnose import Diagnosis
from keyctl.rotation.diagnosis.facts import Facts as Cluster
from keyctl.rotation.diagnosis.facts import ServerSeen
from keyctl.rotation.diagnosis.readability import in_use
from keyctl.rotation.due import InUse, age_of
from keyctl.stored.display import display
from keyctl.stored.judgement import ResourceResult, Stored, is_encrypted

SERVER_STATES = ("ok", "waiting", "differs", "no-flag", "down", "unknown")
# The kinds of alarm that etcd has: one that does not stand is a zero.
_ALARMS = ("NOSPACE", "CORRUPT")


def samples(facts: Facts) -> tuple[Sample, ...]:
    """What `facts` are in numbers; no two samples have one name and the same labels."""
    return tuple(_samples(facts))


def _samples(facts: Facts) -> Iterator[Sample]:
    match facts:
        case ValuesSeen():
            return _values(facts)
        case ServersSeen():
            return _servers(facts)
        case EtcdSeen():
            return _etcd(facts)
        case AlarmsSeen():
            return _alarms(facts)
        case CertificatesSeen():
            return _certificates(facts)
        case KeysSeen():
            return _keys(facts)
        case BackupsSeen():
            return _backups(facts)
        case RotationSeen():
            return _rotation(facts)
        case _:
            assert_never(facts)


def _values(seen: ValuesSeen) -> Iterator[Sample]:
    result = seen.result
    yield Sample(catalogue.READ, (), result.source.count)
    yield Sample(catalogue.REVISION, (), result.source.revision)
    yield Sample(catalogue.EXIT_CODE, (), int(result.exit_code))
    yield Sample(catalogue.UNJUDGED, (), seen.unread)
    for resource in result.resources:
        if resource.required or resource.encrypted:
            yield from _resource(resource)


def _resource(found: ResourceResult) -> Iterator[Sample]:
    name = (display(found.resource),)
    counts: Counter[tuple[str, ...]] = Counter()
    for stored in found.stored:
        group = stored.group
        provider = "" if group.provider is None else str(group.provider)
        for state, values in _states(stored):
            counts[(*name, provider, shown_name(group.key), state)] += values
    yield from (Sample(catalogue.STORED, labels, values) for labels, values in counts.items() if values)
    yield Sample(catalogue.UNREADABLE, name, found.unreadable + found.unrecognised)
    if found.required:
        yield Sample(catalogue.PLAINTEXT, name, found.plaintext)
        yield Sample(catalogue.STALE, name, found.stale)


def _states(stored: Stored) -> Iterator[tuple[str, int]]:
    """How many values of a group are in which state."""
    group = stored.group
    if group.provider is None:
        yield "unrecognised", group.values
    elif not is_encrypted(group):
        yield "unrecognised", group.failed
        yield "plaintext", group.values - group.failed
    else:
        yield "unreadable", group.failed
        if stored.stale:
            yield "stale", group.values - group.failed
        else:
            yield "ok", group.decrypted
            yield "unopened", group.not_decrypted


def _servers(seen: ServersSeen) -> Iterator[Sample]:
    for server, probe in zip(seen.cluster.servers, seen.probes, strict=True):
        name = (display(server.name),)
        if server.asked:
            yield Sample(catalogue.READY, name, server.ready)
        now = _state(server, seen.diagnosis)
        yield from (Sample(catalogue.STATE, (*name, state), state == now) for state in SERVER_STATES)
        # NOTE: every process tells when it started; without that its metrics were not read, and no zero is known.
        if server.answers and probe.start_time:
            yield Sample(catalogue.RELOADS, name, probe.reloads)
            yield Sample(catalogue.RELOAD_FAILURES, name, probe.reload_failures)
            if probe.reloaded_at:
                yield Sample(catalogue.RELOADED, name, probe.reloaded_at)
        used = in_use(server, seen.cluster.texts)
        if used.config is not None and not used.assumed:
            yield from _writes(name[0], used.config, seen.cluster.required)
    if configurations := _configurations(seen.cluster):
        yield Sample(catalogue.CONFIGS, (), configurations)
    failed = [one for one in seen.diagnosis.findings if one.status is Status.FAIL and one.id != rules.NOT_READ.id]
    counts = Counter((one.id, str(one.severity)) for one in failed)
    yield from (Sample(catalogue.FINDINGS, labels, count) for labels, count in counts.items())


def _state(server: ServerSeen, diagnosis: Diagnosis) -> str:
    if not server.ready:
        return "down" if server.asked else "unknown"
    if server.name in diagnosis.flagless:
        return "no-flag"
    if server.name in diagnosis.not_loaded:
        return "waiting"
    if any(server.name in (one.writer, *one.blind) for one in diagnosis.unwritable):
        return "differs"
    return "ok" if server.loaded_by or server.flag is False else "unknown"


def _writes(server: str, config: EncryptionConfig, resources: Iterable[str]) -> Iterator[Sample]:
    for resource in resources:
        ref = effective.writer(config, resource).ref
        labels = (server, display(resource), str(ref.provider), shown_name(ref.name))
        yield Sample(catalogue.WRITES, labels, 1)


def _configurations(cluster: Cluster) -> int:
    """How many different ones are known to be loaded: by what they mean, or by their hash where no file is at hand."""
    found: list[EncryptionConfig] = []
    hashes: set[str] = set()
    for server in cluster.servers:
        used = in_use(server, cluster.texts)
        if used.config is None:
            hashes |= {server.loaded_hash} if server.loaded_hash else set()
        elif not used.assumed and not any(effective.same_view(used.config, other) for other in found):
            found.append(used.config)
    return len(found) + len(hashes)


def _etcd(seen: EtcdSeen) -> Iterator[Sample]:
    for endpoint, status in seen.endpoints:
        name = (display(endpoint),)
        yield Sample(catalogue.ENDPOINT_UP, name, status is not None)
        if status is None:
            continue
        yield Sample(catalogue.LEADER, name, status.leader not in ("", "0"))
        yield Sample(catalogue.SIZE, name, status.db_size)
        yield Sample(catalogue.IN_USE, name, status.in_use)
        if status.quota:
            yield Sample(catalogue.QUOTA, name, status.quota)


def _alarms(seen: AlarmsSeen) -> Iterator[Sample]:
    for etcd, alarms, members in seen.etcds:
        counts = Counter(dict.fromkeys(_ALARMS, 0))
        counts.update(one.kind for one in alarms)
        yield from (Sample(catalogue.ALARMS, (etcd, display(kind)), count) for kind, count in counts.items())
        yield Sample(catalogue.MEMBERS, (etcd,), members)


def _certificates(seen: CertificatesSeen) -> Iterator[Sample]:
    for one in seen.certificates:
        labels = (one.place, display(one.name))
        yield Sample(catalogue.CERTIFICATE_READ, labels, one.not_after is not None)
        for family, moment in ((catalogue.NOT_AFTER, one.not_after), (catalogue.NOT_BEFORE, one.not_before)):
            if moment is not None:
                yield Sample(family, labels, moment.timestamp())


def _keys(seen: KeysSeen) -> Iterator[Sample]:
    counts = Counter(record.state for record in seen.records)
    yield from (Sample(catalogue.KEYS, (str(state),), counts[state]) for state in STATES)
    yield Sample(catalogue.MAX_AGE, (), seen.max_age.total_seconds())
    for record in seen.records:
        labels = (str(record.ref.provider), shown_name(record.ref.name))
        yield from (Sample(catalogue.KEY_STATE, (*labels, str(state)), state is record.state) for state in STATES)
        since = age_of(InUse(record.ref, record.fingerprint), seen.records).since
        if since is not None and record.state is not KeyState.DESTROYED:
            yield Sample(catalogue.KEY_SINCE, labels, since.timestamp())


def _backups(seen: BackupsSeen) -> Iterator[Sample]:
    yield Sample(catalogue.BACKUPS, (), len(seen.snapshots))
    yield Sample(catalogue.MISSING, (), sum(one.location in seen.missing for one in seen.snapshots))
    yield Sample(catalogue.BACKUP_MAX_AGE, (), seen.max_age.total_seconds())
    there = (one.at for one in seen.snapshots if one.location not in seen.missing)
    yield from _newest(catalogue.NEWEST, (), there)
    for proof in Proof:
        tests = (one.at for one in seen.tests if one.proof is proof)
        yield from _newest(catalogue.TESTED, (str(proof),), tests)


def _rotation(seen: RotationSeen) -> Iterator[Sample]:
    yield Sample(catalogue.UNDER_WAY, (), seen.began is not None)
    yield from _newest(catalogue.BEGUN, (), (seen.began or "",))
    yield from _newest(catalogue.LAST_EVENT, (), (seen.last or "",))


def _newest(family: Family, labels: tuple[str, ...], texts: Iterable[str]) -> Iterator[Sample]:
    """The newest of some moments in ISO 8601; none where none of them is one."""
    moments = [moment for text in texts if (moment := _moment(text)) is not None]
    if moments:
        yield Sample(family, labels, max(moments))


def _moment(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None
