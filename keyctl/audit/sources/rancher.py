"""The configuration file of k3s and RKE2: what it turns on, the flags it hands on, and which datastore there is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from keyctl.audit.facts import About, Absent, Program, Setting
from keyctl.audit.sources.flags import flag_settings
from keyctl.audit.sources.kubeadm import implied
from keyctl.audit.sources.text import Doc, Found, fields, plain
from keyctl.documents import Node
from keyctl.hosts.pod import field_of, items_of

_TELLING = frozenset(
    {
        "cluster-init",
        "datastore-endpoint",
        "etcd-arg",
        "etcd-expose-metrics",
        "kube-apiserver-arg",
        "secrets-encryption",
        "secrets-encryption-provider",
    }
)
_API_SERVER = {"authorization-mode": "Node,RBAC"}
_STORE = {
    "etcd-servers": "https://127.0.0.1:2379",
    "etcd-cafile": "server-ca.crt",
    "etcd-certfile": "client.crt",
    "etcd-keyfile": "client.key",
}
# Behind the socket is kine, before whatever database there is.
_KINE = {"etcd-servers": "unix://kine.sock"}
_ETCD_CERTIFICATES = {
    "cert-file": "server-client.crt",
    "key-file": "server-client.key",
    "trusted-ca-file": "server-ca.crt",
    "peer-cert-file": "peer-server-client.crt",
    "peer-key-file": "peer-server-client.key",
    "peer-trusted-ca-file": "peer-ca.crt",
}
_ETCD = {
    "client-cert-auth": "true",
    "peer-client-cert-auth": "true",
    "listen-client-urls": "https://127.0.0.1:2379,https://$(NODE_IP):2379",
    "listen-peer-urls": "https://127.0.0.1:2380,https://$(NODE_IP):2380",
}
_SQL = ("mysql:", "postgres:", "postgresql:", "sqlite:", "nats:")
_UNTOLD = "whether this is the file of k3s or of RKE2, which encrypts without being told, is not known"


def read(doc: Doc) -> Iterator[Found]:
    """The API server and the datastore of a server node."""
    # A name with a plus adds to what other files give.
    names = {key.text.removesuffix("+") for key, _ in fields(doc.root)}
    if not names & _TELLING or names & {"apiVersion", "kind"}:
        return
    if posixpath.basename(posixpath.dirname(doc.text.path)) == "config.yaml.d":
        yield from _added(doc)
        return
    told = "rke2" if "rke2" in doc.text.name.lower() or "secrets-encryption-provider" in names else ""
    told = told or ("k3s" if "k3s" in doc.text.name.lower() or "secrets-encryption" in names else "")
    encrypts = told == "rke2" or plain(field_of(doc.root, "secrets-encryption")) == "true"
    store = tuple(_datastore(doc, told))
    own = _API_SERVER | _reached_at(store, told)
    if told == "rke2":
        # Whether there is an audit log depends on its profile.
        own["audit-log-path"] = own["audit-policy-file"] = "$(PROFILE)"
    if encrypts:
        own["encryption-provider-config"] = f"/var/lib/rancher/{told}/server/cred/encryption-config.json"
    yield Program(
        About.API_SERVER,
        "kube-apiserver",
        doc.at(doc.root),
        (*implied(doc, _telling(doc), own, told or "the installer"), *_handed_on(doc, "kube-apiserver-arg")),
        hidden="" if told else _UNTOLD,
    )
    yield from store


def _added(doc: Doc) -> Iterator[Found]:
    """What a file beside the main one hands on; all else stands there."""
    hidden = "it adds to config.yaml"
    for about, name in ((About.API_SERVER, "kube-apiserver-arg"), (About.ETCD, "etcd-arg")):
        yield Program(about, str(about), doc.at(doc.root), tuple(_handed_on(doc, name)), hidden=hidden)


def _reached_at(store: tuple[Found, ...], told: str) -> dict[str, str]:
    """The API server's flags for the datastore."""
    if any(isinstance(one, Program) for one in store):
        base = f"/var/lib/rancher/{told or 'k3s'}/server/tls/etcd"
        return {flag: value if "://" in value else f"{base}/{value}" for flag, value in _STORE.items()}
    if any(isinstance(one, Absent) and one.reason == "kine" for one in store):
        return dict(_KINE)
    # An etcd of others, or one that is set up by the server that this one joins.
    return dict.fromkeys(_STORE, "$(DATASTORE)") | {"etcd-servers": "$(DATASTORE)"}


def _telling(doc: Doc) -> Node:
    """The line that says whether secrets are encrypted, or else the whole file."""
    return next((key for key, _ in fields(doc.root) if key.text.startswith("secrets-encryption")), doc.root)


def _datastore(doc: Doc, told: str) -> Iterator[Found]:
    endpoint = field_of(doc.root, "datastore-endpoint")
    given = tuple(_handed_on(doc, "etcd-arg"))
    if plain(endpoint).startswith(_SQL):
        yield Absent(About.ETCD, "kine", "the datastore is no etcd", doc.at(endpoint or doc.root))
    elif plain(endpoint):
        yield Absent(About.ETCD, "external-etcd", "etcd is external, set up by others", doc.at(endpoint or doc.root))
    elif told == "rke2" or given or plain(field_of(doc.root, "cluster-init")) == "true":
        base = f"/var/lib/rancher/{told or 'k3s'}/server/tls/etcd"
        own = _ETCD | {name: f"{base}/{file}" for name, file in _ETCD_CERTIFICATES.items()}
        own["data-dir"] = f"/var/lib/rancher/{told or 'k3s'}/server/db/etcd"
        public = plain(field_of(doc.root, "etcd-expose-metrics")) == "true"
        own["listen-metrics-urls"] = "http://127.0.0.1:2381" + (",http://$(NODE_IP):2381" if public else "")
        yield Program(About.ETCD, "etcd", doc.at(doc.root), (*implied(doc, doc.root, own, told or "k3s"), *given))
    elif not plain(field_of(doc.root, "server")):
        yield Absent(About.ETCD, "kine", "k3s without cluster-init keeps its data in SQLite", doc.at(doc.root))


def _handed_on(doc: Doc, name: str) -> Iterator[Setting]:
    nodes = [node for node in (field_of(doc.root, name), field_of(doc.root, f"{name}+")) if node is not None]
    given = [one for node in nodes for one in items_of(node) or (node,)]
    for one in given:
        if plain(one):
            # Each is handed on by itself: none takes the next one for its value.
            yield from flag_settings([(f"--{plain(one).lstrip('-')}", doc.at(one))])
