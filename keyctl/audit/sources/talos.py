"""A Talos machine configuration: the secret it encrypts with, and the extra arguments of API server and etcd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keyctl.audit.facts import TEMPLATE, About, Program
from keyctl.audit.sources import audit_policy
from keyctl.audit.sources.kubeadm import extra_args, implied
from keyctl.audit.sources.text import Doc, Found, path, plain
from keyctl.hosts.pod import field_of

_SECRETS = ("secretboxEncryptionSecret", "aescbcEncryptionSecret")
_SERVER_PKI = "/system/secrets/kubernetes/kube-apiserver"
_API_SERVER = {
    "audit-log-maxage": "30",
    "audit-log-maxbackup": "10",
    "audit-log-maxsize": "100",
    "audit-log-path": "/var/log/audit/kube/kube-apiserver.log",
    "audit-policy-file": "/system/config/kubernetes/kube-apiserver/auditpolicy.yaml",
    "authorization-mode": "Node,RBAC",
    "etcd-cafile": f"{_SERVER_PKI}/etcd-client-ca.crt",
    "etcd-certfile": f"{_SERVER_PKI}/etcd-client.crt",
    "etcd-keyfile": f"{_SERVER_PKI}/etcd-client.key",
    "etcd-servers": "https://127.0.0.1:2379",
}
_PKI = "/system/secrets/etcd"
_ETCD = {
    "cert-file": f"{_PKI}/server.crt",
    "key-file": f"{_PKI}/server.key",
    "client-cert-auth": "true",
    "listen-client-urls": "https://$(LISTEN_ADDRESS):2379",
    "listen-peer-urls": "https://$(LISTEN_ADDRESS):2380",
    "trusted-ca-file": f"{_PKI}/ca.crt",
    "peer-cert-file": f"{_PKI}/peer.crt",
    "peer-key-file": f"{_PKI}/peer.key",
    "peer-client-cert-auth": "true",
    "peer-trusted-ca-file": f"{_PKI}/ca.crt",
}


def read(doc: Doc) -> Iterator[Found]:
    """The API server and the etcd of a control-plane node."""
    machine, cluster = field_of(doc.root, "machine"), field_of(doc.root, "cluster")
    if plain(field_of(doc.root, "version")) != "v1alpha1" or machine is None or cluster is None:
        return
    if plain(field_of(machine, "type")) not in ("controlplane", "init"):
        return
    own = dict(_API_SERVER)
    secret = next((node for node in (field_of(cluster, name) for name in _SECRETS) if plain(node)), None)
    if secret is not None:
        path_of_it = "/system/secrets/kubernetes/kube-apiserver/encryptionconfig.yaml"
        own["encryption-provider-config"] = plain(secret) if TEMPLATE.search(plain(secret)) else path_of_it
    place = secret if secret is not None else cluster
    server, etcd = field_of(cluster, "apiServer"), field_of(cluster, "etcd")
    yield Program(
        About.API_SERVER,
        "kube-apiserver",
        doc.at(server if server is not None else cluster),
        (*implied(doc.at(place), own, "Talos"), *extra_args(doc, path(server, "extraArgs"))),
    )
    settings = (*implied(doc.at(cluster), _ETCD, "Talos"), *extra_args(doc, path(etcd, "extraArgs")))
    policy = field_of(server, "auditPolicy")
    if policy is not None:
        yield from audit_policy.read(Doc(doc.text, replace(doc.document, root=policy)))
    yield Program(About.ETCD, "etcd", doc.at(etcd if etcd is not None else cluster), settings)
