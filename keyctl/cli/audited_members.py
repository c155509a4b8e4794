"""What `keyctl audit` asks of the members of etcd, tries at their ports, and sees of this machine's processes.

Hands the collectors of `keyctl.audit.live` what they need, and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from keyctl.audit.facts import About, Placed, Unread
from keyctl.audit.live import members, probes, processes, reach
from keyctl.audit.sources.link import not_given
from keyctl.cli import wiring
from keyctl.cluster_file.settings import ClusterSettings, EtcdConnection
from keyctl.errors import KeyctlError
from keyctl.etcd.interface import AskedEtcd
from keyctl.findings import Location
from keyctl.pki import refusals
from keyctl.pki.knock import knock
from keyctl.pki.probe import Target

# A port that stays silent is tried in several ways, and a machine may have many: none may take the whole timeout.
_PROBE_SECONDS = 3.0


def look(settings: ClusterSettings) -> Iterator[Placed]:
    """Every etcd of the cluster, the main one first."""
    etcd = settings.etcd
    yield from _etcd("etcd", etcd.connection, etcd.prefix)
    for other in etcd.others:
        yield from _etcd(f"etcd for {other.resources[0]}", other.connection, etcd.prefix)


def this_machine(unreachable: Sequence[str], found: Sequence[Placed], *, with_processes: bool) -> Iterator[Placed]:
    """The processes that run here, and whether etcd's ports at these addresses are reached from here.

    What a process is told to read and is not among what was `found` in files is unread. Raises `WrongUsageError` for
    what is no address.
    """
    if with_processes:
        running = tuple(processes.running())
        yield from running
        yield from not_given(running, found)
    yield from reach.look(unreachable, partial(knock, timeout=_PROBE_SECONDS))


def _etcd(called: str, connection: EtcdConnection, prefix: str) -> Iterator[Placed]:
    def connect(endpoint: str) -> AskedEtcd:
        return wiring.etcd(replace(connection, endpoints=(endpoint,)))

    seen = members.look(called, connection.endpoints, connect, prefix)
    yield from seen.facts
    if connection.cacert is None:
        # What was asked above says so of every endpoint.
        return
    us = Target("", 0, connection.cacert, connection.cert, connection.key, connection.server_name)
    seconds = min(connection.timeout.total_seconds(), _PROBE_SECONDS)
    try:
        with refusals.surveyor(us, seconds, now=datetime.now(UTC)) as prober:
            yield from probes.look(probes.doors(connection.endpoints, seen), prober)
    except KeyctlError as error:
        told = f"the ports of {called} were not tried: {error}"
        yield Unread(told, frozenset({About.MEMBER}), Location(endpoint=next(iter(connection.endpoints), None)))
