"""A control-plane host where everything is right, as kubeadm would have made it, and the audit of it. Nothing runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keyctl.audit.collect import collect
from keyctl.audit.engine import Audit, audit
from keyctl.audit.facts import Facts, FileFact, Placed
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.findings import Status
from keyctl.pki.issue import Issued, Subject, Usage, new_signing_pair
from tests.support.host_files import CONFIG, DATABASE, ETCD, LOG, PKI, POLICY, SERVER, SNAPSHOT, HostFiles, Stored
from tests.support.kubeadm_pki import KubeadmPki
from tests.unit.audit.given import GOOD_CONFIG, GOOD_POLICY, TODAY

NOW = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
DATABASE_HEAD = bytes(16) + b"\xed\xda\x0c\xed" + bytes(100)
LOGGED = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata"}\n'
SERVER_WORDS = (
    "kube-apiserver",
    "--authorization-mode=Node,RBAC",
    f"--client-ca-file={PKI}/ca.crt",
    f"--tls-cert-file={PKI}/apiserver.crt",
    f"--tls-private-key-file={PKI}/apiserver.key",
    "--etcd-servers=https://10.0.0.1:2379",
    f"--etcd-cafile={PKI}/etcd/ca.crt",
    f"--etcd-certfile={PKI}/apiserver-etcd-client.crt",
    f"--etcd-keyfile={PKI}/apiserver-etcd-client.key",
    f"--encryption-provider-config={CONFIG}",
    f"--audit-policy-file={POLICY}",
    f"--audit-log-path={LOG}",
    "--audit-log-maxage=30",
    "--audit-log-maxbackup=10",
    "--audit-log-maxsize=100",
)
ETCD_WORDS = (
    "etcd",
    "--name=cp1",
    "--data-dir=/var/lib/etcd",
    "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
    "--advertise-client-urls=https://10.0.0.1:2379",
    "--listen-peer-urls=https://10.0.0.1:2380",
    "--initial-advertise-peer-urls=https://10.0.0.1:2380",
    "--initial-cluster=cp1=https://10.0.0.1:2380",
    "--listen-metrics-urls=http://127.0.0.1:2381",
    f"--cert-file={PKI}/etcd/server.crt",
    f"--key-file={PKI}/etcd/server.key",
    "--client-cert-auth=true",
    f"--trusted-ca-file={PKI}/etcd/ca.crt",
    f"--client-crl-file={PKI}/etcd/revoked.crl",
    f"--peer-cert-file={PKI}/etcd/peer.crt",
    f"--peer-key-file={PKI}/etcd/peer.key",
    "--peer-client-cert-auth=true",
    f"--peer-trusted-ca-file={PKI}/etcd/ca.crt",
)


MEMBER = Subject("cp1", Usage.PEER, (), ("cp1", "localhost"), ("10.0.0.1",))


@dataclass(frozen=True, slots=True)
class Bench:
    """The right host, and the CAs that signed its certificates."""

    host: HostFiles
    pki: KubeadmPki


def right_bench(folder: Path) -> Bench:
    """A host where everything is right; its CAs are made in `folder`."""
    made = KubeadmPki(folder / "pki", now=NOW)
    files = {f"{PKI}/{path.relative_to(made.root)}": Stored(path.read_bytes()) for path in made.root.rglob("*.*")}
    signing = new_signing_pair()
    more = {
        f"{PKI}/etcd/revoked.crl": Stored(_revoked(made.authorities["etcd/ca"])),
        f"{PKI}/sa.key": Stored(signing.private_key),
        CONFIG: Stored(GOOD_CONFIG.encode()),
        POLICY: Stored(GOOD_POLICY.encode()),
        LOG: Stored(LOGGED),
        DATABASE: Stored(DATABASE_HEAD),
        SNAPSHOT: Stored(DATABASE_HEAD),
    }
    commands = {SERVER: SERVER_WORDS, ETCD: ETCD_WORDS}
    return Bench(HostFiles(commands, {SERVER: "v1.37.1", ETCD: "3.7.3-0"}, files | more), made)


def _revoked(authority: Issued) -> bytes:
    """A list of the CA on which nobody stands."""
    signer = x509.load_pem_x509_certificate(authority.certificate)
    builder = x509.CertificateRevocationListBuilder().issuer_name(signer.subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=90))
    return builder.sign(_signing(authority), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _signing(authority: Issued) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(authority.private_key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def crude(authority: Issued, *, names: bool = True, bits: int = 2048) -> Issued:
    """What a tutorial's openssl makes for the server of etcd: maybe without names, or with a short key."""
    signer = x509.load_pem_x509_certificate(authority.certificate)
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etcd")])
    builder = x509.CertificateBuilder(signer.subject, name, key.public_key(), 1000, NOW, NOW + timedelta(days=300))
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Issued(
        builder.sign(_signing(authority), hashes.SHA256()).public_bytes(encoding),
        key.private_bytes(encoding, form, serialization.NoEncryption()),
    )


def of_root(one: Placed) -> Placed:
    """The fact as if root had made the files."""
    if not isinstance(one, FileFact) or one.uid != os.getuid():
        return one
    return replace(one, uid=0, gid=0, above=())


def audited(host: HostFiles, root: Path, profile: str = "all", *more: Placed) -> Audit:
    """The audit of the host's files, written to `root`, and of `more` facts of what runs."""
    found = collect([host.write(root)], today=TODAY)
    facts = Facts(TODAY, (*map(of_root, found.found), *more), found.looked)
    return audit(facts, PROFILES[profile], bar=None)


def statuses(done: Audit) -> dict[str, Status]:
    """Each check's."""
    return {one.rule.id: one.status for one in done.checks}


def told(done: Audit, status: Status) -> list[tuple[str, str]]:
    """Each result of this status: the check, and its words."""
    return [
        (one.rule.id, one.verdict.message) for check in done.checks for one in check.results if one.status is status
    ]
