"""Which ports of etcd there are to try, and what each of them answered to those whom it must refuse.

Tries nothing itself: that is the `Surveyor`'s. An address that means another machine from here is not tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from keyctl.audit.checks.addresses import is_loopback
from keyctl.audit.live.members import Seen
from keyctl.findings import Evidence, Location
from keyctl.pki.survey import Outcome, Survey, Surveyor, nothing_tried
from keyctl.stored.display import display

_ELSEWHERE = "the address is one of its own host, which from here is another machine"


class Role(StrEnum):
    """Whom a port is for."""

    CLIENTS = "client port"
    PEERS = "peer port"


_PORTS = {Role.CLIENTS: 2379, Role.PEERS: 2380}


@dataclass(frozen=True, slots=True)
class Door:
    """A port of a member that somebody may knock at. `member` is its name, or "" where that is not known.

    `elsewhere` says that its address is one of a loopback that is not this machine's.
    """

    member: str
    role: Role
    url: str
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class PortAnswers:
    """What a port answered to everybody who tried it."""

    member: str
    role: Role
    survey: Survey
    location: Location
    evidence: Evidence = Evidence.E3

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"the {self.role} of {self.member}" if self.member else f"the {self.role}"


def doors(endpoints: tuple[str, ...], seen: Seen) -> tuple[Door, ...]:
    """Every client port and peer port, each once.

    A member that answered at an endpoint is tried there, and where it tells clients to come without TLS.
    """
    names = {member.id: display(member.name) or member.id for member in seen.members}
    called = {url: names.get(id, "") for id, url in seen.reached}
    found = [Door(called.get(url, ""), Role.CLIENTS, url) for url in endpoints]
    at = dict(seen.reached)
    for member in seen.members:
        # Who answers us on a loopback is on this machine; the loopback of anybody else is not ours.
        here = member.id in at and is_loopback(_host(at[member.id]))
        told = [url for url in member.urls if member.id not in at or not url.startswith("https://")]
        for role, urls in ((Role.CLIENTS, told), (Role.PEERS, member.peer_urls)):
            found += [Door(names[member.id], role, url, is_loopback(_host(url)) and not here) for url in urls]
    # The same loopback is another port on each host.
    keyed = (((one.role, *_place(one), one.member if one.elsewhere else ""), one) for one in reversed(found))
    return tuple(dict(keyed).values())[::-1]


def look(ports: Iterable[Door], surveyor: Surveyor) -> Iterator[PortAnswers]:
    """Knock at each of them. Raises what the `surveyor` raises."""
    for one in ports:
        host, port = _place(one)
        if not host:
            survey = nothing_tried(Outcome.UNKNOWN, "its address is none that can be reached by TCP")
        elif one.elsewhere:
            survey = nothing_tried(Outcome.UNKNOWN, _ELSEWHERE)
        else:
            survey = surveyor.survey(host, port, own=one.role is Role.CLIENTS)
        yield PortAnswers(one.member, one.role, survey, Location(endpoint=display(one.url)))


def _host(url: str) -> str:
    return _place(Door("", Role.CLIENTS, url))[0]


def _place(door: Door) -> tuple[str, int]:
    """Host and port, "" for what is no URL of a host."""
    try:
        parts = urlsplit(door.url)
        return parts.hostname or "", parts.port or _PORTS[door.role]
    except ValueError:
        return "", 0
