"""What was found in a snapshot, in words and as JSON-ready values. Decides nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from keyctl.backup.inspect import Inspection
from keyctl.backup.manifest import key_fields, resource_counts
from keyctl.errors import ExitCode
from keyctl.etcd_files.auth import ClusterFacts, FileMember
from keyctl.findings import Evidence, Finding, Location, Report, Table
from keyctl.keys.key import Provider
from keyctl.stored import rules
from keyctl.stored.display import display
from keyctl.stored.leftovers import LeftGroup
from keyctl.stored.rights import Permission
from keyctl.stored.source import Area
from keyctl.verify.leftovers import Leftovers

_AREAS = {
    Area.LIVE: "live values",
    Area.HISTORY: "history",
    Area.FREE_PAGES: "freed pages",
    Area.WAL: "the WAL",
    Area.SNAP_DIR: "the snap directory",
}
_BEHIND = (Area.FREE_PAGES, Area.WAL, Area.SNAP_DIR)
_UNKNOWN = "(cut before its name)"


def to_report(found: Inspection, flags: Sequence[str] = (), notes: Sequence[str] = ()) -> Report:
    """`found` for a reader and for machines (the `SnapshotInspection` of `keyctl/v1`).

    `flags` are repeated in the command that judges it; `notes` come last.
    """
    return Report(
        kind="SnapshotInspection",
        exit_code=ExitCode.OK if found.contents.live.values else ExitCode.EMPTY,
        verdict=_verdict(found),
        findings=tuple(_findings(found)),
        data=_data(found),
        tables=tuple(_tables(found)),
        notes=(*_notes(found), *notes),
        next_steps=tuple(_next_steps(found, flags)),
    )


def _verdict(found: Inspection) -> str:
    live = found.contents.live
    if not live.values:
        return f"nothing stands under {display(found.prefix)}"
    said = f"{_count(live.values, 'value')} at revision {found.contents.info.revision}"
    needed = [need for need in found.keys if need.values]
    said += f", needs {', '.join(display(str(need.ref)) for need in needed)}" if needed else ", needs no key"
    leaks = []
    if found.plaintext:
        leaks.append(f"{_count(found.plaintext, 'live value')} in plaintext that must be encrypted")
    if left := sum(group.values for group in _left(found).wrong):
        leaks.append(f"{left} more left behind, in plaintext or under a retired key")
    if found.configured and live.unreadable:
        leaks.append(f"{live.unreadable} that the configuration does not open")
    return "; ".join((said, *leaks)) + ("" if leaks else "; no plaintext that must be encrypted, live or left behind")


def _findings(found: Inspection) -> Iterator[Finding]:
    where = Location(file=display(str(found.path)))
    if not found.contents.live.values:
        heads = ", ".join(f"{head} ({count})" for head, count in found.contents.others)
        said = f"no value stands under {display(found.prefix)}; outside of it: {heads or 'nothing'}"
        yield rules.EMPTY.finding(said, location=where, evidence=Evidence.E3)
    if found.plaintext:
        said = f"{_count(found.plaintext, 'live value')} in plaintext that must be encrypted"
        yield rules.PLAINTEXT.finding(said, location=where, evidence=Evidence.E3)
    for group in _left(found).wrong:
        rule = rules.LEFT_RETIRED if group.retired else rules.LEFT_PLAINTEXT
        what = f"under {display(str(group.ref))}" if group.retired else "in plaintext"
        said = (
            f"{_count(group.values, 'value')} of {display(group.resource) or _UNKNOWN} {what} in {_AREAS[group.area]}"
        )
        yield rule.finding(said, location=where, evidence=Evidence.E3)


def _left(found: Inspection) -> Leftovers:
    return found.contents.left or Leftovers(frozenset())


def _tables(found: Inspection) -> Iterator[Table]:
    columns: tuple[str, ...] = (
        "RESOURCE",
        "VALUES",
        "PLAINTEXT",
        "IN HISTORY",
        "PLAIN",
        "IN FREED PAGES",
        "PLAIN",
    )
    yield Table(columns, tuple(_resource_rows(found)), frozenset(range(1, 7)))
    if found.keys:
        columns = ("PROVIDER", "KEY", "FINGERPRINT", "VALUES", "OPENED", "LEFT BEHIND")
        yield Table(columns, tuple(_key_rows(found)), frozenset({3, 4, 5}), "keys it needs")
    facts = found.facts
    if facts.members:
        columns = ("MEMBER", "ID", "CLIENTS", "PEERS", "LEARNER")
        yield Table(columns, tuple(map(_member_row, facts.members)), title="members")
    if facts.users:
        users = tuple((display(one.name), _names(one.roles), _password(one.password)) for one in facts.users)
        yield Table(("USER", "ROLES", "PASSWORD"), users, title="users")
    if facts.roles:
        roles = tuple((display(one.name), ", ".join(map(_permission, one.permissions)) or "-") for one in facts.roles)
        yield Table(("ROLE", "MAY"), roles, title="roles")


def _key_rows(found: Inspection) -> Iterator[tuple[str, ...]]:
    for need in found.keys:
        name = display(need.ref.name) + (f" ({display(need.key_id)})" if need.key_id else "")
        opened = str(need.opened) if found.configured else "-"
        yield str(need.ref.provider), name, need.fingerprint or "?", str(need.values), opened, str(need.left)


def _member_row(one: FileMember) -> tuple[str, ...]:
    learner = "yes" if one.learner else "no"
    return display(one.name) or "?", display(one.id), _names(one.client_urls), _names(one.peer_urls), learner


def _names(texts: tuple[str, ...]) -> str:
    return ", ".join(map(display, texts)) or "-"


def _password(there: bool) -> str:
    return "its hash is in this file" if there else "none"


def _permission(one: Permission) -> str:
    if one.range_end == b"\0":
        where = f"everything from {display(one.key)} on"
    elif one.range_end:
        where = f"[{display(one.key)}, {display(one.range_end)})"
    else:
        where = display(one.key)
    return f"{one.kind} {where}"


def _resource_rows(found: Inspection) -> Iterator[tuple[str, ...]]:
    counts = {one.resource: one for one in resource_counts(found.contents)}
    left = _left(found)
    history, behind = left.of(Area.HISTORY), left.of(*_BEHIND)
    names = sorted({*counts, *(group.resource for group in (*history, *behind))})
    for name in names:
        live = counts.get(name)
        numbers = (
            live.values if live else 0,
            live.plaintext if live else 0,
            *_sums(history, name),
            *_sums(behind, name),
        )
        yield (display(name) or _UNKNOWN, *map(str, numbers))


def _sums(groups: tuple[LeftGroup, ...], resource: str) -> tuple[int, int]:
    """How many leftovers of `resource` there are, and how many of them stand in plaintext."""
    some = [group for group in groups if group.resource == resource]
    return sum(group.values for group in some), sum(group.values for group in some if group.ref is None)


def _notes(found: Inspection) -> Iterator[str]:
    facts, info = found.facts, found.contents.info
    size = f"{found.size / 1e6:.1f} MB"
    digest = {"sha256-ok": "its SHA-256 is right", "sha256-absent": "it has no SHA-256 (a copied database)"}
    yield f"{display(str(found.path))}: {size}, {digest.get(info.integrity or '', 'SHA-256 not looked at')}"
    version = display(facts.cluster_version) or "unknown"
    yield f"storage version {display(facts.standing.storage_version) or '3.4 or older'}, cluster version {version}"
    if facts.standing.compacted:
        yield f"compacted to revision {facts.standing.compacted}: older revisions are gone, but for freed pages"
    else:
        yield "never compacted: every revision is still there"
    if facts.standing.compacting > facts.standing.compacted:
        yield f"a compaction to revision {facts.standing.compacting} was under way"
    enabled = {True: "on", False: "off", None: "off, and never was on"}[facts.auth_enabled]
    yield f"etcd's own authentication: {enabled}; {_count(facts.leases, 'lease')}"
    yield from (f"alarm {one.kind} stood against member {one.member_id}" for one in facts.alarms)
    if found.contents.others:
        named = ", ".join(f"{head} ({count})" for head, count in found.contents.others)
        yield f"keys outside of the prefix, not looked into: {named}"
    if not found.configured:
        yield "no encryption configuration was given: no value was opened, and no fingerprint is known"
    yield from (f"{_AREAS[one.area]}: {display(one.text)}" for one in _left(found).remarks)


def _next_steps(found: Inspection, flags: Sequence[str]) -> Iterator[str]:
    words = shlex.join(("--snapshot", str(found.path), "--residue", *flags))
    yield f"keyctl verify-secrets {words}    judges it, with an exit code"
    if _left(found).wrong:
        yield "keyctl sanitize --dry-run    shows how etcd gets rid of what is left behind; this file keeps it"


def _data(found: Inspection) -> dict[str, object]:
    info, facts, left = found.contents.info, found.facts, _left(found)
    history, behind = left.of(Area.HISTORY), left.of(*_BEHIND)
    return {
        "file": str(found.path),
        "size": found.size,
        "integrity": info.integrity,
        "revision": info.revision,
        "compactRevision": facts.standing.compacted,
        "scheduledCompactRevision": facts.standing.compacting,
        "storageVersion": facts.standing.storage_version or None,
        "clusterVersion": facts.cluster_version,
        "values": found.contents.live.values,
        "unreadable": found.contents.live.unreadable if found.configured else None,
        "plaintext": found.plaintext,
        "resources": [
            {"resource": one.resource, "values": one.values, "plaintext": one.plaintext}
            for one in resource_counts(found.contents)
        ],
        "keys": [key_fields(need) | {"leftBehind": need.left} for need in found.keys],
        "coverage": {str(area): str(state) for area, state in left.coverage.items()},
        "remarks": [{"area": str(one.area), "text": display(one.text)} for one in left.remarks],
        "history": _left_data(history),
        "residue": _left_data(behind),
        "outsideOfPrefix": [{"prefix": head, "keys": count} for head, count in found.contents.others],
        **_facts_data(facts),
    }


def _left_data(groups: tuple[LeftGroup, ...]) -> list[dict[str, object]]:
    return [
        {
            "area": str(one.area),
            "resource": one.resource or None,
            "provider": str(one.ref.provider if one.ref else Provider.IDENTITY),
            "key": display(one.ref.name) if one.ref else "",
            "values": one.values,
        }
        for one in groups
    ]


def _facts_data(facts: ClusterFacts) -> dict[str, object]:
    return {
        "members": [
            {
                "id": one.id,
                "name": one.name,
                "peerURLs": list(one.peer_urls),
                "clientURLs": list(one.client_urls),
                "learner": one.learner,
            }
            for one in facts.members
        ],
        "removedMembers": list(facts.removed_members),
        "alarms": [{"memberId": one.member_id, "alarm": one.kind} for one in facts.alarms],
        "authEnabled": facts.auth_enabled,
        "users": [{"name": one.name, "roles": list(one.roles), "password": one.password} for one in facts.users],
        "roles": [
            {
                "name": one.name,
                "permissions": [
                    {"type": may.kind, "key": display(may.key), "rangeEnd": display(may.range_end)}
                    for may in one.permissions
                ],
            }
            for one in facts.roles
        ],
        "leases": facts.leases,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
