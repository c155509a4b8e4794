"""A kops Cluster: whether Secrets are encrypted, and the API server's fields. etcd-manager sets up etcd by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keyctl.audit.facts import About, Program, Setting
from keyctl.audit.sources.kubeadm import implied
from keyctl.audit.sources.text import Doc, Found, fields, path, plain, setting
from keyctl.documents import Scalar
from keyctl.hosts.pod import field_of, items_of

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def read(doc: Doc) -> Iterator[Found]:
    """The API server and each etcd cluster."""
    if not doc.is_kind("kops.k8s.io/", "Cluster"):
        return
    spec = field_of(doc.root, "spec")
    server, encryption = field_of(spec, "kubeAPIServer"), field_of(spec, "encryptionConfig")
    own: dict[str, str] = {}
    if path(spec, "authorization", "rbac") is not None:
        own["authorization-mode"] = "Node,RBAC"
    if path(spec, "authorization", "alwaysAllow") is not None:
        own["authorization-mode"] = "AlwaysAllow"
    if plain(encryption) == "true":
        own["encryption-provider-config"] = "/srv/kubernetes/kube-apiserver/encryptionconfig.yaml"
    node = encryption if encryption is not None else doc.root
    # What the file leaves to kops is not known here, but encryption is: kops gives the flag for this one field only.
    hidden = "kops gives its own flags"
    known: tuple[Setting, ...] = ()
    if plain(encryption) != "true":
        known = (Setting("encryption-provider-config", "", doc.at(node), "spec.encryptionConfig"),)
    yield Program(
        About.API_SERVER,
        "kube-apiserver",
        doc.at(server if server is not None else doc.root),
        (*known, *implied(doc.at(node), own, "kops"), *_fields(doc)),
        hidden=hidden,
        version=plain(field_of(spec, "kubernetesVersion")).removeprefix("v"),
    )
    for cluster in items_of(field_of(spec, "etcdClusters")):
        version = plain(field_of(cluster, "version")).removeprefix("v")
        hidden = "etcd-manager gives its flags"
        yield Program(
            About.ETCD, plain(field_of(cluster, "name")) or "etcd", doc.at(cluster), (), hidden=hidden, version=version
        )


def _fields(doc: Doc) -> Iterator[Setting]:
    for key, value in fields(path(field_of(doc.root, "spec"), "kubeAPIServer")):
        if isinstance(value, Scalar):
            yield setting(doc, _CAPITAL.sub("-", key.text).lower(), value, f"kubeAPIServer.{key.text}")
