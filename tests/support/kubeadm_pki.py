"""A PKI directory as kubeadm lays it out on a control-plane node: files, subjects, organisations, names, usages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keyctl.pki.issue import Issued, KeyKind, Subject, Usage, issue, new_authority, write_pair

NODE, ADDRESS = "cp1", "10.0.0.1"
_CA_DAYS, _DAYS = 3650, 365
_SERVED = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", NODE)
_MASTERS = ("system:masters",)
_OF_ETCD = {"names": (NODE, "localhost"), "addresses": (ADDRESS, "127.0.0.1", "::1")}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate, the file of it without its ending, and the CA that signs it."""

    stem: str
    ca: str
    subject: Subject


LEAVES = (
    Leaf("apiserver", "ca", Subject("kube-apiserver", Usage.SERVER, (), _SERVED, ("10.96.0.1", ADDRESS))),
    Leaf("apiserver-kubelet-client", "ca", Subject("kube-apiserver-kubelet-client", Usage.CLIENT, _MASTERS)),
    Leaf("front-proxy-client", "front-proxy-ca", Subject("front-proxy-client", Usage.CLIENT)),
    Leaf("etcd/server", "etcd/ca", Subject(NODE, Usage.PEER, (), **_OF_ETCD)),
    Leaf("etcd/peer", "etcd/ca", Subject(NODE, Usage.PEER, (), **_OF_ETCD)),
    Leaf("etcd/healthcheck-client", "etcd/ca", Subject("kube-etcd-healthcheck-client", Usage.CLIENT)),
    Leaf("apiserver-etcd-client", "etcd/ca", Subject("kube-apiserver-etcd-client", Usage.CLIENT)),
)
AUTHORITIES = {"ca": "kubernetes", "front-proxy-ca": "front-proxy-ca", "etcd/ca": "etcd-ca"}


class KubeadmPki:
    """The directory, with its CAs at hand to sign what else a test wants."""

    def __init__(self, root: Path, *, now: datetime | None = None, kind: KeyKind = KeyKind.ECDSA) -> None:
        """Make it, as `kubeadm init` would at `now`."""
        self.root = root
        self.now = now or datetime.now(UTC)
        self.kind = kind
        (root / "etcd").mkdir(mode=0o700, parents=True)
        self.authorities = {stem: self.authority(name) for stem, name in AUTHORITIES.items()}
        for stem, authority in self.authorities.items():
            self.write(stem, authority)
        for leaf in LEAVES:
            self.write(leaf.stem, self.issue(leaf.ca, leaf.subject))

    def authority(self, name: str) -> Issued:
        """A CA as long-lived as kubeadm's."""
        return new_authority(name, now=self.now, lifetime=timedelta(days=_CA_DAYS), kind=self.kind)

    def issue(self, ca: str, subject: Subject, *, days: int = _DAYS) -> Issued:
        """A certificate of one of the CAs."""
        return issue(self.authorities[ca], subject, now=self.now, lifetime=timedelta(days=days), kind=self.kind)

    def write(self, stem: str, issued: Issued) -> None:
        """Put a pair in the place of what is there."""
        for ending in ("crt", "key"):
            (self.root / f"{stem}.{ending}").unlink(missing_ok=True)
        path = self.root / stem
        write_pair(path.parent, path.name, issued)

    def subject(self, stem: str) -> Subject:
        """Whom a certificate of the directory names."""
        return next(leaf.subject for leaf in LEAVES if leaf.stem == stem)
