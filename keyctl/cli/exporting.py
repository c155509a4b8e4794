"""What `keyctl exporter` looks at: each source of facts with the interfaces it needs. Looks only; changes nothing.

Every look connects anew and closes what it opened, so that renewed certificates and a changed cluster are seen; only a
key store is kept, for some have to log in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from keyctl.audit.live import stored_values
from keyctl.backup.register import is_former
from keyctl.cli import verification, wiring
from keyctl.cli.checkup.subject import Subject, find, place
from keyctl.cli.options import Connection
from keyctl.cluster_file.settings import ApiServerSettings, EtcdConnection, FileKeySettings, VaultKeySettings
from keyctl.encryption_config import effective
from keyctl.errors import KeyctlError, UnusableInputError
from keyctl.etcd.interface import MAIN, EndpointStatus
from keyctl.exporter.catalogue import INTERVALS, Source
from keyctl.exporter.facts import (
    AlarmsSeen,
    BackupsSeen,
    CertificateSeen,
    CertificatesSeen,
    EtcdSeen,
    Facts,
    KeysSeen,
    RotationSeen,
    ServersSeen,
    ValuesSeen,
)
from keyctl.exporter.watch import Watched
from keyctl.keys.backups import BackupKind
from keyctl.keys.interface import KeyStore
from keyctl.kube.servers import HttpApiServer
from keyctl.pki import inventory
from keyctl.pki.inspect import load_certificates
from keyctl.pki.presented import Identity, presented
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.facts import Facts as Cluster
from keyctl.rotation.diagnosis.look import Look, look_at
from keyctl.rotation.diagnosis.records import journal_seen
from keyctl.rotation.journal import Journal
from keyctl.stored.display import display

# What only a cluster file tells of.
_DESCRIBED = frozenset({Source.KEYS, Source.BACKUPS, Source.ROTATION})
_FILE, _PRESENTED = "file", "presented"
_HTTPS, _ETCD_PORT = 443, 2379


@dataclass(slots=True)
class Looks:
    """A look at each source of one cluster. `given` is what the flags say; `certificates` are files and directories."""

    subject: Subject
    given: Connection
    certificates: tuple[Path, ...] = ()
    _stores: dict[Source, tuple[FileKeySettings | VaultKeySettings, KeyStore]] = field(default_factory=dict, init=False)

    def watched(self, intervals: Mapping[Source, float], without: Collection[Source]) -> tuple[Watched, ...]:
        """The sources that this cluster has, but for those `without`. `intervals` in seconds; else the usual ones."""
        looks: dict[Source, Callable[[], Facts]] = {
            Source.VALUES: self.values,
            Source.SERVERS: self.servers,
            Source.ETCD: self.etcd,
            Source.ALARMS: self.alarms,
            Source.CERTIFICATES: self.all_certificates,
            Source.KEYS: self.keys,
            Source.BACKUPS: self.backups,
            Source.ROTATION: self.rotation,
        }
        there = (one for one in looks if one not in without and (self.subject.described or one not in _DESCRIBED))
        return tuple(Watched(one, looks[one], intervals.get(one, INTERVALS[one].total_seconds())) for one in there)

    def _now(self) -> Subject:
        """The cluster as its file has it now. Raises what reading that raises; `UnusableInputError` for another one."""
        if not self.subject.described:
            return self.subject
        found = find(self.given)
        if found.settings.name != self.subject.settings.name:
            raise UnusableInputError(
                f"{found.origin} is of another cluster now: {display(found.settings.name)}",
                hint="restart the exporter, or put the file back",
            )
        return found

    def values(self) -> ValuesSeen:
        """Every stored value, read and opened once. Raises what a scan raises."""
        with verification.target(self.given, None, revision=0, tolerant=True) as found:
            # NOTE: one scan, by what any server reads: one for each configuration would be as many loads on etcd.
            judging = stored_values.Judging(found.prefix, (), found.reading)
            seen = stored_values.live_values(found.source, judging, found.counts, etcds=len(found.etcds))
            return ValuesSeen(seen.whole, len(found.unread))

    def servers(self) -> ServersSeen:
        """Each API server and its file; one that is down, or a host that nobody gets to, is a fact."""
        now = self._now()
        with ExitStack() as closing:
            looks = tuple(_look(now, server, closing) for server in now.settings.api_servers)
        texts = tuple(look.seen.file for look in looks if look.seen.file is not None)
        required = dict.fromkeys(name for text in texts for name in effective.required_resources(text.config))
        cluster = Cluster(
            cluster=now.settings.name,
            distribution=now.settings.distribution,
            servers=tuple(look.seen for look in looks),
            texts=texts,
            required=tuple(required) or (effective.SECRETS,),
        )
        return ServersSeen(cluster, diagnose(cluster), tuple(look.probe for look in looks))

    def etcd(self) -> EtcdSeen:
        """Each endpoint by itself; one that does not answer is a fact."""
        connections = [connection for _, connection in self._now().connections]
        return EtcdSeen(tuple(one for connection in connections for one in _endpoints(connection)))

    def alarms(self) -> AlarmsSeen:
        """What each etcd says of itself as a whole. Raises `UnreachableError` where one of them says nothing."""
        found = []
        for name, connection in self._now().connections:
            client = wiring.etcd(connection)
            try:
                found.append((name or MAIN, client.alarms(), len(client.members())))
            finally:
                client.close()
        return AlarmsSeen(tuple(found))

    def all_certificates(self) -> CertificatesSeen:
        """Those of the cluster file, those that servers present, and those of the files that were named."""
        now = self._now()
        found = (*_of_cluster_file(now), *_all_presented(now), *self._named())
        return CertificatesSeen(tuple({(one.place, one.name): one for one in found}.values()))

    def _named(self) -> Iterator[CertificateSeen]:
        for path in self.certificates:
            try:
                taken = inventory.take((path,))
            except UnusableInputError:
                # It was there when this began.
                yield CertificateSeen(_FILE, str(path))
                continue
            for one in taken.certificates:
                name = one.path if one.number == 1 else f"{one.path} number {one.number}"
                yield CertificateSeen(_FILE, name, one.described.not_before, one.described.not_after)
            yield from (CertificateSeen(_FILE, one.path) for one in taken.unread)

    def keys(self) -> KeysSeen:
        """The ledger. Raises what the key store raises."""
        return KeysSeen(self._store(Source.KEYS).records(), self._now().settings.policy.key_max_age)

    def backups(self) -> BackupsSeen:
        """The register, and which of its snapshots are gone. Raises what the key store raises."""
        known = self._store(Source.BACKUPS).backups()
        snapshots = tuple(one for one in known if one.kind is BackupKind.SNAPSHOT and not is_former(one))
        missing = frozenset(one.location for one in snapshots if not Path(one.location).exists())
        tests = tuple(one.tested for one in known if one.kind is BackupKind.SNAPSHOT and one.tested is not None)
        return BackupsSeen(snapshots, missing, self._now().settings.backups.max_age, tests)

    def _store(self, source: Source) -> KeyStore:
        """The key store; each source, which has a thread of its own, has one of its own."""
        settings = self._now().settings
        kept = self._stores.get(source)
        if kept is None or kept[0] != settings.keys:
            kept = settings.keys, wiring.key_store(settings, only_read=True)
            self._stores[source] = kept
        return kept[1]

    def rotation(self) -> RotationSeen:
        """The rotation that the journal here has as unfinished. Raises `UnusableInputError` for one that is damaged."""
        seen = journal_seen(Journal(wiring.state_directory(self.subject.settings.name)))
        if seen is None:
            return RotationSeen()
        if seen.problem:
            raise UnusableInputError(f"the journal {seen.path} cannot be read", cause=seen.problem)
        return RotationSeen(seen.began, seen.last)


def _look(subject: Subject, server: ApiServerSettings, closing: ExitStack) -> Look:
    found = place(subject, server)
    if isinstance(found.api, HttpApiServer):
        closing.callback(found.api.close)
    return look_at(found)


def _endpoints(connection: EtcdConnection) -> Iterator[tuple[str, EndpointStatus | None]]:
    for endpoint in connection.endpoints:
        client = wiring.etcd(replace(connection, endpoints=(endpoint,)))
        try:
            yield endpoint, client.status()[0]
        except KeyctlError:
            yield endpoint, None
        finally:
            client.close()


def _from_file(path: Path) -> CertificateSeen:
    """The certificate of `path` that ends first: of a bundle of CAs that is the one to hear of."""
    try:
        found = load_certificates(path)
    except UnusableInputError:
        return CertificateSeen(_FILE, str(path))
    if not found:
        return CertificateSeen(_FILE, str(path))
    first = min(found, key=lambda one: one.not_after)
    return CertificateSeen(_FILE, str(path), first.not_before, first.not_after)


def _of_cluster_file(subject: Subject) -> Iterator[CertificateSeen]:
    connections = [connection for _, connection in subject.connections]
    for path in dict.fromkeys(path for one in connections for path in (one.cacert, one.cert) if path):
        yield _from_file(path)


def _all_presented(subject: Subject) -> Iterator[CertificateSeen]:
    seconds = subject.settings.etcd.connection.timeout.total_seconds()
    for _, connection in subject.connections:
        files = [path for path in (connection.cacert, connection.cert, connection.key) if path is not None]
        ours = Identity(*files) if len(files) == 3 else None
        yield from (_presented_at(url, _ETCD_PORT, seconds, ours) for url in connection.endpoints)
    yield from (_presented_at(server.url, _HTTPS, seconds, None) for server in subject.settings.api_servers)


def _presented_at(url: str, port: int, seconds: float, ours: Identity | None) -> CertificateSeen:
    parts = urlsplit(url)
    try:
        found = presented(parts.hostname or "", parts.port or port, seconds, ours)
    except UnusableInputError:
        found = None
    if found is None:
        return CertificateSeen(_PRESENTED, url)
    return CertificateSeen(_PRESENTED, url, found.not_before, found.not_after)
