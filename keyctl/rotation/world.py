"""The outside world of one rotation, as a bundle of interfaces. Built in one place: `keyctl.cli.wiring`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keyctl.etcd.interface import Etcd
from keyctl.hosts.interface import Host
from keyctl.keys.distribution import Distribution
from keyctl.keys.interface import KeyStore
from keyctl.kube.interface import ApiServer, NetworkView, RotationLease
from keyctl.stored.source import JoinedSource, ValueSource

# Where the Secrets are created by which a server proves what it writes.
CANARY_NAMESPACE = "kube-system"


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something a watcher may want to see. `fields` are JSON-ready and carry no secret."""

    kind: str
    message: str
    fields: Mapping[str, object] = field(default_factory=dict)


class Reporter(Protocol):
    """Whoever watches: a live table, plain lines, JSON lines, a test."""

    def event(self, event: Event) -> None:
        """Take note; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """One API server: its API, its host, its files, and how it comes to load a new file.

    `reloads` is true when it polls the file by itself; otherwise its host restarts
    it. `wait` bounds, in seconds, how long either may take. `hostname` and
    `advertise_address` tie its identity Lease and Endpoint to this entry.
    """

    name: str
    api: ApiServer
    host: Host
    config_path: str
    manifest_path: str | None
    reloads: bool
    wait: float
    url_host: str
    hostname: str | None = None
    advertise_address: str | None = None


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """One etcd cluster, its endpoints as configured, and the resources that an override sends there (main: none)."""

    etcd: Etcd
    endpoints: tuple[str, ...]
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkPlace:
    """Where a server is, by the host and the port it is known by, and the addresses that the host's name has."""

    host: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreServer:
    """The server behind a key store that is one, and the view of a cluster in which it must not run."""

    locate: Callable[[], NetworkPlace]
    network: NetworkView


@dataclass(frozen=True, slots=True)
class World:
    """Everything a rotation touches. `prefix` is the storage prefix without a trailing slash.

    `operator` says who is at work, for the record. `settle` in seconds. `store_server` is None where the key store is
    on a disk; so is `nodes`, where agents of nodes fetch their files and report, whether any do so now or not.
    """

    cluster: str
    distribution: str
    prefix: str
    etcds: tuple[EtcdPlace, ...]
    servers: tuple[Server, ...]
    store: KeyStore
    lease: RotationLease
    clock: Clock
    snapshot_directory: Path
    open_snapshot: Callable[[Path], ValueSource]
    settle: float
    operator: str
    store_server: StoreServer | None = None
    nodes: Distribution | None = None

    def everything(self) -> ValueSource:
        """All values of all etcds, the main one first, as they are now."""
        return JoinedSource(tuple(place.etcd.source() for place in self.etcds))

    def etcd_of(self, resource: str) -> Etcd:
        """The etcd that holds `resource`."""
        return next((place.etcd for place in self.etcds if resource in place.resources), self.etcds[0].etcd)

    def server(self, name: str) -> Server:
        """One server by name. `RuntimeError` for an unknown name."""
        for server in self.servers:
            if server.name == name:
                return server
        raise RuntimeError(f"no server {name!r}")
