"""The files a lab hands to its user: cluster file, kubeconfig, environment. Pure: values in, text out."""

from __future__ import annotations

import base64
import shlex
import sys

import yaml

from keyctl.lab.layout import Layout
from keyctl.lab.topology import Server, Topology


def cluster_file(topology: Topology, layout: Layout) -> str:
    """The `keyctl.yaml` of this lab: every server by its own address, with the identity it shows to the others."""
    settings, etcd = topology.settings, topology.etcd
    document = {
        "apiVersion": "keyctl/v1",
        "kind": "Cluster",
        "name": settings.name,
        "distribution": "other",
        "etcd": {
            "endpoints": list(etcd.endpoints),
            "cacert": etcd.cacert,
            "cert": etcd.cert,
            "key": etcd.key,
            "prefix": settings.prefix,
            "timeout": "10s",
        },
        "kubernetes": {"kubeconfig": layout.kubeconfig.name},
        "apiServers": [_api_server(server, topology, layout) for server in topology.servers],
        "keys": {"store": "file", "directory": "keys"},
        "policy": {"provider": "aescbc", "resources": ["secrets"], "settle": "10s"},
    }
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return f"# keyctl lab {settings.name}: {identity_note(topology)}\n{text}"


def identity_note(topology: Topology) -> str:
    """Whether the servers can be told apart, in a sentence."""
    if topology.namespace:
        return "each API server has its own host name, so its own identity Lease"
    return "the API servers share this host's name, so one identity Lease: unshare --uts is not permitted here"


def kubeconfig(topology: Topology, *, authority: bytes, certificate: bytes, key: bytes) -> str:
    """An administrator's kubeconfig for the first server, everything inside. It holds a private key: 0600."""
    name = topology.settings.name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": topology.servers[0].url, "certificate-authority-data": _base64(authority)},
            }
        ],
        "users": [
            {
                "name": f"{name}-admin",
                "user": {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)},
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}],
        "current-context": name,
    }
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000000)
    return text


def environment(topology: Topology, layout: Layout) -> str:
    """Exports for a POSIX shell: etcdctl, kubectl and keyctl find the lab by themselves."""
    values = {
        "ETCDCTL_ENDPOINTS": ",".join(topology.etcd.endpoints),
        "ETCDCTL_CACERT": topology.etcd.cacert,
        "ETCDCTL_CERT": topology.etcd.cert,
        "ETCDCTL_KEY": topology.etcd.key,
    }
    if topology.servers:
        values |= {"KUBECONFIG": str(layout.kubeconfig), "KEYCTL_CLUSTER": str(layout.cluster_file)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f'export PATH={shlex.quote(str(layout.bin))}:"$PATH"', ""])


def _api_server(server: Server, topology: Topology, layout: Layout) -> dict[str, object]:
    files = layout.server(server.name)
    restart = [sys.executable, "-m", "keyctl", "lab", "restart", "--directory", str(layout.root), server.name]
    return {
        "name": server.name,
        "url": server.url,
        "identity": {"hostname": server.hostname, "advertiseAddress": server.advertise},
        "encryptionConfig": str(files.encryption_config),
        "manifest": str(files.manifest),
        "host": {"type": "local"},
        "activation": {"reload": {"wait": "180s"}}
        if topology.settings.reload
        else {"restart": {"command": restart, "wait": "60s"}},
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
