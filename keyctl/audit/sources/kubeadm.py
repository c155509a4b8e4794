"""kubeadm's ClusterConfiguration (v1beta3, v1beta4), by itself or in Cluster API's KubeadmControlPlane.

What kubeadm sets by itself is known too, as declared (E0); what the file says stands behind it and counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keyctl.audit.facts import About, Absent, Mount, Program, Setting
from keyctl.audit.sources.flags import environment_settings
from keyctl.audit.sources.text import Doc, Found, fields, path, plain, setting
from keyctl.documents import Node, Scalar
from keyctl.findings import Evidence, Location
from keyctl.hosts.pod import field_of, items_of

_PKI = "/etc/kubernetes/pki"
_API_SERVER = {
    "authorization-mode": "Node,RBAC",
    "client-ca-file": f"{_PKI}/ca.crt",
    "etcd-servers": "https://127.0.0.1:2379",
    "etcd-cafile": f"{_PKI}/etcd/ca.crt",
    "etcd-certfile": f"{_PKI}/apiserver-etcd-client.crt",
    "etcd-keyfile": f"{_PKI}/apiserver-etcd-client.key",
}
_ETCD = {
    "advertise-client-urls": "https://$(NODE_IP):2379",
    "cert-file": f"{_PKI}/etcd/server.crt",
    "client-cert-auth": "true",
    "data-dir": "/var/lib/etcd",
    "initial-advertise-peer-urls": "https://$(NODE_IP):2380",
    "key-file": f"{_PKI}/etcd/server.key",
    "listen-client-urls": "https://127.0.0.1:2379,https://$(NODE_IP):2379",
    "listen-metrics-urls": "http://127.0.0.1:2381",
    "listen-peer-urls": "https://$(NODE_IP):2380",
    "peer-cert-file": f"{_PKI}/etcd/peer.crt",
    "peer-client-cert-auth": "true",
    "peer-key-file": f"{_PKI}/etcd/peer.key",
    "peer-trusted-ca-file": f"{_PKI}/etcd/ca.crt",
    "trusted-ca-file": f"{_PKI}/etcd/ca.crt",
}
_PLACES = (
    ("spec", "kubeadmConfigSpec", "clusterConfiguration"),
    ("spec", "clusterConfiguration"),
    ("spec", "template", "spec", "clusterConfiguration"),
    ("spec", "template", "spec", "kubeadmConfigSpec", "clusterConfiguration"),
)


def read(doc: Doc) -> Iterator[Found]:
    """The API server and the etcd that kubeadm would start."""
    # A patch of kind need not name the version.
    named = plain(field_of(doc.root, "apiVersion"))
    if plain(field_of(doc.root, "kind")) == "ClusterConfiguration" and named[:15] in ("", "kubeadm.k8s.io/"):
        yield from _cluster(doc, doc.root)
        return
    if doc.is_kind("", "KubeadmControlPlane", "KubeadmConfig", "KubeadmConfigTemplate", "KubeadmControlPlaneTemplate"):
        found = next((node for node in (path(doc.root, *place) for place in _PLACES) if node is not None), None)
        whole = plain(path(doc.root, "spec", "version")) or not doc.is_kind("", "KubeadmControlPlane")
        hidden = "" if whole else "it has no version, so it is a patch of another document"
        if found is None and doc.is_kind("", "KubeadmControlPlane", "KubeadmControlPlaneTemplate"):
            found = doc.root
        for one in _cluster(doc, found) if found is not None else ():
            yield replace(one, hidden=hidden) if isinstance(one, Program) else one


def extra_args(doc: Doc, node: Node | None) -> Iterator[Setting]:
    """ExtraArgs as a mapping, or as a list of name and value."""
    for key, value in fields(node):
        if isinstance(value, Scalar):
            yield setting(doc, key.text, value, f"extraArgs.{key.text}")
    for item in items_of(node):
        name, given = plain(field_of(item, "name")), field_of(item, "value")
        if name and given is not None:
            yield setting(doc, name, given, f"extraArgs {name}")


def implied(at: Location, given: dict[str, str], by: str) -> Iterator[Setting]:
    """What an installer sets without being told: known of the installer, not read from a file."""
    for name, value in given.items():
        yield Setting(name, value, at, f"{by}'s own --{name}", Evidence.E0)


def _cluster(doc: Doc, node: Node) -> Iterator[Found]:
    external = path(node, "etcd", "external")
    server = field_of(node, "apiServer")
    own = dict(_API_SERVER)
    given: tuple[Setting, ...] = ()
    if external is not None:
        own = {name: value for name, value in own.items() if not name.startswith("etcd-")}
        given = tuple(_external(doc, external))
    yield Program(
        About.API_SERVER,
        "kube-apiserver",
        doc.at(server if server is not None else node),
        (*implied(doc.at(node), own, "kubeadm"), *given, *extra_args(doc, field_of(server, "extraArgs"))),
        version=plain(field_of(node, "kubernetesVersion")).removeprefix("v"),
        mounts=(Mount(_PKI, _PKI, True, doc.at(node), Evidence.E0), *_volumes(doc, field_of(server, "extraVolumes"))),
    )
    for field, name in (("controllerManager", "kube-controller-manager"), ("scheduler", "kube-scheduler")):
        part = field_of(node, field)
        if part is not None:
            yield Program(About.PROGRAM, name, doc.at(part), tuple(extra_args(doc, field_of(part, "extraArgs"))))
    if external is not None:
        yield Absent(About.ETCD, "external-etcd", "etcd is external, set up by others", doc.at(external))
        return
    local = path(node, "etcd", "local")
    directory = field_of(local, "dataDir")
    settings = (
        *environment_settings(_environment(doc, field_of(local, "extraEnvs"))),
        *implied(doc.at(node), _ETCD, "kubeadm"),
        *((setting(doc, "data-dir", directory, "etcd.local.dataDir"),) if directory is not None else ()),
        *extra_args(doc, field_of(local, "extraArgs")),
    )
    version = plain(field_of(local, "imageTag")).partition("-")[0].removeprefix("v")
    yield Program(About.ETCD, "etcd", doc.at(local if local is not None else node), settings, version=version)


def _environment(doc: Doc, node: Node | None) -> Iterator[tuple[str, str, Location]]:
    for item in items_of(node):
        # What comes from elsewhere is put in later.
        value = plain(field_of(item, "value")) if field_of(item, "valueFrom") is None else "$(valueFrom)"
        yield plain(field_of(item, "name")), value, doc.at(item)


def _external(doc: Doc, external: Node) -> Iterator[Setting]:
    for name, flag in (("caFile", "etcd-cafile"), ("certFile", "etcd-certfile"), ("keyFile", "etcd-keyfile")):
        value = field_of(external, name)
        if value is not None:
            yield setting(doc, flag, value, f"etcd.external.{name}")
    for endpoint in items_of(field_of(external, "endpoints")):
        yield setting(doc, "etcd-servers", endpoint, "etcd.external.endpoints")


def _volumes(doc: Doc, node: Node | None) -> Iterator[Mount]:
    for volume in items_of(node):
        inside, outside = plain(field_of(volume, "mountPath")), plain(field_of(volume, "hostPath"))
        if inside:
            yield Mount(inside, outside, plain(field_of(volume, "readOnly")) == "true", doc.at(volume))
