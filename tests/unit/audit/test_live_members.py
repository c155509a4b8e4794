"""What the collectors make of the members of an etcd and of their ports, without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from keyctl.audit.facts import About, Unread
from keyctl.audit.live.members import EtcdState, MemberState, Seen, look
from keyctl.audit.live.probes import Door, Role, doors
from keyctl.audit.live.probes import look as knock_at
from keyctl.errors import UnreachableError
from keyctl.etcd.interface import Alarm, EndpointStatus, Member
from keyctl.findings import Evidence
from keyctl.pki.survey import Attempt, Outcome, Survey, nothing_tried

T = TypeVar("T")
ONE, TWO, THREE = (f"https://10.0.0.{number}:2379" for number in (1, 2, 3))
PEER_ONE, PEER_TWO = "https://10.0.0.1:2380", "https://10.0.0.2:2380"


def down(what: str) -> UnreachableError:
    return UnreachableError(f"no {what}", cause="tcp: connection refused\nand more")


@dataclass
class Site:
    """An etcd of some members; what is in `silent` is not told. `closed` counts the clients that were given back."""

    statuses: dict[str, EndpointStatus]
    known: tuple[Member, ...] = ()
    alarm: tuple[Alarm, ...] = ()
    auth: bool = False
    others: int = 0
    silent: set[str] = field(default_factory=set)
    prefixes: list[bytes] = field(default_factory=list)
    opened: int = 0
    closed: int = 0

    def connect(self, endpoint: str) -> Client:
        self.opened += 1
        return Client(self, endpoint)


@dataclass
class Client:
    site: Site
    endpoint: str

    def status(self) -> tuple[EndpointStatus, ...]:
        if self.endpoint not in self.site.statuses:
            raise down("answer")
        return (self.site.statuses[self.endpoint],)

    def members(self) -> tuple[Member, ...]:
        return self._told("members", self.site.known)

    def alarms(self) -> tuple[Alarm, ...]:
        return self._told("alarms", self.site.alarm)

    def auth_enabled(self) -> bool:
        return self._told("auth", self.site.auth)

    def count_outside(self, prefix: bytes) -> int:
        self.site.prefixes.append(prefix)
        return self._told("others", self.site.others)

    def close(self) -> None:
        self.site.closed += 1

    def _told(self, what: str, value: T) -> T:
        if what in self.site.silent:
            raise down(what)
        return value


def status(endpoint: str, id: str, version: str = "3.7.3") -> EndpointStatus:
    return EndpointStatus(endpoint, version, "c", id, 7, 1, 0)


def member(id: str, *urls: str, peers: tuple[str, ...] = ()) -> Member:
    return Member(id, f"m{id}", urls, False, peers)


M1, M2 = member("1", ONE, peers=(PEER_ONE,)), member("2", TWO, peers=(PEER_TWO,))
STATUS_1, STATUS_2 = status(ONE, "1"), status(TWO, "2")


def whole(seen: Seen) -> EtcdState:
    (found,) = (one for one in seen.facts if isinstance(one, EtcdState))
    return found


def unread(seen: Seen) -> list[Unread]:
    return [one for one in seen.facts if isinstance(one, Unread)]


def test_each_member_tells_its_version_and_the_first_one_tells_of_the_whole() -> None:
    site = Site({ONE: STATUS_1, TWO: STATUS_2}, (M1, M2), (Alarm("2", "NOSPACE"),), auth=True, others=4)
    seen = look("etcd", (ONE, TWO), site.connect, "/registry/")
    states = [one for one in seen.facts if isinstance(one, MemberState)]
    assert [(one.name, one.version, one.location.endpoint) for one in states] == [
        ("m1", "3.7.3", ONE),
        ("m2", "3.7.3", TWO),
    ]
    assert (whole(seen).alarms, whole(seen).auth, whole(seen).others) == ((Alarm("2", "NOSPACE"),), True, 4)
    assert {one.evidence for one in seen.facts} == {Evidence.E2}
    assert not unread(seen)
    assert site.prefixes == [b"/registry/"]
    assert site.opened == site.closed


def test_a_silent_endpoint_is_unread_and_hides_none_of_the_others() -> None:
    seen = look("etcd", (ONE, TWO), Site({TWO: STATUS_2}, (M1, M2)).connect, "/registry")
    first, second = unread(seen)
    assert (first.reason, first.location.endpoint) == ("no answer (tcp: connection refused)", ONE)
    assert second.reason == "no endpoint that was given and answers is that of member m1"
    assert {one.about for one in unread(seen)} == {frozenset({About.MEMBER})}
    assert [one.name for one in seen.facts if isinstance(one, MemberState)] == ["m2"]


def test_no_endpoint_that_answers_leaves_nothing_but_what_is_unread() -> None:
    seen = look("etcd", (ONE, TWO), Site({}).connect, "/registry")
    assert len(unread(seen)) == 2
    assert len(seen.facts) == 2


def test_a_member_at_two_endpoints_is_one_member() -> None:
    seen = look("etcd", (ONE, THREE), Site({ONE: STATUS_1, THREE: status(THREE, "1")}, (M1,)).connect, "/registry")
    assert len([one for one in seen.facts if isinstance(one, MemberState)]) == 1
    assert not unread(seen)


def test_what_a_member_calls_itself_is_shown_on_one_line() -> None:
    odd = Member("1", "m\x1b[31m\n1", (), False, ("https://10.0.0.1:2380/\x07",))
    seen = look("etcd", (ONE,), Site({ONE: status(ONE, "1", "3.7.3\n")}, (odd,)).connect, "/registry")
    (state,) = (one for one in seen.facts if isinstance(one, MemberState))
    assert (state.name, state.version) == ("m\\x1b[31m\\n1", "3.7.3\\n")
    found = list(knock_at(doors((ONE,), seen), Knocker()))
    assert all((one.name + (one.location.endpoint or "")).isprintable() for one in found)


def test_members_that_are_not_told_are_not_taken_for_none() -> None:
    seen = look("etcd", (ONE,), Site({ONE: STATUS_1}, (M1,), silent={"members"}).connect, "/registry")
    assert [one.reason for one in unread(seen)] == ["its members were not told: no members (tcp: connection refused)"]


@pytest.mark.parametrize(("silent", "field"), [("alarms", "alarms"), ("auth", "auth"), ("others", "others")])
def test_what_etcd_does_not_tell_is_none_and_hides_nothing_else(silent: str, field: str) -> None:
    found = whole(look("etcd", (ONE,), Site({ONE: STATUS_1}, (M1,), silent={silent}).connect, "/registry"))
    values = {"alarms": found.alarms, "auth": found.auth, "others": found.others}
    assert values == {"alarms": (), "auth": False, "others": 0} | {field: None}
    assert found.untold == f"no {silent} (tcp: connection refused)"


def places(*found: Door) -> list[tuple[str, Role, str, bool]]:
    return [(one.member, one.role, one.url, one.elsewhere) for one in found]


def test_a_member_is_tried_at_its_endpoint_and_at_its_peer_port() -> None:
    assert places(*doors((ONE,), Seen((), (M1,), (("1", ONE),)))) == [
        ("m1", Role.CLIENTS, ONE, False),
        ("m1", Role.PEERS, PEER_ONE, False),
    ]


def test_a_member_that_no_endpoint_is_of_is_tried_where_it_tells_clients_to_come() -> None:
    found = doors((ONE,), Seen((), (M1, M2), (("1", ONE),)))
    assert ("m2", Role.CLIENTS, TWO, False) in places(*found)
    assert ("m2", Role.PEERS, PEER_TWO, False) in places(*found)


def test_an_endpoint_that_did_not_answer_is_tried_all_the_same() -> None:
    assert places(*doors((ONE,), Seen(()))) == [("", Role.CLIENTS, ONE, False)]


def test_an_http_address_that_a_member_tells_is_tried_beside_the_one_that_answered() -> None:
    plain = "http://10.0.0.1:2378"
    found = doors((ONE,), Seen((), (member("1", ONE, plain),), (("1", ONE),)))
    assert ("m1", Role.CLIENTS, plain, False) in places(*found)
    elsewhere = member("1", ONE, "https://etcd.example:2379")
    assert places(*doors((ONE,), Seen((), (elsewhere,), (("1", ONE),)))) == [("m1", Role.CLIENTS, ONE, False)]


def test_an_address_that_is_none_hides_no_other() -> None:
    odd = member("1", "https://[10.0.0.1", peers=("http://[", PEER_ONE))
    found = doors((ONE,), Seen((), (odd, M2), (("2", ONE),)))
    assert {one.url for one in found} == {ONE, "https://[10.0.0.1", "http://[", PEER_ONE, PEER_TWO}


def test_one_port_is_tried_once() -> None:
    twice = member("1", "http://10.0.0.1:2379", peers=(PEER_ONE, PEER_ONE))
    assert len(doors((ONE, ONE), Seen((), (twice,), (("1", ONE),)))) == 2


@pytest.mark.parametrize(
    ("endpoint", "elsewhere"), [("https://127.0.0.1:2379", False), ("https://10.0.0.1:2379", True)]
)
def test_the_loopback_of_a_member_is_ours_only_where_it_answered_us_on_one(endpoint: str, elsewhere: bool) -> None:
    near = member("1", peers=("http://localhost:2380",))
    found = doors((endpoint,), Seen((), (near,), (("1", endpoint),)))
    assert places(*found)[-1] == ("m1", Role.PEERS, "http://localhost:2380", elsewhere)


def test_the_loopback_of_a_member_that_did_not_answer_is_never_ours() -> None:
    far = member("2", "https://127.0.0.1:2379", peers=("https://127.0.0.1:2380",))
    found = doors(("https://127.0.0.1:1",), Seen((), (M1, far), (("1", "https://127.0.0.1:1"),)))
    assert [one.elsewhere for one in found if one.member == "m2"] == [True, True]


def test_the_same_loopback_of_two_members_is_two_ports() -> None:
    near, far = (member(id, peers=("https://127.0.0.1:2380",)) for id in ("1", "2"))
    found = doors(("https://127.0.0.1:1",), Seen((), (near, far), (("1", "https://127.0.0.1:1"),)))
    assert [(one.member, one.elsewhere) for one in found if one.role is Role.PEERS] == [("m1", False), ("m2", True)]


@dataclass
class Knocker:
    """Says the same of each port; `asked` are the ports."""

    asked: list[tuple[str, int, bool]] = field(default_factory=list)

    def survey(self, host: str, port: int, *, own: bool) -> Survey:
        self.asked.append((host, port, own))
        return nothing_tried(Outcome.REFUSED, "no")


def test_clients_ports_are_tried_with_our_certificate_and_peers_without() -> None:
    knocker = Knocker()
    ports = [
        Door("m1", Role.CLIENTS, "https://10.0.0.1"),
        Door("m1", Role.PEERS, "https://[fd00::1]"),
    ]
    found = list(knock_at(ports, knocker))
    assert knocker.asked == [("10.0.0.1", 2379, True), ("fd00::1", 2380, False)]
    assert [(one.name, one.location.endpoint, one.evidence) for one in found] == [
        ("the client port of m1", "https://10.0.0.1", Evidence.E3),
        ("the peer port of m1", "https://[fd00::1]", Evidence.E3),
    ]


@pytest.mark.parametrize(
    "door",
    [
        Door("m1", Role.PEERS, "https://127.0.0.1:2380", elsewhere=True),
        Door("m1", Role.CLIENTS, "unix:///run/etcd.sock"),
        Door("m1", Role.CLIENTS, "https://10.0.0.1:no"),
        Door("m1", Role.PEERS, "https://[10.0.0.1"),
    ],
)
def test_what_cannot_be_asked_from_here_is_not_tried_and_not_known(door: Door) -> None:
    knocker = Knocker()
    (found,) = knock_at([door], knocker)
    assert knocker.asked == []
    assert {found.survey.answer(one).outcome for one in Attempt} == {Outcome.UNKNOWN}
