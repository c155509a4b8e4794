"""Two generations of an etcd's CAs, and what is asked of a port about them. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Generation(StrEnum):
    """Which CA signed: the one that is there, or the one that is to come."""

    OLD = "old"
    NEW = "new"


class Trust(StrEnum):
    """Whose certificates are accepted."""

    OLD = "the old CA"
    BOTH = "both CAs"
    NEW = "the new CA alone"

    @property
    def generations(self) -> frozenset[Generation]:
        """The generations that are trusted."""
        match self:
            case Trust.OLD:
                return frozenset({Generation.OLD})
            case Trust.NEW:
                return frozenset({Generation.NEW})
        return frozenset(Generation)


class Port(StrEnum):
    """The two ports of a member."""

    CLIENT = "client port"
    PEER = "peer port"


class Ports(Protocol):
    """What the ports of members answer now. Nothing here raises for what a port does."""

    def shown(self, member: str, port: Port) -> int | None:
        """The serial number of the certificate that the port shows, None where no handshake ends."""
        ...

    def lets_in(self, member: str, port: Port, generation: Generation) -> bool | None:
        """Whether a certificate of that generation's CA is let in; None where it came to neither yes nor no."""
        ...

    def ready(self, member: str) -> bool:
        """Whether the member says that it is healthy, which it is only with a leader."""
        ...
