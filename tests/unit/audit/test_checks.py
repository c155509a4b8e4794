"""Every check that is judged from files: what is right passes, what is wrong fails, what is not known is not right."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from keyctl.audit.checks.advisories import ADVISORIES, AS_OF
from keyctl.audit.checks.catalogue import CHECKS, RULES
from keyctl.audit.checks.check import Check
from keyctl.audit.checks.files import (
    CERTIFICATE,
    DATA_DIRECTORY,
    ENCRYPTION_CONFIG,
    MANIFEST,
    PRIVATE_KEY,
    SNAPSHOT,
)
from keyctl.audit.engine import audit
from keyctl.audit.facts import About, Facts, Git, Mount
from keyctl.audit.profiles.profile import Profile
from keyctl.findings import Location, Severity, Status
from tests.unit.audit.cases import Case, every
from tests.unit.audit.given import (
    ETCD_FLAGS,
    GOOD_CONFIG,
    PUBLISHED_KEY,
    RANDOM_KEY,
    SERVER_FLAGS,
    TODAY,
    certificate,
    config,
    etcd,
    facts,
    file,
    judgement,
    server,
    started,
    verdicts,
)

P, F, U, N = Status.PASS, Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE
LATER = "{{ later }}"
IDENTITY_FIRST = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")
TEMPLATE = GOOD_CONFIG.replace(RANDOM_KEY, f'"{LATER}"')
AESGCM = GOOD_CONFIG.replace("secretbox", "aesgcm")
TWO_KEYS = GOOD_CONFIG + f"      - name: key2\n        secret: {RANDOM_KEY.replace('3q2', '4q2')}\n"
KMS = """\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock'}
"""
IN_CONFIG_MAP = "kind: ConfigMap\napiVersion: v1\ndata:\n  enc.yaml: |\n" + "".join(
    f"    {line}\n" for line in GOOD_CONFIG.splitlines()
)
POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
SECRETS = "resources: [{group: '', resources: [secrets]}]"
BELOW = "resources: [{group: '', resources: ['secrets/*']}]"
LOGGED_IN = "userGroups: ['system:authenticated', 'system:unauthenticated']"
NAMED_AND_NOT = "resources: [{group: '', resources: [pods], resourceNames: [a]}, {group: '', resources: [secrets]}]"
SUBRESOURCES = "resources: [{group: '', resources: ['pods/*']}]"
ALONE = ("--initial-cluster=a=https://127.0.0.1:2380", "--listen-peer-urls=https://127.0.0.1:2380")
HIDDEN: dict[str, Any] = {"hidden": "its flags stand in a shell script"}
DEFAULT_MOUNT = Mount("/etc/ssl", "/etc/ssl", True, Location("server.yaml", 3))
WRITABLE = Mount("/etc/kubernetes/enc", "/etc/kubernetes/enc", False, Location("server.yaml", 3))

ELSEWHERE = Mount("/etc/kubernetes/enc", "/srv/enc", True, Location("server.yaml", 3))
NOT_OF_THE_HOST = Mount("/etc/kubernetes/enc", "", True, Location("server.yaml", 3))

CASES: list[Case] = [
    ("KC-ENC-001", P, (server(),)),
    ("KC-ENC-001", F, (server(without=["encryption-provider-config"]),)),
    ("KC-ENC-001", F, (server("--encryption-provider-config="),)),
    ("KC-ENC-001", F, (server("--encryption-provider-config"),)),
    ("KC-ENC-001", F, (server("--encryption-provider-config", "--audit-log-path=/x"),)),
    (
        "KC-ENC-001",
        F,
        (server("--encryption-provider-config-automatic-reload=true", without=["encryption-provider-config"]),),
    ),
    ("KC-ENC-001", U, (server(without=["encryption-provider-config"], **HIDDEN),)),
    ("KC-ENC-001", U, (server(f"--encryption-provider-config={LATER}"),)),
    ("KC-ENC-002", P, (etcd(),)),
    ("KC-ENC-002", F, (etcd("--encryption-provider-config=/x"),)),
    ("KC-ENC-002", F, (started(About.PROGRAM, "--experimental-encryption-provider-config=/x"),)),
    ("KC-ENC-002", U, (etcd(**HIDDEN),)),
    ("KC-ENC-003", P, (server(),)),
    ("KC-ENC-003", F, (server("--experimental-encryption-provider-config=/x"),)),
    ("KC-ENC-003", U, (server(**HIDDEN),)),
    ("KC-ENC-004", P, (server(), config())),
    ("KC-ENC-004", F, (server(mounts=(DEFAULT_MOUNT,)), config())),
    ("KC-ENC-004", F, (server(mounts=(WRITABLE,)), config())),
    ("KC-ENC-004", P, (server(mounts=None), config())),
    ("KC-ENC-004", U, (server(),)),
    ("KC-ENC-004", U, (server(without=["encryption-provider-config"]), config())),
    ("KC-ENC-004", P, (server(mounts=(ELSEWHERE,)), config(name="/srv/enc/enc.yaml"))),
    ("KC-ENC-004", U, (server(mounts=(ELSEWHERE,)), config())),
    ("KC-ENC-004", U, (server(mounts=(NOT_OF_THE_HOST,)), config())),
    ("KC-ENC-004", U, (server("--encryption-provider-config=enc.yaml", mounts=None), config(name="enc.yaml"))),
    ("KC-ENC-004", U, (server("--encryption-provider-config=/a/${X}/enc.yaml"), config())),
    ("KC-ENC-005", P, (config(),)),
    (
        "KC-ENC-005",
        F,
        (config(GOOD_CONFIG.replace("apiserver.config.k8s.io/v1", "v1").replace("Configuration", "Config")),),
    ),
    ("KC-ENC-005", F, (config(GOOD_CONFIG.replace("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v9")),)),
    ("KC-ENC-005", U, (config(TEMPLATE),)),
    ("KC-ENC-006", P, (config(),)),
    ("KC-ENC-006", F, (config(GOOD_CONFIG.replace("        secret:", "      secret:")),)),
    ("KC-ENC-006", F, (config(GOOD_CONFIG + "---\nkind: Other\n"),)),
    ("KC-ENC-006", U, (config(TEMPLATE),)),
    ("KC-ENC-006", U, (config("%YAML 1.1\n---\n" + GOOD_CONFIG),)),
    ("KC-ENC-007", P, (config(),)),
    ("KC-ENC-007", P, (config(GOOD_CONFIG.replace("secrets", "'*.*'")),)),
    ("KC-ENC-007", F, (config(IDENTITY_FIRST),)),
    ("KC-ENC-007", F, (config(GOOD_CONFIG.replace("secrets", "configmaps")),)),
    ("KC-ENC-007", U, (config(TEMPLATE),)),
    ("KC-ENC-008", P, (config(),)),
    ("KC-ENC-008", F, (config(GOOD_CONFIG.replace("secrets", "configmaps")),)),
    ("KC-ENC-008", F, (config(GOOD_CONFIG.replace("[secrets]", "[secrets, secret]")),)),
    ("KC-ENC-008", U, (config(TEMPLATE),)),
    ("KC-ENC-009", P, (config(),)),
    ("KC-ENC-009", U, (config(AESGCM),)),
    ("KC-ENC-009", N, (config(IDENTITY_FIRST),)),
    ("KC-ENC-011", P, (config(KMS),)),
    ("KC-ENC-011", F, (config(KMS.replace("v2", "v1", 1).replace("apiVersion: v2", "apiVersion: v1")),)),
    ("KC-ENC-011", N, (config(),)),
    ("KC-KEY-104", P, (config(),)),
    ("KC-KEY-104", F, (config(GOOD_CONFIG.replace(RANDOM_KEY, PUBLISHED_KEY)),)),
    ("KC-KEY-104", N, (config(KMS),)),
    ("KC-KEY-104", U, (config(TEMPLATE),)),
    ("KC-KEY-105", P, (config(),)),
    ("KC-KEY-105", F, (config(GOOD_CONFIG + f"      - name: key2\n        secret: {RANDOM_KEY}\n"),)),
    ("KC-KEY-105", N, (config(KMS),)),
    ("KC-KEY-106", P, (config(),)),
    ("KC-KEY-106", F, (config(IN_CONFIG_MAP),)),
    ("KC-KEY-106", F, (config(name="enc.yaml"), file(ENCRYPTION_CONFIG, git=Git.TRACKED, path="enc.yaml"))),
    ("KC-KEY-106", U, (config(name="enc.yaml"), file(ENCRYPTION_CONFIG, git=Git.UNTOLD, path="enc.yaml"))),
    ("KC-KEY-106", P, (config(name="enc.yaml"), file(ENCRYPTION_CONFIG, git=Git.UNTRACKED, path="enc.yaml"))),
    ("KC-KEY-106", N, (config(KMS),)),
    ("KC-KEY-107", P, (config(),)),
    ("KC-KEY-107", F, (config(GOOD_CONFIG.replace("key1", "'key:1'")),)),
    ("KC-KEY-107", U, (config(TWO_KEYS),)),
    ("KC-TLS-001", P, (etcd(),)),
    ("KC-TLS-001", F, (etcd(without=["key-file"]),)),
    ("KC-TLS-001", U, (etcd(without=["key-file"], **HIDDEN),)),
    ("KC-TLS-002", P, (etcd(),)),
    ("KC-TLS-002", P, (etcd("--client-cert-auth=false"),)),
    ("KC-TLS-002", F, (etcd("--client-cert-auth=false", without=["trusted-ca-file"]),)),
    ("KC-TLS-002", U, (etcd(without=["client-cert-auth", "trusted-ca-file"], **HIDDEN),)),
    ("KC-TLS-003", P, (etcd(),)),
    ("KC-TLS-003", F, (etcd(without=["trusted-ca-file"]),)),
    ("KC-TLS-003", F, (etcd(without=["peer-trusted-ca-file"]),)),
    ("KC-TLS-003", U, (etcd("--client-cert-auth=maybe"),)),
    ("KC-TLS-004", P, (etcd(),)),
    ("KC-TLS-004", P, (etcd("--auto-tls=false"),)),
    ("KC-TLS-004", F, (etcd("--auto-tls", without=["cert-file"]),)),
    ("KC-TLS-004", F, (etcd("--peer-auto-tls"),)),
    ("KC-TLS-004", U, (etcd(**HIDDEN),)),
    ("KC-TLS-005", P, (etcd(),)),
    ("KC-TLS-005", F, (etcd("--peer-client-cert-auth=false", without=["peer-trusted-ca-file"]),)),
    ("KC-TLS-005", F, (etcd(without=["peer-cert-file"]),)),
    ("KC-TLS-005", F, (etcd("--initial-cluster=a=https://10.0.0.1:2380", without=["peer-cert-file"]),)),
    ("KC-TLS-005", N, (etcd(*ALONE, without=["peer-cert-file"]),)),
    (
        "KC-TLS-005",
        F,
        (etcd("--initial-cluster=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380", without=["peer-cert-file"]),),
    ),
    ("KC-TLS-005", U, (etcd(without=["peer-cert-file"], **HIDDEN),)),
    (
        "KC-TLS-006",
        P,
        (server(), etcd(), certificate("/pki/ca.crt", is_ca=True), certificate("/pki/etcd/ca.crt", is_ca=True)),
    ),
    ("KC-TLS-006", F, (server(), etcd("--trusted-ca-file=/pki/ca.crt"))),
    (
        "KC-TLS-006",
        F,
        (server(), etcd(), certificate("/pki/ca.crt", spki="1"), certificate("/pki/etcd/ca.crt", spki="1")),
    ),
    ("KC-TLS-006", U, (server(), etcd())),
    ("KC-TLS-006", U, (server(), etcd(without=["trusted-ca-file"]))),
    ("KC-TLS-007", P, (etcd(), server())),
    ("KC-TLS-007", F, (etcd("--listen-client-urls=https://10.0.0.1:2379,http://127.0.0.1:2379"),)),
    ("KC-TLS-007", F, (etcd("--listen-peer-urls=http://10.0.0.1:2380"),)),
    ("KC-TLS-007", F, (etcd("--listen-client-http-urls=http://0.0.0.0:2381"),)),
    ("KC-TLS-007", F, (etcd("--listen-metrics-urls=http://0.0.0.0:2381"),)),
    ("KC-TLS-007", F, (etcd(without=["listen-client-urls"]),)),
    ("KC-TLS-007", F, (server("--etcd-servers=http://10.0.0.1:2379"),)),
    ("KC-TLS-007", F, (server(without=["etcd-servers"]),)),
    ("KC-TLS-007", F, (server("--etcd-servers=http://10.0.0.9:2379", "--etcd-servers=https://10.0.0.1:2379"),)),
    ("KC-TLS-007", F, (server("--etcd-servers-overrides=/events#https://10.0.0.2:2379;http://10.0.0.3:2379"),)),
    ("KC-TLS-007", P, (server("--etcd-servers-overrides=/events#https://10.0.0.2:2379,/secrets#https://[::1]:2379"),)),
    ("KC-TLS-007", U, (server(f"--etcd-servers-overrides=/events#{LATER}"),)),
    ("KC-TLS-007", F, (etcd("--initial-cluster=a=https://10.0.0.1:2380,b=http://10.0.0.2:2380"),)),
    ("KC-TLS-007", F, (etcd(without=["listen-peer-urls"]),)),
    ("KC-TLS-007", U, (etcd(f"--listen-client-urls={LATER}"),)),
    ("KC-TLS-007", N, (server("--etcd-servers=unix:///run/kine.sock", without=["etcd-servers"]),)),
    ("KC-TLS-008", P, (server(),)),
    ("KC-TLS-008", F, (server(without=["etcd-cafile"]),)),
    ("KC-TLS-008", N, (server("--etcd-servers=unix:///run/kine.sock", without=["etcd-servers"]),)),
    ("KC-TLS-008", U, (server(without=["etcd-cafile"], **HIDDEN),)),
    ("KC-TLS-010", P, (etcd(), server())),
    ("KC-TLS-010", F, (server("--tls-cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA256"),)),
    ("KC-TLS-010", F, (server("--tls-min-version=VersionTLS10"),)),
    ("KC-TLS-010", F, (etcd("--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),)),
    ("KC-TLS-010", U, (etcd(**HIDDEN),)),
    ("KC-TLS-011", P, (certificate(),)),
    ("KC-TLS-011", F, (certificate(days=-1),)),
    ("KC-TLS-011", F, (certificate(days=20),)),
    ("KC-TLS-011", F, (certificate(days=300, is_ca=True),)),
    ("KC-TLS-011", F, (certificate(not_before=datetime(2026, 10, 3, tzinfo=UTC)),)),
    ("KC-TLS-012", P, (certificate(),)),
    ("KC-TLS-012", P, (certificate(key_type="Ed25519", key_bits=0),)),
    ("KC-TLS-012", U, (certificate(key_type="DSA", key_bits=0),)),
    ("KC-TLS-012", F, (certificate(key_type="RSA", key_bits=1024),)),
    ("KC-TLS-012", F, (certificate(names=()),)),
    ("KC-TLS-012", F, (certificate("/a", spki="1"), certificate("/b", spki="1"))),
    ("KC-TLS-014", P, (etcd(),)),
    ("KC-TLS-014", F, (etcd("--peer-skip-client-san-verification"),)),
    ("KC-TLS-014", F, (etcd("--cors=*"),)),
    ("KC-TLS-014", U, (etcd(**HIDDEN),)),
    ("KC-AUTH-001", P, (server(),)),
    ("KC-AUTH-001", F, (server("--authorization-mode=Node,RBAC,AlwaysAllow"),)),
    ("KC-AUTH-001", F, (server("--authorization-mode=RBAC", without=["authorization-mode"]),)),
    ("KC-AUTH-001", P, (server("--authorization-mode=RBAC"),)),
    ("KC-AUTH-001", F, (server("--authorization-mode=AlwaysAllow", "--authorization-mode=Node,RBAC"),)),
    ("KC-AUTH-001", F, (server(without=["authorization-mode"]),)),
    ("KC-AUTH-001", U, (server("--authorization-config=/x", without=["authorization-mode"]),)),
    ("KC-NET-001", P, (etcd(),)),
    ("KC-NET-001", P, (etcd("--listen-client-urls=https://[fd00::1]:2379,https://100.64.0.1:2379"),)),
    ("KC-NET-001", P, (etcd("--listen-client-urls=https://localhost:2379, https://10.0.0.1:2379,"),)),
    ("KC-NET-001", F, (etcd("--listen-client-urls=https://0.0.0.0:2379"),)),
    ("KC-NET-001", F, (etcd("--listen-client-urls=https://[::]:2379"),)),
    ("KC-NET-001", F, (etcd("--listen-peer-urls=https://8.8.8.8:2380"),)),
    ("KC-NET-001", U, (etcd("--listen-client-urls=https://$(NODE_IP):2379"),)),
    ("KC-NET-003", P, (etcd(),)),
    ("KC-NET-003", F, (etcd("--enable-pprof"),)),
    ("KC-NET-003", F, (etcd("--listen-metrics-urls=http://10.0.0.1:2381"),)),
    ("KC-NET-003", U, (etcd(**HIDDEN),)),
    ("KC-FS-001", P, (file(ENCRYPTION_CONFIG),)),
    ("KC-FS-001", F, (file(ENCRYPTION_CONFIG, 0o604),)),
    ("KC-FS-001", F, (file(ENCRYPTION_CONFIG, uid=1000),)),
    ("KC-FS-001", N, (file(ENCRYPTION_CONFIG, 0o644, git=Git.TRACKED),)),
    ("KC-FS-002", P, (file(DATA_DIRECTORY, 0o700, uid=998),)),
    ("KC-FS-002", F, (file(DATA_DIRECTORY, 0o577),)),
    ("KC-FS-002", N, (file(DATA_DIRECTORY, 0o755, git=Git.UNTRACKED),)),
    ("KC-FS-003", P, (file(MANIFEST, 0o400),)),
    ("KC-FS-003", F, (file(MANIFEST, 0o566),)),
    ("KC-FS-003", N, (file(MANIFEST, 0o644, git=Git.TRACKED),)),
    ("KC-FS-004", P, (file(CERTIFICATE, 0o644), file(PRIVATE_KEY))),
    ("KC-FS-004", F, (file(PRIVATE_KEY, 0o640),)),
    ("KC-FS-004", F, (file(PRIVATE_KEY, git=Git.TRACKED),)),
    ("KC-FS-004", N, (file(CERTIFICATE, 0o666, git=Git.TRACKED),)),
    ("KC-FS-005", P, (file(SNAPSHOT),)),
    ("KC-FS-005", F, (file(SNAPSHOT, 0o644),)),
    ("KC-FS-005", F, (file(SNAPSHOT, git=Git.TRACKED),)),
    ("KC-FS-005", N, (file(SNAPSHOT, 0o644, git=Git.UNTRACKED),)),
    ("KC-VER-001", P, (etcd(version="3.7.1"),)),
    ("KC-VER-001", F, (etcd(version="3.6.4-0"),)),
    ("KC-VER-001", U, (etcd(version=""),)),
    ("KC-VER-002", P, (etcd(),)),
    ("KC-VER-002", F, (etcd(version="3.4.44"),)),
    ("KC-VER-002", U, (etcd(version="3.9.0"),)),
    ("KC-LOG-001", P, (server(),)),
    ("KC-LOG-001", P, (server("--audit-log-path=-", without=["audit-log-maxage"]),)),
    ("KC-LOG-001", F, (server(without=["audit-log-path"]),)),
    ("KC-LOG-001", F, (server("--audit-log-maxage=7"),)),
    ("KC-LOG-001", F, (server(without=["audit-log-maxbackup"]),)),
    ("KC-LOG-001", F, (server(without=["audit-policy-file"]),)),
    ("KC-LOG-001", F, (server("--audit-log-maxage=\u00b3"),)),
    ("KC-LOG-001", U, (server(without=["audit-log-path"], **HIDDEN),)),
    ("KC-LOG-002", P, (config(f"{POLICY}- level: Metadata\n"),)),
    (
        "KC-LOG-002",
        P,
        (config(f"{POLICY}- level: Metadata\n  {SECRETS}\n- level: RequestResponse\n"),),
    ),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: RequestResponse\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Request\n  users: [alice]\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: None\n  users: [alice]\n- level: RequestResponse\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Metadata\n  users: [alice]\n"),)),
    ("KC-LOG-002", P, (config(f"{POLICY}- level: None\n  users: [alice]\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: None\n  {SUBRESOURCES}\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: None\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Request\n  resources: [{{group: '*'}}]\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Request\n  {BELOW}\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Request\n  verbs: [deletecollection]\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: None\n  {LOGGED_IN}\n- level: Metadata\n"),)),
    ("KC-LOG-002", P, (config(f"{POLICY}- level: None\n  userGroups: [nodes]\n- level: Metadata\n"),)),
    ("KC-LOG-002", P, (config(f"{POLICY}- level: Metadata\n  {LOGGED_IN}\n- level: RequestResponse\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: None\n  {NAMED_AND_NOT}\n- level: Metadata\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Metadata\n- level: metadata\n"),)),
    ("KC-LOG-002", U, (config(f"{POLICY}- level: Metadata\n- level: '{LATER}'\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Metadata\n  verbs: [get]\n"),)),
    ("KC-LOG-002", F, (config(f"{POLICY}- level: Metadata\n  resources: [{{group: ''}}]\n"),)),
]  # fmt: skip

ALL_CASES = [*CASES, *every()]


def judged() -> list[Check]:
    return [one for one in CHECKS if not one.asks]


@pytest.mark.parametrize(("id", "status", "given"), ALL_CASES, ids=[f"{id} {status}" for id, status, _ in ALL_CASES])
def test_a_check_says_what_is_there(id: str, status: Status, given: tuple[Any, ...] | Facts) -> None:
    found = judgement(id, given if isinstance(given, Facts) else facts(*given))
    assert found
    # Beside what is wrong another subject may be right.
    several = len(given.found if isinstance(given, Facts) else given) > 1
    assert status in {one.status for one in found} <= {status, P if several else status}
    assert all(one.message and not one.message.endswith(".") for one in found)


@pytest.mark.parametrize("check", judged(), ids=lambda check: check.rule.id)
def test_each_check_is_seen_right_wrong_and_neither(check: Check) -> None:
    seen = {status for id, status, _ in ALL_CASES if id == check.rule.id}
    missing = "its cases belong into a table of tests/unit/audit/cases"
    assert P in seen, missing
    assert F in seen, missing
    assert seen & {U, N}, missing


def test_every_check_is_made_or_asks_a_person_and_says_what_for() -> None:
    asking = {one.rule.id for one in CHECKS if one.asks}
    assert asking == {"KC-KEY-109", "KC-NET-004", "KC-FS-006", "KC-BKP-004"}
    assert {id for id, _, _ in ALL_CASES} & asking == set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.rule.id)
def test_no_check_is_content_with_nothing(check: Check) -> None:
    nothing = Profile("all", "", "", {check.rule.id: ()})
    (judged,) = audit(Facts(TODAY), nothing, bar=None).checks
    assert judged.status in (U, N, Status.MANUAL) or check.rule.id == "KC-VER-004"


@pytest.mark.parametrize("check", judged(), ids=lambda check: check.rule.id)
def test_a_program_of_which_nothing_is_known_passes_nothing(check: Check) -> None:
    nothing = {"without": [word[2:].partition("=")[0] for word in [*SERVER_FLAGS, *ETCD_FLAGS]], **HIDDEN}
    found = [
        *verdicts(check.rule.id, server(**nothing, mounts=None)),
        *verdicts(check.rule.id, etcd(**nothing, version="")),
    ]
    assert {one.status for one in found if check.rule.id != "KC-VER-004"} <= {U, N}


def test_the_catalogue_has_78_checks_with_ids_in_order_of_their_area() -> None:
    assert len(RULES) == len({rule.id for rule in RULES}) == 78
    areas = {rule.id.rpartition("-")[0] for rule in RULES}
    assert {area: sum(rule.id.startswith(f"{area}-") for rule in RULES) for area in areas} == {
        "KC-ENC": 16, "KC-DAT": 7, "KC-KEY": 9, "KC-TLS": 14, "KC-AUTH": 3, "KC-NET": 4, "KC-FS": 6, "KC-VER": 4,
        "KC-BKP": 7, "KC-LOG": 5, "KC-META": 3,
    }  # fmt: skip
    assert all(re.fullmatch(r"KC-[A-Z]+-\d{3}", rule.id) for rule in RULES)


def test_what_a_person_must_find_out_is_not_judged() -> None:
    asking = [one for one in CHECKS if one.asks]
    assert asking
    assert all(verdicts(one.rule.id, server(), etcd(), config()) == [] for one in asking)


def test_the_wording_and_the_effect_are_told_apart() -> None:
    (by_ca_alone,) = verdicts("KC-TLS-002", etcd("--client-cert-auth=false"))
    assert (by_ca_alone.status, by_ca_alone.literal) == (P, F)
    (without_ca,) = verdicts("KC-TLS-002", etcd(without=["trusted-ca-file"]))
    assert (without_ca.status, without_ca.literal) == (P, P)
    (peers,) = verdicts("KC-TLS-005", etcd("--peer-client-cert-auth=false"))
    assert (peers.status, peers.literal) == (P, F)
    (both,) = verdicts("KC-TLS-005", etcd())
    assert (both.status, both.literal) == (P, P)
    (beside_certificates,) = verdicts("KC-TLS-004", etcd("--auto-tls"))
    assert (beside_certificates.literal, beside_certificates.severity) == (F, Severity.LOW)
    (no_list,) = verdicts("KC-TLS-010", server())
    assert (no_list.status, no_list.literal) == (P, F)


def test_flaws_of_users_and_roles_count_little_where_kubernetes_is_the_client() -> None:
    severities = {one.message: one.severity for one in verdicts("KC-VER-001", etcd(version="3.7.0"))}
    assert {severity for message, severity in severities.items() if "CVE-2026-73499" in message} == {Severity.LOW}
    assert {severity for message, severity in severities.items() if "GHSA-6vch" in message} == {Severity.HIGH}


@pytest.mark.parametrize(
    ("version", "hits"),
    [
        ((3, 3, 0), True),
        ((3, 4, 43), True),
        ((3, 4, 44), False),
        ((3, 5, 29), True),
        ((3, 5, 30), False),
        ((3, 6, 10), True),
        ((3, 6, 11), False),
        ((3, 7, 0), False),
    ],
)
def test_an_advisory_knows_the_first_good_version_of_each_minor(version: tuple[int, int, int], hits: bool) -> None:
    (one,) = [one for one in ADVISORIES if one.id == "CVE-2026-44283"]
    assert one.hits(version) is hits


def test_what_is_right_by_a_list_says_how_old_the_list_is() -> None:
    (right,) = verdicts("KC-VER-001", etcd())
    assert (right.status, str(AS_OF) in right.message) == (P, True)


def test_an_advisory_may_begin_somewhere() -> None:
    (one,) = [one for one in ADVISORIES if one.since == (3, 5, 0)]
    assert [one.hits(version) for version in ((3, 4, 9), (3, 5, 2), (3, 5, 3), (3, 6, 0))] == [
        False,
        True,
        False,
        False,
    ]


def test_a_failure_names_the_line() -> None:
    (wrong,) = [one for one in verdicts("KC-ENC-007", config(IDENTITY_FIRST, "enc.yaml")) if one.status is F]
    assert (wrong.location.file, wrong.location.line) == ("enc.yaml", 6)
    identity = IN_CONFIG_MAP.replace("      - secretbox", "      - identity: {}\n      - secretbox")
    (embedded,) = verdicts("KC-ENC-007", config(identity, "map.yaml"))
    assert (embedded.location.file, embedded.location.line) == ("map.yaml", 10)


def test_a_configuration_in_base64_is_shown_at_the_line_that_holds_it() -> None:
    encoded = base64.b64encode(IDENTITY_FIRST.encode()).decode()
    text = f"apiVersion: v1\nkind: Secret\ndata:\n  enc: {encoded}\n"
    (one,) = verdicts("KC-ENC-007", config(text, "secret.yaml"))
    assert (one.status, one.location.line) == (F, 4)


def test_what_stands_before_the_host_of_a_url_is_not_shown() -> None:
    (wrong,) = [
        one
        for one in verdicts("KC-TLS-007", server("--etcd-servers=http://root:hidden@10.0.0.9:2379"))
        if one.status is F
    ]
    assert "http://10.0.0.9:2379" in wrong.message
    assert "hidden" not in wrong.message
    (inside,) = verdicts("KC-NET-001", etcd("--listen-client-urls=https://root:hidden@8.8.8.8:2379"))
    assert (inside.status, "hidden" in inside.message) == (F, False)


def test_an_empty_flag_and_none_are_told_apart() -> None:
    (empty,) = verdicts("KC-ENC-001", server("--encryption-provider-config="))
    assert "--encryption-provider-config has no value" in empty.message
    (none,) = verdicts("KC-ENC-001", server(without=["encryption-provider-config"]))
    assert "has no --encryption-provider-config" in none.message


def test_what_is_not_known_of_one_subject_hides_nothing_of_the_next() -> None:
    unknown, wrong = server("--encryption-provider-config=/a/${X}/enc.yaml"), server(mounts=(DEFAULT_MOUNT,))
    assert [one.status for one in verdicts("KC-ENC-004", unknown, wrong)] == [U, F]
