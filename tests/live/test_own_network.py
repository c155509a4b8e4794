"""What a real kube-apiserver tells of the cluster's own network, by which a Vault inside of it is known."""

from __future__ import annotations

from typing import Any

import pytest

from keyctl.lab.plane import Lab
from tests.support.plane import ControlPlanes
from tests.support.real_kube import api_server, ask

pytestmark = pytest.mark.live


def create(lab: Lab, path: str, body: dict[str, object]) -> dict[str, object]:
    code, document = ask(lab, "POST", path, body)
    assert code == 201, document
    return document


def spec_of(document: dict[str, object]) -> dict[str, Any]:
    spec = document["spec"]
    assert isinstance(spec, dict)
    return spec


def test_services_pods_ingresses_and_node_ports_are_known_by_their_addresses(control_plane: ControlPlanes) -> None:
    lab = control_plane(1)
    ports = [{"port": 8200}]
    plain = create(
        lab, "/api/v1/namespaces/default/services", {"metadata": {"name": "vault"}, "spec": {"ports": ports}}
    )
    node_port = {"metadata": {"name": "vault-outside"}, "spec": {"type": "NodePort", "ports": ports}}
    outside = create(lab, "/api/v1/namespaces/default/services", node_port)
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    pod = {"addresses": ["10.244.1.9"], "targetRef": {"kind": "Pod", "namespace": "default", "name": "vault-0"}}
    by_hand = {"addresses": ["192.0.2.7"]}
    for name, endpoint in (("vault-1", pod), ("outer-1", by_hand)):
        create(
            lab,
            slices,
            {"metadata": {"name": name}, "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"port": 8200}]},
        )
    rule = {"host": "vault.example.com"}
    backend = {"service": {"name": "vault", "port": {"number": 8200}}}
    create(
        lab,
        "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
        {"metadata": {"name": "vault"}, "spec": {"rules": [rule], "defaultBackend": backend}},
    )
    create(lab, "/api/v1/nodes", {"metadata": {"name": "worker"}})
    status = {"addresses": [{"type": "InternalIP", "address": "192.0.2.20"}]}
    code, answer = ask(lab, "PATCH", "/api/v1/nodes/worker/status", {"status": status})
    assert code == 200, answer
    api = api_server(lab, "cp1")
    network = api.own_network()
    api.close()
    assert network.unseen == ()
    assert network.at(str(spec_of(plain)["clusterIP"]), 8200) == "Service default/vault"
    (opened,) = spec_of(outside)["ports"]
    assert network.at("192.0.2.20", opened["nodePort"]) == "Service default/vault-outside"
    assert network.at("192.0.2.20", 8200) is None
    assert network.at("10.244.1.9", 8200) == "Pod default/vault-0"
    assert network.at("192.0.2.7", 8200) is None
    assert network.at("vault.example.com", 443) == "Ingress default/vault"
