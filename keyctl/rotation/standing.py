"""Where a cluster stands, as one screen: servers, keys, the rotation under way, and when the next one is due. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import EncryptionConfig, IdentityReader
from keyctl.errors import ExitCode
from keyctl.findings import Finding, Report, Status, Table
from keyctl.keys.backups import Backup, BackupKind, needing
from keyctl.keys.key import KeyRef, Provider
from keyctl.keys.ledger import KeyRecord, Origin
from keyctl.keys.shown import shown_name, shown_ref
from keyctl.rotation.diagnosis import advice, rules
from keyctl.rotation.diagnosis.diagnose import Diagnosis, short, under_way
from keyctl.rotation.diagnosis.facts import Facts, JournalSeen, ServerSeen, ValueGroup
from keyctl.rotation.diagnosis.outcome import exit_code
from keyctl.rotation.diagnosis.readability import NOTHING, in_use
from keyctl.rotation.due import InUse, Judgement, judge
from keyctl.rotation.outline import counted

_SERVERS = ("SERVER", "FILE", "WRITES", "LOADED", "BY", "RELOAD", "SINCE", "READY", "VERSION", "STATE")
_SINCE, _WIDE_OF_SERVERS = 6, frozenset({7, 8})
_KEYS = ("KEY", "AGE", "VALUES", "HIST", "SNAPS", "ROLE", "LEDGER", "FINGERPRINT", "FILES")
_RIGHT, _WIDE_OF_KEYS = frozenset({1, 2, 4}), frozenset({7, 8})
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Standing:
    """What `report` tells. `changed` is when each server's file last changed, in Unix seconds, where that is known.

    `held` are the keys that etcd's history still needs, as the register has it; `scanned`: values were asked for.
    `of_store` is what is wrong with the key store: then `records` and `backups` do not tell all.
    """

    facts: Facts
    found: Diagnosis
    at: datetime
    records: tuple[KeyRecord, ...] = ()
    backups: tuple[Backup, ...] = ()
    held: frozenset[KeyRef] = frozenset()
    changed: Mapping[str, float] = field(default_factory=dict)
    key_max_age: timedelta | None = None
    scanned: bool = True
    of_store: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Key:
    ref: KeyRef
    record: KeyRecord | None
    groups: tuple[ValueGroup, ...]
    role: str
    files: tuple[str, ...]
    fingerprint: str


def report(standing: Standing) -> Report:
    """The screen, and the same as data."""
    findings = _findings(standing)
    facts, keys = standing.facts, _keys(standing)
    code = exit_code(findings)
    revision = f", etcd revision {facts.revision}" if facts.revision else ""
    title = f"cluster {facts.cluster}, {standing.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{revision}"
    rows = tuple(_server_row(standing, server) for server in facts.servers)
    waited = any(row[_SINCE] != _NONE for row in rows)
    tables = (
        Table(_SERVERS, rows, title=title, wide_only=_WIDE_OF_SERVERS | (set() if waited else {_SINCE})),
        *(
            [Table(_KEYS, tuple(_key_row(standing, key) for key in keys), _RIGHT, wide_only=_WIDE_OF_KEYS)]
            if keys
            else []
        ),
    )
    return Report(
        kind="ClusterStatus",
        exit_code=code,
        verdict=_verdict(standing, findings),
        findings=findings,
        data=_data(standing, keys),
        tables=tables,
        notes=_notes(standing),
        next_steps=() if code == 0 and not under_way(facts) else advice.steps(facts, standing.found)[:1],
    )


def _findings(standing: Standing) -> tuple[Finding, ...]:
    skipped = set() if standing.scanned else {rules.NOT_READ.id}
    overdue = _overdue(standing)
    found = (*standing.found.findings, *standing.of_store, *overdue)
    return tuple(one for one in found if one.id not in skipped)


def _verdict(standing: Standing, findings: Iterable[Finding]) -> str:
    facts = standing.facts
    found = tuple(findings)
    match exit_code(found):
        case ExitCode.FINDINGS:
            return "not everything agrees; keyctl doctor says what to do"
        case ExitCode.UNREACHABLE:
            return "not everything could be looked at; keyctl doctor says why"
    if under_way(facts):
        return "a rotation is under way, and every server reads what every other writes"
    values = sum(group.values for group in facts.values or ())
    read = f"; {values} values read, every one opens" if facts.values is not None else "; values were not read"
    warned = sum(one.status is Status.FAIL for one in found)
    warnings = f"; {counted(warned, 'warning')}" if warned else ""
    return f"{_all_of(len(facts.servers))}{read}{warnings}"


def _server_row(standing: Standing, server: ServerSeen) -> tuple[str, ...]:
    used = in_use(server, standing.facts.texts)
    loaded = short(server.loaded_hash)
    if used.config is NOTHING:
        loaded = "none"
    elif used.config is None or used.assumed:
        loaded = "?"
    reload = _NONE if server.reloads is None else "on" if server.reloads else "off"
    return (
        server.name,
        short(server.file.sha256 if server.file else None),
        _writes(used.config, standing.facts),
        loaded,
        server.loaded_by or _NONE,
        reload,
        _since(standing, server),
        "yes" if server.ready else "no",
        server.version or _NONE,
        _state(standing, server),
    )


def _writes(config: EncryptionConfig | None, facts: Facts) -> str:
    """The keys that write what must be encrypted."""
    if config is None:
        return "?"
    readers = (effective.writer(config, resource) for resource in facts.required)
    names = dict.fromkeys(
        "plaintext" if isinstance(reader, IdentityReader) else shown_name(reader.ref.name) for reader in readers
    )
    return ", ".join(names)


def _state(standing: Standing, server: ServerSeen) -> str:
    found = standing.found
    if not server.ready:
        return "down" if server.asked else "unknown"
    if server.name in found.flagless:
        return "no flag"
    if any(one.server == server.name for one in found.unread):
        return "blind"
    if server.name in found.not_loaded:
        return "waiting"
    if any(server.name in (one.writer, *one.blind) for one in found.unwritable):
        return "differs"
    return "ok" if server.loaded_by or server.flag is False else "unknown"


def _since(standing: Standing, server: ServerSeen) -> str:
    """How long a server that has not loaded its file has had it."""
    if server.name not in standing.found.not_loaded:
        return _NONE
    journal = standing.facts.journal
    written = _moment(journal.waits.get(server.name, "")) if journal else None
    changed = standing.changed.get(server.name)
    since = written or (None if changed is None else datetime.fromtimestamp(changed, UTC))
    return "?" if since is None else span(standing.at - since)


def _keys(standing: Standing) -> tuple[_Key, ...]:
    facts = standing.facts
    texts = [(server.name, server.file.config) for server in facts.servers if server.file is not None]
    configs = [config for server in facts.servers if (config := in_use(server, facts.texts).config) is not None]
    in_files = [ref for _, config in texts for ref in effective.refs(config)]
    stored = [group.ref for group in facts.values or () if group.ref is not None and not group.plain]
    refs = dict.fromkeys((*in_files, *stored, *(record.ref for record in standing.records)))
    records = {record.ref: record for record in standing.records}
    prints = {known.key.ref: known.key.fingerprint for known in reversed(facts.keys)}
    found = []
    for ref in refs:
        writes = any(effective.writer(c, name).ref == ref for c in configs for name in effective.named_resources(c))
        reads = any(ref in effective.refs(config) for config in configs)
        record = records.get(ref)
        found.append(
            _Key(
                ref=ref,
                record=record,
                groups=tuple(group for group in facts.values or () if group.ref == ref),
                role="write" if writes else "read" if reads else _NONE,
                files=tuple(name for name, config in texts if ref in effective.refs(config)),
                fingerprint=prints.get(ref) or (record.fingerprint if record else ""),
            )
        )
    order = {"write": 0, "read": 1}
    plain = tuple(group for group in facts.values or () if group.plain and group.resource in facts.required)
    identity = [_Key(KeyRef(Provider.IDENTITY, ""), None, plain, _NONE, (), "")] if plain else []
    return (*sorted(found, key=lambda key: order.get(key.role, 2)), *identity)


def _key_row(standing: Standing, key: _Key) -> tuple[str, ...]:
    plain = key.ref.provider is Provider.IDENTITY
    return (
        "(plaintext)" if plain else shown_ref(key.ref),
        _age(standing, key.record),
        _NONE if standing.facts.values is None else str(sum(group.values for group in key.groups)),
        "held" if key.ref in standing.held else _NONE,
        str(len(_snapshots(standing, key.ref))),
        key.role,
        str(key.record.state) if key.record else _NONE,
        key.fingerprint[:8] or _NONE,
        ", ".join(key.files) or _NONE,
    )


def _snapshots(standing: Standing, ref: KeyRef) -> tuple[Backup, ...]:
    return tuple(one for one in needing(standing.backups, ref) if one.kind is BackupKind.SNAPSHOT)


def _age(standing: Standing, record: KeyRecord | None) -> str:
    """Since the key entered the ledger; an imported one is older than that."""
    created = _moment(record.created) if record else None
    if record is None or created is None:
        return _NONE
    return f"{'>' if record.origin is Origin.IMPORTED else ''}{span(standing.at - created)}"


def _notes(standing: Standing) -> tuple[str, ...]:
    facts = standing.facts
    notes = [_rotation(facts.journal, standing)] if facts.journal is not None else []
    notes += [_due_note(standing)]
    if not standing.scanned:
        notes.append("values were not read (--no-scan): whether every server reads them all is not known")
    notes.append("HIST: etcd's history is not counted here; held: registered, not yet compacted")
    return tuple(note for note in notes if note)


def _rotation(journal: JournalSeen, standing: Standing) -> str:
    plan = journal.plan
    if plan is None:
        return f"rotation: {journal.problem}"
    if not under_way(standing.facts):
        return f"rotation {journal.rotation}: of another cluster"
    way = "going back" if journal.back else plan.goal.value
    safe = "not safe to leave" if advice.needs_union(standing.found) or standing.found.flagless else "safe to leave"
    if standing.facts.values is None:
        safe = "whether it is safe to leave was not looked at"
    back = "" if journal.back else "; back: keyctl rotate --abort"
    state = f", state {journal.state}" if journal.state else ""
    return (
        f"rotation {journal.rotation} ({way} to {shown_ref(plan.new)}){state}, {safe}; on: keyctl rotate --resume{back}"
    )


def _due(standing: Standing) -> Judgement | None:
    """Whether the keys in the files have to be changed; None where nobody asked, or the ledger is not to be had."""
    keys = tuple(InUse(key.ref, key.fingerprint, key.role == "write") for key in _keys(standing) if key.files)
    if standing.key_max_age is None or standing.of_store or not any(key.writes for key in keys):
        return None
    return judge(keys, standing.records, now=standing.at, max_age=standing.key_max_age)


def _due_note(standing: Standing) -> str:
    due = _due(standing)
    return "" if due is None else f"next rotation: {due.sentence}"


def _overdue(standing: Standing) -> tuple[Finding, ...]:
    due = _due(standing)
    # NOTE: of a key that keyctl has never seen before nobody knows the age; that is told, and is no fault yet.
    if due is None or not due.due or due.unknown:
        return ()
    return (rules.OVERDUE.finding(due.sentence),)


def _data(standing: Standing, keys: tuple[_Key, ...]) -> dict[str, object]:
    facts, journal, due = standing.facts, standing.facts.journal, _due(standing)
    return {
        "cluster": facts.cluster,
        "at": standing.at.astimezone(UTC).isoformat(timespec="seconds"),
        "revision": facts.revision or None,
        "scanned": facts.values is not None,
        "servers": [_server_data(standing, server) for server in facts.servers],
        "keys": [_key_data(standing, key) for key in keys],
        "rotation": None if journal is None else _rotation_data(journal, standing),
        "due": None if due is None or due.at is None else due.at.isoformat(timespec="seconds"),
    }


def _server_data(standing: Standing, server: ServerSeen) -> dict[str, object]:
    used = in_use(server, standing.facts.texts)
    return {
        "name": server.name,
        "version": server.version or None,
        "ready": server.ready,
        "problem": server.problem or None,
        "file": {"path": server.path, "hash": server.file.sha256 if server.file else None},
        "loaded": {"hash": server.loaded_hash, "by": server.loaded_by or None, "doubt": server.doubt or None},
        "writes": None if used.config is None else _writes(used.config, standing.facts),
        "reload": server.reloads,
        "state": _state(standing, server),
    }


def _key_data(standing: Standing, key: _Key) -> dict[str, object]:
    return {
        "provider": str(key.ref.provider),
        "name": shown_name(key.ref.name),
        "fingerprint": key.fingerprint or None,
        "created": key.record.created if key.record else None,
        "role": None if key.role == _NONE else key.role,
        "ledger": str(key.record.state) if key.record else None,
        "values": None if standing.facts.values is None else sum(group.values for group in key.groups),
        "history": "held" if key.ref in standing.held else "not-counted",
        "snapshots": [backup.location for backup in _snapshots(standing, key.ref)],
        "files": list(key.files),
    }


def _rotation_data(journal: JournalSeen, standing: Standing) -> dict[str, object]:
    return {
        "id": journal.rotation or None,
        "state": journal.state or None,
        "back": journal.back,
        "began": journal.began or None,
        "last": journal.last or None,
        "ofThisCluster": under_way(standing.facts),
        "problem": journal.problem or None,
        "moments": [dict(moment) for moment in journal.moments],
    }


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _all_of(servers: int) -> str:
    return "the one server has loaded its file" if servers == 1 else f"all {servers} servers agree"


def span(time: timedelta) -> str:
    """Days where there are some, else hours, minutes, seconds: what a reader acts on."""
    seconds = max(int(time.total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
