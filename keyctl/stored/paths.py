"""Which resource an etcd key belongs to, and back.

Pure. A resource is named as in an EncryptionConfiguration: `secrets`,
`deployments.apps`. Paths: k8s.io/kubernetes
pkg/kubeapiserver/default_storage_factory_builder.go and
test/integration/etcd/data.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PathKind(StrEnum):
    """What stands at a path. Only `INFRASTRUCTURE` is never served by the REST API (rule R18)."""

    BUILT_IN = "built-in"
    CUSTOM = "custom"
    INFRASTRUCTURE = "infrastructure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StoredPath:
    """What a key says of its value; all but `name` is the same for all of a directory.

    `namespace` is None for a cluster-scoped value, `resource` is `ROOT` for one directly under the prefix.
    """

    resource: str
    namespace: str | None
    name: str
    kind: PathKind


# The API server keeps these for itself, and never through a transformer.
_INFRASTRUCTURE = frozenset({"masterleases", "peerserverleases", "ranges"})

# What lies directly under the prefix (`health`) belongs to no resource: every resource has a directory.
ROOT = "/"

# Beside every prefix: where the API servers agree on how far they have compacted.
COMPACTION = b"compact_rev_key"

_GROUPS: dict[str, str] = {
    "": "configmaps events limitranges namespaces persistentvolumeclaims persistentvolumes pods podtemplates "
    "resourcequotas secrets serviceaccounts",
    "admissionregistration.k8s.io": "mutatingadmissionpolicies mutatingadmissionpolicybindings "
    "mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings "
    "validatingwebhookconfigurations",
    "apps": "controllerrevisions daemonsets deployments replicasets statefulsets",
    "autoscaling": "horizontalpodautoscalers",
    "batch": "cronjobs jobs",
    "certificates.k8s.io": "certificatesigningrequests clustertrustbundles podcertificaterequests",
    "coordination.k8s.io": "leasecandidates leases",
    "discovery.k8s.io": "endpointslices",
    "flowcontrol.apiserver.k8s.io": "flowschemas prioritylevelconfigurations",
    "internal.apiserver.k8s.io": "storageversions",
    "lifecycle.k8s.io": "evictionrequests evictions",
    "networking.k8s.io": "ingressclasses ipaddresses networkpolicies servicecidrs",
    "node.k8s.io": "runtimeclasses",
    "policy": "poddisruptionbudgets",
    "rbac.authorization.k8s.io": "clusterrolebindings clusterroles rolebindings roles",
    "resource.k8s.io": "deviceclasses devicetaintrules resourceclaims resourceclaimtemplates "
    "resourcepoolstatusrequests resourceslices",
    "scheduling.k8s.io": "compositepodgroups podgroups priorityclasses workloads",
    "storage.k8s.io": "csidrivers csinodes csistoragecapacities storageclasses volumeattachments "
    "volumeattributesclasses",
    "storagemigration.k8s.io": "storageversionmigrations",
}
_SPECIAL = {
    "apiextensions.k8s.io/customresourcedefinitions": "customresourcedefinitions.apiextensions.k8s.io",
    "apiregistration.k8s.io/apiservices": "apiservices.apiregistration.k8s.io",
    "controllers": "replicationcontrollers",
    "ingress": "ingresses.networking.k8s.io",
    "minions": "nodes",
    "services/endpoints": "endpoints",
    "services/specs": "services",
}
_BUILT_IN: dict[str, str] = {
    plural: f"{plural}.{group}" if group else plural for group, plurals in _GROUPS.items() for plural in plurals.split()
} | _SPECIAL
_PATH_OF = {resource: path for path, resource in _BUILT_IN.items()}


def root_of(prefix: bytes) -> bytes:
    """`prefix` (kube-apiserver's `--etcd-prefix`) as every key starts with it: one slash before and after."""
    stem = prefix.strip(b"/")
    return b"/" + stem + b"/" if stem else b"/"


def first_part(key: bytes) -> bytes:
    """The first part of `key`, with the slash before it: most API servers have a prefix of one part."""
    return b"/".join(key.split(b"/", 2)[:2])


def directory_of(key: bytes) -> bytes:
    """`key` without its last part: what all objects of one resource and namespace share."""
    return key[: key.rfind(b"/") + 1]


def prefix_of(prefix: bytes, resource: str) -> bytes:
    """The directory under `prefix` that holds the values of `resource`, in every namespace."""
    plural, dot, group = resource.partition(".")
    path = _PATH_OF.get(resource) or (f"{group}/{plural}" if dot else plural)
    return root_of(prefix) + path.encode() + b"/"


def is_built_in(resource: str) -> bool:
    """Whether every API server has `resource`."""
    return resource in _PATH_OF


def parse(prefix: bytes, key: bytes) -> StoredPath | None:
    """What `key` says of its value; None when it does not lie under `prefix`."""
    root = root_of(prefix)
    if not key.startswith(root):
        return None
    *parents, name = key[len(root) :].decode("utf-8", "backslashreplace").split("/")
    if not parents:
        return StoredPath(ROOT, None, name, PathKind.INFRASTRUCTURE)
    if parents[0] in _INFRASTRUCTURE:
        return StoredPath(parents[0], None, name, PathKind.INFRASTRUCTURE)
    resource, kind, rest = _resource(parents)
    if len(rest) > 1:
        return StoredPath(resource, "/".join(rest), name, PathKind.UNKNOWN)
    return StoredPath(resource, rest[0] if rest else None, name, kind)


def _resource(parents: list[str]) -> tuple[str, PathKind, list[str]]:
    """The resource that the first of `parents` name, and those that are left."""
    for length in (2, 1):
        resource = _BUILT_IN.get("/".join(parents[:length]))
        if resource and len(parents) >= length:
            return resource, PathKind.BUILT_IN, parents[length:]
    first = parents[0]
    if "." in first and len(parents) > 1:
        return f"{parents[1]}.{first}", PathKind.CUSTOM, parents[2:]
    return first, PathKind.UNKNOWN, parents[1:]
