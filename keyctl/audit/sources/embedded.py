"""Texts inside other documents: ConfigMaps, Secrets, cloud-init files, files of Cluster API, patches of kind."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from keyctl.audit.sources.text import Doc, Found, fields, path, plain
from keyctl.documents import Node, Scalar
from keyctl.hosts.pod import field_of, items_of

_BASE64 = frozenset({"base64", "b64"})


def read(doc: Doc) -> Iterator[Found]:
    """The texts that stand in the document; what they are is for the other sources to say."""
    if doc.is_kind("v1", "ConfigMap"):
        yield from _values(doc, field_of(doc.root, "data"), "ConfigMap")
    elif doc.is_kind("v1", "Secret"):
        yield from _values(doc, field_of(doc.root, "stringData"), "Secret")
        for _, value in fields(field_of(doc.root, "data")):
            yield from _encoded(doc, value, "Secret")
    elif field_of(doc.root, "write_files") is not None:
        yield from _files(doc, field_of(doc.root, "write_files"), "cloud-init file")
    elif doc.is_kind(
        "", "KubeadmControlPlane", "KubeadmConfig", "KubeadmConfigTemplate", "KubeadmControlPlaneTemplate"
    ):
        for where in (("spec",), ("spec", "kubeadmConfigSpec"), ("spec", "template", "spec")):
            yield from _files(doc, path(doc.root, *where, "files"), "Cluster API file")
        yield from _files(
            doc, path(doc.root, "spec", "template", "spec", "kubeadmConfigSpec", "files"), "Cluster API file"
        )
    elif doc.is_kind("kind.x-k8s.io/", "Cluster"):
        yield from _patches(doc, doc.root)
        for node in items_of(field_of(doc.root, "nodes")):
            yield from _patches(doc, node)


def _values(doc: Doc, node: Node | None, holder: str) -> Iterator[Found]:
    for _, value in fields(node):
        if isinstance(value, Scalar):
            yield doc.inside(value, holder)


def _encoded(doc: Doc, value: Node, holder: str) -> Iterator[Found]:
    try:
        content = base64.b64decode("".join(plain(value).split()), validate=True)
    except (binascii.Error, ValueError):
        return
    yield doc.inside(value, holder, content)


def _files(doc: Doc, node: Node | None, holder: str) -> Iterator[Found]:
    for file in items_of(node):
        content = field_of(file, "content")
        if not isinstance(content, Scalar):
            continue
        if plain(field_of(file, "encoding")) in _BASE64:
            yield from _encoded(doc, content, holder)
        else:
            yield doc.inside(content, holder)


def _patches(doc: Doc, node: Node) -> Iterator[Found]:
    for patch in items_of(field_of(node, "kubeadmConfigPatches")):
        if isinstance(patch, Scalar):
            yield doc.inside(patch, "kubeadm patch")
