"""What k3s and RKE2 write on their Nodes about a rotation of theirs: "<stage>-<sha256 of the file>" by server."""

from __future__ import annotations

from keyctl.errors import UnreachableError
from keyctl.kube import fields
from keyctl.kube.answers import describe
from keyctl.kube.client import Connection
from keyctl.kube.rewrite import METADATA

_NODES = "/api/v1/nodes?limit=500"
_METADATA_LIST = METADATA.replace("PartialObjectMetadata", "PartialObjectMetadataList")
_ANNOTATIONS = {"k3s.io/encryption-config-hash": "k3s", "rke2.io/encryption-config-hash": "rke2"}
_OK = 200


def rotation_stages(connection: Connection) -> tuple[tuple[str, str, str], ...]:
    """(node, tool, text) of every Node that carries such an annotation.

    Raises `UnreachableError` where the server does not answer, or does not let us list Nodes.
    """
    answer = connection.request("GET", _NODES, accept=_METADATA_LIST)
    if answer.status != _OK:
        raise UnreachableError(
            f"the API server at {connection.url} does not list Nodes",
            cause=describe(answer),
            hint="kubectl auth can-i list nodes",
        )
    found = []
    for node in fields.items(fields.parse(answer.body), "items"):
        annotations = fields.find(node, "metadata", "annotations")
        for name, tool in _ANNOTATIONS.items():
            text = fields.text(annotations, name)
            if text:
                found.append((fields.text(node, "metadata", "name"), tool, text))
    return tuple(found)
