"""Which resources an API serves: aggregated discovery documents in, names and paths out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from keyctl.kube import fields
from keyctl.kube.interface import ObjectRef

# Served since 1.30, and since 1.27 in the older version.
ACCEPT = ", ".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
_KIND = "APIGroupDiscoveryList"
_NEEDED_VERBS = frozenset({"list", "patch"})


def is_discovery(document: Mapping[str, object]) -> bool:
    """Whether `document` is an aggregated discovery document."""
    return fields.text(document, "kind") == _KIND


def served_resources(document: Mapping[str, object]) -> dict[str, str]:
    """Every resource in `document` that can be listed and patched → the "group/version" the server prefers for it."""
    served: dict[str, str] = {}
    for group_entry in fields.items(document, "items"):
        group = fields.text(group_entry, "metadata", "name")
        # Versions come in the order of preference; a resource need not be in the first.
        for version_entry in fields.items(group_entry, "versions"):
            version = fields.text(version_entry, "version")
            for resource in _patchable(version_entry):
                served.setdefault(f"{resource}.{group}" if group else resource, f"{group}/{version}".lstrip("/"))
    return served


def _patchable(version_entry: object) -> Iterator[str]:
    for entry in fields.items(version_entry, "resources"):
        name = fields.text(entry, "resource")
        if name and _NEEDED_VERBS.issubset(map(str, fields.items(entry, "verbs"))):
            yield name


def split(resource: str) -> tuple[str, str]:
    """`deployments.apps` → ("apps", "deployments"); `secrets` → ("", "secrets")."""
    plural, _, group = resource.partition(".")
    return group, plural


def collection_path(resource: str, group_version: str, namespace: str | None = None) -> str:
    """The URL path of all objects of `resource`, or of those in `namespace`."""
    root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    inside = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{inside}/{quote(split(resource)[1], safe='')}"


def object_path(ref: ObjectRef, group_version: str) -> str:
    """The URL path of one object."""
    return f"{collection_path(ref.resource, group_version, ref.namespace)}/{quote(ref.name, safe='')}"
