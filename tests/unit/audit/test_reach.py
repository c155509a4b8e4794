"""Ports that must not be reached from here."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

import pytest

from keyctl.audit.live.reach import look
from keyctl.errors import WrongUsageError
from keyctl.pki.knock import knock
from keyctl.pki.survey import Knock
from tests.support.etcd_process import free_port

OPEN, R, S, U = Knock.OPEN, Knock.REFUSED, Knock.SILENT, Knock.UNKNOWN


@dataclass
class Hosts:
    """Answers for each port; what is not in `ports` stays silent."""

    ports: dict[int, Knock]
    tried: list[tuple[str, int]] = field(default_factory=list)

    def knock(self, host: str, port: int) -> Knock:
        self.tried.append((host, port))
        return self.ports.get(port, S)


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        pytest.param({2379: OPEN, 2380: R}, [(OPEN, 2380), (R, 2380)], id="one is open"),
        pytest.param({2379: R, 2380: R}, [(R, 2379), (R, 2379)], id="refused"),
        pytest.param({}, [(S, 0), (S, 0)], id="silent, as all of the host"),
        pytest.param({443: OPEN}, [(S, 443), (S, 443)], id="silent, and the host is up"),
        pytest.param({22: R}, [(S, 22), (S, 22)], id="silent, and the host refuses another"),
        pytest.param({6443: U}, [(S, 0), (S, 0)], id="what is not known is no sign"),
        pytest.param({2379: U, 2380: U}, [(U, 0), (U, 0)], id="not known"),
    ],
)
def test_a_silent_port_needs_a_sign_that_its_host_is_up(
    ports: dict[int, Knock], found: list[tuple[Knock, int]]
) -> None:
    assert [(one.knock, one.sign) for one in look(["192.0.2.1"], Hosts(ports).knock)] == found


@pytest.mark.parametrize(
    ("address", "places"),
    [
        ("etcd.example", ["etcd.example:2379", "etcd.example:2380"]),
        ("etcd.example:4001", ["etcd.example:4001"]),
        ("192.0.2.1:2379", ["192.0.2.1:2379"]),
        ("2001:db8::1", ["[2001:db8::1]:2379", "[2001:db8::1]:2380"]),
        ("[2001:db8::1]:2379", ["[2001:db8::1]:2379"]),
    ],
)
def test_an_address_may_name_its_port(address: str, places: list[str]) -> None:
    assert [one.location.endpoint for one in look([address], Hosts({2379: R, 2380: R, 4001: R}).knock)] == places


@pytest.mark.parametrize(
    "address", ["", "https://etcd.example", "etcd.example/x", "etcd.example:no", "me@etcd", "a:99999"]
)
def test_what_is_no_address_is_refused_before_anything_is_tried(address: str) -> None:
    hosts = Hosts({})
    with pytest.raises(WrongUsageError, match="is no address"):
        list(look(["192.0.2.1", address], hosts.knock))
    assert hosts.tried == []


def test_a_port_that_listens_is_open_and_one_that_does_not_refuses() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert knock("127.0.0.1", listener.getsockname()[1], 2) is OPEN
    assert knock("127.0.0.1", free_port(), 2) is R


def test_a_name_without_an_address_is_not_known() -> None:
    assert knock("nobody.invalid", 2379, 2) is U
    assert knock("a" * 300, 2379, 2) is U
