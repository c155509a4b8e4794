"""What running API servers say of themselves, beside the files on their hosts. Through interfaces; changes nothing.

A server that is down, or a host that nobody gets to, is a fact and no error: one must not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from keyctl.audit.facts import About, Placed, Unread
from keyctl.encryption_config.decode import Decoded, attempt
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.encryption_config.server import NEWEST_SERVER
from keyctl.errors import KeyctlError
from keyctl.findings import Evidence, Location
from keyctl.hosts.interface import Host
from keyctl.hosts.manifests import Flags, read_flags
from keyctl.kube.interface import ApiServer, ServerProbe, StorageCounters, Transformed
from keyctl.stored.display import display

_SERVERS = frozenset({About.RUNNING_SERVER})
_VALUES = frozenset({About.STORED_VALUES})
# From here on a server reports the hash of what it has loaded.
_TELLS_HASH = (1, 34)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one API server is: its own address, and its files on `host`, by paths there."""

    name: str
    url: str
    api: ApiServer
    counters: StorageCounters
    host: Host
    config_path: str
    manifest_path: str | None


@dataclass(frozen=True, slots=True)
class Disk:
    """What lies on the host of a server. `flag`: whether its manifest names a configuration, None when not known.

    `sha256` is that of the file, None where there is none; `doubt` says why neither is known. `config` is what the file
    says, None where it says nothing that kube-apiserver takes. `overridden` are the resources that the flags keep in
    another etcd.
    """

    path: str
    flag: bool | None = None
    sha256: str | None = None
    config: EncryptionConfig | None = field(repr=False, default=None)
    overridden: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """One API server that answered.

    `loaded` is "sha256:<hex>" of what it has loaded, None for nothing; `silent` says why that is not known.
    `transformed` are its counters, None where they were not told: `uncounted` says why. `reloads` and `failures` count
    its reloads since its start.
    """

    name: str
    version: str
    loaded: str | None
    disk: Disk
    location: Location
    silent: str = ""
    reloads: int = 0
    failures: int = 0
    transformed: tuple[Transformed, ...] | None = None
    uncounted: str = ""
    evidence: Evidence = Evidence.E2

    @property
    def has_no_configuration(self) -> bool:
        """Whether it is known that it is told of none: by its manifest, or by what it says where no file is."""
        if self.disk.flag is not None:
            return not self.disk.flag
        return not self.disk.doubt and self.disk.sha256 is None and self.loaded is None and not self.silent


def running_servers(places: Sequence[Place], overridden: frozenset[str]) -> Iterator[Placed]:
    """Each server, and what nobody listed. `overridden` are the resources whose other etcd is known."""
    answered = 0
    processes: dict[tuple[float, int], str] = {}
    for place in places:
        probe, disk = place.api.probe(), _disk(place)
        at = Location(endpoint=place.url)
        if not (probe.ready or probe.start_time or probe.version):
            yield Unread(f"{place.name} does not answer: {probe.problem}", _SERVERS, at)
        else:
            answered += 1
            yield _running(place, probe, disk, at)
            other = processes.setdefault((probe.start_time, probe.certificate_serial), place.name)
            if probe.start_time and other != place.name:
                # An address that several servers share, or two of one server: another one may not have been asked.
                yield Unread(f"{place.name} and {other} are one process behind two addresses", _SERVERS, at)
        yield from (_elsewhere(place.name, one, at) for one in disk.overridden if one not in overridden)
    if answered:
        yield from _unlisted(places)
    elif not places:
        yield Unread("the cluster file lists no API server", _SERVERS, Location())


def _running(place: Place, probe: ServerProbe, disk: Disk, at: Location) -> RunningServer:
    transformed, uncounted = _counted(place.counters)
    return RunningServer(
        name=place.name,
        version=probe.version,
        loaded=probe.loaded_hash,
        disk=disk,
        location=at,
        silent=_silent(probe),
        reloads=probe.reloads,
        failures=probe.reload_failures,
        transformed=transformed,
        uncounted=uncounted,
    )


def _silent(probe: ServerProbe) -> str:
    """Why `probe` does not say what is loaded; "" where it does."""
    if probe.loaded_hash is not None:
        return ""
    if not probe.start_time:
        return probe.problem or "its metrics do not say when it started"
    version = _VERSION.match(probe.version)
    if version is None or (int(version[1]), int(version[2])) < _TELLS_HASH:
        return f"Kubernetes {probe.version or 'of no version'} does not report what it has loaded"
    return ""


def _counted(counters: StorageCounters) -> tuple[tuple[Transformed, ...] | None, str]:
    try:
        return counters.transformed(), ""
    except KeyctlError as error:
        return None, _sentence(error)


def _disk(place: Place) -> Disk:
    try:
        flags = _flags(place)
        path = (flags.encryption_provider_config if flags else None) or place.config_path
        file = place.host.read(path)
    except KeyctlError as error:
        return Disk(place.config_path, doubt=_sentence(error))
    overridden = flags.overridden_resources if flags else ()
    flag = None if flags is None else flags.encryption_provider_config is not None
    if file is None:
        return Disk(path, flag, overridden=overridden)
    read = attempt(file.content, name=f"{place.name}:{path}", server=NEWEST_SERVER)
    config = read.config if isinstance(read, Decoded) else None
    return Disk(path, flag, file.sha256, config, overridden)


def _flags(place: Place) -> Flags | None:
    """Those of its manifest; None where the cluster file names none, or it is not there."""
    manifest = place.host.read(place.manifest_path) if place.manifest_path else None
    return None if manifest is None else read_flags(manifest.content, name=f"{place.name}:{place.manifest_path}")


def _elsewhere(server: str, resource: str, at: Location) -> Unread:
    told = (
        f"{server} keeps {display(resource)} in another etcd, which the cluster file does not name under etcd.overrides"
    )
    return Unread(told, _VALUES, at)


def _unlisted(places: Sequence[Place]) -> Iterator[Unread]:
    """Servers that the cluster knows of and the cluster file does not."""
    problems = []
    for place in places:
        try:
            census = place.api.census()
        except KeyctlError as error:
            problems.append(_sentence(error))
            continue
        # NOTE: a server may have an address of each family among the endpoints, and has one Lease.
        known = len(census.leases) or len(census.endpoints)
        if known > len(places):
            told = f"the cluster names {known} API servers, the cluster file {len(places)}: the others were not asked"
            yield Unread(told, _SERVERS, Location(endpoint=place.url))
        return
    told = f"whether there are API servers that the cluster file does not list is not known: {problems[0]}"
    yield Unread(told, _SERVERS, Location(endpoint=places[0].url))


def _sentence(error: KeyctlError) -> str:
    return f"{error} ({display(error.cause.splitlines()[0])})" if error.cause else str(error)
