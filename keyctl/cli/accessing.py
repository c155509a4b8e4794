"""What the commands of `keyctl etcd-access` share: whose certificates, over which connections, to which members."""

from __future__ import annotations

import contextlib
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from keyctl.errors import KeyctlError, RefusedError, UnusableInputError, WrongUsageError

if TYPE_CHECKING:
    from keyctl.cli.options import Connection
    from keyctl.cluster_file.settings import ClusterSettings, EtcdConnection, EtcdMember, EtcdSettings
    from keyctl.etcd.interface import EtcdUsers, GovernedEtcd
    from keyctl.etcd_access.guards import Situation
    from keyctl.etcd_access.interface import Site
    from keyctl.etcd_access.proof import Door
    from keyctl.etcd_access.wanted import Compactor, Party, Purpose, Wanted
    from keyctl.findings import Finding

F = TypeVar("F", bound=Callable[..., object])
# They add and remove members, and were never made for an etcd that asks who does so (k3s-io/k3s#10303).
_OWN_MEMBERS = frozenset({"k3s", "rke2"})
# Where the password of the way back is, below what belongs to one etcd.
_ROPE = "way-back"
_FILE = click.Path(dir_okay=False, path_type=Path)
_FLAGS = {
    "--apiserver-cert": "api_servers",
    "--apiserver-key": "api_server_keys",
    "--auditor-cert": "auditor",
    "--auditor-key": "auditor_key",
    "--backup-cert": "backup",
    "--backup-key": "backup_key",
    "--compaction": "compaction",
}


def party_options(command: F) -> F:
    """Whose certificates there are, and who compacts."""
    for option in reversed(
        (
            click.option(
                "--apiserver-cert",
                "api_servers",
                type=_FILE,
                multiple=True,
                help="The API servers' client certificate for etcd. Repeatable. [default: that of the connection]",
            ),
            click.option(
                "--apiserver-key",
                "api_server_keys",
                type=_FILE,
                multiple=True,
                help="Its private key, one for each. [default: FILE.key beside FILE.crt]",
            ),
            click.option("--auditor-cert", "auditor", type=_FILE, help="Of who may read, and nothing else."),
            click.option("--auditor-key", type=_FILE, help="Its private key. [default: FILE.key beside FILE.crt]"),
            click.option("--backup-cert", "backup", type=_FILE, help="Of who takes snapshots, which only root may."),
            click.option("--backup-key", type=_FILE, help="Its private key. [default: FILE.key beside FILE.crt]"),
            click.option(
                "--compaction",
                type=click.Choice(["apiserver", "etcd"]),
                help="Who deletes old revisions. apiserver: as is usual; only root may, so the API servers become it. "
                "etcd: all members run with --auto-compaction-retention, and the API servers get no more than their "
                "prefix.",
            ),
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Pair:
    """A party, and the files to be it with; `key` is None where none is known."""

    party: Party
    cert: Path
    key: Path | None


@dataclass(frozen=True, slots=True)
class Access:
    """One etcd and everybody who uses it; `others` are endpoints of etcds of the cluster file that this is not.

    `again` is the command that carries the same out; `cluster` is the cluster file, where it is about its etcd.
    """

    etcd: GovernedEtcd
    connection: EtcdConnection
    servers: Mapping[str, str | None]
    pairs: tuple[Pair, ...]
    wanted: Wanted
    compactor: Compactor
    others: tuple[str, ...]
    again: str
    cluster: ClusterSettings | None
    stack: contextlib.ExitStack

    @property
    def urls(self) -> tuple[str, ...]:
        """Every endpoint."""
        return self.connection.endpoints

    def situation(self) -> Situation:
        """Look at everything that decides what may be done."""
        from keyctl.etcd_access.apply import observe
        from keyctl.etcd_access.guards import Situation

        try:
            seen = observe(self.etcd.users())
        except KeyctlError as error:
            said_no = isinstance(error, RefusedError) or (error.cause or "").startswith("authorisation")
            if not said_no or (kept := self._kept()) is None:
                raise
            raise RefusedError(
                "etcd's users and roles were turned on and never proven, and now this certificate is nobody",
                cause=f"{error}: {error.cause}" if error.cause else str(error),
                hint=f"turn them off, with the password in {kept}: keyctl etcd-access apply --disable",
            ) from error
        answered = {one.member_id for one in self.etcd.status()}
        members = self.etcd.members()
        return Situation(
            seen=seen,
            connection=_common_name(_required(self.connection.cert, "--cert")),
            password=self.connection.user is not None,
            outside=self.etcd.count_outside(self.wanted.prefix),
            unlisted=tuple(one.name or one.id for one in members if one.id not in answered),
        )

    def doors(self) -> tuple[Door, ...]:
        """A connection to each member for each certificate whose key there is."""
        from keyctl.etcd_access.proof import Door

        return tuple(
            Door(pair.party, url, self._open(self._alone(url, cert=pair.cert, key=pair.key)))
            for pair in self.pairs
            if pair.key is not None
            for url in self.urls
        )

    def site(self) -> Site:
        """What an apply works on. Raises `WrongUsageError` where a certificate could not be tried."""
        for pair in self.pairs:
            if pair.key is None:
                raise WrongUsageError(
                    f"no private key for {pair.cert}: whether etcd lets it in could not be tried",
                    hint="name it with the option that ends in -key",
                )
        members = tuple((url, self._open(self._alone(url))) for url in self.urls)
        return self._site(members, self.doors())

    def readers(self) -> tuple[Finding, ...]:
        """Who may get at Secrets by way of the API; nothing where the cluster file names no kubeconfig."""
        from keyctl.cli import wiring
        from keyctl.etcd_access.check import judge_readers, unread_readers
        from keyctl.kube.servers import HttpApiServer

        if self.cluster is None or self.cluster.kubernetes.kubeconfig is None:
            return ()
        failures = []
        for server in self.cluster.api_servers:
            try:
                api = HttpApiServer(server.name, wiring.kube_connection(self.cluster, server))
                self.stack.callback(api.close)
                return tuple(judge_readers(api.grants()))
            except KeyctlError as error:
                failures.append(f"{server.name}: {error}")
        return (unread_readers("; ".join(failures)),)

    def way_out(self) -> Site:
        """What turning everything off works on."""
        return self._site((), ())

    def directory(self) -> Path:
        """Where what belongs to this etcd is kept on this machine. One member that answers is enough to tell."""
        from keyctl.cli import wiring

        failures = []
        for url in self.urls:
            try:
                return wiring.state_directory(f"etcd-{self._client(self._alone(url)).status()[0].cluster_id}")
            except KeyctlError as error:
                failures.append(error)
        if (kept := self._kept()) is not None:
            return kept.parent
        raise failures[0]

    def _kept(self) -> Path | None:
        """The password of a way back to this etcd, found without asking it: who is nobody is not told its id."""
        from keyctl.cli import wiring
        from keyctl.etcd_access.rope import left_for

        here = wiring.state_directory("etcd-*")
        return left_for(self.urls, sorted(here.parent.glob(f"{here.name}/{_ROPE}")))

    def _site(self, members: tuple[tuple[str, EtcdUsers], ...], doors: tuple[Door, ...]) -> Site:
        from keyctl.etcd_access.interface import Site
        from keyctl.etcd_access.rope import RopeFile

        rope = RopeFile(self.directory() / _ROPE, lambda: secrets.token_urlsafe(32), self.urls)
        return Site(self.etcd.users(), members, doors, rope, self._login)

    def _login(self, password: str) -> EtcdUsers:
        from keyctl.cli import wiring
        from keyctl.etcd_access.wanted import WAY_BACK

        nobody = replace(self.connection, user=None, password_file=None)
        client = wiring.etcd(nobody, login=(WAY_BACK, password))
        self.stack.callback(client.close)
        return client.users()

    def _alone(self, url: str, *, cert: Path | None = None, key: Path | None = None) -> EtcdConnection:
        name = self.servers.get(url) or self.connection.server_name
        alone = replace(self.connection, endpoints=(url,), server_name=name)
        return alone if cert is None else replace(alone, cert=cert, key=key, user=None, password_file=None)

    def _open(self, connection: EtcdConnection) -> EtcdUsers:
        return self._client(connection).users()

    def _client(self, connection: EtcdConnection) -> GovernedEtcd:
        from keyctl.cli import wiring

        client = wiring.etcd(connection)
        self.stack.callback(client.close)
        return client


@contextlib.contextmanager
def access(given: Connection, options: Mapping[str, object], *, nobody: bool = False) -> Iterator[Access]:
    """The etcd of flags, environment and cluster file, with the parties of `options`, or `nobody`; closed at the end.

    Raises `WrongUsageError` for what is missing, `UnusableInputError` for a certificate that cannot be read, and
    `RefusedError` for one that no user can be made for.
    """
    from keyctl.cli import wiring
    from keyctl.cluster_file.read import load
    from keyctl.cluster_file.settings import EtcdConnection, EtcdSettings
    from keyctl.etcd_access.wanted import Compactor, wanted

    path = wiring.find_cluster_file(given.cluster)
    cluster = load(path) if path is not None else None
    settings = cluster.etcd if cluster else EtcdSettings(EtcdConnection())
    # With --endpoints it is about that etcd alone.
    members = () if given.endpoints else settings.members
    others = () if given.endpoints else tuple(one.connection.endpoints[0] for one in settings.others)
    connection = _complete(wiring.with_flags(_of(settings, given.endpoints), given), members)
    if nobody:
        _require_none(options)
    elif cluster and cluster.distribution in _OWN_MEMBERS:
        raise RefusedError(
            f"{cluster.distribution} administers its etcd itself, and stops where users and roles are on",
            cause="etcd refuses its own process then, which ends (k3s-io/k3s#10303)",
            hint="leave them off there, and keep etcd's certificates to those who need them",
        )
    compactor = Compactor.API_SERVER if nobody else _compactor(options)
    pairs = () if nobody else _pairs(connection, options)
    root = (given.etcd_prefix or settings.prefix).strip("/")
    prefix = f"/{root}/".encode() if root else b"/"
    needed = wanted((pair.party for pair in pairs), prefix, compactor)
    with contextlib.ExitStack() as stack:
        etcd = wiring.etcd(connection)
        stack.callback(etcd.close)
        servers = {one.endpoint: one.server_name for one in members}
        told = None if given.endpoints else cluster
        yield Access(etcd, connection, servers, pairs, needed, compactor, others, _again(given, options), told, stack)


@contextlib.contextmanager
def alone(found: Access) -> Iterator[None]:
    """One keyctl at a time on this machine changes the users of this etcd, or works on its files."""
    from keyctl.rotation.journal import LocalLock

    lock = LocalLock(found.directory())
    try:
        lock.acquire()
    except RefusedError as error:
        raise RefusedError(
            "another keyctl is at work on this etcd", cause=error.cause, hint=error.hints, rule=error.rule
        ) from error
    try:
        yield
    finally:
        lock.release()


def _again(given: Connection, options: Mapping[str, object]) -> str:
    """The command that applies what these options say."""
    words = ["keyctl", "etcd-access", "apply", *given.words]
    for flag, name in _FLAGS.items():
        said = options[name]
        values = said if isinstance(said, tuple) else () if said is None else (said,)
        words += [word for value in values for word in (flag, str(value))]
    return shlex.join(words)


def _of(settings: EtcdSettings, endpoints: str | None) -> EtcdConnection:
    """The etcd of the cluster file that `endpoints` are of, with its files; the main one where they are of none."""
    named = {part.strip() for part in endpoints.split(",")} if endpoints else set()
    for other in settings.others:
        if named and named <= set(other.connection.endpoints):
            return other.connection
    return settings.connection


def _complete(connection: EtcdConnection, members: tuple[EtcdMember, ...]) -> EtcdConnection:
    urls = dict.fromkeys((*connection.endpoints, *(one.endpoint for one in members)))
    return replace(connection, endpoints=tuple(urls))


def _require_none(options: Mapping[str, object]) -> None:
    for flag, name in _FLAGS.items():
        if options[name]:
            raise WrongUsageError(f"{flag} says who may do what, and --disable lets everybody do everything")


def _compactor(options: Mapping[str, object]) -> Compactor:
    from keyctl.etcd_access.wanted import Compactor

    said = options["compaction"]
    if not isinstance(said, str):
        raise WrongUsageError(
            "who deletes etcd's old revisions? With users and roles on only the role root may",
            cause="kube-apiserver asks for it every five minutes; where it is refused, etcd fills up to its quota",
            hint=(
                "--compaction apiserver: the API servers get the role root",
                "--compaction etcd: every member runs with --auto-compaction-retention, the API servers get less",
            ),
        )
    return Compactor(said)


def _pairs(connection: EtcdConnection, options: Mapping[str, object]) -> tuple[Pair, ...]:
    from keyctl.etcd_access.wanted import Purpose

    certs, keys = _paths(options["api_servers"]), _paths(options["api_server_keys"])
    if keys and len(keys) != len(certs):
        raise WrongUsageError("--apiserver-key is given once for each --apiserver-cert, or not at all")
    found = [_pair(Purpose.API_SERVER, cert, keys[number] if keys else None) for number, cert in enumerate(certs)] or [
        _pair(Purpose.API_SERVER, _required(connection.cert, "--cert"), connection.key)
    ]
    for purpose, cert, key in (
        (Purpose.AUDITOR, options["auditor"], options["auditor_key"]),
        (Purpose.BACKUP, options["backup"], options["backup_key"]),
    ):
        if isinstance(cert, Path):
            found.append(_pair(purpose, cert, key if isinstance(key, Path) else None))
        elif key is not None:
            raise WrongUsageError(f"a private key of the {purpose}, and no certificate")
    return tuple(found)


def _pair(purpose: Purpose, cert: Path, key: Path | None) -> Pair:
    from keyctl.etcd_access.wanted import Party

    beside = cert.with_suffix(".key")
    if key is None and beside != cert and beside.is_file():
        key = beside
    return Pair(Party(purpose, _common_name(cert), str(cert)), cert, key)


def _common_name(cert: Path) -> str:
    from keyctl.pki.inventory import take

    found = take((cert,)).certificates
    if not found:
        raise UnusableInputError(f"no certificate can be read from {cert}", hint="it must be a PEM file")
    # The first one is its owner's; those behind it are the signers'.
    return found[0].described.common_name


def _required(path: Path | None, flag: str) -> Path:
    if path is None:
        raise WrongUsageError(f"no certificate for etcd: {flag}", hint=f"give {flag} and --key, or a cluster file")
    return path


def _paths(given: object) -> tuple[Path, ...]:
    return tuple(one for one in given if isinstance(one, Path)) if isinstance(given, tuple) else ()
