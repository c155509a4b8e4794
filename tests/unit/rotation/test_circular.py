"""A key store that runs in the cluster whose Secrets it would protect is refused, before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError
from keyctl.kube.interface import ANY_PORT, OwnNetwork, Reached
from keyctl.rotation.circular import check_store_outside
from keyctl.rotation.plan import Goal
from keyctl.rotation.preflight import Wish, check
from keyctl.rotation.world import NetworkPlace, StoreServer, World
from tests.support.hints import wrong_hints
from tests.support.sim_parts import Watcher
from tests.support.simulator import SimCluster

OUTSIDE = NetworkPlace("vault.example.com", 8200, ("192.0.2.7", "2001:db8::7"))


class Network:
    """What one API server tells of the cluster's network; counts how often it was asked."""

    def __init__(
        self,
        reached: Mapping[Reached, str] | None = None,
        unseen: tuple[str, ...] = (),
        nodes: Mapping[str, str] | None = None,
    ) -> None:
        self.asked = 0
        self._told = OwnNetwork(reached or {}, unseen, nodes or {})

    def own_network(self) -> OwnNetwork:
        self.asked += 1
        return self._told


@pytest.fixture
def cluster(tmp_path: Path) -> SimCluster:
    return SimCluster(tmp_path)


def world(cluster: SimCluster, place: NetworkPlace, network: Network) -> World:
    return replace(cluster.world(), store_server=StoreServer(lambda: place, network))


@pytest.mark.parametrize(
    ("reached", "cause"),
    [
        (
            {("vault.example.com", ANY_PORT): "Ingress vault/ui"},
            "vault.example.com is Ingress vault/ui of this cluster",
        ),
        (
            {("192.0.2.7", 8200): "Service vault/vault"},
            "vault.example.com is 192.0.2.7, and that is Service vault/vault of this cluster",
        ),
        (
            {("2001:db8::7", ANY_PORT): "Service vault/vault"},
            "vault.example.com is 2001:db8::7, and that is Service vault/vault of this cluster",
        ),
    ],
)
def test_a_store_behind_an_address_of_the_cluster_is_refused(
    cluster: SimCluster, reached: Mapping[Reached, str], cause: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        check_store_outside(world(cluster, OUTSIDE, Network(reached)))
    message = "the key store at vault.example.com:8200 runs in the cluster whose Secrets it would protect"
    assert (str(caught.value), caught.value.rule) == (message, "preflight")
    assert (caught.value.cause or "").startswith(f"{cause}; ")
    assert wrong_hints(["\n".join(f"hint: {hint}" for hint in caught.value.hints)]) == []


@pytest.mark.parametrize("host", ["vault.vault.svc", "vault-0.vault.vault.SVC.cluster.local", "vault.vault.svc."])
def test_the_name_of_a_service_is_enough(cluster: SimCluster, host: str) -> None:
    network = Network()
    with pytest.raises(RefusedError, match="runs in the cluster whose Secrets"):
        check_store_outside(world(cluster, NetworkPlace(host, 8200, ()), network))
    assert network.asked == 0


@pytest.mark.parametrize(
    "reached",
    [{}, {("192.0.2.8", 8200): "Service a/b"}, {("192.0.2.7", 6443): "Service a/b"}],
    ids=["nothing", "another address", "another port"],
)
def test_a_store_that_is_elsewhere_is_none_of_this_clusters(
    cluster: SimCluster, reached: Mapping[Reached, str]
) -> None:
    network = Network(reached)
    assert check_store_outside(world(cluster, OUTSIDE, network)) == ()
    assert network.asked == 1


def test_a_name_that_only_looks_like_one_of_the_clusters_is_judged_by_its_address(cluster: SimCluster) -> None:
    place = replace(OUTSIDE, host="vault.prod.svc.example.com")
    assert check_store_outside(world(cluster, place, Network())) == ()


def test_what_may_not_be_listed_is_said_and_not_taken_for_nothing(cluster: SimCluster) -> None:
    (gap,) = check_store_outside(world(cluster, OUTSIDE, Network(unseen=("services", "nodes"))))
    assert "runs in this cluster is not known: you may not list services, nodes" in gap


def test_a_name_that_leads_nowhere_is_not_taken_for_one_that_leads_elsewhere(cluster: SimCluster) -> None:
    (gap,) = check_store_outside(world(cluster, replace(OUTSIDE, addresses=()), Network()))
    assert "is not known: its name leads to no address here" in gap


@pytest.mark.parametrize(
    ("host", "addresses"),
    [("127.0.0.1", ("127.0.0.1",)), ("localhost", ("::1", "127.0.0.1")), ("vault", ("127.0.1.1",))],
)
def test_a_port_of_this_machine_may_lead_into_the_cluster(
    cluster: SimCluster, host: str, addresses: tuple[str, ...]
) -> None:
    (gap,) = check_store_outside(world(cluster, NetworkPlace(host, 8200, addresses), Network()))
    assert gap.endswith(
        "is not known: it is reached on this very machine, from where a port-forward or a proxy may lead into it"
    )


def test_a_store_on_a_node_may_be_a_pod_there(cluster: SimCluster) -> None:
    nodes = {"192.0.2.7": "Node cp1", "2001:db8::7": "Node cp1", "192.0.2.8": "Node cp2"}
    (gap,) = check_store_outside(world(cluster, OUTSIDE, Network(nodes=nodes)))
    assert gap.endswith("it is on Node cp1, where a Pod may have the port of its host")


def test_what_is_seen_is_enough_also_where_something_may_not_be_listed(cluster: SimCluster) -> None:
    network = Network({("192.0.2.7", 8200): "Service vault/vault"}, unseen=("ingresses",))
    with pytest.raises(RefusedError):
        check_store_outside(world(cluster, OUTSIDE, network))


def test_a_store_on_a_disk_asks_nobody(cluster: SimCluster) -> None:
    assert cluster.world().store_server is None
    assert check_store_outside(cluster.world()) == ()


def test_a_rotation_is_refused_before_anything_is_touched(cluster: SimCluster) -> None:
    inside = Network({("192.0.2.7", 8200): "Service vault/vault"})
    with pytest.raises(RefusedError, match="runs in the cluster"):
        check(world(cluster, OUTSIDE, inside), Wish(Goal.ROTATE), Watcher())
    assert cluster.switch.labels == []


def test_a_plan_says_what_is_not_known_of_the_store(cluster: SimCluster) -> None:
    found = check(world(cluster, OUTSIDE, Network(unseen=("services",))), Wish(Goal.ROTATE), Watcher())
    assert [gap for gap in found.gaps if "the key store at vault.example.com" in gap]
