"""A key store must not need what its keys protect: one that runs in this cluster is refused.

After a restart of the control plane the API server reads its keys from a file, and
so comes up without the key store. But the day that file is lost, or has to be made
anew, the keys are in a Vault whose storage, certificate and unsealing are Secrets
and Pods of a cluster that does not start without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from keyctl.errors import RefusedError
from keyctl.kube.interface import OwnNetwork
from keyctl.rotation.world import NetworkPlace, World

_HINTS = (
    "use a Vault that runs outside of this cluster: keys.address in the cluster file",
    "or keep the keys on a disk (keys.store: file), with an escrow: keyctl keys escrow FILE --recipient age1...",
)


def check_store_outside(world: World) -> tuple[str, ...]:
    """Raise `RefusedError` where the key store runs in the cluster; returns what could not be looked at."""
    if world.store_server is None:
        return ()
    place = world.store_server.locate()
    if _is_service(place.host):
        raise _refused(place, f"{place.host} is the name of a Service, as only Pods and Nodes of this cluster know it")
    network = world.store_server.network.own_network()
    for host in (place.host, *place.addresses):
        found = network.at(host, place.port)
        if found:
            where = place.host if host == place.host else f"{place.host} is {host}, and that"
            raise _refused(place, f"{where} is {found} of this cluster")
    doubts = "; ".join(_doubts(place, network))
    return (f"whether the key store at {place.host} runs in this cluster is not known: {doubts}",) if doubts else ()


def _doubts(place: NetworkPlace, network: OwnNetwork) -> Iterator[str]:
    if network.unseen:
        yield f"you may not list {', '.join(network.unseen)}"
    if not place.addresses:
        yield "its name leads to no address here"
    if any(ip_address(one).is_loopback for one in place.addresses):
        yield "it is reached on this very machine, from where a port-forward or a proxy may lead into it"
    nodes = filter(None, (network.nodes.get(host.lower()) for host in (place.host, *place.addresses)))
    for node in dict.fromkeys(nodes):
        yield f"it is on {node}, where a Pod may have the port of its host"


def _is_service(host: str) -> bool:
    """Whether `host` is a name of a cluster's own DNS. One under another domain than the usual shows by its address."""
    return host.lower().rstrip(".").endswith((".svc", ".svc.cluster.local"))


def _refused(place: NetworkPlace, cause: str) -> RefusedError:
    return RefusedError(
        f"the key store at {place.host}:{place.port} runs in the cluster whose Secrets it would protect",
        cause=f"{cause}; if this cluster is lost with the keys in it, neither can be started without the other",
        hint=_HINTS,
        rule="preflight",
    )
