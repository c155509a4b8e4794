"""Look at everything once, and put it together: the checks of each dependency, the facts, and what they mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from keyctl.cli import wiring
from keyctl.cli.checkup import etcds, hosts, keeping, rules, servers
from keyctl.cli.checkup.etcds import EtcdLook
from keyctl.cli.checkup.item import Area, Checks, Item
from keyctl.cli.checkup.subject import Subject, place
from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import KeyctlError, UnreachableError
from keyctl.etcd.interface import MaintainedEtcd
from keyctl.findings import Finding, Severity, Status
from keyctl.keys.interface import KeyStore
from keyctl.rotation.diagnosis import advice
from keyctl.rotation.diagnosis import rules as state_rules
from keyctl.rotation.diagnosis.diagnose import Diagnosis, diagnose, told, under_way
from keyctl.rotation.diagnosis.earlier import earlier
from keyctl.rotation.diagnosis.facts import ConfigText, Facts, KnownKey, StageSeen, ValueGroup
from keyctl.rotation.diagnosis.look import KEY_STORE, Look, keys_of, look_at, sentence, stage_of
from keyctl.rotation.diagnosis.records import journal_seen
from keyctl.rotation.diagnosis.values import Trial
from keyctl.rotation.journal import Journal
from keyctl.rotation.outline import counted
from keyctl.rotation.scan import name_first, scan
from keyctl.stored import rules as stored_rules
from keyctl.stored.anew import anew
from keyctl.stored.source import JoinedSource

_OF_VALUES = frozenset(
    rule.id
    for rule in (
        state_rules.LOST,
        state_rules.CANNOT_READ,
        state_rules.CANNOT_START,
        state_rules.ENCODED,
        state_rules.NOT_READ,
        stored_rules.PLAINTEXT,
        stored_rules.STALE,
    )
)


@dataclass(frozen=True, slots=True)
class Given:
    """What the user has beside the cluster: old copies of configurations, and single keys."""

    texts: tuple[ConfigText, ...] = ()
    keys: tuple[KnownKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was looked at. `store` is None where there is no key store to be had."""

    subject: Subject
    looks: tuple[Look, ...]
    etcds: tuple[EtcdLook, ...]
    facts: Facts
    store: KeyStore | None
    store_items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen, each check of it, and what it means."""

    seen: Seen
    items: tuple[Item, ...]
    diagnosis: Diagnosis
    steps: tuple[str, ...]


def see(subject: Subject, given: Given, *, values: bool = True) -> Seen:
    """Look at every server, every etcd, the key store and the journal; with `values`, at everything stored."""
    looks = tuple(look_at(place(subject, server)) for server in subject.settings.api_servers)
    found = etcds.look_at_etcds(subject)
    store, kept, store_items = keeping.open_store(subject)
    of_servers = tuple(look.seen.file for look in looks if look.seen.file is not None)
    keys = (*keys_of(of_servers), *kept, *keys_of(given.texts), *given.keys)
    journal = journal_seen(Journal(wiring.state_directory(subject.settings.name))) if subject.described else None
    before = earlier(journal.plan if journal else None, looks, (known.key for known in keys))
    texts = (*of_servers, *before, *given.texts)
    configs = tuple(text.config for text in of_servers)
    required = dict.fromkeys(name for config in configs for name in effective.required_resources(config))
    facts = Facts(
        cluster=subject.settings.name,
        distribution=subject.settings.distribution,
        servers=tuple(look.seen for look in looks),
        texts=texts,
        keys=keys,
        unread="not asked for",
        uid=_uid(looks),
        required=tuple(required) or (effective.SECRETS,),
        journal=journal,
        stages=_stages(subject, looks),
    )
    if values:
        facts = _with_values(facts, subject, found)
    return Seen(subject, looks, found, facts, store, store_items)


def examine(seen: Seen, *, union: bool) -> Examination:
    """Every check on what was `seen`; `union`: whether the union configuration is wanted, so it is proven."""
    found = diagnose(seen.facts)
    config = next((look.seen.file.config for look in seen.looks if look.seen.file is not None), None)
    items = [
        _origin(seen.subject),
        *(item for etcd in seen.etcds for item in etcd.items),
        *servers.look_at_servers(seen.looks),
        *servers.look_at_rotation(seen.subject, seen.looks, config),
        *hosts.look_at_hosts(seen.looks, seen.subject.settings.api_servers),
        *seen.store_items,
        *_keeping(seen),
        *_state(seen, found),
        *_values(seen.facts, found),
    ]
    if union or advice.needs_union(found):
        items += _proof(seen, found)
    return Examination(seen, tuple(items), found, advice.steps(seen.facts, found))


def _origin(subject: Subject) -> Item:
    checks = Checks(Area.CLUSTER)
    many = counted(len(subject.settings.api_servers), "API server")
    if subject.described:
        return checks.ok(rules.CLUSTER_FILE, subject.settings.name, f"{subject.origin}: {many}")
    item = checks.unknown(rules.CLUSTER_FILE, "cluster file", f"none: only what {subject.origin} names is looked at")
    # What there is beside this machine is told by the census of the API servers; that decides.
    return replace(item, finding=replace(item.finding, severity=Severity.INFO))


def _uid(looks: tuple[Look, ...]) -> str:
    for look in looks:
        if look.seen.ready and look.place.api is not None:
            try:
                return look.place.api.kube_system_uid()
            except KeyctlError:
                continue
    return ""


def _stages(subject: Subject, looks: tuple[Look, ...]) -> tuple[StageSeen, ...]:
    """What k3s and RKE2 wrote down: on the Nodes where an API server answers, else on the hosts."""
    from keyctl.kube.annotations import rotation_stages

    for look, server in zip(looks, subject.settings.api_servers, strict=True):
        if look.seen.ready:
            try:
                with contextlib.closing(wiring.kube_connection(subject.settings, server)) as connection:
                    told = [stage_of(*one) for one in rotation_stages(connection)]
            except KeyctlError:
                break
            if any(told):
                return tuple(one for one in told if one is not None)
            break
    return tuple(look.stage for look in looks if look.stage is not None)


def _with_values(facts: Facts, subject: Subject, found: tuple[EtcdLook, ...]) -> Facts:
    silent = [etcd.problem for etcd in found if etcd.problem]
    if silent:
        # NOTE: values of one etcd alone would make those of another look as if they were not there.
        return replace(facts, unread=silent[0])
    try:
        groups, revision = _read(facts, subject, found)
    except KeyctlError as error:
        return replace(facts, unread=sentence(error))
    return replace(facts, values=groups, revision=revision, unread="")


@anew
def _read(facts: Facts, subject: Subject, found: tuple[EtcdLook, ...]) -> tuple[tuple[ValueGroup, ...], int]:
    trial = Trial(subject.prefix.encode(), facts.keys, [text.config for text in facts.texts])
    with _Clients(found) as clients:
        source = JoinedSource(tuple(client.source() for client in clients))
        delivered = 0
        for batch in source.batches(subject.prefix.encode()):
            delivered += len(batch)
            trial.add(batch)
        info = source.info()
    if info.count != delivered:
        raise UnreachableError(f"{info.location} delivered {delivered} of {info.count} values")
    if not delivered:
        raise UnreachableError(f"etcd holds nothing under {subject.prefix}/")
    return trial.groups(), info.revision


class _Clients:
    """A client of each etcd, closed at the end."""

    def __init__(self, found: tuple[EtcdLook, ...]) -> None:
        self._found = found
        self._clients: list[MaintainedEtcd] = []

    def __enter__(self) -> list[MaintainedEtcd]:
        self._clients = [wiring.etcd(etcd.connection) for etcd in self._found]
        return self._clients

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()


def _keeping(seen: Seen) -> Iterator[Item]:
    if seen.store is not None:
        kept = [known for known in seen.facts.keys if known.origin == KEY_STORE]
        texts = [look.seen.file for look in seen.looks if look.seen.file is not None]
        yield from keeping.look_at_keys(kept, texts)
    yield from keeping.look_at_snapshots(seen.subject, seen.store)


def _state(seen: Seen, found: Diagnosis) -> Iterator[Item]:
    facts = seen.facts
    told_here = [finding for finding in found.findings if finding.id not in _OF_VALUES]
    yield from (Item(Area.STATE, finding.id, finding) for finding in told_here)
    checks = Checks(Area.STATE)
    yield from _journal(seen)
    if not told_here:
        message = "every server has loaded its file, and reads what every other writes"
        yield checks.ok(state_rules.WRITES_UNREAD, "servers", message)
    elif under_way(facts) and not found.unwritable and not found.has(state_rules.LOADED_UNKNOWN):
        yield checks.ok(state_rules.WRITES_UNREAD, "servers", "every server reads what every other writes")


def _journal(seen: Seen) -> Iterator[Item]:
    """That nothing is under way, as far as this user's journal tells; what is, is a finding of the diagnosis."""
    checks = Checks(Area.STATE)
    if not seen.subject.described:
        message = (
            "whether a rotation by keyctl is under way was not looked at: no cluster file says whose journal it is"
        )
        item = checks.unknown(state_rules.UNFINISHED, "journal", message, fix=rules.CLUSTER_FILE.fix)
        yield replace(item, finding=replace(item.finding, severity=Severity.INFO))
    elif seen.facts.journal is None:
        where = wiring.state_directory(seen.subject.settings.name)
        yield checks.ok(state_rules.UNFINISHED, "journal", f"no rotation by keyctl is under way, as {where} has it")


def _values(facts: Facts, found: Diagnosis) -> Iterator[Item]:
    yield from (Item(Area.VALUES, f.id, f) for f in found.findings if f.id in _OF_VALUES)
    bad = {group for one in found.unread for group in one.groups}
    checks = Checks(Area.VALUES)
    plain = [group for group in facts.values or () if group.plain and group.resource not in facts.required]
    for group in facts.values or ():
        if group.lost or group in bad or group.plain:
            continue
        if group.opened is None:
            item = checks.unknown(
                stored_rules.NOT_OPENED, group.resource, f"{told((group,))}: only its plugin opens them"
            )
            yield replace(item, finding=replace(item.finding, severity=Severity.INFO))
            continue
        opened = f"{told((group,))} ({group.opened.key.fingerprint[:8]}), every one opens"
        yield checks.ok(state_rules.LOST, group.resource, opened)
    if plain:
        many = sum(group.values for group in plain)
        kinds = counted(len(plain), "other resource")
        yield checks.ok(
            state_rules.LOST, "the rest", f"{counted(many, 'value')} of {kinds}, in plaintext as configured"
        )


def _proof(seen: Seen, found: Diagnosis) -> Iterator[Item]:
    """Open every value with the union, as a server would."""
    checks = Checks(Area.VALUES)
    if found.union is None or seen.facts.values is None:
        why = seen.facts.unread or "no server encrypts, and nothing stored is encrypted"
        yield checks.unknown(rules.UNION, "union", f"no union configuration was made and proven: {why}")
        return
    yield prove(seen, found.union.config)


def prove(seen: Seen, config: EncryptionConfig) -> Item:
    """Whether every stored value opens under `config`; what only a KMS plugin opens is left out."""
    checks = Checks(Area.VALUES)
    try:
        with _Clients(seen.etcds) as clients:
            source = JoinedSource(tuple(client.source() for client in clients))
            found = scan(source, prefix=seen.subject.prefix, config=config)
    except KeyctlError as error:
        return checks.of_error(rules.UNION, "union", error)
    if found.unreadable:
        told_first = name_first(found.problems, limit=3)
        return checks.bad(rules.UNION, "union", f"{found.unreadable} values do not open with it: {told_first}")
    return checks.ok(rules.UNION, "union", f"every value of revision {found.revision} opens with it")


def findings_of(items: tuple[Item, ...]) -> tuple[Finding, ...]:
    """The findings, those that fail first."""
    order = {Status.FAIL: 0, Status.UNKNOWN: 1}
    severities = tuple(Severity)
    return tuple(
        sorted(
            (item.finding for item in items),
            key=lambda finding: (order.get(finding.status, 2), severities.index(finding.severity)),
        )
    )
