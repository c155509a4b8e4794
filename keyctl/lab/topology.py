"""What a lab consists of: its members of etcd, its API servers, their addresses. Values, with their JSON form.

Nothing is chosen, opened or started here.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from keyctl.errors import WrongUsageError
from keyctl.lab.versions import DEFAULT_KUBERNETES, kubernetes

MOST_SERVERS = 9
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    """How to reach an etcd: endpoints, and absolute paths of what mutual TLS needs."""

    endpoints: tuple[str, ...]
    cacert: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a lab is asked to be. `etcd` is somebody else's to use; without it the lab starts `members` of its own.

    `reload`: servers start with an EncryptionConfiguration that leaves Secrets as they are, and follow its
    changes; otherwise without any. Raises `WrongUsageError` for what no lab can be.
    """

    name: str = "lab"
    members: int = 1
    apiservers: int = 3
    reload: bool = False
    kubernetes: str = DEFAULT_KUBERNETES
    prefix: str = "/registry"
    etcd: EtcdAccess | None = None

    def __post_init__(self) -> None:
        kubernetes(self.kubernetes)
        if not _NAME.fullmatch(self.name):
            raise WrongUsageError(
                f"{self.name!r} cannot name a lab", hint="use up to 40 lower-case letters, digits and inner dashes"
            )
        if not 0 <= self.apiservers <= MOST_SERVERS:
            raise WrongUsageError(
                f"a lab cannot have {self.apiservers} API servers", hint=f"ask for at most {MOST_SERVERS}"
            )


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the lab's etcd."""

    name: str
    address: str
    client_port: int
    peer_port: int

    @property
    def client_url(self) -> str:
        """Where clients reach it."""
        return f"https://{self.address}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Where the other members reach it."""
        return f"https://{self.address}:{self.peer_port}"


@dataclass(frozen=True, slots=True)
class Server:
    """One kube-apiserver. `advertise` is the address it puts into the `kubernetes` Endpoints; nothing listens there."""

    name: str
    address: str
    port: int
    hostname: str
    advertise: str

    @property
    def url(self) -> str:
        """Its own address."""
        return f"https://{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole lab. `namespace` is the command that gives a server its own host name; () when they share the host's.

    `binaries` maps a program to its path.
    """

    settings: Settings
    members: tuple[Member, ...]
    servers: tuple[Server, ...]
    etcd: EtcdAccess
    binaries: dict[str, str]
    namespace: tuple[str, ...]

    def server(self, name: str) -> Server:
        """The server called `name`. Raises `WrongUsageError` for another name."""
        for server in self.servers:
            if server.name == name:
                return server
        raise WrongUsageError(
            f"lab {self.settings.name} has no API server {name!r}",
            hint=f"choose one of: {', '.join(server.name for server in self.servers)}",
        )

    def moved(self, client_port: int, peer_port: int, api_port: int) -> Topology:
        """The same lab on other ports. Another's etcd stays where it is."""
        members = tuple(replace(item, client_port=client_port, peer_port=peer_port) for item in self.members)
        endpoints = tuple(item.client_url for item in members) or self.etcd.endpoints
        return replace(
            self,
            members=members,
            servers=tuple(replace(item, port=api_port) for item in self.servers),
            etcd=replace(self.etcd, endpoints=endpoints),
        )

    def to_json(self) -> str:
        """A text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Topology:
        """The topology that `to_json` wrote."""
        document = json.loads(text)
        settings = document["settings"]
        return cls(
            settings=Settings(**{**settings, "etcd": _access(settings["etcd"]) if settings["etcd"] else None}),
            members=tuple(Member(**item) for item in document["members"]),
            servers=tuple(Server(**item) for item in document["servers"]),
            etcd=_access(document["etcd"]),
            binaries=document["binaries"],
            namespace=tuple(document["namespace"]),
        )


def arrange(
    settings: Settings,
    root: Path,
    *,
    network: int,
    shared_hostname: str,
    binaries: dict[str, Path],
    namespace: tuple[str, ...],
) -> Topology:
    """The lab that `settings` ask for, on 127.0.`network`.x, without ports yet (see `moved`).

    `shared_hostname` is the host's own: what servers call themselves without a `namespace`.
    """
    members = (
        ()
        if settings.etcd
        else tuple(
            Member(name=f"etcd{number}", address=f"127.0.{network}.{20 + number}", client_port=0, peer_port=0)
            for number in range(1, settings.members + 1)
        )
    )
    servers = tuple(
        Server(
            name=f"cp{number}",
            address=f"127.0.{network}.{10 + number}",
            port=0,
            hostname=f"cp{number}.{settings.name}" if namespace else shared_hostname,
            advertise=f"10.99.0.{number}",
        )
        for number in range(1, settings.apiservers + 1)
    )
    pki = root / "pki"
    own = EtcdAccess(
        endpoints=(),
        cacert=str(pki / "etcd-ca.crt"),
        cert=str(pki / "etcd-client.crt"),
        key=str(pki / "etcd-client.key"),
    )
    return Topology(
        settings=settings,
        members=members,
        servers=servers,
        etcd=settings.etcd or own,
        binaries={name: str(path) for name, path in binaries.items()},
        namespace=namespace,
    )


def _access(document: dict[str, str]) -> EtcdAccess:
    return EtcdAccess(
        endpoints=tuple(document["endpoints"]),
        cacert=document["cacert"],
        cert=document["cert"],
        key=document["key"],
    )
