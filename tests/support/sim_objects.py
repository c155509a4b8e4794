"""The resources that a simulated cluster serves: their paths in etcd, and objects as they are stored there."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field

from tests.support import seal

PREFIX = "/registry"


@dataclass(frozen=True, slots=True)
class SimResource:
    """One REST resource. `group_version` is what discovery says of it."""

    name: str
    path: str
    group_version: str
    kind: str


SERVED = {
    resource.name: resource
    for resource in (
        SimResource("secrets", "secrets", "v1", "Secret"),
        SimResource("configmaps", "configmaps", "v1", "ConfigMap"),
        SimResource("namespaces", "namespaces", "v1", "Namespace"),
        SimResource("leases.coordination.k8s.io", "leases", "coordination.k8s.io/v1", "Lease"),
        SimResource("widgets.example.com", "example.com/widgets", "example.com/v1", "Widget"),
    )
}


@dataclass(frozen=True, slots=True)
class SimObject:
    """What was created. `resource` None: the API server keeps it for itself, in plaintext."""

    resource: str | None
    etcd_key: bytes
    namespace: str | None
    name: str
    uid: str
    plain: bytes = field(repr=False)


def new_object(
    resource: str, namespace: str | None, name: str, *, filler: bytes = b"x", uid: str | None = None
) -> SimObject:
    """An object with a uid of its own, or another state of the one with that `uid`.

    Custom resources are stored as JSON, all others as protobuf.
    """
    about = SERVED.get(resource) or SimResource(resource, _custom_path(resource), "", "Thing")
    uid = uid or str(uuid.uuid4())
    if "/" in about.path:
        metadata = {"name": name, "namespace": namespace, "uid": uid}
        document = {"apiVersion": about.group_version or "gone.example/v1", "kind": about.kind, "metadata": metadata}
        plain = json.dumps(document | {"spec": {"filler": filler.decode()}}).encode()
    elif resource == "secrets":
        plain = seal.secret(name, namespace or "", uid=uid, filler=filler)
    else:
        plain = seal.stored(about.group_version, about.kind, name, namespace or "", uid=uid)
    return SimObject(resource, key_of(resource, namespace, name), namespace, name, uid, plain)


def key_of(resource: str, namespace: str | None, name: str) -> bytes:
    """Where the object is stored."""
    path = SERVED[resource].path if resource in SERVED else _custom_path(resource)
    parts = (PREFIX, path, namespace, name) if namespace else (PREFIX, path, name)
    return "/".join(parts).encode()


def infrastructure(path: str) -> SimObject:
    """A value that no REST API serves."""
    name = path.rpartition("/")[2]
    plain = seal.stored("v1", "Endpoints", name)
    return SimObject(None, f"{PREFIX}/{path}".encode(), None, name, "", plain)


def _custom_path(resource: str) -> str:
    plural, _, group = resource.partition(".")
    return f"{group}/{plural}"
