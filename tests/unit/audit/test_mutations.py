"""A host where everything is right, and one thing of it wrong: exactly the matching checks turn red.

Nothing runs here: what a running cluster shows is broken in `tests/live/test_audit_all_right.py`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from keyctl.audit.report import exit_code
from keyctl.errors import ExitCode
from keyctl.findings import Status
from keyctl.pki.issue import Issued, Subject, Usage, issue
from tests.support.host_files import CONFIG, ETCD, LOG, PKI, POLICY, SERVER, SNAPSHOT, HostFiles
from tests.unit.audit.given import GOOD_CONFIG, PUBLISHED_KEY, RANDOM_KEY
from tests.unit.audit.right_host import MEMBER, NOW, Bench, audited, crude, right_bench, statuses, told


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return right_bench(tmp_path_factory.mktemp("kubeadm"))


API_SERVER = Subject("kube-apiserver-etcd-client", Usage.CLIENT)


def serving(bench: Bench, pair: Issued, stem: str = "etcd/server") -> HostFiles:
    """The host with another certificate, and its key."""
    host = bench.host.holding(f"{PKI}/{stem}.crt", pair.certificate)
    return host.holding(f"{PKI}/{stem}.key", pair.private_key)


def expired(bench: Bench) -> HostFiles:
    authority, year = bench.pki.authorities["etcd/ca"], timedelta(days=365)
    return serving(bench, issue(authority, MEMBER, now=NOW - timedelta(days=400), lifetime=year))


def one_ca(bench: Bench) -> HostFiles:
    """The CA of the cluster signs for etcd, too, and etcd trusts it."""
    pki, host = bench.pki, bench.host.holding(f"{PKI}/etcd/ca.crt", bench.pki.authorities["ca"].certificate)
    for stem, subject in (
        ("etcd/server", MEMBER),
        ("etcd/peer", MEMBER),
        ("etcd/healthcheck-client", Subject("kube-etcd-healthcheck-client", Usage.CLIENT)),
        ("apiserver-etcd-client", API_SERVER),
    ):
        pair = pki.issue("ca", subject)
        host = host.holding(f"{PKI}/{stem}.crt", pair.certificate).holding(f"{PKI}/{stem}.key", pair.private_key)
    return host.holding(f"{PKI}/etcd/ca.key", pki.authorities["ca"].private_key)


def makes_its_own(bench: Bench) -> HostFiles:
    """An etcd that was never given a certificate for clients."""
    host = bench.host.lacking(f"{PKI}/etcd/server.crt", f"{PKI}/etcd/server.key")
    return host.untold(ETCD, "cert-file", "key-file").told(ETCD, "auto-tls", "true")


def swapped(bench: Bench, stem: str) -> HostFiles:
    """A certificate beside a key that is not its own."""
    return bench.host.holding(f"{PKI}/{stem}.key", bench.host.files[f"{PKI}/sa.key"].content)


def with_config(text: str) -> Callable[[Bench], HostFiles]:
    return lambda bench: bench.host.holding(CONFIG, text)


def flag(program: str, name: str, value: str) -> Callable[[Bench], HostFiles]:
    return lambda bench: bench.host.told(program, name, value)


def without(program: str, *names: str) -> Callable[[Bench], HostFiles]:
    return lambda bench: bench.host.untold(program, *names)


def mode(path: str, bits: int) -> Callable[[Bench], HostFiles]:
    return lambda bench: bench.host.open_to(path, bits)


def image(program: str, version: str) -> Callable[[Bench], HostFiles]:
    return lambda bench: replace(bench.host, images={**bench.host.images, program: version})


@dataclass(frozen=True, slots=True)
class Mutation:
    """One thing, and every check that it changes: ids, one blank between two.

    `unknown` are those that cannot be judged without what is missing now, `void` those that have nothing to judge.
    """

    name: str
    made: Callable[[Bench], HostFiles]
    red: str
    unknown: str = ""
    void: str = ""

    @property
    def changed(self) -> dict[str, Status]:
        """Each changed check, and its status."""
        return {
            **dict.fromkeys(self.red.split(), Status.FAIL),
            **dict.fromkeys(self.unknown.split(), Status.UNKNOWN),
            **dict.fromkeys(self.void.split(), Status.NOT_APPLICABLE),
        }


IDENTITY_FIRST = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")
LEGACY = GOOD_CONFIG.replace("apiserver.config.k8s.io/v1", "v1").replace("EncryptionConfiguration", "EncryptionConfig")
MIS_INDENTED = GOOD_CONFIG.replace("        secret:", "      secret:")
KMS_V1 = GOOD_CONFIG[: GOOD_CONFIG.index("  - secretbox")] + (
    "  - kms:\n      apiVersion: v1\n      name: vault\n      endpoint: unix:///run/kms.sock\n"
)
A_TEXT = base64.b64encode(b"correct horse battery staple one").decode()
# What is judged of a file that kube-apiserver takes.
OF_THE_FILE = "KC-ENC-005 KC-ENC-007 KC-ENC-008 KC-ENC-009 KC-KEY-104 KC-KEY-105 KC-KEY-106 KC-KEY-107"
BODIES = "rules:\n- level: RequestResponse\n  resources: [{group: '', resources: [secrets]}]\n"
SILENT = "rules:\n- level: None\n  resources: [{group: '', resources: [secrets]}]\n"

MUTATIONS = (
    Mutation("no encryption flag", without(SERVER, "encryption-provider-config"), "KC-ENC-001", "KC-ENC-004"),
    Mutation("an empty encryption flag", flag(SERVER, "encryption-provider-config", ""), "KC-ENC-001", "KC-ENC-004"),
    Mutation("the encryption flag on etcd, too", flag(ETCD, "encryption-provider-config", CONFIG), "KC-ENC-002"),
    Mutation(
        "the flag of before 1.24 beside", flag(SERVER, "experimental-encryption-provider-config", CONFIG), "KC-ENC-003"
    ),
    Mutation("the configuration is not mounted", lambda b: replace(b.host, seen=(PKI,)), "KC-ENC-004"),
    Mutation("everybody may do everything", flag(SERVER, "authorization-mode", "AlwaysAllow"), "KC-AUTH-001"),
    Mutation("no CA for etcd", without(SERVER, "etcd-cafile"), "KC-TLS-008"),
    Mutation("the API server reaches etcd by http", flag(SERVER, "etcd-servers", "http://10.0.0.1:2379"), "KC-TLS-007"),
    Mutation("a weak cipher suite", flag(SERVER, "tls-cipher-suites", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"), "KC-TLS-010"),
    Mutation("no audit log", without(SERVER, "audit-log-path"), "KC-LOG-001"),
    Mutation("audit logs for a week", flag(SERVER, "audit-log-maxage", "7"), "KC-LOG-001"),
    Mutation("etcd has no key of its own", without(ETCD, "key-file"), "KC-TLS-001"),
    Mutation(
        "etcd makes its own certificates",
        makes_its_own,
        "KC-TLS-001 KC-TLS-004",
    ),
    Mutation("auto-tls beside certificates", flag(ETCD, "auto-tls", "true"), "KC-TLS-004"),
    Mutation(
        "certificates are asked for without a CA",
        without(ETCD, "trusted-ca-file"),
        "KC-TLS-003",
        "KC-TLS-006 KC-AUTH-003",
    ),
    Mutation("peers without a CA", without(ETCD, "peer-trusted-ca-file"), "KC-TLS-003"),
    Mutation(
        "peers prove nothing",
        without(ETCD, "peer-trusted-ca-file", "peer-client-cert-auth"),
        "KC-TLS-005",
    ),
    Mutation(
        "clients prove nothing",
        without(ETCD, "trusted-ca-file", "client-cert-auth"),
        "KC-TLS-002",
        "KC-TLS-006 KC-AUTH-003",
    ),
    Mutation(
        "http beside https",
        flag(ETCD, "listen-client-urls", "https://10.0.0.1:2379,http://127.0.0.1:2379"),
        "KC-TLS-007",
    ),
    Mutation("etcd listens on all addresses", flag(ETCD, "listen-client-urls", "https://0.0.0.0:2379"), "KC-NET-001"),
    Mutation("profiles for everybody", flag(ETCD, "enable-pprof", "true"), "KC-NET-003"),
    Mutation(
        "metrics for everybody", flag(ETCD, "listen-metrics-urls", "http://10.0.0.1:2381"), "KC-NET-003 KC-TLS-007"
    ),
    Mutation("peers by any name", flag(ETCD, "peer-skip-client-san-verification", "true"), "KC-TLS-014"),
    Mutation("an old TLS", flag(ETCD, "tls-min-version", "TLS1.1"), "KC-TLS-010"),
    Mutation("no revocation list", without(ETCD, "client-crl-file"), "KC-TLS-013"),
    Mutation("an etcd with a known flaw", image(ETCD, "3.6.4-0"), "KC-VER-001"),
    Mutation("an etcd that nobody mends", image(ETCD, "3.4.45-0"), "KC-VER-001 KC-VER-002"),
    Mutation("a configuration for everybody", mode(CONFIG, 0o644), "KC-FS-001"),
    Mutation("a data directory for everybody", lambda b: replace(b.host, data_mode=0o755), "KC-FS-002"),
    Mutation("a manifest for everybody", lambda b: replace(b.host, modes={ETCD: 0o644}), "KC-FS-003"),
    Mutation("a private key for everybody", mode(f"{PKI}/etcd/server.key", 0o644), "KC-FS-004"),
    Mutation("a certificate that others write", mode(f"{PKI}/etcd/ca.crt", 0o666), "KC-FS-004"),
    Mutation("a snapshot for everybody", mode(SNAPSHOT, 0o644), "KC-FS-005"),
    Mutation("an audit log for everybody", mode(LOG, 0o644), "KC-LOG-003"),
    Mutation(
        "a certificate without names",
        lambda b: serving(b, crude(b.pki.authorities["etcd/ca"], names=False)),
        "KC-TLS-012",
    ),
    Mutation("a weak key", lambda b: serving(b, crude(b.pki.authorities["etcd/ca"], bits=1024)), "KC-TLS-012"),
    Mutation("an expired certificate", expired, "KC-TLS-011"),
    # Who has a certificate of the cluster for something else opens etcd with it.
    Mutation("one CA for everything", one_ca, "KC-TLS-006 KC-AUTH-003"),
    Mutation("etcd's key is of another certificate", lambda b: swapped(b, "etcd/server"), "KC-TLS-001"),
    Mutation("the peers' key is of another certificate", lambda b: swapped(b, "etcd/peer"), "KC-TLS-005"),
    Mutation(
        "the API server's key for etcd is another one", lambda b: swapped(b, "apiserver-etcd-client"), "KC-TLS-008"
    ),
    Mutation(
        "the API server's certificate is of another CA than etcd's",
        lambda b: serving(b, b.pki.issue("ca", API_SERVER), "apiserver-etcd-client"),
        "KC-TLS-008",
    ),
    Mutation("the API server trusts another CA", flag(SERVER, "etcd-cafile", f"{PKI}/ca.crt"), "KC-TLS-008"),
    Mutation("identity first", with_config(IDENTITY_FIRST), "KC-ENC-007", void="KC-ENC-009"),
    Mutation(
        "secrets are not named",
        with_config(GOOD_CONFIG.replace("secrets", "configmaps")),
        "KC-ENC-007 KC-ENC-008",
        void="KC-ENC-009",
    ),
    Mutation(
        "a name that no API has", with_config(GOOD_CONFIG.replace("[secrets]", "[secrets, secret]")), "KC-ENC-008"
    ),
    Mutation("a key from a tutorial", with_config(GOOD_CONFIG.replace(RANDOM_KEY, PUBLISHED_KEY)), "KC-KEY-104"),
    Mutation("a key that is a text", with_config(GOOD_CONFIG.replace(RANDOM_KEY, A_TEXT)), "KC-KEY-105"),
    Mutation("the legacy kind", with_config(LEGACY), "KC-ENC-005"),
    Mutation("keys that are mis-indented", with_config(MIS_INDENTED), "KC-ENC-006", f"KC-ENC-011 {OF_THE_FILE}"),
    Mutation("a KMS of version 1", with_config(KMS_V1), "KC-ENC-006 KC-ENC-011", OF_THE_FILE),
    Mutation("the audit policy logs bodies", lambda b: b.host.saying(POLICY, "rules:\n", BODIES), "KC-LOG-002"),
    Mutation("the audit policy leaves secrets out", lambda b: b.host.saying(POLICY, "rules:\n", SILENT), "KC-LOG-002"),
)


def test_where_everything_is_right_nothing_is_red_and_the_benchmark_passes(bench: Bench, tmp_path: Path) -> None:
    assert told(audited(bench.host, tmp_path), Status.FAIL) == []
    done = audited(bench.host, tmp_path, "cis-1.12")
    # What is stored, and what the ports of etcd answer, is told by a cluster alone.
    assert {id for id, _ in told(done, Status.UNKNOWN)} == {"KC-DAT-101", "KC-ENC-014", "KC-TLS-009"}
    assert exit_code(done) is ExitCode.OK


@pytest.fixture(scope="module")
def right(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Status]:
    return statuses(audited(bench.host, tmp_path_factory.mktemp("right")))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_one_wrong_thing_turns_exactly_the_matching_checks_red(
    mutation: Mutation, bench: Bench, right: dict[str, Status], tmp_path: Path
) -> None:
    done = audited(mutation.made(bench), tmp_path)
    changed = {id: status for id, status in statuses(done).items() if status is not right[id]}
    assert changed == mutation.changed, told(done, Status.FAIL)
    # None of them was red before, so that each says something now.
    assert {right[id] for id in mutation.changed} <= {Status.PASS, Status.NOT_APPLICABLE, Status.MANUAL}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(
    ("path", "id"), [(CONFIG, "KC-FS-001"), (f"{PKI}/etcd/server.key", "KC-FS-004")], ids=["configuration", "key"]
)
def test_a_file_of_another_owner_turns_its_own_check_red(
    path: str, id: str, bench: Bench, right: dict[str, Status], tmp_path: Path
) -> None:
    now = statuses(audited(bench.host.given_to(path, 1000), tmp_path))
    assert {one for one, status in now.items() if status is not right[one]} == {id}


def test_a_key_that_needs_a_password_is_not_taken_for_another_one(
    bench: Bench, right: dict[str, Status], tmp_path: Path
) -> None:
    name = f"{PKI}/apiserver-etcd-client.key"
    key = serialization.load_pem_private_key(bench.host.files[name].content, None)
    form, locked = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"password")
    sealed = key.private_bytes(serialization.Encoding.PEM, form, locked)
    assert statuses(audited(bench.host.holding(name, sealed), tmp_path)) == right


def test_a_certificate_that_brings_its_ca_between_with_it_fits(
    bench: Bench, right: dict[str, Status], tmp_path: Path
) -> None:
    other = bench.pki.issue("ca", API_SERVER)
    host = serving(bench, other, "apiserver-etcd-client")
    vouching = bench.host.files[f"{PKI}/etcd/ca.crt"].content
    chained = host.holding(f"{PKI}/apiserver-etcd-client.crt", other.certificate + vouching)
    assert statuses(audited(chained, tmp_path))["KC-TLS-008"] is right["KC-TLS-008"]


def test_an_etcd_of_somebody_else_with_a_ca_of_its_own_contradicts_nothing(
    bench: Bench, right: dict[str, Status], tmp_path: Path
) -> None:
    theirs = bench.pki.issue("front-proxy-ca", MEMBER)
    host = bench.host.adding(f"{PKI}/theirs.crt", theirs.certificate).told(ETCD, "cert-file", f"{PKI}/theirs.crt")
    manifest = host.write(tmp_path / "theirs") / "etc/kubernetes/manifests/etcd.yaml"
    both = bench.host.adding("/etc/kubernetes/manifests/theirs.yaml", manifest.read_bytes())
    assert statuses(audited(both, tmp_path / "theirs"))["KC-TLS-008"] is right["KC-TLS-008"]


@pytest.mark.parametrize(
    "name",
    [
        "apiserver-etcd-client.crt",
        "apiserver-etcd-client.key",
        "etcd/server.crt",
        "etcd/peer.key",
        "etcd/ca.crt",
    ],
)
def test_a_file_that_was_not_given_fits_and_contradicts_nothing(name: str, bench: Bench, tmp_path: Path) -> None:
    now = statuses(audited(bench.host.lacking(f"{PKI}/{name}"), tmp_path))
    assert {now[id] for id in ("KC-TLS-001", "KC-TLS-005", "KC-TLS-008")} == {Status.PASS}
