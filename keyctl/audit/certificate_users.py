"""Who uses which certificate, and as what: told by the flags of programs, and by a cluster file. Pure.

What a flag does not tell for certain (a template, a value that is put in later) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import PurePath

from keyctl.audit.certificate_files import Placed
from keyctl.audit.facts import About, Program, UndecidedError
from keyctl.findings import Finding, Location, Status
from keyctl.pki.inventory import Inventory
from keyctl.pki.roles import Role, role_of
from keyctl.pki.rules import FITNESS

_USER = Role("a user of Kubernetes", serve=False, ask=True, authorities=(), of_etcd=False)
_KUBEADMS = {
    name: replace(
        _USER, authorities=("pki/ca.crt",), renew=f"kubeadm certs renew {name}", made_by=("kubernetes", "kubernetes-ca")
    )
    for name in ("admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf")
}


@dataclass(frozen=True, slots=True)
class Reached:
    """One etcd of a cluster file: who is reached under which `hosts`, and with what, as files; "" where not said."""

    ca: str
    cert: str
    key: str
    hosts: tuple[str, ...]


def of_programs(programs: Iterable[Program]) -> dict[str, Role]:
    """The certificates that flags name, by file."""
    given = tuple(programs)
    etcds = [one for one in given if one.about is About.ETCD]
    trusted = {value for one in etcds if (value := _value(one, "trusted-ca-file"))}
    found: dict[str, Role] = {}
    for etcd in etcds:
        peers = _value(etcd, "peer-trusted-ca-file")
        _add(found, etcd, "cert-file", "key-file", Role("etcd's server", True, False, ()))
        _add(found, etcd, "peer-cert-file", "peer-key-file", Role("etcd's peer", True, True, (peers,) if peers else ()))
    for server in given:
        if server.about is About.API_SERVER:
            role = Role("etcd's client", False, True, tuple(trusted) if len(trusted) == 1 else (), of_api_server=True)
            _add(found, server, "etcd-certfile", "etcd-keyfile", role)
    return found


def of_kubeconfigs(inventory: Inventory) -> dict[str, Role]:
    """The certificates of users that stand in kubeconfigs, by the places that they have there."""
    found = {}
    for one in inventory.certificates:
        file, _, entry = one.place.partition("#")
        if entry.startswith("user-"):
            found[one.place] = _KUBEADMS.get(PurePath(file).name) or _USER
    return found


def of_cluster(etcds: Iterable[Reached]) -> dict[str, Role]:
    """The certificate that a cluster file gives for each etcd, by file."""
    return {
        one.cert: _as_placed(one.cert, Role("etcd's client", False, True, (), key=one.key)) for one in etcds if one.cert
    }


def named(etcds: Iterable[Reached], placed: tuple[Placed, ...]) -> Iterator[Finding]:
    """Whether some server's certificate that etcd's CA signed names each host under which etcd is reached."""
    for etcd in etcds:
        authorities = {one.found.described.spki for one in placed if one.found.place == etcd.ca}
        servers = [one for one in placed if _is_server_of(one, authorities)]
        for host in etcd.hosts:
            fitting = [one for one in servers if any(_covers(name, host) for name in one.found.described.names)]
            if fitting:
                message = f"{fitting[0].found.path} names {host}"
                yield replace(
                    FITNESS.finding(message, location=Location(fitting[0].found.path), status=Status.PASS), fix=None
                )
            elif servers:
                message = f"no server's certificate of etcd names {host}, under which the cluster file reaches it"
                yield FITNESS.finding(message, location=Location(servers[0].found.path))
            else:
                message = f"no server's certificate of etcd was looked at, so none is known to name {host}"
                made = FITNESS.finding(message, location=Location(endpoint=host), status=Status.UNKNOWN)
                yield replace(made, fix="also name the directory with the members' certificates")


def _add(found: dict[str, Role], program: Program, certificate: str, key: str, role: Role) -> None:
    path = _value(program, certificate)
    if path:
        found[path] = _as_placed(path, replace(role, key=_value(program, key)))


def _as_placed(path: str, role: Role) -> Role:
    """`role` with what the place of the file tells besides: how it is mended, and by whom it must be signed."""
    usual = role_of(path)
    if usual is None or usual.what != role.what:
        return role
    return replace(usual, key=role.key, authorities=role.authorities or usual.authorities)


def _value(program: Program, name: str) -> str:
    try:
        return program.text(name)
    except UndecidedError:
        return ""


def _is_server_of(one: Placed, authorities: set[str]) -> bool:
    said = one.found.described
    if one.role is not None and one.role.ask:
        # A peer's may name the same hosts, and is shown to no client.
        return False
    return not said.is_ca and said.serves and any(link.described.spki in authorities for link in one.chain)


def _covers(name: str, host: str) -> bool:
    """As TLS compares them: addresses as numbers, names without case, a star for one whole first label."""
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        first, _, rest = host.lower().partition(".")
        return name.lower() in (host.lower(), f"*.{rest}" if first and rest else host.lower())
