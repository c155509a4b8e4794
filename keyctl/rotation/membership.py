"""Do all sources agree on who the API servers are (rule R11)? Values in, a sentence and its remedy out."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from keyctl.kube.interface import Census, ServerProbe
from keyctl.rotation.world import Server

_OWN_ADDRESS = "list every API server once, by its own address and not by a load balancer's, in the cluster file"
_GATE = "--feature-gates=APIServerIdentity=false takes a server's Lease away: leave that out"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What does not agree, in one sentence, and what to do, before the same is tried again."""

    message: str
    hints: tuple[str, ...]


class Processes:
    """Remembers which process answered at each address: one that comes back after another is no restart."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[float, int]]] = {}

    def several(self, probes: Sequence[ServerProbe]) -> Disagreement | None:
        """The first address at which more than one process answers, turn by turn."""
        for probe in probes:
            process = (probe.start_time, probe.certificate_serial)
            answered = self._seen.setdefault(probe.name, [])
            if not probe.start_time or (answered and answered[-1] == process):
                continue
            if process in answered:
                return Disagreement(
                    f"more than one process answers at the address of {probe.name}, turn by turn", (_OWN_ADDRESS,)
                )
            answered.append(process)
        return None


def disagreement(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> Disagreement | None:
    """What does not agree; None when everything does.

    `probes` are those of `servers`, in the same order, all ready.
    """
    return (
        _listed_twice(probes)
        or _leases(census, servers, probes)
        or _endpoints(census, servers)
        or _nodes(census, servers, probes)
    )


def registering(census: Census, servers: Sequence[Server]) -> bool:
    """Whether a listed server is missing in the Endpoints and nothing else there is wrong: that passes by itself."""
    listed = {address for server in servers if (address := _address(server))}
    return census.endpoints < listed


def _listed_twice(probes: Sequence[ServerProbe]) -> Disagreement | None:
    seen: dict[tuple[float, int], str] = {}
    for probe in probes:
        process = (probe.start_time, probe.certificate_serial)
        if process in seen:
            return Disagreement(
                f"{seen[process]} and {probe.name} are one process: same start time and same serving certificate",
                (_OWN_ADDRESS,),
            )
        seen[process] = probe.name
    return None


def _leases(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> Disagreement | None:
    if not census.leases:
        return Disagreement("the cluster has no identity Lease of a kube-apiserver renewed lately", (_GATE,))
    hostnames = _hostnames(census, servers, probes)
    told = {hostname for _, hostname in census.leases}
    if all(hostnames):
        if told - set(hostnames):
            return _joined("identity Leases name", min(told - set(hostnames)), servers)
        silent = next((name for name in hostnames if name not in told), None)
        if silent is not None:
            return Disagreement(
                f"identity Leases do not name {silent}, which is in the cluster file",
                (f"see whether {silent} is its host name (identity.hostname)", _GATE),
            )
        return None
    if all(probe.id_hash for probe in probes):
        return _by_id(census, servers, probes)
    return Disagreement(
        "the cluster file does not tie its servers to their Leases: identity.hostname is missing",
        ("set identity.hostname of every server",),
    )


def _by_id(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> Disagreement | None:
    by_id, reported = _hostnames_by_id(census), {probe.id_hash or "" for probe in probes}
    if by_id.keys() - reported:
        return _joined("identity Leases name", by_id[min(by_id.keys() - reported)], servers)
    silent = next((probe.name for probe in probes if probe.id_hash not in by_id), None)
    if silent is not None:
        return Disagreement(f"no identity Lease is renewed by {silent}, which is in the cluster file", (_GATE,))
    return None


def _endpoints(census: Census, servers: Sequence[Server]) -> Disagreement | None:
    listed = {address for server in servers if (address := _address(server))}
    if len(listed) < len(servers):
        return Disagreement(
            "the cluster file does not tie its servers to the Endpoints: identity.advertiseAddress is missing",
            ("set identity.advertiseAddress of every server",),
        )
    if census.endpoints - listed:
        return _joined("the kubernetes Endpoints name", min(census.endpoints - listed), servers)
    if listed - census.endpoints:
        missing = min(listed - census.endpoints)
        return Disagreement(
            f"the kubernetes Endpoints do not name {missing}, which is in the cluster file",
            (f"see whether {missing} is the --advertise-address of a server that runs (identity.advertiseAddress)",),
        )
    return None


def _nodes(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> Disagreement | None:
    """A control-plane Node where no API server is known. None renews a Lease there, or `_leases` had said so."""
    hostnames = _hostnames(census, servers, probes)
    unlisted = census.control_plane_nodes - set(hostnames)
    if not any(hostnames) or not unlisted:
        return None
    node = min(unlisted)
    if node in census.unready_nodes:
        return Disagreement(
            f"control-plane Node {node} is not in the cluster file, is not ready, and renews no identity Lease",
            (
                f"if it is gone for good: kubectl delete node {node}",
                f"if it comes back: list it in the cluster file, for it comes back with the file that {node} has",
            ),
        )
    return Disagreement(
        f"control-plane Node {node} is not in the cluster file; it is ready, and renews no identity Lease",
        (
            f"bring its kube-apiserver up and list it in the cluster file; {_GATE}",
            f"if it is to run none: kubectl label node {node} node-role.kubernetes.io/control-plane-",
        ),
    )


def _joined(source: str, who: str, servers: Sequence[Server]) -> Disagreement:
    """A server that nobody listed: it may write with a key, and read none, that is not the others'."""
    first = servers[0]
    return Disagreement(
        f"{source} an API server that is not in the cluster file: {who}",
        (
            f"give it the file that the others have: copy {first.config_path} of {first.name} there (mode 600)",
            f"make {who} load it, and list it by its own address in the cluster file",
        ),
    )


def _hostnames(census: Census, servers: Sequence[Server], probes: Sequence[ServerProbe]) -> list[str | None]:
    """The host name of each server: as listed, or as the Lease says whose id it reports; None where neither does."""
    by_id = _hostnames_by_id(census)
    return [server.hostname or by_id.get(probe.id_hash or "") for server, probe in zip(servers, probes, strict=True)]


def _hostnames_by_id(census: Census) -> dict[str, str]:
    # An API server's id is the name of its Lease; the metrics carry the id's SHA-256.
    return {"sha256:" + hashlib.sha256(name.encode()).hexdigest(): hostname for name, hostname in census.leases}


def _address(server: Server) -> str | None:
    if server.advertise_address:
        return server.advertise_address
    try:
        return str(ipaddress.ip_address(server.url_host))
    except ValueError:
        return None
