"""Where what runs in a cluster can be reached: what each kind of object tells of it, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keyctl.errors import UnreachableError
from keyctl.kube.interface import OwnNetwork
from keyctl.kube.servers import HttpApiServer
from tests.support.scripted_api import Reply, Request, reply, scripted_api, status_reply

SERVICES = "/api/v1/services"
NODES = "/api/v1/nodes"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
NAMED = {"metadata": {"namespace": "vault", "name": "vault"}}
SERVICE, POD, INGRESS = "Service vault/vault", "Pod vault/vault-0", "Ingress vault/vault"

_Look = Callable[[Mapping[str, Reply]], OwnNetwork]


@pytest.fixture
def look(tmp_path: Path) -> _Look:
    """What a server tells that has the given lists, and no others."""

    def ask(answers: Mapping[str, Reply]) -> OwnNetwork:
        empty = {path: reply({"items": []}) for path in (SERVICES, NODES, SLICES, INGRESSES)}

        def answer(asked: Request) -> Reply:
            return {**empty, **answers}[urlsplit(asked.path).path]

        with scripted_api(tmp_path, answer) as api:
            return HttpApiServer("cp1", api.connect()).own_network()

    return ask


def service(kind: str = "ClusterIP", **more: object) -> Reply:
    spec = {"type": kind, "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "ports": [{"port": 8200}]}
    status = more.pop("status", {})
    return reply({"items": [{**NAMED, "spec": spec | more, "status": status}]})


def slices(target: Mapping[str, str] | None) -> Reply:
    endpoint: dict[str, object] = {"addresses": ["10.244.1.9"]}
    if target is not None:
        endpoint["targetRef"] = target
    return reply({"items": [{**NAMED, "endpoints": [endpoint], "ports": [{"port": 8200}]}]})


POD_TARGET = {"kind": "Pod", "namespace": "vault", "name": "vault-0"}


def test_the_own_addresses_of_a_service_are_its_at_every_port(look: _Look) -> None:
    network = look({SERVICES: service()})
    assert [network.at(host, 9999) for host in ("10.96.0.7", "fd00::7", "10.96.0.8")] == [SERVICE, SERVICE, None]
    assert network.unseen == ()


def test_what_a_service_is_reachable_by_from_outside_is_its_at_its_port(look: _Look) -> None:
    balanced = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "LB.example.com"}]}}
    network = look({SERVICES: service("LoadBalancer", externalIPs=["192.0.2.9"], status=balanced)})
    for host in ("192.0.2.1", "lb.example.com", "LB.EXAMPLE.COM.", "192.0.2.9"):
        assert (network.at(host, 8200), network.at(host, 443)) == (SERVICE, None)


def test_a_node_port_is_open_on_every_node_and_the_other_ports_of_a_node_are_not_the_services(look: _Look) -> None:
    addresses = [{"type": "InternalIP", "address": "10.0.0.5"}, {"type": "Hostname", "address": "cp1"}]
    network = look(
        {
            SERVICES: service("NodePort", ports=[{"port": 8200, "nodePort": 30200}]),
            NODES: reply({"items": [{"status": {"addresses": addresses}}]}),
        }
    )
    assert [network.at("10.0.0.5", port) for port in (30200, 8200)] == [SERVICE, None]
    assert network.at("cp1", 30200) == SERVICE


def test_a_service_without_an_address_and_one_that_is_another_name_tell_nothing(look: _Look) -> None:
    headless = {**NAMED, "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 8200}]}}
    alias = {**NAMED, "spec": {"type": "ExternalName", "externalName": "vault.example.com"}}
    assert look({SERVICES: reply({"items": [headless, alias]})}).reached == {}


def test_the_address_of_a_pod_is_its_and_one_written_by_hand_is_nobodys(look: _Look) -> None:
    assert look({SLICES: slices(POD_TARGET)}).at("10.244.1.9", 8200) == POD
    assert look({SLICES: slices(POD_TARGET)}).at("10.244.1.9", 8201) is None
    assert look({SLICES: slices(None)}).reached == {}


@pytest.mark.parametrize(
    ("rule", "host", "found"),
    [
        ("vault.example.com", "vault.example.com", INGRESS),
        ("vault.example.com", "Vault.Example.Com", INGRESS),
        ("vault.example.com", "other.example.com", None),
        ("*.example.com", "vault.example.com", INGRESS),
        ("*.example.com", "example.com", None),
    ],
)
def test_the_hosts_of_an_ingress_are_its(look: _Look, rule: str, host: str, found: str | None) -> None:
    network = look({INGRESSES: reply({"items": [{**NAMED, "spec": {"rules": [{"host": rule}, {}]}}]})})
    assert network.at(host, 443) == found


def test_what_we_may_not_list_is_named_and_the_rest_is_used(look: _Look) -> None:
    network = look({SERVICES: status_reply(403, "no"), NODES: status_reply(403, "no"), SLICES: slices(POD_TARGET)})
    assert network.unseen == ("services", "nodes")
    assert network.at("10.244.1.9", 8200) == POD


def test_a_kind_that_is_not_served_has_no_objects(look: _Look) -> None:
    assert look({INGRESSES: status_reply(404, "no such")}).unseen == ()


def test_a_server_that_fails_is_an_error_and_no_empty_network(look: _Look) -> None:
    with pytest.raises(UnreachableError, match="did not list services"):
        look({SERVICES: status_reply(500, "etcd is away")})


def test_nodes_are_known_by_each_of_their_addresses(look: _Look) -> None:
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "CP1.example"}]
    node = {"metadata": {"name": "cp1"}, "status": {"addresses": addresses}}
    assert look({NODES: reply({"items": [node]})}).nodes == {"10.0.0.1": "Node cp1", "cp1.example": "Node cp1"}
