"""A right set-up that other tools call wrong gets no finding, in whatever form it is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from keyctl.audit.collect import collect
from keyctl.audit.engine import Audit, audit
from keyctl.audit.facts import Facts, FileFact, Placed
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.audit.report import exit_code
from keyctl.errors import ExitCode
from keyctl.findings import Status
from tests.unit.audit.given import ETCD_FLAGS, GOOD_CONFIG, GOOD_POLICY, RANDOM_KEY, SERVER_FLAGS, TODAY

ONE_LINE = (
    '{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],'
    f'"providers":[{{"aescbc":{{"keys":[{{"name":"aescbckey","secret":"{RANDOM_KEY}"}}]}}}},{{"identity":{{}}}}]}}]}}'
)
EVENTS_STAY_PLAIN = GOOD_CONFIG.replace(
    "- resources: [secrets]", "- resources: [events]\n  providers:\n  - identity: {}\n- resources: ['*.*']"
)
CONFIG = "etc/kubernetes/enc/enc.yaml"
DATABASE = bytes(16) + b"\xed\xda\x0c\xed" + bytes(100)


@dataclass(frozen=True, slots=True)
class Host:
    """A control-plane host's files, below `root`."""

    root: Path

    def put(self, name: str, text: str | bytes, mode: int = 0o600) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, str):
            # Certificates and keys are looked for where the flags say that they are: below this root.
            text = re.sub(r"(?<![\w.-])/(?=pki/|etc/kubernetes/enc)", f"{self.root}/", text).encode()
        path.unlink(missing_ok=True)
        path.write_bytes(text)
        path.chmod(mode)

    def take(self, name: str) -> None:
        (self.root / name).unlink()


def pod(name: str, command: list[str], args: list[str], mounts: str = "") -> str:
    lists = {"command": command, "args": args}
    words = "".join(f"    {field}:\n" + "".join(f"    - {one}\n" for one in given) for field, given in lists.items())
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n"
        f"  - name: {name}\n    image: registry.k8s.io/{name}:v3.7.3\n{words}{mounts}"
    )


def server(command: list[str], args: list[str]) -> str:
    mounts = (
        "    volumeMounts:\n    - {name: enc, mountPath: /etc/kubernetes/enc, readOnly: true}\n"
        "  volumes:\n  - {name: enc, hostPath: {path: /etc/kubernetes/enc}}\n"
    )
    return pod("kube-apiserver", command, args, mounts)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    end = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) + timedelta(days=300)
    cluster, etcd = trustme.CA(), trustme.CA()
    for name, ca in (("ca.crt", cluster), ("etcd/ca.crt", etcd)):
        made.put(f"pki/{name}", ca.cert_pem.bytes(), 0o644)
    for name in ("etcd/server", "etcd/peer", "c"):
        leaf = etcd.issue_cert("etcd.example", common_name=name, not_after=end)
        made.put(f"pki/{name}.crt", b"".join(one.bytes() for one in leaf.cert_chain_pems), 0o444)
        made.put(f"pki/{name}.key", leaf.private_key_pem.bytes(), 0o400)
    made.put("etc/kubernetes/manifests/kube-apiserver.yaml", server(["kube-apiserver", *SERVER_FLAGS], []))
    made.put("etc/kubernetes/manifests/etcd.yaml", pod("etcd", ["etcd", *ETCD_FLAGS], []))
    made.put(CONFIG, GOOD_CONFIG)
    made.put("etc/kubernetes/policy.yaml", GOOD_POLICY, 0o644)
    made.put("var/lib/etcd/member/snap/db", DATABASE)
    (tmp_path / "var/lib/etcd").chmod(0o700)
    made.put("backup/snapshot.db", DATABASE)
    return made


def one_line(host: Host) -> None:
    host.put(CONFIG, ONE_LINE)


def wildcard(host: Host) -> None:
    host.put(CONFIG, GOOD_CONFIG.replace("[secrets]", "['*.*']"))


def wildcard_of_the_group(host: Host) -> None:
    host.put(CONFIG, GOOD_CONFIG.replace("[secrets]", "['*.']"))


def with_its_group(host: Host) -> None:
    host.put(CONFIG, GOOD_CONFIG.replace("[secrets]", "['secrets.']"))


def events_in_plaintext(host: Host) -> None:
    host.put(CONFIG, EVENTS_STAY_PLAIN)


def args_form(host: Host) -> None:
    host.put("etc/kubernetes/manifests/kube-apiserver.yaml", server(["kube-apiserver"], SERVER_FLAGS))
    host.put("etc/kubernetes/manifests/etcd.yaml", pod("etcd", ["etcd"], ETCD_FLAGS))


def words_apart(host: Host) -> None:
    apart = [f"'{word}'" for flag in SERVER_FLAGS for word in flag.split("=", 1)]
    host.put("etc/kubernetes/manifests/kube-apiserver.yaml", server(["kube-apiserver"], apart))


def with_a_path(host: Host) -> None:
    host.put("etc/kubernetes/manifests/kube-apiserver.yaml", server(["/usr/local/bin/kube-apiserver"], SERVER_FLAGS))
    host.put("etc/kubernetes/manifests/etcd.yaml", pod("etcd", ["/usr/local/bin/etcd", *ETCD_FLAGS], []))


def etcds_own_file(host: Host) -> None:
    files = "cert-file: /pki/etcd/{0}.crt, key-file: /pki/etcd/{0}.key, client-cert-auth: true"
    sections = (
        f"{side}-transport-security: {{{files.format(name)}, trusted-ca-file: /pki/etcd/ca.crt}}\n"
        for side, name in (("client", "server"), ("peer", "peer"))
    )
    urls = "listen-client-urls: https://10.0.0.1:2379\nlisten-peer-urls: https://10.0.0.1:2380\n"
    host.put("etc/etcd/etcd.conf.yml", f"name: cp1\ndata-dir: /var/lib/etcd\n{urls}{''.join(sections)}")
    host.put("etc/kubernetes/manifests/etcd.yaml", pod("etcd", ["etcd", "--config-file=/etc/etcd/etcd.conf.yml"], []))


def unit_with_drop_in(host: Host) -> None:
    host.take("etc/kubernetes/manifests/etcd.yaml")
    weak = " ".join(ETCD_FLAGS).replace("--client-cert-auth=true", "--client-cert-auth=false")
    host.put(
        "etc/systemd/system/etcd.service",
        f"[Unit]\nDescription=etcd\n[Service]\nExecStart=/usr/local/bin/etcd {weak} --auto-tls\n",
        0o644,
    )
    lines = " \\\n  ".join(ETCD_FLAGS)
    host.put(
        "etc/systemd/system/etcd.service.d/10-tls.conf",
        f"[Service]\nExecStart=\nExecStart=/usr/local/bin/etcd \\\n  {lines}\n",
        0o644,
    )


def variables_of_a_unit(host: Host) -> None:
    host.take("etc/kubernetes/manifests/etcd.yaml")
    pairs = (flag.removeprefix("--").split("=", 1) for flag in ETCD_FLAGS)
    given = "".join(f'ETCD_{name.replace("-", "_").upper()}="{value}"\n' for name, value in pairs)
    host.put("etc/etcd.env", given)
    unit = "[Service]\nEnvironmentFile=/etc/etcd.env\nExecStart=/usr/bin/etcd\n"
    host.put("etc/systemd/system/etcd.service", unit, 0o644)


def tighter_modes(host: Host) -> None:
    """Fewer bits than what is allowed."""
    for name, mode in ((CONFIG, 0o400), ("etc/kubernetes/manifests/etcd.yaml", 0o400), ("backup/snapshot.db", 0o400)):
        (host.root / name).chmod(mode)
    (host.root / "pki/ca.crt").chmod(0o604)
    (host.root / "var/lib/etcd").chmod(0o500)


FORMS: list[Callable[[Host], None]] = [
    one_line, wildcard, wildcard_of_the_group, with_its_group, events_in_plaintext, args_form, words_apart, with_a_path,
    etcds_own_file, unit_with_drop_in, variables_of_a_unit, tighter_modes,
]  # fmt: skip


def of_root(one: Placed) -> Placed:
    """The fact as on a host, where all of this belongs to root and nobody else writes above it."""
    return replace(one, uid=0, gid=0, above=()) if isinstance(one, FileFact) else one


def audited(host: Host, profile: str) -> Audit:
    found = collect([host.root], today=TODAY)
    return audit(Facts(TODAY, tuple(of_root(one) for one in found.found), found.looked), PROFILES[profile], bar=None)


def wrong(done: Audit) -> list[tuple[str, str]]:
    results = (one for check in done.checks for one in check.results)
    return [(one.rule.id, one.verdict.message) for one in results if one.status is Status.FAIL]


def unknown(done: Audit) -> list[tuple[str, str]]:
    results = (one for check in done.checks for one in check.results)
    return [(one.rule.id, one.verdict.message) for one in results if one.status is Status.UNKNOWN]


@pytest.mark.parametrize("form", [None, *FORMS], ids=lambda form: form.__name__ if form else "as kubeadm writes it")
def test_what_is_right_in_another_form_gets_no_finding(form: Callable[[Host], None] | None, host: Host) -> None:
    if form:
        form(host)
    for name in ("ci-static", "host", "cis-1.12"):
        assert wrong(audited(host, name)) == [], name
    for name in ("ci-static", "host"):
        assert exit_code(audited(host, name)) is ExitCode.OK, unknown(audited(host, name))


def test_the_benchmark_is_judged_in_full_where_every_file_is_given(host: Host) -> None:
    done = audited(host, "cis-1.12")
    # What is stored, and what the ports of etcd answer, is told by a cluster alone.
    assert {id for id, _ in unknown(done)} == {"KC-DAT-101", "KC-ENC-014", "KC-TLS-009"}
    assert exit_code(done) is ExitCode.OK


@pytest.mark.parametrize(
    ("name", "old", "new", "id"),
    [
        (CONFIG, "- secretbox", "- identity: {}\n  - secretbox", "KC-ENC-007"),
        ("etc/kubernetes/manifests/etcd.yaml", "--client-cert-auth=true", "--client-cert-auth=false", None),
        ("etc/kubernetes/manifests/etcd.yaml", "--trusted-ca-file", "--trusted-ca-fil", "KC-TLS-003"),
    ],
)
def test_the_same_host_with_one_thing_wrong_has_one_finding(
    name: str, old: str, new: str, id: str | None, host: Host
) -> None:
    host.put(name, (host.root / name).read_text().replace(old, new))
    assert {one for one, _ in wrong(audited(host, "host"))} == ({id} if id else set())


@pytest.mark.parametrize(
    ("name", "mode", "id"),
    [
        (CONFIG, 0o604, "KC-FS-001"),
        ("var/lib/etcd", 0o701, "KC-FS-002"),
        # A smaller number than 0700, and more bits.
        ("var/lib/etcd", 0o577, "KC-FS-002"),
        ("etc/kubernetes/manifests/etcd.yaml", 0o610, "KC-FS-003"),
        ("pki/c.key", 0o440, "KC-FS-004"),
        ("pki/ca.crt", 0o664, "KC-FS-004"),
        ("backup/snapshot.db", 0o640, "KC-FS-005"),
    ],
)
def test_one_bit_too_many_is_a_finding(name: str, mode: int, id: str, host: Host) -> None:
    (host.root / name).chmod(mode)
    assert [one for one, _ in wrong(audited(host, "host"))] == [id]
