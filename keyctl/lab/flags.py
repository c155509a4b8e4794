"""The command lines of the lab's servers. Pure: a topology and a layout in, words out."""

from __future__ import annotations

from pathlib import PurePosixPath

from keyctl.lab.layout import Layout
from keyctl.lab.manifest import PROGRAM, Mount
from keyctl.lab.topology import Member, Server, Topology

# NOTE: identity first leaves everything as it is; the file is there so that servers follow its changes.
PLAIN_ENCRYPTION_CONFIG = """\
# What kube-apiserver encrypts in etcd. The first provider writes, all of them read.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - identity: {}
"""


def etcd_command(member: Member, topology: Topology, layout: Layout) -> tuple[str, ...]:
    """A member that speaks nothing but mutual TLS, to clients and to peers."""
    files = layout.member(member.name)
    return (
        topology.binaries["etcd"],
        f"--name={member.name}",
        f"--data-dir={files.data}",
        f"--listen-client-urls={member.client_url}",
        f"--advertise-client-urls={member.client_url}",
        f"--listen-peer-urls={member.peer_url}",
        f"--initial-advertise-peer-urls={member.peer_url}",
        f"--initial-cluster={','.join(f'{item.name}={item.peer_url}' for item in topology.members)}",
        f"--initial-cluster-token={topology.settings.name}",
        "--client-cert-auth=true",
        f"--trusted-ca-file={layout.pki / 'etcd-ca.crt'}",
        f"--cert-file={files.pki / 'server.crt'}",
        f"--key-file={files.pki / 'server.key'}",
        "--peer-client-cert-auth=true",
        f"--peer-trusted-ca-file={layout.pki / 'etcd-ca.crt'}",
        f"--peer-cert-file={files.pki / 'peer.crt'}",
        f"--peer-key-file={files.pki / 'peer.key'}",
        "--log-level=warn",
    )


def apiserver_command(server: Server, topology: Topology, layout: Layout) -> tuple[str, ...]:
    """What the manifest of `server` starts with."""
    files, settings, etcd = layout.server(server.name), topology.settings, topology.etcd
    encryption = (
        f"--encryption-provider-config={files.encryption_config}",
        "--encryption-provider-config-automatic-reload=true",
    )
    return (
        PROGRAM,
        f"--advertise-address={server.advertise}",
        f"--bind-address={server.address}",
        f"--secure-port={server.port}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        f"--client-ca-file={layout.pki / 'ca.crt'}",
        "--enable-admission-plugins=NodeRestriction",
        "--endpoint-reconciler-type=lease",
        f"--etcd-cafile={etcd.cacert}",
        f"--etcd-certfile={etcd.cert}",
        f"--etcd-keyfile={etcd.key}",
        f"--etcd-prefix={settings.prefix}",
        f"--etcd-servers={','.join(etcd.endpoints)}",
        *(encryption if settings.reload else ()),
        "--profiling=false",
        "--request-timeout=10s",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={layout.pki / 'sa.pub'}",
        f"--service-account-signing-key-file={layout.pki / 'sa.key'}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--tls-cert-file={files.pki / 'apiserver.crt'}",
        f"--tls-private-key-file={files.pki / 'apiserver.key'}",
    )


def apiserver_mounts(server: Server, topology: Topology, layout: Layout) -> tuple[Mount, ...]:
    """The directories that the flags of `apiserver_command` name."""
    files = layout.server(server.name)
    shared = str(layout.pki)
    etcd = str(PurePosixPath(topology.etcd.cacert).parent)
    return (
        Mount("k8s-certs", shared),
        Mount("serving-certs", str(files.pki)),
        *((Mount("etcd-certs", etcd),) if etcd != shared else ()),
        *((Mount("enc", str(files.encryption_config.parent)),) if topology.settings.reload else ()),
    )
