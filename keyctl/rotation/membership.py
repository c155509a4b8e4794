"""Do all sources agree on who the API servers are (rule R11)? Values in, a sentence out."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence

from keyctl.kube.interface import Census, ServerProbe
from keyctl.rotation.world import Server


def disagreement(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> str:
    """What does not agree, in one sentence; empty when everything does.

    `probes` are those of `servers`, in the same order, all ready.
    """
    return (
        _listed_twice(probes)
        or _leases(census, servers, probes)
        or _endpoints(census, servers)
        or _nodes(census, servers)
    )


def registering(census: Census, servers: Sequence[Server]) -> bool:
    """Whether a listed server is missing in the Endpoints and nothing else there is wrong: that passes by itself."""
    listed = {address for server in servers if (address := _address(server))}
    return census.endpoints < listed


def _listed_twice(probes: Sequence[ServerProbe]) -> str:
    seen: dict[tuple[float, int], str] = {}
    for probe in probes:
        process = (probe.start_time, probe.certificate_serial)
        if process in seen:
            return f"{seen[process]} and {probe.name} are one process: same start time and same serving certificate"
        seen[process] = probe.name
    return ""


def _leases(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> str:
    if not census.leases:
        return "the cluster has no identity Lease of a kube-apiserver renewed lately"
    if all(server.hostname for server in servers):
        told = {hostname for _, hostname in census.leases}
        listed = {server.hostname for server in servers if server.hostname}
        return _difference("identity Leases", told, listed)
    if all(probe.id_hash for probe in probes):
        # An API server's id is the name of its Lease; the metric carries the id's SHA-256.
        names = {"sha256:" + hashlib.sha256(name.encode()).hexdigest(): hostname for name, hostname in census.leases}
        unlisted = names.keys() - {probe.id_hash for probe in probes}
        if unlisted:
            return f"an API server that is not in the cluster file renews its Lease: {names[min(unlisted)]}"
        return ""
    return "the cluster file does not tie its servers to their Leases: identity.hostname is missing"


def _endpoints(census: Census, servers: Sequence[Server]) -> str:
    listed = {address for server in servers if (address := _address(server))}
    if len(listed) < len(servers):
        return "the cluster file does not tie its servers to the Endpoints: identity.advertiseAddress is missing"
    return _difference("the kubernetes Endpoints", set(census.endpoints), listed)


def _nodes(census: Census, servers: Sequence[Server]) -> str:
    listed = {server.hostname for server in servers if server.hostname}
    unlisted = census.control_plane_nodes - listed
    if listed and unlisted:
        return f"control-plane Node {min(unlisted)} is not in the cluster file"
    return ""


def _address(server: Server) -> str | None:
    if server.advertise_address:
        return server.advertise_address
    try:
        return str(ipaddress.ip_address(server.url_host))
    except ValueError:
        return None


def _difference(source: str, told: set[str], listed: set[str]) -> str:
    if told - listed:
        return f"{source} name an API server that is not in the cluster file: {min(told - listed)}"
    if listed - told:
        return f"{source} do not name {min(listed - told)}, which is in the cluster file"
    return ""
