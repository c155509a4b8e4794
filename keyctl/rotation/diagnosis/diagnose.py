"""From what was seen to what is wrong: each accident as a finding under its rule. Pure; `advice` says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from keyctl.encryption_config import effective
from keyctl.encryption_config.model import IdentityReader, Reader
from keyctl.findings import Evidence, Finding, Location, Rule, Severity, Status
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.shown import shown_name, shown_ref
from keyctl.rotation.diagnosis import marks, rules
from keyctl.rotation.diagnosis.facts import Facts, ServerSeen, ValueGroup
from keyctl.rotation.diagnosis.marks import Tool
from keyctl.rotation.diagnosis.readability import (
    NOTHING,
    Unread,
    WritesUnread,
    in_use,
    renamed,
    resources_of,
    unread,
    writes_unread,
)
from keyctl.rotation.diagnosis.union import Union, union
from keyctl.rotation.outline import counted
from keyctl.stored import rules as stored_rules

_HASH = 8
_PAGE = 4


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, and what advice needs of it. `findings` are the worst first, in the order of the rules.

    `flagless` are the servers without a flag among encrypting ones; `strangers` those whose file is none of the
    rotation that is under way; `hidden` those that run on a file that nobody has. `lost` counts the values that no key
    at hand opens.
    """

    findings: tuple[Finding, ...]
    union: Union | None
    tool: Tool | None
    unread: tuple[Unread, ...] = ()
    unwritable: tuple[WritesUnread, ...] = ()
    flagless: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    not_loaded: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    lost: int = 0

    def has(self, rule: Rule) -> bool:
        """Whether a finding stands under `rule`."""
        return any(finding.id == rule.id for finding in self.findings)


def diagnose(facts: Facts) -> Diagnosis:
    """Everything that is wrong with `facts`."""
    flagless = _flagless(facts)
    blind = tuple(one for one in unread(facts) if one.server not in flagless)
    pairs = tuple(one for one in writes_unread(facts) if one.writer not in flagless and set(one.blind) - set(flagless))
    strangers = _strangers(facts)
    waiting = tuple(server for server in facts.servers if _waits(server))
    found = (
        *_lost(facts),
        *(_no_flag(facts, name) for name in flagless),
        *(_writes(one, flagless) for one in pairs),
        *(_blind(one) for one in blind),
        *_two_keys(facts),
        *_encoded(facts),
        *_unknown(facts),
        *_not_ready(facts),
        *_not_read(facts),
        *_journal(facts, strangers),
        *_differ(facts, flagless),
        *(_not_loaded(facts, server) for server in waiting),
        *_stages(facts),
        *_plaintext(facts),
        *_stale(facts),
    )
    return Diagnosis(
        findings=found,
        union=union(facts),
        tool=marks.tool_of(facts),
        unread=blind,
        unwritable=pairs,
        flagless=flagless,
        strangers=strangers,
        not_loaded=tuple(server.name for server in waiting),
        hidden=_hidden(facts),
        lost=sum(group.values for group in facts.values or () if group.lost),
    )


def under_way(facts: Facts) -> bool:
    """Whether keyctl's journal has a rotation of this very cluster under way, as far as that can be told."""
    plan = facts.journal.plan if facts.journal else None
    return plan is not None and facts.uid in ("", plan.cluster_uid)


def told(groups: Iterable[ValueGroup]) -> str:
    """Counts in words: `12 of secrets under aescbc/old and 3 of configmaps in plaintext`."""
    parts = [f"{group.values} of {group.resource} {_under(group)}" for group in groups]
    shown = parts[:_PAGE] + ([f"{len(parts) - _PAGE} more kinds"] if len(parts) > _PAGE else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def short(sha256: str | None) -> str:
    """The first digits of a hash, as all screens show it."""
    return sha256.removeprefix("sha256:")[:_HASH] if sha256 else "-"


def _under(group: ValueGroup) -> str:
    if group.plain:
        return "in plaintext"
    return f"under {shown_ref(group.ref)}" if group.ref is not None else "in an unknown form"


def _lost(facts: Facts) -> Iterator[Finding]:
    for group in facts.values or ():
        if group.lost:
            others = f", then {', '.join(group.first[1:])}" if len(group.first) > 1 else ""
            yield rules.LOST.finding(
                f"{counted(group.values, 'value')} of {group.resource} {_under(group)}: {group.why}; the first{others}",
                location=Location(etcd_key=group.first[0] if group.first else None),
                evidence=Evidence.E3,
            )


def _flagless(facts: Facts) -> tuple[str, ...]:
    """The servers that encrypt nothing, where others do."""
    idle = [s.name for s in facts.servers if s.flag is False and s.loaded_hash is None]
    encrypting = [s for s in facts.servers if s.name not in idle and (s.file is not None or s.loaded_hash is not None)]
    return tuple(idle) if encrypting else ()


def _no_flag(facts: Facts, name: str) -> Finding:
    blind = next((one for one in unread(facts) if one.server == name), None)
    tail = f"; it cannot read {told(blind.groups)}" if blind else ""
    return rules.NO_FLAG.finding(f"{name} writes in plaintext{tail}", evidence=Evidence.E2)


def _writes(one: WritesUnread, flagless: tuple[str, ...]) -> Finding:
    blind = [name for name in one.blind if name not in flagless]
    return rules.WRITES_UNREAD.finding(
        f"{one.writer} writes {', '.join(one.resources)} {_with(one.reader)}, which {' and '.join(blind)} cannot read",
        evidence=Evidence.E2,
    )


def _with(reader: Reader) -> str:
    return "in plaintext" if isinstance(reader, IdentityReader) else f"with {shown_ref(reader.ref)}"


def _blind(one: Unread) -> Finding:
    rule = rules.CANNOT_START if one.later else rules.CANNOT_READ
    when = "could not read after its next start" if one.later else "cannot read"
    first = next((name for group in one.groups for name in group.first), None)
    return rule.finding(
        f"{one.server} {when} {told(one.groups)}",
        location=Location(etcd_key=first),
        evidence=Evidence.E3,
    )


def _two_keys(facts: Facts) -> Iterator[Finding]:
    places: dict[KeyRef, dict[Key, list[str]]] = {}
    for known in facts.keys:
        if not known.changed:
            origins = places.setdefault(known.key.ref, {}).setdefault(known.key, [])
            origins += [known.origin] if known.origin not in origins else []
    for ref, keys in places.items():
        if len(keys) > 1:
            where = "; ".join(f"{key.fingerprint[:_HASH]} in {', '.join(of)}" for key, of in keys.items())
            message = f"{shown_ref(ref)} stands for {len(keys)} different keys: {where}"
            yield rules.TWO_KEYS.finding(message, evidence=Evidence.E1)


def _encoded(facts: Facts) -> Iterator[Finding]:
    for group in facts.values or ():
        known = group.opened
        if known is not None and known.changed:
            yield rules.ENCODED.finding(
                f"{told((group,))} open with the bytes of {shown_ref(known.key.ref)} in {known.origin}, "
                f"{known.changed}: a key of {len(known.key.material)} bytes",
                location=Location(etcd_key=group.first[0] if group.first else None),
                evidence=Evidence.E3,
            )


def _unknown(facts: Facts) -> Iterator[Finding]:
    if not facts.servers:
        message = "what the API servers have loaded is not known: the cluster file lists none"
        fix = "list every one by its own address under apiServers in the cluster file"
        yield rules.LOADED_UNKNOWN.finding(message, fix=fix, status=Status.UNKNOWN, evidence=Evidence.E0)
    for server in facts.servers:
        used = in_use(server, facts.texts)
        if used.config is not None and not used.assumed:
            continue
        judged = "; its file stands for it here" if used.config is not None else ""
        message = f"what {server.name} has loaded is not known: {used.how}{judged}"
        yield rules.LOADED_UNKNOWN.finding(message, status=Status.UNKNOWN, evidence=Evidence.E2)


def _not_ready(facts: Facts) -> Iterator[Finding]:
    for server in facts.servers:
        if server.answers and not server.ready:
            why = server.problem.removeprefix("not ready").removeprefix(": ")
            yield rules.NOT_READY.finding(
                f"{server.name} is not ready{f': {why}' if why else ''}", evidence=Evidence.E2
            )


def _not_read(facts: Facts) -> Iterator[Finding]:
    if facts.values is None:
        message = f"the stored values were not read: {facts.unread}"
        yield rules.NOT_READ.finding(message, status=Status.UNKNOWN)


def _waits(server: ServerSeen) -> bool:
    return server.file is not None and server.loaded_hash not in (None, server.file.sha256)


def _not_loaded(facts: Facts, server: ServerSeen) -> Finding:
    used = in_use(server, facts.texts)
    whose = f" ({used.origin})" if used.origin else ""
    on_disk = short(server.file.sha256 if server.file else None)
    reload = "" if server.reloads else "; it does not reload by itself" if server.reloads is False else ""
    found = rules.NOT_LOADED.finding(
        f"{server.name} has {short(server.loaded_hash)}{whose} loaded, and {on_disk} on its host{reload}",
        evidence=Evidence.E2,
    )
    # NOTE: between two steps of our own rotation this is as it should be, and the rotation goes on from there.
    ours = facts.journal is not None and server.loaded_hash in _placed(facts, server.name) and under_way(facts)
    return replace(found, severity=Severity.MEDIUM) if ours and server.name not in _strangers(facts) else found


def _hidden(facts: Facts) -> tuple[str, ...]:
    """The servers that run on a file which neither is at hand nor was placed by the rotation that is under way."""
    return tuple(
        server.name
        for server in facts.servers
        if server.answers
        and in_use(server, facts.texts).config is None
        and not (under_way(facts) and server.loaded_hash in _placed(facts, server.name))
    )


def _placed(facts: Facts, name: str) -> frozenset[str | None]:
    """The files that the rotation of the journal may have given the server `name`."""
    plan = facts.journal.plan if facts.journal else None
    planned = next((one for one in plan.servers if one.name == name), None) if plan else None
    return frozenset(one for texts in planned.hashes for one in texts) if planned else frozenset()


def _strangers(facts: Facts) -> tuple[str, ...]:
    journal = facts.journal
    if journal is None or journal.plan is None or not under_way(facts):
        return ()
    stages = {one.name: one for one in journal.plan.servers}
    return tuple(
        server.name
        for server in facts.servers
        if not server.file_problem
        and server.name in stages
        and stages[server.name].stage_of(None if server.file is None else server.file.sha256) is None
    )


def _journal(facts: Facts, strangers: tuple[str, ...]) -> Iterator[Finding]:
    journal = facts.journal
    if journal is None:
        return
    place = Location(file=journal.path)
    if journal.problem or journal.plan is None:
        yield rules.UNREADABLE_JOURNAL.finding(journal.problem, location=place, status=Status.UNKNOWN)
        return
    if not under_way(facts):
        message = f"rotation {journal.rotation} of {journal.began} began on a cluster with another uid"
        yield rules.FOREIGN_JOURNAL.finding(message, location=place)
        return
    way = "going back" if journal.back else "under way"
    state = f", last seen {journal.state}" if journal.state else ""
    yield rules.UNFINISHED.finding(
        f"rotation {journal.rotation} is {way}{state}, since {journal.began}", location=place
    )
    for name in strangers:
        yield rules.NOT_ITS_FILE.finding(f"the file of {name} is none of rotation {journal.rotation}")


def _differ(facts: Facts, flagless: tuple[str, ...]) -> Iterator[Finding]:
    files = [(s.name, s.file.config) for s in facts.servers if s.file is not None and s.name not in flagless]
    if len(files) < 2 or (under_way(facts) and not _strangers(facts)):
        return
    first, config = files[0]
    others = [name for name, other in files[1:] if not effective.same_view(config, other)]
    if others:
        message = f"{first} has another configuration in its file than {' and '.join(others)}"
        yield stored_rules.SERVERS_DIFFER.finding(message)


def _stages(facts: Facts) -> Iterator[Finding]:
    message = marks.under_way(facts.stages)
    if message:
        yield rules.OTHER_TOOL.finding(message, fix=marks.next_of(facts.stages), evidence=Evidence.E0)


def _plaintext(facts: Facts) -> Iterator[Finding]:
    configs = [used for server in facts.servers if (used := in_use(server, facts.texts).config) not in (None, NOTHING)]
    for group in facts.values or ():
        sealed = any(not isinstance(effective.writer(config, group.resource), IdentityReader) for config in configs)
        if group.plain and sealed and group.resource in facts.required:
            yield stored_rules.PLAINTEXT.finding(
                f"{counted(group.values, 'value')} of {group.resource} {'stands' if group.values == 1 else 'stand'} "
                "in plaintext",
                location=Location(etcd_key=group.first[0] if group.first else None),
                fix="rewrite them under a key: keyctl rotate",
                evidence=Evidence.E3,
            )


def _stale(facts: Facts) -> Iterator[Finding]:
    """Values under a key that no server writes with, where all servers read them."""
    configs = [config for s in facts.servers if (config := in_use(s, facts.texts).config) is not None]
    if under_way(facts) or not configs:
        return
    known = set(resources_of(facts))
    for group in facts.values or ():
        if group.opened is None or group.resource not in known:
            continue
        writers = {effective.writer(config, group.resource) for config in configs}
        if not any(getattr(writer, "key", None) == renamed(group) for writer in writers):
            names = ", ".join(sorted({shown_name(writer.ref.name) or str(writer.ref) for writer in writers}))
            yield stored_rules.STALE.finding(
                f"{told((group,))}, while {names} writes",
                location=Location(etcd_key=group.first[0] if group.first else None),
                evidence=Evidence.E3,
            )
