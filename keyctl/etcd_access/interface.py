"""What turning users and roles on and off needs beside etcd itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from keyctl.etcd.interface import EtcdUsers
from keyctl.etcd_access.proof import Door


class Rope(Protocol):
    """Keeps the password of the way back where nobody else reads it, until nothing needs it any more."""

    @property
    def place(self) -> str:
        """Where it is kept, for a reader."""
        ...

    def renew(self) -> str:
        """A new password, kept durably before this returns."""
        ...

    def kept(self) -> str | None:
        """The password that is kept, None where none is."""
        ...

    def forget(self) -> None:
        """Keep nothing; no-op where nothing is kept."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """One etcd: `users` over any endpoint, `members` over each alone (by its URL), with the certificate we use.

    `doors` are connections with the certificates of others, to each endpoint. `login` is a connection as the user of
    the way back, by its password.
    """

    users: EtcdUsers
    members: tuple[tuple[str, EtcdUsers], ...]
    doors: tuple[Door, ...]
    rope: Rope
    login: Callable[[str], EtcdUsers]
