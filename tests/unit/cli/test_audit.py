"""`keyctl audit` from the outside: what tutorials teach is found at its line, what is right is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keyctl.audit.checks.catalogue import RULES
from keyctl.audit.profiles.catalogue import PROFILES
from keyctl.cli import audit_page
from keyctl.cli.main import cli, run
from keyctl.errors import ExitCode
from keyctl.findings import Severity, Status
from tests.support import generated, seal
from tests.unit.audit.given import ETCD_FLAGS, GOOD_CONFIG, GOOD_POLICY, SERVER_FLAGS
from tests.unit.backup.databases import snapshot

WAIVER = """\
waivers:
- id: KC-ENC-007
  owner: ann
  reason: a lab
  expires: 2026-12-31
"""
IDENTITY_FIRST = GOOD_CONFIG.replace("  - secretbox", "  - identity: {}\n  - secretbox")

_ORDER = ("fail", "unknown", "manual", "waived", "pass", "not-applicable")


def pod(name: str, flags: list[str], *, field: str = "command", program: str = "", mounts: str = "") -> str:
    words = [program or name, *flags]
    start = "".join(f"    - {word}\n" for word in words) if field == "command" else ""
    if field == "args":
        start = f"    - {program or name}\n    args:\n" + "".join(f"    - {word}\n" for word in flags)
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n"
        f"  - name: {name}\n    image: registry.example/{name}:3.7.3-0\n    command:\n{start}{mounts}"
    )


MOUNTS = (
    "    volumeMounts:\n    - {name: enc, mountPath: /etc/kubernetes/enc, readOnly: true}\n"
    "  volumes:\n  - {name: enc, hostPath: {path: /etc/kubernetes/enc}}\n"
)


def written(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yaml").write_text(text)
    return root


def good(root: Path) -> Path:
    return written(
        root,
        server=pod("kube-apiserver", SERVER_FLAGS, mounts=MOUNTS),
        etcd=pod("etcd", ETCD_FLAGS),
        enc=GOOD_CONFIG,
        policy=GOOD_POLICY,
    )


def audited(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["audit", str(root), *arguments])


def found(root: Path, *arguments: str) -> dict[str, list[tuple[str, int | None]]]:
    """The failures: id → (file, line) of each."""
    document = json.loads(audited(root, "-o", "json", *arguments).stdout)
    failures: dict[str, list[tuple[str, int | None]]] = {}
    for one in document["findings"]:
        if one["status"] == "fail":
            place = one["location"]
            failures.setdefault(one["id"], []).append((Path(place.get("file", "")).name, place.get("line")))
    return failures


def test_what_is_right_is_right(tmp_path: Path) -> None:
    shown = audited(good(tmp_path))
    assert shown.exit_code == ExitCode.OK, shown.output
    assert found(tmp_path) == {}
    assert "✓ ok: ci-static: " in shown.stdout


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param({"server": pod("kube-apiserver", SERVER_FLAGS, field="args", mounts=MOUNTS)}, id="flags in args"),
        pytest.param(
            {"server": pod("kube-apiserver", SERVER_FLAGS, program="/usr/local/bin/kube-apiserver", mounts=MOUNTS)},
            id="a binary with its path",
        ),
        pytest.param({"enc": GOOD_CONFIG.replace("[secrets]", "['*.*']")}, id="a wildcard"),
        pytest.param(
            {
                "enc": '{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":'
                '[{"resources":["secrets"],"providers":[{"aescbc":{"keys":[{"name":"k","secret":'
                '"3q2+7wSh1TQ0V5mYk8rN6pXc9bZaLdEfUgHiJ0KvWxM="}]}},{"identity":{}}]}]}'
            },
            id="JSON as k3s and RKE2 write it",
        ),
        pytest.param(
            {
                "etcd": "name: a\nlisten-client-urls: https://10.0.0.1:2379\nlisten-peer-urls: https://10.0.0.1:2380\n"
                "client-transport-security: {cert-file: a, key-file: b, client-cert-auth: true, trusted-ca-file: c}\n"
                "peer-transport-security: {cert-file: a, key-file: b, client-cert-auth: true, trusted-ca-file: c}\n"
            },
            id="etcd's own file",
        ),
    ],
)
def test_what_other_tools_call_wrong_gets_no_finding(texts: dict[str, str], tmp_path: Path) -> None:
    assert found(written(good(tmp_path), **texts)) == {}
    assert audited(tmp_path).exit_code == ExitCode.OK


def line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


ETCD_WITH = {
    "KC-ENC-002": "--encryption-provider-config=/etc/kubernetes/enc/enc.yaml",
    "KC-TLS-004": "--peer-auto-tls",
    "KC-TLS-007": "--listen-client-urls=https://10.0.0.1:2379,http://10.0.0.1:2379",
    "KC-NET-001": "--listen-client-urls=https://0.0.0.0:2379",
    "KC-NET-003": "--enable-pprof=true",
    "KC-TLS-014": "--peer-skip-client-san-verification",
    "KC-TLS-006": "--trusted-ca-file=/pki/ca.crt",
}
SERVER_WITH = {
    "KC-ENC-001": "--encryption-provider-config=",
    "KC-ENC-003": "--experimental-encryption-provider-config=/etc/kubernetes/enc/enc.yaml",
    "KC-TLS-007": "--etcd-servers=http://10.0.0.1:2379",
    "KC-AUTH-001": "--authorization-mode=AlwaysAllow",
    "KC-TLS-010": "--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA",
    "KC-LOG-001": "--audit-log-maxage=1",
}


@pytest.mark.parametrize(("id", "flag"), ETCD_WITH.items())
def test_a_wrong_flag_of_etcd_is_found_by_its_check_alone_at_its_line(id: str, flag: str, tmp_path: Path) -> None:
    text = pod("etcd", [*ETCD_FLAGS, flag])
    wrong = found(written(good(tmp_path), etcd=text))
    assert wrong == {id: [("etcd.yaml", line_of(text, f"- {flag}"))]}


@pytest.mark.parametrize(("id", "flag"), SERVER_WITH.items())
def test_a_wrong_flag_of_the_api_server_is_found_by_its_check_alone_at_its_line(
    id: str, flag: str, tmp_path: Path
) -> None:
    text = pod("kube-apiserver", [*SERVER_FLAGS, flag], mounts=MOUNTS)
    wrong = found(written(good(tmp_path), server=text), "--fail-on", "low")
    last = len(text.splitlines()) - len(MOUNTS.splitlines())
    assert wrong[id] in ([("server.yaml", last)],)
    assert wrong.keys() == {id}


@pytest.mark.parametrize(
    ("missing", "ids"),
    [
        ("--cert-file", {"KC-TLS-001"}),
        ("--trusted-ca-file", {"KC-TLS-003"}),
        ("--peer-key-file", {"KC-TLS-005"}),
        ("--listen-client-urls", {"KC-TLS-007"}),
    ],
)
def test_a_missing_flag_of_etcd_is_found_by_its_check_alone(missing: str, ids: set[str], tmp_path: Path) -> None:
    flags = [one for one in ETCD_FLAGS if one.partition("=")[0] != missing]
    assert found(written(good(tmp_path), etcd=pod("etcd", flags))).keys() == ids


POLICY = (
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  verbs: [get]\n- level: RequestResponse\n"
)


@pytest.mark.parametrize(
    ("name", "text", "id", "line"),
    [
        pytest.param("enc", IDENTITY_FIRST, "KC-ENC-007", 6, id="identity first"),
        pytest.param(
            "enc",
            GOOD_CONFIG.replace("apiserver.config.k8s.io/v1", "v1").replace("Configuration", "Config"),
            "KC-ENC-005",
            2,
            id="the legacy kind",
        ),
        pytest.param(
            "enc", GOOD_CONFIG.replace("        secret:", "      secret:"), "KC-ENC-006", 9, id="a mis-indented key"
        ),
        pytest.param(
            "enc",
            GOOD_CONFIG.replace(
                "3q2+7wSh1TQ0V5mYk8rN6pXc9bZaLdEfUgHiJ0KvWxM=", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="
            ),
            "KC-KEY-104",
            9,
            id="a published key",
        ),
        pytest.param("policy", POLICY, "KC-LOG-002", 6, id="an audit policy that logs Secrets"),
    ],
)
def test_a_wrong_document_is_found_at_its_line(name: str, text: str, id: str, line: int, tmp_path: Path) -> None:
    wrong = found(written(good(tmp_path), **{name: text}))
    assert (f"{name}.yaml", line) in wrong[id]


def test_a_public_encryption_configuration_on_a_host_is_found(tmp_path: Path) -> None:
    root = good(tmp_path)
    (root / "enc.yaml").chmod(0o644)
    assert found(root, "--profile", "host")["KC-FS-001"] == [("enc.yaml", None)]


def test_nothing_found_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "notes.yaml").write_text("nothing: here\n")
    shown = audited(tmp_path)
    assert shown.exit_code == ExitCode.UNEVALUATED
    assert "nothing was judged; 1 file was looked into" in shown.stdout


def test_the_worst_stands_first(tmp_path: Path) -> None:
    written(tmp_path, etcd=pod("etcd", ["--listen-client-urls=http://0.0.0.0:2379", "--enable-pprof=true"]))
    findings = json.loads(audited(tmp_path, "-o", "json").stdout)["findings"]
    order = [(list(_ORDER).index(one["status"]), one["severity"]) for one in findings]
    assert [place for place, _ in order] == sorted(place for place, _ in order)
    failed = [list(Severity).index(severity) for place, severity in order if not place]
    assert failed == sorted(failed)
    assert len(set(failed)) > 1


def test_a_template_is_unknown_and_not_wrong(tmp_path: Path) -> None:
    root = written(good(tmp_path), chart="{{- if .Values.x }}\n    - --client-cert-auth=true\n{{ end }}\n")
    shown = audited(root)
    assert shown.exit_code == ExitCode.UNEVALUATED
    assert "not read: " in shown.stdout
    assert found(root) == {}


@pytest.mark.parametrize(
    ("waiver", "code"),
    [
        pytest.param(WAIVER, ExitCode.OK, id="holds"),
        pytest.param(WAIVER.replace("2026", "2020"), ExitCode.WAIVER, id="expired"),
        pytest.param(WAIVER.replace("  owner: ann\n", ""), ExitCode.WAIVER, id="malformed"),
        pytest.param(WAIVER.replace("007", "001"), ExitCode.FINDINGS, id="for another check"),
    ],
)
def test_waivers(waiver: str, code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    waiver = waiver.replace("2026-12-31", datetime.now(UTC).date().isoformat())
    root = written(good(tmp_path / "repo"), enc=IDENTITY_FIRST)
    (tmp_path / "waivers.yaml").write_text(waiver)
    assert run(["audit", str(root), "--waivers", str(tmp_path / "waivers.yaml")]) == code


def test_an_unknown_profile_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", ".", "--profile", "cis-9"]) == ExitCode.USAGE
    assert f"hint: known: {', '.join(PROFILES)}" in capsys.readouterr().err


def test_a_path_that_is_not_there_is_unusable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "no-such-directory"]) == ExitCode.UNUSABLE


def test_reports_are_written_beside_the_result(tmp_path: Path) -> None:
    root = good(tmp_path / "repo")
    shown = audited(root, "--report", f"junit={tmp_path / 'audit.xml'}", "--profile", "cis-1.12")
    assert "<testsuites" in (tmp_path / "audit.xml").read_text()
    assert shown.exit_code == ExitCode.UNEVALUATED


def test_only_what_is_not_in_the_baseline_counts(tmp_path: Path) -> None:
    root = written(good(tmp_path / "repo"), enc=IDENTITY_FIRST)
    baseline = tmp_path / "audit.json"
    assert audited(root, "--report", f"json={baseline}").exit_code == ExitCode.FINDINGS
    (root / "enc.yaml").write_text("# moved by a line\n" + IDENTITY_FIRST)
    again = audited(root, "--baseline", str(baseline))
    assert again.exit_code == ExitCode.OK
    assert "failures that are in the baseline and do not count: 1" in again.stdout
    assert "KC-ENC-007" in again.stdout
    written(root, etcd=pod("etcd", [*ETCD_FLAGS, "--enable-pprof"]))
    assert audited(root, "--baseline", str(baseline), "--fail-on", "medium").exit_code == ExitCode.FINDINGS


def test_a_baseline_that_is_no_report_is_unusable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text('{"kind": "VerifyReport", "findings": []}')
    assert run(["audit", str(tmp_path), "--baseline", str(tmp_path / "x.json")]) == ExitCode.UNUSABLE
    assert "is no report of an audit" in capsys.readouterr().err


def test_findings_carry_the_benchmarks_ids(tmp_path: Path) -> None:
    document = json.loads(audited(good(tmp_path), "-o", "json", "--profile", "cis-1.12").stdout)
    assert (document["kind"], document["profile"]) == ("AuditReport", "cis-1.12")
    assert document["coverage"]["evaluated"] < document["coverage"]["applicable"]
    (flag,) = [one for one in document["findings"] if one["id"] == "KC-ENC-001"]
    assert flag["mappings"][0] == "cis-1.12/1.2.27"
    assert flag["status"] == "pass"
    assert flag["evidence"] == {"level": "E1"}


def test_no_key_reaches_the_output(tmp_path: Path) -> None:
    root = written(good(tmp_path), enc=IDENTITY_FIRST)
    for style in ("wide", "json"):
        assert "3q2+7wSh1" not in audited(root, "-o", style, "--profile", "all").output


def test_the_page_of_checks_is_as_the_catalogue_says() -> None:
    assert generated.AUDIT_CHECKS.read_text() == audit_page.page(), "run: make generate"
    assert audit_page.page().count("](findings.md#kc-") == len(RULES)


def test_the_page_about_audit_names_every_profile_status_and_reason() -> None:
    page = (generated.ROOT / "docs" / "audit.md").read_text()
    sources = [path.read_text() for path in (generated.ROOT / "keyctl" / "audit").rglob("*.py")]
    reasons = {
        one for text in sources for one in re.findall(r'not_applicable\(\s*"([a-z-]+)"|reason="([a-z-]+)"', text)
    }
    words = {word for pair in reasons for word in pair if word} | {"kine", "external-etcd", "not-given"}
    assert {"single-member", "git-work-tree", "no-waivers"} <= words
    assert {f"`{one}`" for one in (*words, *PROFILES)} - set(re.findall(r"`[a-z0-9.-]+`", page)) == set()
    assert [one for one in Status if f"| {one} |" not in page] == []


def test_a_managed_control_plane_excuses_nothing_of_another_cluster_that_is_looked_at(tmp_path: Path) -> None:
    """A repository may order a control plane of EKS, and the cluster or the snapshot is another one."""

    def flag_of_the_server(*arguments: str) -> tuple[str, str]:
        document = json.loads(audited(tmp_path / "repo", "-o", "json", "--profile", "cis-1.12", *arguments).stdout)
        (one,) = (one for one in document["findings"] if one["id"] == "KC-ENC-001")
        return one["status"], one["message"]

    written(tmp_path / "repo", eks="apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: shop}\n")
    assert flag_of_the_server() == ("not-applicable", "EKS runs the control plane of shop")
    saved = snapshot(tmp_path / "saved.db", [(b"/registry/secrets/default/a", seal.secret("a"), 2)])
    status, message = flag_of_the_server("--snapshot", str(saved))
    assert (status, message) == ("unknown", "nothing about it was given: kube-apiserver")
