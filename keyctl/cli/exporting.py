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
from keyctl.cli.checkup.subject import Subject, place
from keyctl.cli.options import Connection
from keyctl.cluster_file.settings import EtcdConnection
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
from keyctl.pki.presented import presented
from keyctl.rotation.diagnosis.diagnose import diagnose
from keyctl.rotation.diagnosis.facts import Facts as Cluster
from keyctl.rotation.diagnosis.look import Look, look_at
from keyctl.rotation.diagnosis.records import journal_seen
from keyctl.rotation.journal import Journal

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
    _stores: dict[Source, KeyStore] = field(default_factory=dict, init=False)

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

    def values(self) -> ValuesSeen:
        """Every stored value, read and opened once. Raises what a scan raises."""
        with verification.target(self.given, None, revision=0, tolerant=True) as found:
            # NOTE: one scan, by what any server reads: one for each configuration would be as many loads on etcd.
            judging = stored_values.Judging(found.prefix, (), found.reading)
            seen = stored_values.live_values(found.source, judging, found.counts, etcds=len(found.etcds))
            return ValuesSeen(seen.whole, len(found.unread))

    def servers(self) -> ServersSeen:
        """Each API server and its file; one that is down, or a host that nobody gets to, is a fact."""
        with ExitStack() as closing:
            looks = tuple(self._look(number, closing) for number in range(len(self.subject.settings.api_servers)))
        texts = tuple(look.seen.file for look in looks if look.seen.file is not None)
        required = dict.fromkeys(name for text in texts for name in effective.required_resources(text.config))
        cluster = Cluster(
            cluster=self.subject.settings.name,
            distribution=self.subject.settings.distribution,
            servers=tuple(look.seen for look in looks),
            texts=texts,
            required=tuple(required) or (effective.SECRETS,),
        )
        return ServersSeen(cluster, diagnose(cluster), tuple(look.probe for look in looks))

    def _look(self, number: int, closing: ExitStack) -> Look:
        found = place(self.subject, self.subject.settings.api_servers[number])
        if isinstance(found.api, HttpApiServer):
            closing.callback(found.api.close)
        return look_at(found)

    def etcd(self) -> EtcdSeen:
        """Each endpoint by itself; one that does not answer is a fact."""
        connections = [connection for _, connection in self.subject.connections]
        return EtcdSeen(tuple(one for connection in connections for one in _endpoints(connection)))

    def alarms(self) -> AlarmsSeen:
        """What each etcd says of itself as a whole. Raises `UnreachableError` where one of them says nothing."""
        found = []
        for name, connection in self.subject.connections:
            client = wiring.etcd(connection)
            try:
                found.append((name or MAIN, client.alarms(), len(client.members())))
            finally:
                client.close()
        return AlarmsSeen(tuple(found))

    def all_certificates(self) -> CertificatesSeen:
        """Those of the cluster file, those that servers present, and those of the files that were named."""
        found = (*self._of_cluster_file(), *self._presented(), *self._named())
        return CertificatesSeen(tuple({(one.place, one.name): one for one in found}.values()))

    def _of_cluster_file(self) -> Iterator[CertificateSeen]:
        connections = [connection for _, connection in self.subject.connections]
        for path in dict.fromkeys(path for one in connections for path in (one.cacert, one.cert) if path):
            yield _from_file(path)

    def _presented(self) -> Iterator[CertificateSeen]:
        urls = [(url, _ETCD_PORT) for _, connection in self.subject.connections for url in connection.endpoints]
        urls += [(server.url, _HTTPS) for server in self.subject.settings.api_servers]
        for url, port in dict.fromkeys(urls):
            yield self._presented_at(url, port)

    def _presented_at(self, url: str, port: int) -> CertificateSeen:
        parts = urlsplit(url)
        seconds = self.subject.settings.etcd.connection.timeout.total_seconds()
        try:
            found = presented(parts.hostname or "", parts.port or port, seconds)
        except UnusableInputError:
            found = None
        if found is None:
            return CertificateSeen(_PRESENTED, url)
        return CertificateSeen(_PRESENTED, url, found.not_before, found.not_after)

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
        return KeysSeen(self._store(Source.KEYS).records(), self.subject.settings.policy.key_max_age)

    def backups(self) -> BackupsSeen:
        """The register, and which of its snapshots are gone. Raises what the key store raises."""
        known = self._store(Source.BACKUPS).backups()
        snapshots = tuple(one for one in known if one.kind is BackupKind.SNAPSHOT and not is_former(one))
        missing = frozenset(one.location for one in snapshots if not Path(one.location).exists())
        tests = tuple(one.tested for one in known if one.kind is BackupKind.SNAPSHOT and one.tested is not None)
        return BackupsSeen(snapshots, missing, self.subject.settings.backups.max_age, tests)

    def _store(self, source: Source) -> KeyStore:
        """The key store; each source, which has a thread of its own, has one of its own."""
        if source not in self._stores:
            self._stores[source] = wiring.key_store(self.subject.settings, only_read=True)
        return self._stores[source]

    def rotation(self) -> RotationSeen:
        """The rotation that the journal here has as unfinished. Raises `UnusableInputError` for one that is damaged."""
        seen = journal_seen(Journal(wiring.state_directory(self.subject.settings.name)))
        if seen is None:
            return RotationSeen()
        if seen.problem:
            raise UnusableInputError(f"the journal {seen.path} cannot be read", cause=seen.problem)
        return RotationSeen(seen.began, seen.last)


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
