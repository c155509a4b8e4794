"""Where what runs in a cluster can be reached: Services, endpoints, Ingresses and Nodes in, addresses out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from keyctl.kube import fields
from keyctl.kube.interface import ANY_PORT, Reached

SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
NODES = "/api/v1/nodes"


def of_services(services: Iterable[object], nodes: Iterable[str]) -> Iterator[tuple[Reached, str]]:
    """The addresses of Services, and their ports on every one of `nodes`, which are addresses.

    One of type ExternalName is only another name for something, which may be anywhere.
    """
    on_nodes = tuple(nodes)
    for service in services:
        name = _named("Service", service)
        ports = fields.items(service, "spec", "ports")
        open_ports = tuple(_port(port, "port") for port in ports)
        own = {fields.text(service, "spec", "clusterIP"), *_texts(service, "spec", "clusterIPs")} - {"", "None"}
        for address in sorted(own):
            yield (address, ANY_PORT), name
        for host in (*_texts(service, "spec", "externalIPs"), *_balanced(service)):
            yield from (((host, port), name) for port in open_ports)
        for node_port in filter(None, (_port(port, "nodePort") for port in ports)):
            yield from (((address, node_port), name) for address in on_nodes)


def of_slices(slices: Iterable[object]) -> Iterator[tuple[Reached, str]]:
    """The addresses of Pods behind Services. An endpoint that is no Pod was written by hand and may be anywhere."""
    for one in slices:
        ports = tuple(_port(port, "port") for port in fields.items(one, "ports"))
        for endpoint in fields.items(one, "endpoints"):
            if fields.text(endpoint, "targetRef", "kind") == "Pod":
                target = fields.find(endpoint, "targetRef")
                pod = f"Pod {fields.text(target, 'namespace')}/{fields.text(target, 'name')}"
                for address in _texts(endpoint, "addresses"):
                    yield from (((address, port), pod) for port in ports)


def of_ingresses(ingresses: Iterable[object]) -> Iterator[tuple[Reached, str]]:
    """The host names of Ingresses; one may begin with `*.`."""
    for ingress in ingresses:
        for rule in fields.items(ingress, "spec", "rules"):
            host = fields.text(rule, "host").lower()
            if host:
                yield (host, ANY_PORT), _named("Ingress", ingress)


def of_nodes(nodes: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Each address or name of a Node, and which Node that is."""
    for node in nodes:
        for address in fields.items(node, "status", "addresses"):
            yield fields.text(address, "address").lower(), f"Node {fields.text(node, 'metadata', 'name')}"


def _balanced(service: object) -> Iterator[str]:
    for ingress in fields.items(service, "status", "loadBalancer", "ingress"):
        yield from filter(None, (fields.text(ingress, "ip"), fields.text(ingress, "hostname").lower()))


def _texts(document: object, *path: str) -> tuple[str, ...]:
    return tuple(one for one in fields.items(document, *path) if isinstance(one, str))


def _port(port: object, name: str) -> int:
    value = port.get(name) if isinstance(port, Mapping) else None
    return value if isinstance(value, int) else ANY_PORT


def _named(kind: str, document: object) -> str:
    return f"{kind} {fields.text(document, 'metadata', 'namespace')}/{fields.text(document, 'metadata', 'name')}"
