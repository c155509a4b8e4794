"""Who says it is an API server of this cluster: Leases, endpoints and Nodes in, a census out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from keyctl.kube import fields

LEASES = (
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    "?labelSelector=apiserver.kubernetes.io%2Fidentity%3Dkube-apiserver"
)
SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes"
)
ENDPOINTS = "/api/v1/namespaces/default/endpoints?fieldSelector=metadata.name%3Dkubernetes"
NODES = "/api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane"

# A living server renews its Lease every 10 s; the Lease of a dead one stays for an hour.
_FRESH = timedelta(seconds=60)


def fresh_leases(leases: Iterable[object], date: str | None) -> frozenset[tuple[str, str]]:
    """The (name, hostname) of each identity Lease that was renewed within a minute.

    The minute ends at the newest renewal or at `date`, the Date header of the
    answer, whichever is earlier: clocks that disagree make a dead server look
    alive, never a living one look dead.
    """
    renewed = [(lease, moment) for lease in leases if (moment := read_time(fields.text(lease, "spec", "renewTime")))]
    if not renewed:
        return frozenset()
    newest = max(moment for _, moment in renewed)
    now = min(newest, read_date(date) or newest)
    return frozenset(
        (fields.text(lease, "metadata", "name"), fields.text(_labels(lease), "kubernetes.io/hostname"))
        for lease, moment in renewed
        if moment >= now - _FRESH
    )


def ahead(date: str | None, asked: float, answered: float) -> float | None:
    """How many seconds the clock of a Date header is ahead of ours, to half a second and half of what it took to ask.

    `asked` and `answered` are our clock before and after, in Unix seconds.
    """
    told = read_date(date)
    # NOTE: the header counts whole seconds, and leaves the rest of the second out.
    return None if told is None else told.timestamp() + 0.5 - (asked + answered) / 2


def slice_addresses(slices: Iterable[object]) -> frozenset[str]:
    """The addresses in EndpointSlices."""
    return frozenset(
        str(address)
        for endpoint_slice in slices
        for endpoint in fields.items(endpoint_slice, "endpoints")
        for address in fields.items(endpoint, "addresses")
    )


def endpoint_addresses(endpoints: Iterable[object]) -> frozenset[str]:
    """The addresses in Endpoints, ready or not."""
    return frozenset(
        fields.text(address, "ip")
        for entry in endpoints
        for subset in fields.items(entry, "subsets")
        for kind in ("addresses", "notReadyAddresses")
        for address in fields.items(subset, kind)
    )


def names(objects: Iterable[object]) -> frozenset[str]:
    """The names of objects."""
    return frozenset(fields.text(entry, "metadata", "name") for entry in objects)


def unready(nodes: Iterable[object]) -> frozenset[str]:
    """The names of the Nodes whose condition Ready is anything but True: their kubelet says so, or says nothing."""
    return frozenset(fields.text(node, "metadata", "name") for node in nodes if not _is_ready(node))


def _is_ready(node: object) -> bool:
    conditions = fields.items(node, "status", "conditions")
    return any((fields.text(one, "type"), fields.text(one, "status")) == ("Ready", "True") for one in conditions)


def read_time(text: str) -> datetime | None:
    """A Kubernetes timestamp, None when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def read_date(header: str | None) -> datetime | None:
    """The moment of an HTTP Date header, None when there is none."""
    try:
        moment = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment else None


def _labels(entry: object) -> object:
    return fields.find(entry, "metadata", "labels")
