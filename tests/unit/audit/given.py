"""Facts as tests need them, made of texts by the sources themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from keyctl.audit.checks.catalogue import CHECKS
from keyctl.audit.facts import About, CertificateFact, Fact, Facts, FileFact, Git, Mount, Program
from keyctl.audit.sources.flags import flag_settings
from keyctl.audit.sources.fragments import Fragment
from keyctl.audit.sources.link import link
from keyctl.audit.sources.read import read
from keyctl.audit.sources.text import Text
from keyctl.audit.verdicts import Verdict
from keyctl.findings import Location

TODAY = date(2026, 10, 1)
RANDOM_KEY = "3q2+7wSh1TQ0V5mYk8rN6pXc9bZaLdEfUgHiJ0KvWxM="
PUBLISHED_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
GOOD_CONFIG = f"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: key1
        secret: {RANDOM_KEY}
"""
SERVER_FLAGS = [
    "--encryption-provider-config=/etc/kubernetes/enc/enc.yaml",
    "--authorization-mode=Node,RBAC",
    "--etcd-servers=https://10.0.0.1:2379",
    "--etcd-cafile=/pki/etcd/ca.crt",
    "--etcd-certfile=/pki/c.crt",
    "--etcd-keyfile=/pki/c.key",
    "--client-ca-file=/pki/ca.crt",
    "--audit-policy-file=/etc/kubernetes/policy.yaml",
    "--audit-log-path=/var/log/audit.log",
    "--audit-log-maxage=30",
    "--audit-log-maxbackup=10",
    "--audit-log-maxsize=100",
]
ETCD_FLAGS = [
    "--cert-file=/pki/etcd/server.crt",
    "--key-file=/pki/etcd/server.key",
    "--client-cert-auth=true",
    "--trusted-ca-file=/pki/etcd/ca.crt",
    "--peer-cert-file=/pki/etcd/peer.crt",
    "--peer-key-file=/pki/etcd/peer.key",
    "--peer-client-cert-auth=true",
    "--peer-trusted-ca-file=/pki/etcd/ca.crt",
    "--data-dir=/var/lib/etcd",
    "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
    "--listen-peer-urls=https://10.0.0.1:2380",
    "--advertise-client-urls=https://10.0.0.1:2379",
    "--initial-advertise-peer-urls=https://10.0.0.1:2380",
    "--listen-metrics-urls=http://127.0.0.1:2381",
]
GOOD_POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n"
MOUNT = Mount("/etc/kubernetes/enc", "/etc/kubernetes/enc", True, Location("server.yaml", 20))


def started(about: About, *flags: str, without: Iterable[str] = (), **more: Any) -> Program:
    """A program with these flags behind the right ones of its kind, less those in `without`."""
    good = {About.API_SERVER: SERVER_FLAGS, About.ETCD: ETCD_FLAGS}.get(about, [])
    left_out = {f"--{name}" for name in without}
    words = [word for word in good if word.partition("=")[0] not in left_out] + list(flags)
    places = [(word, Location("flags.yaml", number)) for number, word in enumerate(words, 1)]
    return Program(about, str(about), Location("flags.yaml", 1), tuple(flag_settings(places)), **more)


def server(*flags: str, **more: Any) -> Program:
    return started(About.API_SERVER, *flags, **{"mounts": (MOUNT,), **more})


def etcd(*flags: str, **more: Any) -> Program:
    return started(About.ETCD, *flags, **{"version": "3.7.3-0", **more})


def found_in(text: str, name: str = "file.yaml") -> tuple[Fact | Fragment, ...]:
    return tuple(read(Text(name, text.encode())))


def facts_of(*texts: tuple[str, str]) -> tuple[Fact, ...]:
    """The facts of several files, (name, text), put together."""
    return link(one for name, text in texts for one in found_in(text, name))


def facts(*found: Fact | Fragment) -> Facts:
    return Facts(TODAY, link(found), len(found))


def config(text: str = GOOD_CONFIG, name: str = "/etc/kubernetes/enc/enc.yaml") -> Any:
    (one,) = found_in(text, name)
    return one


def file(role: str, mode: int = 0o600, *, uid: int = 0, git: Git = Git.OUTSIDE, path: str = "/a/file") -> FileFact:
    return FileFact(path, role, mode, uid, 0, Location(path), git, checkout=git is not Git.OUTSIDE)


def certificate(path: str = "/pki/c.crt", days: int = 300, **more: Any) -> CertificateFact:
    now = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
    given: dict[str, Any] = {
        "subject": f"CN={path}", "issuer": "CN=ca", "names": ("etcd",), "not_before": now,
        "not_after": now + timedelta(days=days), "is_ca": False, "is_server": True, "spki": path,
        "key_type": "EC", "key_bits": 256, "location": Location(path),
    } | more  # fmt: skip
    return CertificateFact(path, **given)


def verdicts(id: str, *found: Any) -> list[Verdict]:
    """What the check `id` says about these facts."""
    return judgement(id, facts(*found))


def judgement(id: str, given: Facts) -> list[Verdict]:
    """What the check `id` says about all that was found."""
    check = next(one for one in CHECKS if one.rule.id == id)
    return list(check.judge(given))
