"""Texts inside other documents: ConfigMaps, Secrets, cloud-init files, files of Cluster API, patches of kind."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator

from keyctl.audit.facts import About, Unread
from keyctl.audit.sources.text import Doc, Found, fields, path, plain
from keyctl.documents import Mapping, Node, Scalar, Sequence
from keyctl.hosts.pod import field_of, items_of

_BASE64 = frozenset({"base64", "b64"})
_GZIP = frozenset({"gzip+base64", "gz+base64", "gz+b64", "gzip+b64"})
_PLAIN = frozenset({"", "text/plain"})
# So much of a compressed text is looked at.
_LIMIT = 1024 * 1024
_MAY_BE = frozenset({About.API_SERVER, About.ETCD, About.CONFIGURATION, About.AUDIT_POLICY})
# What a task or a template writes to a file of its own.
_OBJECT = re.compile(r"^\s*[\"']?kind[\"']?\s*:", re.MULTILINE)


def read(doc: Doc) -> Iterator[Found]:
    """The texts that stand in the document; what they are is for the other sources to say."""
    if doc.is_kind("v1", "ConfigMap"):
        yield from _values(doc, field_of(doc.root, "data"), "ConfigMap")
        for key, value in fields(field_of(doc.root, "binaryData")):
            yield from _encoded(doc, value, "ConfigMap", key.text)
    elif doc.is_kind("v1", "Secret"):
        yield from _values(doc, field_of(doc.root, "stringData"), "Secret")
        for key, value in fields(field_of(doc.root, "data")):
            yield from _encoded(doc, value, "Secret", key.text)
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
    else:
        yield from _blocks(doc, doc.root)


def _values(doc: Doc, node: Node | None, holder: str) -> Iterator[Found]:
    for key, value in fields(node):
        if isinstance(value, Scalar):
            yield doc.inside(value, holder, inner=key.text)


def _blocks(doc: Doc, node: Node) -> Iterator[Found]:
    """Objects in texts of several lines, wherever they stand."""
    if isinstance(node, Scalar):
        if "\n" in node.text.strip() and _OBJECT.search(node.text):
            yield doc.inside(node, "text")
    elif isinstance(node, Mapping | Sequence):
        for one in (value for _, value in node.items) if isinstance(node, Mapping) else node.items:
            yield from _blocks(doc, one)


def _encoded(doc: Doc, value: Node, holder: str, inner: str, *, gzip: bool = False) -> Iterator[Found]:
    if not isinstance(value, Scalar):
        return
    try:
        content = base64.b64decode("".join(plain(value).split()), validate=True)
        content = zlib.decompressobj(wbits=31).decompress(content, _LIMIT) if gzip else content
    except (binascii.Error, ValueError, zlib.error):
        return
    yield doc.inside(value, holder, content, inner=inner)


def _files(doc: Doc, node: Node | None, holder: str) -> Iterator[Found]:
    for file in items_of(node):
        content = field_of(file, "content")
        if not isinstance(content, Scalar):
            continue
        encoding, inner = plain(field_of(file, "encoding")), plain(field_of(file, "path"))
        if encoding in _BASE64 | _GZIP:
            yield from _encoded(doc, content, holder, inner, gzip=encoding in _GZIP)
        elif encoding in _PLAIN:
            yield doc.inside(content, holder, inner=inner)
        else:
            yield Unread("its encoding is not known", _MAY_BE, doc.at(content))


def _patches(doc: Doc, node: Node) -> Iterator[Found]:
    for patch in items_of(field_of(node, "kubeadmConfigPatches")):
        if isinstance(patch, Scalar):
            yield doc.inside(patch, "kubeadm patch")
