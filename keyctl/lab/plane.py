"""A whole control plane on loopback: bring it up, look at it, take it down.

Everything of a lab is in its directory, and everything that runs is recorded
there by itself (see `launch`): whoever is killed leaves a lab that the next one cleans.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from keyctl.errors import KeyctlError, UnreachableError
from keyctl.keys.private_files import erase
from keyctl.lab import registry
from keyctl.lab.bring_up import Origin, bring_up
from keyctl.lab.kubelet import READY_SECONDS, admin_credentials, restart_server, stop_server
from keyctl.lab.layout import Layout
from keyctl.lab.network import Credentials, get
from keyctl.lab.processes import ProcessId
from keyctl.lab.readiness import PortTakenError
from keyctl.lab.topology import EtcdAccess, Settings, Topology

Progress = Callable[[str], None]
_PORT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up."""

    layout: Layout
    topology: Topology

    @property
    def etcd(self) -> EtcdAccess:
        """How to reach its etcd."""
        return self.topology.etcd

    @property
    def cluster_file(self) -> Path:
        """The cluster file that describes it."""
        return self.layout.cluster_file

    def process(self, name: str) -> ProcessId | None:
        """The process of a member or server, alive or not."""
        return ProcessId.read(self.layout.record(name))

    def restart(self, server: str, *, seconds: float = READY_SECONDS) -> ProcessId:
        """Restart one API server from its manifest (`kubelet.restart_server`)."""
        return restart_server(server, self.layout, seconds=seconds)

    def stop(self, server: str) -> None:
        """Stop one API server, to be started again by `restart`."""
        stop_server(server, self.layout)


@dataclass(frozen=True, slots=True)
class Row:
    """One process of a lab, for a table. `uptime` is in seconds, 0 for one that does not run."""

    name: str
    pid: int
    url: str
    ready: bool
    uptime: float


def up(settings: Settings, *, directory: Path | None, programs: dict[str, Path], progress: Progress) -> Lab:
    """Start a lab that outlives this process. Nothing of it is left when that fails.

    `programs` maps at least `versions.SERVERS` to their paths (`build.binaries`).
    """
    lab = _owned(settings, directory, programs, progress)
    registry.keep(lab.layout)
    return lab


@contextmanager
def running_lab(
    settings: Settings,
    *,
    directory: Path | None = None,
    programs: dict[str, Path],
    progress: Progress,
    origin: Origin | None = None,
) -> Iterator[Lab]:
    """A lab that lives as long as the block. If this process is killed in it, the next lab cleans it.

    With `origin` it begins with what is restored from that.
    """
    lab = _owned(settings, directory, programs, progress, origin)
    try:
        yield lab
    finally:
        _erase_keys(lab.layout)
        registry.remove(lab.layout)


def find(name: str, directory: Path | None = None) -> Lab:
    """The lab called `name`, or the one in `directory`.

    Raises `WrongUsageError` when there is none, `UnreachableError` when it has not got as far as having servers.
    """
    layout = registry.find(name, directory)
    if not layout.state.is_file():
        place = shlex.quote(str(layout.root))
        raise UnreachableError(
            f"the lab in {layout.root} is only being started",
            hint=f"try again in some seconds, or give it up: keyctl lab down --directory {place}",
        )
    return Lab(layout, Topology.from_json(layout.state.read_text()))


def status(lab: Lab) -> tuple[Row, ...]:
    """Ask every member and server of the lab whether it is ready."""
    etcd = Credentials(Path(lab.etcd.cacert), Path(lab.etcd.cert), Path(lab.etcd.key))
    members = [_row(lab, member.name, member.client_url, etcd) for member in lab.topology.members]
    servers = [_row(lab, server.name, server.url, admin_credentials(lab.layout)) for server in lab.topology.servers]
    return (*members, *servers)


def _row(lab: Lab, name: str, url: str, credentials: Credentials) -> Row:
    process = lab.process(name)
    if process is None or not process.alive():
        return Row(name=name, pid=0, url=url, ready=False, uptime=0.0)
    ready = get(f"{url}/readyz", credentials.context()).status == HTTPStatus.OK
    return Row(name=name, pid=process.pid, url=url, ready=ready, uptime=process.uptime())


def _erase_keys(layout: Layout) -> None:
    """Overwrite the configurations of the servers: what keys stood in them is to be gone with the lab."""
    for path in layout.root.glob("*/enc/enc.yaml"):
        with suppress(OSError, KeyctlError):
            erase(path)


def _owned(
    settings: Settings,
    directory: Path | None,
    programs: dict[str, Path],
    progress: Progress,
    origin: Origin | None = None,
) -> Lab:
    for tries_left in reversed(range(_PORT_TRIES)):
        layout = registry.claim(settings.name, directory, progress)
        try:
            return Lab(layout, bring_up(settings, layout, programs, progress, origin))
        except BaseException as exc:
            _erase_keys(layout)
            registry.remove(layout)
            if not isinstance(exc, PortTakenError) or not tries_left:
                raise
            progress("somebody took a port meanwhile; trying others")
    raise RuntimeError("no try was made")
