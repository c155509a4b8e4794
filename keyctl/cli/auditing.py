"""What `keyctl audit` looks at beside files: the cluster that a cluster file describes, and snapshots.

The one place where the collectors of `keyctl.audit.live` get their interfaces: a collector is a function here that
hands them over, and a row in `_COLLECTORS`. Judges nothing. What cannot be reached is an `Unread`, and no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from keyctl.audit.facts import About, Placed, Unread
from keyctl.audit.live import api_servers, canary, kms_health, ledger, stored_values
from keyctl.cli import audited_members, verification, wiring
from keyctl.cli.options import Connection
from keyctl.cluster_file.read import load
from keyctl.cluster_file.settings import ApiServerSettings, ClusterSettings
from keyctl.encryption_config.effective import SECRETS, refs
from keyctl.errors import KeyctlError
from keyctl.etcd_files.data_dir import DataDirSource
from keyctl.etcd_files.source import SnapshotSource
from keyctl.findings import Location
from keyctl.kube.servers import HttpApiServer
from keyctl.stored.display import display
from keyctl.stored.source import FileSource

_USUAL_PREFIX = "/registry"
_VALUES = frozenset({About.STORED_VALUES})
_SERVERS = frozenset({About.RUNNING_SERVER})


@dataclass(frozen=True, slots=True)
class Running:
    """The cluster to look at: what its file says, and where that file is. `canary`: whether to write one."""

    settings: ClusterSettings
    file: Path
    canary: bool = False

    @property
    def connection(self) -> Connection:
        """The cluster file and nothing else: no variable and no file of this machine says where to look."""
        return Connection(self.file, None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Collector:
    """`look` gives facts of a cluster; where it raises a `KeyctlError`, what is in `about` was not looked at."""

    look: Callable[[Running], Iterable[Placed]]
    about: frozenset[About]


def observed(cluster: Path | None, snapshots: Sequence[Path] = (), *, with_canary: bool = False) -> tuple[Placed, ...]:
    """Everything that is seen of the cluster of this file, and of these snapshots. Raises what `load` raises.

    Changes nothing; but `with_canary` a Secret is written through each API server, and deleted.
    """
    found: list[Placed] = []
    running = None if cluster is None else Running(load(cluster), cluster, with_canary)
    if running is not None:
        for collector in _COLLECTORS:
            found += _tried(partial(collector.look, running), collector.about, running.file)
    for path in snapshots:
        found += _tried(partial(_snapshot, path, running), _VALUES, path)
    return tuple(found)


def _tried(look: Callable[[], Iterable[Placed]], about: frozenset[About], file: Path) -> list[Placed]:
    """What `look` gives until it cannot go on, and why it could not."""
    found: list[Placed] = []
    try:
        found.extend(look())
    except KeyctlError as error:
        cause = f" ({display(error.cause.splitlines()[0])})" if error.cause else ""
        found.append(Unread(f"{error}{cause}", about, Location(file=display(str(file)))))
    return found


def _stored_values(running: Running) -> Iterator[Placed]:
    with verification.target(running.connection, None, revision=0, tolerant=True) as found:
        yield from (Unread(why, _VALUES, Location(file=display(str(running.file)))) for why in found.unread)
        yield stored_values.live_values(found.source, _judging(found), found.counts, etcds=len(found.etcds))


def _snapshot(path: Path, running: Running | None) -> Iterator[Placed]:
    source: FileSource = DataDirSource(path) if path.is_dir() else SnapshotSource(path)
    judging = stored_values.Judging(_USUAL_PREFIX)
    if running is not None:
        with verification.target(running.connection, None, revision=0, file=source, tolerant=True) as found:
            judging = _judging(found)
    yield stored_values.file_values(source, judging, display(str(path)))


def _judging(found: verification.Target) -> stored_values.Judging:
    configs = tuple(config for config in found.configs if config is not None)
    return stored_values.Judging(found.prefix, configs, found.reading)


def _api_servers(running: Running) -> Iterator[Placed]:
    settings = running.settings
    overridden = frozenset(resource for other in settings.etcd.overrides for resource in other.resources)
    with ExitStack() as closing:
        places = [_place(settings, one, closing) for one in settings.api_servers]
        yield from api_servers.running_servers(places, overridden)


def _canaries(running: Running) -> Iterator[Placed]:
    if not running.canary:
        return
    settings = running.settings
    secrets = next((n for n, other in enumerate(settings.etcd.others, 1) if SECRETS in other.resources), 0)
    with ExitStack() as closing:
        found = closing.enter_context(verification.target(running.connection, None, revision=0, tolerant=True))
        etcd, reading = found.etcds[secrets], found.reading

        def read(key: bytes) -> bytes | None:
            stored = etcd.get(key)
            return None if stored is None else stored[0]

        places = [_place(settings, one, closing) for one in settings.api_servers]
        names = [ref.name for ref in refs(reading)] if reading else []
        yield from canary.canaries(places, read, prefix=found.prefix, key_names=names)


def _place(settings: ClusterSettings, one: ApiServerSettings, closing: ExitStack) -> api_servers.Place:
    server = HttpApiServer(one.name, wiring.kube_connection(settings, one))
    closing.callback(server.close)
    return api_servers.Place(
        name=display(one.name),
        url=one.url,
        api=server,
        counters=server,
        host=wiring.host(one),
        config_path=one.encryption_config,
        manifest_path=one.manifest,
    )


def _readiness(running: Running) -> Iterator[Placed]:
    with ExitStack() as closing:
        places = [_place(running.settings, one, closing) for one in running.settings.api_servers]
        yield from kms_health.look((place.api, place.url) for place in places)


def _ledger(running: Running) -> Iterator[Placed]:
    yield from ledger.look(wiring.key_store(running.settings, only_read=True), now=wiring.SystemClock().now())


_COLLECTORS: tuple[Collector, ...] = (
    Collector(_stored_values, _VALUES),
    Collector(_api_servers, _SERVERS),
    Collector(_canaries, _SERVERS),
    Collector(_readiness, _SERVERS),
    Collector(_ledger, frozenset({About.KEY, About.BACKUP})),
    Collector(lambda running: audited_members.look(running.settings), frozenset({About.MEMBER})),
)
