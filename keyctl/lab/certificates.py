"""The lab's certificates: an authority for etcd, one for Kubernetes, what they sign. All as short-lived as a lab."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from keyctl.lab.layout import Layout
from keyctl.lab.topology import Member, Server, Topology
from keyctl.pki.issue import Issued, Subject, Usage, issue, new_authority, new_signing_pair, write_file, write_pair

LIFETIME = timedelta(days=30)
SERVICE_ADDRESS = "10.96.0.1"
_SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")


def write_certificates(topology: Topology, layout: Layout, *, now: datetime) -> None:
    """Issue and write everything the lab's servers and its administrator need."""
    _directory(layout.pki)
    if topology.members:
        etcd = _authority(layout, "etcd-ca", now)
        for member in topology.members:
            _member(member, layout, etcd, now)
        client = Subject(common_name="kube-apiserver-etcd-client", usage=Usage.CLIENT)
        write_pair(layout.pki, "etcd-client", issue(etcd, client, now=now, lifetime=LIFETIME))
    if topology.servers:
        kubernetes = _authority(layout, "ca", now)
        for server in topology.servers:
            _server(server, layout, kubernetes, now)
        # NOTE: this group is every right in a cluster, by a binding that kube-apiserver itself creates.
        admin = Subject(common_name="lab-admin", usage=Usage.CLIENT, organizations=("system:masters",))
        write_pair(layout.pki, "admin", issue(kubernetes, admin, now=now, lifetime=LIFETIME))
        pair = new_signing_pair()
        write_file(layout.pki / "sa.key", pair.private_key, mode=0o600)
        write_file(layout.pki / "sa.pub", pair.public_key, mode=0o644)


def _authority(layout: Layout, name: str, now: datetime) -> Issued:
    authority = new_authority(f"keyctl lab {name}", now=now, lifetime=LIFETIME)
    write_pair(layout.pki, name, authority)
    return authority


def _member(member: Member, layout: Layout, authority: Issued, now: datetime) -> None:
    pki = _directory(layout.member(member.name).pki)
    for stem, usage in (("server", Usage.SERVER), ("peer", Usage.PEER)):
        subject = Subject(common_name=member.name, usage=usage, names=("localhost",), addresses=(member.address,))
        write_pair(pki, stem, issue(authority, subject, now=now, lifetime=LIFETIME))


def _server(server: Server, layout: Layout, authority: Issued, now: datetime) -> None:
    subject = Subject(
        common_name="kube-apiserver",
        usage=Usage.SERVER,
        names=(*_SERVICE_NAMES, server.name),
        addresses=(server.address, server.advertise, SERVICE_ADDRESS),
    )
    pki = _directory(layout.server(server.name).pki)
    write_pair(pki, "apiserver", issue(authority, subject, now=now, lifetime=LIFETIME))


def _directory(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True)
    return path
