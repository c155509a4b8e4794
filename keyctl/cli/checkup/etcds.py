"""etcd: can every endpoint be reached, may we read, are the members healthy, how full are they, what expires."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from keyctl.cli import wiring
from keyctl.cli.checkup import rules
from keyctl.cli.checkup.item import Area, Checks, Item
from keyctl.cli.checkup.ports import look_at_ports
from keyctl.cli.checkup.subject import Subject
from keyctl.cluster_file.settings import EtcdConnection
from keyctl.errors import KeyctlError
from keyctl.etcd.interface import EndpointStatus, MaintainedEtcd
from keyctl.pki.inspect import Certificate, load_certificates
from keyctl.pki.presented import presented
from keyctl.pki.probe import Target, probe
from keyctl.stored.display import display

_SOON = timedelta(days=30)
_FULL = 0.8
_TRIED = (3, 5)
_PORT = 2379
_CHECKS = Checks(Area.ETCD)


@dataclass(frozen=True, slots=True)
class EtcdLook:
    """What one etcd showed. `connection` has only the endpoints that answered and let us read; none: `problem`."""

    name: str
    connection: EtcdConnection
    items: tuple[Item, ...]
    statuses: tuple[EndpointStatus, ...] = ()
    problem: str = field(default="")


def look_at_etcds(subject: Subject) -> tuple[EtcdLook, ...]:
    """Every etcd of the cluster, the main one first."""
    return tuple(_look(subject, name, connection) for name, connection in subject.connections)


def _look(subject: Subject, name: str, connection: EtcdConnection) -> EtcdLook:
    label = f"etcd for {name}" if name else "etcd"
    try:
        wiring.etcd(connection).close()
    except KeyctlError as error:
        item = _CHECKS.of_error(rules.ETCD_REACH, label, error)
        return EtcdLook(name, replace(connection, endpoints=()), (replace(item, gap=True),), problem=str(error))
    items: list[Item] = []
    statuses: list[EndpointStatus] = []
    healthy: list[str] = []
    for endpoint in connection.endpoints:
        found, status = _endpoint(subject, replace(connection, endpoints=(endpoint,)))
        items += found
        if status is not None:
            statuses.append(status)
            healthy.append(endpoint)
    items += _apart(statuses)
    working = replace(connection, endpoints=tuple(healthy))
    if healthy:
        items += _cluster(working, statuses)
        items += look_at_ports(working, statuses)
    items += _certificates(connection)
    problem = "" if healthy else "no endpoint of etcd answers"
    return EtcdLook(name, working, tuple(items), tuple(statuses), problem)


def _endpoint(subject: Subject, connection: EtcdConnection) -> tuple[list[Item], EndpointStatus | None]:
    """One endpoint, stage by stage: the status when it answers and lets us read below the prefix."""
    (endpoint,) = connection.endpoints
    label = endpoint.removeprefix("https://")
    failed = _reach(connection, endpoint, label)
    if failed is not None:
        return [failed], None
    etcd = wiring.etcd(connection)
    try:
        (status,) = etcd.status()
        etcd.get(f"{subject.prefix}/namespaces/kube-system".encode())
    except KeyctlError as error:
        return [replace(_CHECKS.of_error(rules.ETCD_REACH, label, error), gap=True)], None
    finally:
        etcd.close()
    items = [_CHECKS.ok(rules.ETCD_REACH, label, f"mutual TLS, reads {subject.prefix}/, etcd {status.version}")]
    return [*items, *_member(label, status)], status


def _reach(connection: EtcdConnection, endpoint: str, label: str) -> Item | None:
    parts = urlsplit(endpoint)
    if connection.cacert is None or parts.scheme != "https" or not parts.hostname:
        return _CHECKS.out_of_reach(rules.ETCD_REACH, label, "the address is not https", fix="write https://HOST:PORT")
    target = Target(
        parts.hostname,
        parts.port or _PORT,
        connection.cacert,
        connection.cert,
        connection.key,
        connection.server_name,
    )
    try:
        result = probe(target, connection.timeout.total_seconds())
    except KeyctlError as error:
        return replace(_CHECKS.of_error(rules.ETCD_REACH, label, error), gap=True)
    if result.ok:
        return None
    return _CHECKS.out_of_reach(rules.ETCD_REACH, label, f"{result.stage}: {result.cause}", fix=result.hint or None)


def _member(label: str, status: EndpointStatus) -> Iterator[Item]:
    troubles = list(status.errors)
    if status.leader in ("", "0"):
        troubles.append("it follows no leader")
    if status.learner:
        troubles.append("it is a learner, which answers no linearizable read")
    if troubles:
        yield _CHECKS.bad(rules.ETCD_HEALTH, label, "; ".join(troubles))
    version = re.match(r"(\d+)\.(\d+)", status.version)
    if version and (int(version[1]), int(version[2])) < _TRIED:
        yield _CHECKS.bad(rules.ETCD_VERSION, label, f"etcd {status.version}; keyctl is tried with 3.5 and newer")
    yield _space(label, status)


def _space(label: str, status: EndpointStatus) -> Item:
    size = f"database {_size(status.db_size)}, of which {_size(status.in_use)} in use"
    if not status.quota:
        return _CHECKS.ok(rules.ETCD_SPACE, label, f"{size}; it does not tell its quota")
    told = f"{size}, quota {_size(status.quota)}"
    if status.db_size > status.quota * _FULL:
        return _CHECKS.bad(rules.ETCD_SPACE, label, told)
    return _CHECKS.ok(rules.ETCD_SPACE, label, told)


def _apart(statuses: list[EndpointStatus]) -> Iterator[Item]:
    clusters = {status.cluster_id for status in statuses}
    if len(clusters) > 1:
        told = ", ".join(f"{status.endpoint} is of cluster {status.cluster_id}" for status in statuses)
        fix = "name the members of one cluster only; 127.0.0.1 is another machine on every host"
        yield _CHECKS.bad(rules.ETCD_HEALTH, "etcd", f"the endpoints belong to different clusters: {told}", fix=fix)


def _cluster(connection: EtcdConnection, statuses: list[EndpointStatus]) -> Iterator[Item]:
    """What the cluster says of all its members: alarms, and members that nobody listed."""
    etcd = wiring.etcd(connection)
    try:
        yield from _alarms(etcd)
        members = etcd.members()
    except KeyctlError as error:
        yield _CHECKS.unknown(rules.ETCD_HEALTH, "members", f"alarms and members were not told: {error}")
        return
    finally:
        etcd.close()
    seen = {status.member_id for status in statuses}
    unseen = [member.name or member.id for member in members if member.id not in seen]
    if unseen:
        told = f"{', '.join(unseen)} of {len(members)} members did not answer here or are not listed"
        yield _CHECKS.bad(rules.ETCD_MEMBERS, "members", told)
    else:
        yield _CHECKS.ok(rules.ETCD_MEMBERS, "members", f"all {len(members)} answered")


def _alarms(etcd: MaintainedEtcd) -> Iterator[Item]:
    alarms = etcd.alarms()
    for alarm in alarms:
        fix = "compact and defragment (keyctl sanitize --dry-run), then: etcdctl alarm disarm"
        told = f"alarm {alarm.kind} stands against member {alarm.member_id}"
        yield _CHECKS.bad(rules.ETCD_HEALTH, "alarms", told, fix=fix if alarm.kind == "NOSPACE" else None)
    if not alarms:
        yield _CHECKS.ok(rules.ETCD_HEALTH, "alarms", "none")


def _certificates(connection: EtcdConnection) -> Iterator[Item]:
    for kind, path in (("client certificate", connection.cert), ("CA", connection.cacert)):
        if path is not None:
            try:
                certificate = load_certificates(path)[0]
            except KeyctlError as error:
                yield replace(_CHECKS.of_error(rules.ETCD_REACH, kind, error), gap=True)
                continue
            yield _expiry(kind, "", certificate)
    for endpoint in connection.endpoints:
        parts = urlsplit(endpoint)
        if parts.hostname:
            with suppress(KeyctlError):
                shown = presented(parts.hostname, parts.port or _PORT, connection.timeout.total_seconds())
                if shown is not None:
                    yield _expiry("server certificate", f"{parts.netloc} presents ", shown)


def _expiry(label: str, whose: str, certificate: Certificate) -> Item:
    now = datetime.now(UTC)
    problem = certificate.validity_problem(now)
    # A server that is not ours may show one with anything in it.
    called = f'{whose}"{display(certificate.subject)}"'
    days = (certificate.not_after - now).days
    if problem:
        return _CHECKS.bad(rules.CERTIFICATE, label, f"{called}, {problem}")
    told = f"{called}, expires in {days} days ({certificate.not_after:%Y-%m-%d})"
    make = _CHECKS.bad if certificate.not_after - now < _SOON else _CHECKS.ok
    return make(rules.CERTIFICATE, label, told)


def _size(count: int) -> str:
    for unit, one in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count} B"
