"""What `certs renew --cluster` and `certs rollover` share: who takes part, where its files are, how it is reached."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from keyctl.cli import wiring
from keyctl.cluster_file.settings import (
    AgentHostSettings,
    ApiServerSettings,
    CertificateSettings,
    ClusterSettings,
    EtcdMember,
    StaticPodActivation,
)
from keyctl.errors import (
    InterruptedEarlyError,
    KeyctlError,
    RefusedError,
    StoppedError,
    UnusableInputError,
    WrongUsageError,
)
from keyctl.pki import generations
from keyctl.pki.generation import Generation, Port
from keyctl.pki.layout import Layout
from keyctl.renewing.carry_out import GateClosedError
from keyctl.renewing.interface import Files, Place, Probed, Site
from keyctl.renewing.plan import Handing, Kind, Party

if TYPE_CHECKING:
    from keyctl.hosts.interface import Host
    from keyctl.kube.interface import ApiServer
    from keyctl.pki.doorway import Address
    from keyctl.rotation.journal import Journal

# They make and renew the certificates of their etcd themselves.
_OWN_CERTIFICATES = frozenset({"k3s", "rke2", "openshift", "talos"})
_PEER_PORT = 2380
_ROTATION = "keyctl rotate --resume"


@dataclass(frozen=True, slots=True)
class Folder:
    """See `Directory`: the directory at `root`."""

    root: Path

    def settle(self, generation: Generation) -> None:
        """See `Directory.settle`."""
        if generation is Generation.NEW:
            generations.promote(self.root)
        else:
            generations.discard(self.root)

    def told(self, handing: Handing) -> str:
        """See `Directory.told`."""
        upcoming = generations.next_of(self.root).root
        match handing:
            case Handing.TRUST:
                return f"as their CA file: {self.root / 'ca.crt'} and {upcoming / 'ca.crt'}, both in one file"
            case Handing.LEAVES:
                return f"their folders are in {upcoming / 'clients'}"
        return f"their folders are in {self.root / 'clients'}"

    def require_same_parties(self) -> None:
        """See `Directory.require_same_parties`."""
        generations.require_same_parties(self.root, wiring.SystemClock().now())


@contextlib.contextmanager
def alone(settings: ClusterSettings) -> Iterator[Journal]:
    """One keyctl at a time on this machine changes this cluster, its keys or its certificates; the journal of these."""
    from keyctl.rotation.journal import Journal, LocalLock

    directory = wiring.state_directory(settings.name)
    lock = LocalLock(directory)
    try:
        lock.acquire()
    except RefusedError as error:
        raise RefusedError(
            "another keyctl is changing this cluster", cause=error.cause, hint=error.hints, rule=error.rule
        ) from error
    try:
        yield Journal(directory / "certificates")
    finally:
        lock.release()


def read_journal(settings: ClusterSettings) -> Journal:
    """The journal, to be looked at."""
    from keyctl.rotation.journal import Journal

    return Journal(wiring.state_directory(settings.name) / "certificates")


@contextlib.contextmanager
def again(told: Callable[[], str]) -> Iterator[None]:
    """Let what stops in here say how it goes on: with the command that is `told` then."""
    try:
        yield
    except KeyctlError as error:
        command = told()
        # Hosts are also those of a rotation, and say how that goes on.
        error.hints = tuple(hint.replace(_ROTATION, command) for hint in error.hints)
        if isinstance(error, StoppedError):
            more = " --clients-done" if isinstance(error, GateClosedError) else ""
            error.hints = (*error.hints, f"then go on: {command}{more}")
        raise


def words(*parts: str | Path | None) -> str:
    """A command line of keyctl, as a shell takes it."""
    return shlex.join(["keyctl", "certs", *(str(part) for part in parts if part is not None)])


def require_no_rollover(under_way: bool) -> None:
    """Raise `RefusedError` while one is `under_way`: its steps bring other certificates to the same hosts."""
    if under_way:
        raise RefusedError(
            "a roll-over of the CAs is under way",
            cause="it brings new certificates to every host itself",
            hint="finish it with certs rollover --resume, or go back with --abort",
        )


def require_certificates(settings: ClusterSettings) -> None:
    """Raise where the cluster file does not say of everybody where its certificates are, or others make them."""
    if settings.distribution in _OWN_CERTIFICATES:
        raise RefusedError(
            f"{settings.distribution} makes and renews the certificates of its etcd itself",
            hint="use its own commands for that",
        )
    if not settings.etcd.members:
        raise WrongUsageError("the cluster file lists no members of etcd", hint="list every one under etcd.members")
    parties: tuple[EtcdMember | ApiServerSettings, ...] = (*settings.etcd.members, *settings.api_servers)
    for one in parties:
        if one.certificates is None:
            raise WrongUsageError(
                f"the cluster file does not say where the certificates of {one.name} are",
                hint="add certificates: {folder: …, restart: …} to its entry (docs/certs.md)",
            )
        if isinstance(one.host, AgentHostSettings):
            raise RefusedError(
                f"{one.name} has an agent, which brings no certificates",
                hint="reach its host as type local or ssh for this",
            )


def others(settings: ClusterSettings, directory: Path) -> tuple[str, ...]:
    """The clients of the directory that no API server of the cluster file is."""
    _, clients = generations.parties_of(directory, wiring.SystemClock().now())
    known = {one.certificates.client for one in settings.api_servers if one.certificates}
    return tuple(one.name for one in clients if one.name not in known)


def require_every_member(settings: ClusterSettings, directory: Path) -> None:
    """Raise `RefusedError` where the directory and the cluster file do not name the same members."""
    members, _ = generations.parties_of(directory, wiring.SystemClock().now())
    listed = {one.name for one in settings.etcd.members}
    for name in sorted(listed ^ {one.name for one in members}):
        where = "the cluster file" if name in listed else str(directory)
        raise RefusedError(
            f"member {name} is named in {where} only: it would be locked out, or nobody would renew it",
            hint="name the same members in both, by the same names",
        )


@contextlib.contextmanager
def site(settings: ClusterSettings, directory: Path, layouts: Mapping[Generation, Layout]) -> Iterator[Site]:
    """Everybody of `settings`, with their files by `layouts`; connects nowhere yet."""
    from keyctl.pki.doorway import ports

    clock = wiring.SystemClock()
    places: dict[Party, Place] = {}
    with contextlib.ExitStack() as stack:
        for member in settings.etcd.members:
            party = Party(Kind.MEMBER, member.name)
            places[party] = _place(party, _told(member), _member_host(member), _files(layouts, "members", member.name))
        for server in settings.api_servers:
            party, told = Party(Kind.API_SERVER, server.name), _told(server)
            api = wiring.api_server(settings, server)
            stack.callback(_closing(api))
            host, files = _server_host(server, told), _files(layouts, "clients", told.client)
            require_flags(server, host, told.folder)
            places[party] = _place(party, told, host, files, api)
        addresses = {(member.name, port): _address(member, port) for member in settings.etcd.members for port in Port}
        opened = stack.enter_context(ports(layouts, addresses, clock.now()))
        yield Site(places, opened, Folder(directory), clock)


def require_flags(server: ApiServerSettings, host: Host, folder: str) -> None:
    """Raise `RefusedError` where it cannot be seen that this API server reads the files of `folder`."""
    from keyctl.renewing.flags import other_file

    manifest = host.read(server.manifest) if server.manifest is not None else None
    if manifest is None:
        raise RefusedError(
            f"which files {server.name} reads for etcd cannot be seen",
            cause="the cluster file names no manifest of it"
            if server.manifest is None
            else "its manifest is not there",
            hint="set manifest for this server in the cluster file: what it trusts shows nowhere else in time",
        )
    said = other_file(manifest.content, folder, name=f"{server.name}:{manifest.path}")
    if said:
        raise RefusedError(
            f"{server.name} does not read the files of {folder}",
            cause=f"{manifest.path}: {said}",
            hint=(
                "correct certificates.folder in the cluster file",
                f"or give its manifest these files: keyctl certs flags DIR --manifest {manifest.path}",
            ),
        )


def _place(
    party: Party, told: CertificateSettings, host: Host, files: Mapping[Generation, Files], api: Probed | None = None
) -> Place:
    lags = isinstance(told.restart, StaticPodActivation)
    return Place(party, host, told.folder, files, told.restart.wait.total_seconds(), api, lags)


def _member_host(member: EtcdMember) -> Host:
    told = _told(member)
    # As that of an API server: a place with files, and the restart of one static pod or a command for it.
    return wiring.host(
        ApiServerSettings(
            member.name, member.endpoint, "", manifest=told.manifest, host=member.host, activation=told.restart
        )
    )


def _server_host(server: ApiServerSettings, told: CertificateSettings) -> Host:
    return wiring.host(replace(server, activation=told.restart))


def _told(one: EtcdMember | ApiServerSettings) -> CertificateSettings:
    if one.certificates is None:
        raise RuntimeError("require_certificates was not asked")
    return one.certificates


def _files(layouts: Mapping[Generation, Layout], kind: str, name: str) -> dict[Generation, Files]:
    return {generation: _folder_of(layout.root / kind / name) for generation, layout in layouts.items()}


def _folder_of(folder: Path) -> Files:
    try:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in (".crt", ".key")}
    except OSError as error:
        raise UnusableInputError(
            f"{folder} cannot be read",
            cause=error.strerror,
            hint="issue it first, or correct the name in the cluster file",
        ) from error


def _address(member: EtcdMember, port: Port) -> Address:
    from keyctl.pki.doorway import Address

    endpoint = urlsplit(member.endpoint)
    if port is Port.CLIENT:
        return Address(endpoint.hostname or "", endpoint.port or 2379, member.server_name)
    peer = urlsplit(_told(member).peer or "")
    if peer.hostname:
        return Address(peer.hostname, peer.port or _PEER_PORT)
    return Address(endpoint.hostname or "", _PEER_PORT)


def _closing(api: ApiServer) -> Callable[[], None]:
    close = getattr(api, "close", None)
    return close if callable(close) else lambda: None


def require_listed(settings: ClusterSettings) -> None:
    """Raise `RefusedError` where etcd has a member that the cluster file does not name: it would be locked out."""
    client = wiring.etcd(settings.etcd.connection)
    try:
        found = {one.name or one.id for one in client.members()}
    finally:
        client.close()
    unlisted = sorted(found - {one.name for one in settings.etcd.members})
    if unlisted:
        raise RefusedError(
            f"etcd has members that the cluster file does not name: {', '.join(unlisted)}",
            cause="they would not get to trust the new CA",
            hint="list every member under etcd.members, by its --name, or remove those that are gone",
        )


def require_listed_servers(settings: ClusterSettings) -> None:
    """Raise `RefusedError` where the cluster has more API servers than the cluster file names."""
    if not settings.api_servers:
        return
    api = wiring.api_server(settings, settings.api_servers[0])
    try:
        found = api.census().endpoints
    finally:
        _closing(api)()
    if len(found) > len(settings.api_servers):
        raise RefusedError(
            "the cluster has more API servers than the cluster file names",
            cause=f"the Endpoints of kubernetes are {', '.join(sorted(found))}: who is not named keeps the old CA",
            hint="list every API server under apiServers, by its own address",
        )


def confirm(*, yes: bool, output: str) -> None:
    """Ask whether to go on. Raises `RefusedError` where nobody is there to ask."""
    if yes:
        return
    if not sys.stdin.isatty() or output == "json":
        raise RefusedError(
            "this restarts etcd and API servers and nobody is there to ask", hint="say --yes, or --dry-run"
        )
    try:
        agreed = click.confirm("Go on?", err=True)
    except click.Abort as exc:
        raise InterruptedEarlyError("interrupted; nothing was changed") from exc
    if not agreed:
        raise InterruptedEarlyError("not confirmed; nothing was changed")
