"""Whether etcd's ports are reached from this machine, where somebody says that they must not be.

A port that stays silent proves a firewall only where the same host answers otherwise: else it may just be down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from keyctl.errors import WrongUsageError
from keyctl.findings import Evidence, Location
from keyctl.pki.survey import Knock

# Those of clients and of peers.
_PORTS = (2379, 2380)
# By one of these a host of a control plane, or any host, shows that it is up.
_SIGNS = (6443, 443, 22)


@dataclass(frozen=True, slots=True)
class Reached:
    """A port that was tried. `sign` is another port of the host that answered, 0 where none did."""

    knock: Knock
    sign: int
    location: Location
    evidence: Evidence = Evidence.E3


def look(addresses: Iterable[str], knock: Callable[[str, int], Knock]) -> Iterator[Reached]:
    """Try both ports of each host, or the one port that is named with it.

    Raises `WrongUsageError` for what is neither HOST nor HOST:PORT, before anything is tried.
    """
    for host, ports in [_place(one) for one in addresses]:
        found = {port: knock(host, port) for port in ports}
        quiet = Knock.SILENT in found.values()
        refused = next((port for port, one in found.items() if one is Knock.REFUSED), 0)
        sign = refused or (next(_signs(host, knock), 0) if quiet else 0)
        for port, one in found.items():
            yield Reached(one, sign, Location(endpoint=_shown(host, port)))


def _signs(host: str, knock: Callable[[str, int], Knock]) -> Iterator[int]:
    yield from (port for port in _SIGNS if knock(host, port) in (Knock.OPEN, Knock.REFUSED))


def _place(address: str) -> tuple[str, tuple[int, ...]]:
    bare = f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address
    try:
        parts = urlsplit(f"//{bare}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or parts.query or parts.username is not None:
        raise WrongUsageError(f"{address} is no address", hint="write HOST or HOST:PORT, IPv6 in brackets")
    return host, (port,) if port else _PORTS


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
