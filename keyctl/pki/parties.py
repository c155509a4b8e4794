"""Whom an etcd's certificates are for: its members by their hosts, and its clients. Values, checked when made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from keyctl.errors import WrongUsageError
from keyctl.pki.issue import Subject, Usage

# What a server on its own host is called as well: etcdctl, health checks and etcd's own gateway go there.
_OWN_HOST = ("localhost", "127.0.0.1", "::1")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_HOST = 253


@dataclass(frozen=True, slots=True)
class Member:
    """A member and each name and address that it is reached by, or connects from. Raises `WrongUsageError`."""

    name: str
    hosts: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.hosts:
            raise WrongUsageError(f"member {self.name} has no host", hint=f"name them: --member {self.name}=10.0.0.1")
        for host in self.hosts:
            _check_host(host)

    @classmethod
    def parse(cls, text: str) -> Member:
        """NAME=HOST[,HOST…]. Raises `WrongUsageError`."""
        name, _, hosts = text.partition("=")
        return cls(name, tuple(dict.fromkeys(host.strip() for host in hosts.split(",") if host.strip())))

    @property
    def server(self) -> Subject:
        """As clients see it."""
        return self._subject(Usage.SERVER, tuple(dict.fromkeys((*self.hosts, *_OWN_HOST))))

    @property
    def peer(self) -> Subject:
        """As other members see it: they compare where it connects from with these addresses."""
        return self._subject(Usage.PEER, self.hosts)

    def _subject(self, usage: Usage, hosts: tuple[str, ...]) -> Subject:
        addresses = tuple(host for host in hosts if _is_address(host))
        return Subject(
            self.name, usage, names=tuple(host for host in hosts if host not in addresses), addresses=addresses
        )


@dataclass(frozen=True, slots=True)
class Client:
    """A client: `name` is its user where etcd has users. Raises `WrongUsageError`."""

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def subject(self) -> Subject:
        """As etcd sees it."""
        return Subject(self.name, Usage.CLIENT)


def _check_name(name: str) -> None:
    # It is the name of a folder, too.
    if not _NAME.fullmatch(name):
        raise WrongUsageError(
            f"{name!r} names no member or client", hint="use up to 63 letters, digits, dots, dashes and underscores"
        )


def _check_host(host: str) -> None:
    # An address that is written wrong must not become a host name: 10.0.0.256 is one by its letters.
    last = host.rpartition(".")[2]
    if not _is_address(host) and (len(host) > _LONGEST_HOST or last.isdigit() or not _HOST_NAME.fullmatch(host)):
        raise WrongUsageError(
            f"{host!r} is no address and no host name",
            hint="write addresses without port and brackets, names in lower case and without wildcards",
        )


def _is_address(host: str) -> bool:
    try:
        return ip_address(host) is not None
    except ValueError:
        return False
