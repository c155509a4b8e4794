"""What the members of a running etcd say of themselves and of their cluster. Reads no value and changes nothing.

Every endpoint is asked by itself: one that is silent hides none of the others, and is an `Unread`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from keyctl.audit.facts import About, Unread
from keyctl.errors import KeyctlError
from keyctl.etcd.interface import Alarm, EndpointStatus, Member
from keyctl.findings import Evidence, Location
from keyctl.stored.display import display

T = TypeVar("T")


class MemberSource(Protocol):
    """A client of one endpoint. Every call raises `KeyctlError` where there is no answer to it."""

    def status(self) -> tuple[EndpointStatus, ...]:
        """The one member behind the endpoint."""
        ...

    def members(self) -> tuple[Member, ...]:
        """Every member that the cluster knows."""
        ...

    def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm that stands."""
        ...

    def auth_enabled(self) -> bool:
        """Whether etcd's users and roles are on."""
        ...

    def count_outside(self, prefix: bytes) -> int:
        """How many keys are none of Kubernetes'."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member that answered. `name` is the cluster's for it, or its id where that was not told."""

    name: str
    id: str
    version: str
    location: Location
    evidence: Evidence = Evidence.E2


@dataclass(frozen=True, slots=True)
class EtcdState:
    """What one etcd says of itself as a whole; what it did not tell is None, and `untold` is why.

    `etcd` is what it is called: "etcd", "etcd for events". `others` is how many keys are none of Kubernetes'.
    """

    etcd: str
    alarms: tuple[Alarm, ...] | None
    auth: bool | None
    others: int | None
    untold: str
    location: Location
    evidence: Evidence = Evidence.E2


@dataclass(frozen=True, slots=True)
class Seen:
    """One etcd: its facts, its `members` where they were told, and `reached`: their ids with where they answered."""

    facts: tuple[MemberState | EtcdState | Unread, ...]
    members: tuple[Member, ...] = ()
    reached: tuple[tuple[str, str], ...] = ()


def look(etcd: str, endpoints: tuple[str, ...], connect: Callable[[str], MemberSource], prefix: str) -> Seen:
    """Ask each of `endpoints`, and the first one that answers about the others.

    `connect` gives a client of one endpoint; it and the client may raise `KeyctlError`. `prefix` is that of Kubernetes,
    as "/registry".
    """
    statuses: list[EndpointStatus] = []
    unread: list[Unread] = []
    for endpoint in endpoints:
        try:
            statuses += _with(connect, endpoint, lambda source: source.status())
        except KeyctlError as error:
            unread.append(_unread(_sentence(error), endpoint))
    if not statuses:
        return Seen(tuple(unread))
    first = statuses[0].endpoint
    try:
        members = _with(connect, first, lambda source: source.members())
    except KeyctlError as error:
        unread.append(_unread(f"its members were not told: {_sentence(error)}", first))
        members = ()
    names = {member.id: display(member.name) for member in members}
    states = {one.member_id: _state(one, names) for one in statuses}
    unread += _not_reached(members, {one.member_id for one in statuses}, first)
    whole = _with(connect, first, lambda source: _whole(etcd, source, f"{prefix.rstrip('/')}/".encode(), first))
    reached = tuple((one.member_id, one.endpoint) for one in statuses)
    return Seen((*states.values(), whole, *unread), members, reached)


def _with(connect: Callable[[str], MemberSource], endpoint: str, ask: Callable[[MemberSource], T]) -> T:
    source = connect(endpoint)
    try:
        return ask(source)
    finally:
        source.close()


def _state(status: EndpointStatus, names: dict[str, str]) -> MemberState:
    name = names.get(status.member_id) or status.member_id
    return MemberState(name, status.member_id, display(status.version), Location(endpoint=status.endpoint))


def _not_reached(members: tuple[Member, ...], reached: set[str], endpoint: str) -> Iterator[Unread]:
    for member in members:
        if member.id not in reached:
            name = display(member.name) or member.id
            yield _unread(f"no endpoint that was given and answers is that of member {name}", endpoint)


def _whole(etcd: str, source: MemberSource, prefix: bytes, endpoint: str) -> EtcdState:
    untold: list[str] = []

    def told(ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except KeyctlError as error:
            untold.append(_sentence(error))
            return None

    alarms, auth = told(source.alarms), told(source.auth_enabled)
    others = told(lambda: source.count_outside(prefix))
    return EtcdState(etcd, alarms, auth, others, next(iter(untold), ""), Location(endpoint=endpoint))


def _unread(reason: str, endpoint: str) -> Unread:
    return Unread(reason, frozenset({About.MEMBER}), Location(endpoint=endpoint), Evidence.E2)


def _sentence(error: KeyctlError) -> str:
    return f"{error} ({display(error.cause.splitlines()[0])})" if error.cause else str(error)
