"""The only builder of concrete parts: from flags, environment, cluster file and manifest to interfaces.

Modules that load client libraries are imported inside the functions that need
them, so that a command pays for what it uses.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyctl.cli.cluster_hints import naming
from keyctl.cli.options import Connection, chosen_store
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import (
    AgentHostSettings,
    ApiServerSettings,
    ClusterSettings,
    CommandActivation,
    CommandHostSettings,
    EtcdConnection,
    FileKeySettings,
    HostSettings,
    ReloadActivation,
    SshHostSettings,
    StaticPodActivation,
    VaultKeySettings,
    WindowSettings,
)
from keyctl.errors import UnusableInputError, WrongUsageError
from keyctl.etcd.interface import GovernedEtcd
from keyctl.hosts.interface import Host
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import KeyRef, Provider
from keyctl.kube.interface import ApiServer

if TYPE_CHECKING:
    from keyctl.kube.client import Connection as KubeConnection
    from keyctl.rotation.deactivation import Deactivation
    from keyctl.rotation.destruction import Destruction
    from keyctl.rotation.journal import Journal, LocalLock
    from keyctl.rotation.plan import History, State
    from keyctl.rotation.session import Session
    from keyctl.rotation.world import EtcdPlace, Reporter, Server, StoreServer, World

# Where kubeadm and those who follow it keep the manifest.
MANIFEST = Path("/etc/kubernetes/manifests/kube-apiserver.yaml")


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(seconds)


def find_cluster_file(given: Path | None) -> Path | None:
    """The cluster file: the one given, ./keyctl.yaml, or the user's; None when there is none."""
    if given is not None:
        return given
    configured = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "keyctl" / "keyctl.yaml"
    return next((path for path in (Path("keyctl.yaml"), configured) if path.is_file()), None)


def require_cluster(given: Path | None) -> ClusterSettings:
    """The settings of the cluster file. Raises `WrongUsageError` when there is none."""
    path = find_cluster_file(given)
    if path is None:
        raise WrongUsageError(
            "no cluster file: keyctl must know every API server by its own address to change anything",
            hint="write keyctl.yaml (docs/cluster-file.md) or name one with --cluster; to try it: keyctl lab up",
        )
    return with_store(load(path), path.absolute().parent)


def with_store(settings: ClusterSettings, directory: Path) -> ClusterSettings:
    """`settings` with the key store that `--store` names; one the file says nothing of is at its usual place."""
    named = chosen_store()
    if named == "file" and not isinstance(settings.keys, FileKeySettings):
        return replace(settings, keys=FileKeySettings(directory / "keys"))
    if named == "vault" and isinstance(settings.keys, FileKeySettings):
        return replace(settings, keys=VaultKeySettings())
    return settings


def with_flags(settings: EtcdConnection, given: Connection) -> EtcdConnection:
    """`settings`, with what flags and environment say instead."""
    endpoints = tuple(part.strip() for part in given.endpoints.split(",")) if given.endpoints else settings.endpoints
    return replace(
        settings,
        endpoints=endpoints,
        cacert=given.cacert or settings.cacert,
        cert=given.cert or settings.cert,
        key=given.key or settings.key,
    )


def etcd(settings: EtcdConnection, *, login: tuple[str, str] | None = None) -> GovernedEtcd:
    """A client for one etcd, as user and password `login` if given. Raises `WrongUsageError`; connects nowhere yet."""
    missing = [
        flag
        for flag, value in (
            ("--endpoints", settings.endpoints),
            ("--cacert", settings.cacert),
            ("--cert", settings.cert),
            ("--key", settings.key),
        )
        if not value
    ]
    if missing or not (settings.cacert and settings.cert and settings.key):
        raise WrongUsageError(
            f"etcd is read over mutual TLS only; missing: {', '.join(missing)}",
            hint="give them as flags, as ETCDCTL_* variables, or in the cluster file under etcd",
        )
    from keyctl.etcd.client import EtcdClient
    from keyctl.etcd.tls import MutualTls

    ca, cert, key, timeout = settings.cacert, settings.cert, settings.key, settings.timeout.total_seconds()
    user, password = login or (settings.user, _read_password(settings.password_file))

    def diagnose(endpoint: str) -> str:
        # NOTE: costs 3 MB and is needed only where something failed.
        from keyctl.pki.beyond import explain

        return explain(endpoint, ca, cert, key, settings.server_name, timeout)

    return EtcdClient(
        settings.endpoints,
        MutualTls(ca, cert, key),
        timeout=timeout,
        server_name=settings.server_name,
        user=user,
        password=password,
        diagnose=diagnose,
    )


def _read_password(path: Path | None) -> str | None:
    try:
        return path.read_text().strip() if path else None
    except OSError as exc:
        raise UnusableInputError(
            f"cannot read etcd's password file {path}", cause=exc.strerror, hint="correct etcd.passwordFile"
        ) from exc


def host(server: ApiServerSettings) -> Host:
    """The host of one API server, with its way of restarting that; connects nowhere yet."""
    if isinstance(server.host, AgentHostSettings):
        from keyctl.cli.vault_wiring import agent_host

        return agent_host(server.name, server.host, server.encryption_config)
    activation = server.activation
    command = activation.command if isinstance(activation, CommandActivation) else None
    found = _files_of(server.name, server.host, command, activation.wait.total_seconds())
    if isinstance(activation, StaticPodActivation) and server.manifest is not None:
        from keyctl.hosts.static_pod import StaticPodHost

        return StaticPodHost(found, server.manifest, now=SystemClock().now)
    return found


def _files_of(name: str, settings: HostSettings, command: tuple[str, ...] | None, wait: float) -> Host:
    match settings:
        case SshHostSettings(address, user, sudo, config):
            from keyctl.hosts.ssh import SshHost
            from keyctl.hosts.ssh_connection import SshConnection

            connection = SshConnection(name, address, user=user, config=config)
            return SshHost(name, connection, sudo=sudo, restart_command=command, restart_wait=wait)
        case CommandHostSettings(read, write, remove, distribution):
            from keyctl.hosts.command import CommandHost

            return CommandHost(
                name,
                read=read,
                write=write,
                remove=remove,
                wait=distribution.total_seconds(),
                restart_command=command,
                restart_wait=wait,
            )
    from keyctl.hosts.local import LocalHost

    return LocalHost(name, restart_command=command, restart_wait=wait)


def api_server(settings: ClusterSettings, server: ApiServerSettings) -> ApiServer:
    """One kube-apiserver on its own address. Raises `WrongUsageError` without a kubeconfig."""
    from keyctl.kube.servers import HttpApiServer

    return HttpApiServer(server.name, kube_connection(settings, server))


def kube_connection(settings: ClusterSettings, server: ApiServerSettings) -> KubeConnection:
    """The connection behind `api_server`."""
    from keyctl.kube.client import connect
    from keyctl.pki.probe import explain

    kubeconfig = server.credentials.kubeconfig or settings.kubernetes.kubeconfig or _kubeconfig()
    if kubeconfig is None:
        raise WrongUsageError("no kubeconfig", hint="set kubernetes.kubeconfig in the cluster file, or KUBECONFIG")
    timeout = settings.etcd.connection.timeout.total_seconds()
    ca = server.tls.cacert
    return connect(
        kubeconfig,
        server.credentials.context or settings.kubernetes.context,
        url=server.url,
        server_name=server.tls.server_name,
        ca=ca,
        timeout=timeout,
        diagnose=lambda url: explain(url, ca, None, None, server.tls.server_name, timeout) if ca else "",
    )


@dataclass(frozen=True, slots=True)
class RotationParts:
    """What `enable` and `rotate` need, and the policy of the cluster file."""

    world: World
    state_directory: Path
    policy_provider: Provider
    policy_resources: tuple[str, ...]
    policy_history: History
    key_max_age: timedelta
    policy_window: WindowSettings | None

    def session(self, reporter: Reporter, *, pause: Callable[[], None], pause_after: State | None = None) -> Session:
        """A session on this world."""
        from keyctl.rotation.session import Session

        return Session(self.world, *self._journal(), reporter, pause=pause, pause_after=pause_after)

    def destruction(self, reporter: Reporter, ref: KeyRef, *, forget: tuple[str, ...]) -> Destruction:
        """The destruction of a key of this world."""
        from keyctl.rotation.destruction import Destruction

        return Destruction(self.world, *self._journal(), reporter, ref, forget=forget)

    def deactivation(self, reporter: Reporter, ref: KeyRef) -> Deactivation:
        """The end of the use of a key of this world."""
        from keyctl.rotation.deactivation import Deactivation

        return Deactivation(self.world, *self._journal(), reporter, ref)

    def _journal(self) -> tuple[Journal, LocalLock]:
        from keyctl.rotation.journal import Journal, LocalLock

        return Journal(self.state_directory), LocalLock(self.state_directory)


def key_store(settings: ClusterSettings, *, only_read: bool = False) -> KeyStore:
    """The key store of the cluster file; one that is `only_read` leaves even what was left half-done as it is."""
    if not isinstance(settings.keys, FileKeySettings):
        from keyctl.cli.vault_wiring import vault_store

        return vault_store(settings.keys, settings.name, state=state_directory(settings.name), only_read=only_read)
    from keyctl.keys.file_store import FileKeyStore

    directory, now = settings.keys.directory, SystemClock().now
    return FileKeyStore(directory, cluster=settings.name, clock=now, only_read=only_read)


def state_directory(cluster: str) -> Path:
    """Where the journal of `cluster` is: below $XDG_STATE_HOME, or ~/.local/state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "keyctl" / cluster


@contextlib.contextmanager
def rotation(cluster: Path | None) -> Iterator[RotationParts]:
    """Everything for a rotation of the cluster that the cluster file describes; closed at the end."""
    settings = require_cluster(cluster)
    parts = rotation_parts(settings)
    try:
        with naming(cluster):
            yield parts
    finally:
        for place in parts.world.etcds:
            place.etcd.close()


def rotation_parts(settings: ClusterSettings) -> RotationParts:
    """Build the world of `settings`; connects nowhere yet."""
    from keyctl.cli.vault_wiring import nodes
    from keyctl.etcd_files.source import SnapshotSource
    from keyctl.kube.lease import Holder, KubeLease
    from keyctl.rotation.plan import History
    from keyctl.rotation.world import World

    if not settings.api_servers:
        raise WrongUsageError(
            "the cluster file lists no API servers", hint="list every one by its own address under apiServers"
        )
    store = key_store(settings)
    directory = state_directory(settings.name)
    clock = SystemClock()
    servers = tuple(_server(settings, server) for server in settings.api_servers)
    world = World(
        cluster=settings.name,
        distribution=settings.distribution,
        prefix=settings.etcd.prefix.rstrip("/"),
        etcds=_etcds(settings),
        servers=servers,
        store=store,
        lease=KubeLease(
            [kube_connection(settings, server) for server in settings.api_servers],
            Holder(place=f"{platform.node()}:{_boot()}:{directory}", run=secrets.token_hex(8)),
            monotonic=clock.monotonic,
        ),
        clock=clock,
        snapshot_directory=settings.backups.directory or directory / "snapshots",
        open_snapshot=SnapshotSource,
        settle=settings.policy.settle.total_seconds(),
        operator=_operator(),
        store_server=_store_server(settings),
        nodes=nodes(settings),
    )
    policy = settings.policy
    history = History(policy.history)
    return RotationParts(
        world, directory, policy.provider, policy.resources, history, policy.key_max_age, policy.window
    )


def _store_server(settings: ClusterSettings) -> StoreServer | None:
    if isinstance(settings.keys, FileKeySettings):
        return None
    from keyctl.cli.vault_wiring import store_server
    from keyctl.kube.servers import HttpApiServer

    first = settings.api_servers[0]
    return store_server(settings.keys, HttpApiServer(first.name, kube_connection(settings, first)))


def _operator() -> str:
    """Who runs this, for the record: user, by way of sudo or not, and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    by = os.environ.get("SUDO_USER")
    return f"{user}{f' (sudo by {by})' if by else ''} at {platform.node()}"


def _boot() -> str:
    """Which start of which machine this is: host names repeat, and a local lock says nothing about another machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return secrets.token_hex(8)


def _server(settings: ClusterSettings, server: ApiServerSettings) -> Server:
    from keyctl.rotation.world import Server

    return Server(
        name=server.name,
        api=api_server(settings, server),
        host=host(server),
        config_path=server.encryption_config,
        manifest_path=server.manifest,
        reloads=isinstance(server.activation, ReloadActivation),
        wait=server.activation.wait.total_seconds(),
        url_host=urlsplit(server.url).hostname or "",
        hostname=server.identity.hostname,
        advertise_address=server.identity.advertise_address,
    )


def _etcds(settings: ClusterSettings) -> tuple[EtcdPlace, ...]:
    from keyctl.rotation.world import EtcdPlace

    main = settings.etcd.connection
    overrides = ((override.connection, override.resources) for override in settings.etcd.overrides)
    return tuple(EtcdPlace(etcd(where), where.endpoints, resources) for where, resources in ((main, ()), *overrides))


def _kubeconfig() -> Path | None:
    given = os.environ.get("KUBECONFIG")
    return Path(given.split(os.pathsep)[0]) if given else None
