"""Where the certificates of an etcd stand in the directory that `certs init` makes. Paths only: nothing is opened.

ca.crt ca.key                 the CA of servers and of clients
peer-ca.crt peer-ca.key       that of members among themselves, unless one CA was asked for
members/NAME/                 what one member needs, CAs included: this folder goes to its host
clients/NAME/                 what one client needs: client.crt, client.key, ca.crt
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CA = "ca"
PEER_CA = "peer-ca"
SERVER = "server"
PEER = "peer"
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Layout:
    """The directory `root`."""

    root: Path

    @property
    def has_peer_ca(self) -> bool:
        """Whether peers have a CA of their own here. The only look that is taken."""
        return self.certificate(PEER_CA).exists()

    def certificate(self, stem: str) -> Path:
        """The certificate of the CA `stem`."""
        return self.root / f"{stem}.crt"

    def key(self, stem: str) -> Path:
        """Its private key."""
        return self.root / f"{stem}.key"

    def member(self, name: str) -> Path:
        """The folder of a member."""
        return self.root / "members" / name

    def client(self, name: str) -> Path:
        """The folder of a client."""
        return self.root / "clients" / name
