"""What `verify-secrets` and its like read and judge by: flags, the cluster file, or this machine's server manifest."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from keyctl.cli import configurations, own_manifest, wiring
from keyctl.cli.files import read_regular
from keyctl.cli.options import Connection
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import ClusterSettings, EtcdConnection, EtcdSettings
from keyctl.encryption_config import effective
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.model import EncryptionConfig, ProviderElement, ResourceEntry
from keyctl.encryption_config.server import NEWEST_SERVER, Server
from keyctl.errors import KeyctlError, UnreachableError, WrongUsageError
from keyctl.etcd.interface import MAIN, Etcd
from keyctl.hosts.interface import HostUnreachableError
from keyctl.keys.backups import Backup
from keyctl.keys.key import KeyRef
from keyctl.kube.interface import ApiServer
from keyctl.stored.anew import anew
from keyctl.stored.decrypt import Opened, open_value
from keyctl.stored.source import FileSource, JoinedSource, ValueSource

_NOTHING = EncryptionConfig(())
# Configurations, (None,) where there is none to be had; and why others were not read.
_Read = tuple[tuple[EncryptionConfig | None, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where to read: etcds, or a `file`; and the configurations to judge by, (None,) when there is none to be had.

    `notes` say what was taken from where; `unread` names the servers whose
    configuration could not be looked at, and why. `connections` are those of
    `etcds`, and `names` what these are called: "main", or the first resource that one is for. `settings` is the cluster
    file, where there is one.
    """

    etcds: tuple[Etcd, ...]
    prefix: str
    configs: tuple[EncryptionConfig | None, ...] = field(repr=False)
    api: ApiServer | None
    revision: int
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    file: FileSource | None = None
    connections: tuple[EtcdConnection, ...] = ()
    settings: ClusterSettings | None = None
    names: tuple[str, ...] = ()

    @property
    def reading(self) -> EncryptionConfig | None:
        """A configuration that opens what any of `configs` opens; it writes as the first one. None where there is none.

        No server has it: nothing is to be judged by it, but which keys the values need.
        """
        return joined(tuple(config for config in self.configs if config is not None))

    def source(self) -> ValueSource:
        """All values of all etcds, or of the file."""
        if self.file is not None:
            return self.file
        return JoinedSource(tuple(etcd.source(revision=self.revision) for etcd in self.etcds))

    def counts(self, resources: tuple[str, ...]) -> dict[str, int]:
        """How many objects of each of `resources` the API knows; empty without Kubernetes access.

        The API tells of now, so it is not asked about another revision.
        """
        if self.api is None or self.revision:
            return {}
        listed = [self.api.list_metadata(resource) for resource in resources]
        for answer in listed:
            if answer.problem:
                raise UnreachableError(
                    f"etcd holds no {answer.resource}, and the API does not say how many there should be",
                    cause=answer.problem,
                    hint="write the resource as plural.group, for example deployments.apps",
                )
        return {answer.resource: answer.count for answer in listed}

    def register(self) -> tuple[tuple[Backup, ...], frozenset[KeyRef]]:
        """The snapshots that the cluster's key store knows, and the keys that it calls retired."""
        from keyctl.keys.ledger import KeyState

        if self.settings is None:
            return (), frozenset()
        try:
            store = wiring.key_store(self.settings, only_read=True)
        except WrongUsageError:
            return (), frozenset()
        gone = {KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED}
        return store.backups(), frozenset(record.ref for record in store.records() if record.state in gone)

    @anew
    def neighbours(self) -> tuple[tuple[str, int], ...]:
        """The largest first parts of all keys in the main etcd, for a wrong prefix."""
        counts: Counter[bytes] = Counter()
        source = self.etcds[0].source() if self.file is None else self.file
        for batch in source.batches(b""):
            counts.update(b"/".join(key.split(b"/")[:2]) for key, _, _ in batch)
        return tuple((name.decode(errors="backslashreplace"), count) for name, count in counts.most_common(3))


@contextlib.contextmanager
def target(
    given: Connection,
    encryption_config: Path | None,
    *,
    revision: int,
    file: FileSource | None = None,
    server: Server = NEWEST_SERVER,
    tolerant: bool = False,
) -> Iterator[Target]:
    """Build the target; its connections are closed at the end. With `file` there are none.

    `server` is the version whose reading of the configurations counts. `tolerant`: a configuration that is missing or
    that no server takes is told in `unread`, and no error, unless the user named the file.

    Raises `WrongUsageError` when the connection is not complete, and
    `UnreachableError` when the etcd is not the one behind the API.
    """
    found = _target(given, encryption_config, revision, file, server, tolerant=tolerant)
    try:
        if found.api is not None:
            _check_binding(found, found.api)
        yield found
    finally:
        for etcd in found.etcds:
            etcd.close()
        if found.api is not None:
            _close(found.api)


def _target(
    given: Connection,
    encryption_config: Path | None,
    revision: int,
    file: FileSource | None,
    server: Server,
    *,
    tolerant: bool,
) -> Target:
    path = wiring.find_cluster_file(given.cluster)
    configs: tuple[EncryptionConfig | None, ...] = (None,)
    api: ApiServer | None = None
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    settings: ClusterSettings | None = None
    etcd = EtcdSettings(EtcdConnection())
    if path is not None:
        settings = load(path)
        etcd = settings.etcd
        if encryption_config is None:
            configs, unread = _configs(settings, server, KeyctlError if tolerant else HostUnreachableError)
        api = _api(settings) if file is None else None
        notes = (f"the cluster is that of {path}",) if given.cluster is None else ()
    elif (file is not None or not given.complete) and (own := own_manifest.find()) is not None:
        etcd = own.etcd
        if encryption_config is None:
            configs, unread = _config_of_manifest(own.flags.encryption_provider_config, server, tolerant=tolerant)
        notes = (f"taken from {own.path}",)
    if encryption_config is not None:
        configs = (_read_config(encryption_config, server),)
    root = given.etcd_prefix or etcd.prefix
    if file is not None:
        return Target((), root, configs, None, revision, notes, unread, file, settings=settings)
    etcd = replace(etcd, connection=wiring.with_flags(etcd.connection, given))
    connections = (etcd.connection, *(other.connection for other in etcd.others))
    names = (MAIN, *(other.resources[0] for other in etcd.others))
    etcds = tuple(map(wiring.etcd, connections))
    return Target(etcds, root, configs, api, revision, notes, unread, None, connections, settings, names)


def _close(api: ApiServer) -> None:
    from keyctl.kube.servers import HttpApiServer

    if isinstance(api, HttpApiServer):
        api.close()


def _check_binding(found: Target, api: ApiServer) -> None:
    told = api.kube_system_uid()
    key = f"{found.prefix.rstrip('/')}/namespaces/kube-system".encode()
    stored = found.etcds[0].get(key)
    if stored is None:
        # A wrong prefix: the scan says so, with the prefixes that are there.
        return
    opened = open_value(effective.readers(found.reading, "namespaces"), key, stored[0])
    if not isinstance(opened, Opened) and found.unread:
        # What opens it may stand in the configuration that was not read.
        return
    if not isinstance(opened, Opened) or opened.object.uid != told:
        raise UnreachableError(
            "this etcd is not the one behind the API server",
            cause="the uid of namespace kube-system differs between raw etcd and the API",
            hint="point --endpoints at kube-apiserver's --etcd-servers, or correct the cluster file",
        )


def joined(configs: tuple[EncryptionConfig, ...]) -> EncryptionConfig | None:
    """One configuration in which every resource is read as by each of `configs`, in turn; None without any."""
    if len(configs) < 2:
        return configs[0] if configs else None
    names = dict.fromkeys(name for config in configs for name in config.named)
    return EncryptionConfig(tuple(ResourceEntry((str(name),), _elements(configs, str(name))) for name in names))


def _elements(configs: tuple[EncryptionConfig, ...], name: str) -> tuple[ProviderElement, ...]:
    readers = (reader for config in configs for reader in effective.readers(config, name))
    return tuple(ProviderElement(reader.ref.provider, (reader,)) for reader in dict.fromkeys(readers))


def _configs(settings: ClusterSettings, server: Server, tolerated: type[KeyctlError]) -> _Read:
    """The distinct configurations of all API servers, and what could not be read of them, a sentence a server.

    Raises what is not `tolerated`.
    """
    configs: list[EncryptionConfig] = []
    unread = []
    for one in settings.api_servers:
        try:
            config = configurations.of_server(one, server).config or _NOTHING
        except tolerated as exc:
            unread.append(f"the configuration of {one.name} was not read: {exc}")
            continue
        if not any(effective.same_view(config, other) for other in configs):
            configs.append(config)
    return (tuple(configs) or (None,), tuple(unread))


def _api(settings: ClusterSettings) -> ApiServer | None:
    """The first API server that is ready; None when the cluster file names no kubeconfig or none is ready."""
    if settings.kubernetes.kubeconfig is None:
        return None
    servers = (wiring.api_server(settings, server) for server in settings.api_servers)
    return next((server for server in servers if server.probe().ready), None)


def _config_of_manifest(path: str | None, server: Server, *, tolerant: bool) -> _Read:
    """The configuration that the manifest names, or why it was not read."""
    try:
        return (_read_config(Path(path), server) if path else _NOTHING,), ()
    except KeyctlError as error:
        if not tolerant:
            raise
        return (None,), (f"the configuration of this machine's API server was not read: {error}",)


def _read_config(path: Path, server: Server) -> EncryptionConfig:
    return decode(read_regular(path, "the encryption configuration"), name=str(path), server=server).config
