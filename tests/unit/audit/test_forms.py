"""Forms in which a flag, a document or a certificate can stand that are easily passed over or taken for another."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from keyctl.audit.collect import collect
from keyctl.audit.facts import About, AuditPolicy, CertificateFact, Configuration, Git, Program, UndecidedError, Unread
from keyctl.audit.sources import pem
from keyctl.pki.issue import new_authority
from tests.unit.audit.given import GOOD_CONFIG, TODAY, facts_of, found_in, server
from tests.unit.audit.test_collect import index

POD = "apiVersion: v1\nkind: Pod\nspec: {{containers: [{{name: {}, image: 'r/x:1', command: {}}}]}}\n"


def started(*command: str, name: str = "x") -> Program | None:
    found = facts_of(("pod.yaml", POD.format(name, json.dumps(command))))
    return next((one for one in found if isinstance(one, Program)), None)


def configurations(text: str, name: str = "file.yaml") -> list[Configuration]:
    return [one for one in facts_of((name, text)) if isinstance(one, Configuration)]


def test_a_flag_that_needs_a_value_takes_the_next_word_whatever_it_is() -> None:
    taken = server("--audit-policy-file", "--profiling=false", without=["audit-policy-file"])
    assert (taken.text("audit-policy-file"), taken.setting("profiling")) == ("--profiling=false", None)
    assert server("--audit-log-path", "-").text("audit-log-path") == "-"
    assert server("--allow-privileged", "--profiling=false").text("profiling") == "false"


def test_a_flag_of_kubernetes_needs_two_dashes_and_etcds_no_underscores() -> None:
    kubernetes = started("kube-apiserver", "-authorization-mode=Node", "--etcd_servers=https://a:2379", "-v", "4")
    assert kubernetes is not None
    assert [(one.name, one.value) for one in kubernetes.settings] == [("etcd-servers", "https://a:2379")]
    etcd = started("etcd", "-cert-file=/a", "--key_file=/b")
    assert etcd is not None
    assert [(one.name, one.value) for one in etcd.settings] == [("cert-file", "/a"), ("key_file", "/b")]


def test_a_flag_that_needs_a_value_and_is_the_last_word_has_none() -> None:
    assert server("--client-ca-file").given("client-ca-file") is None


def test_the_arguments_that_k3s_hands_on_take_no_value_of_each_other() -> None:
    text = "secrets-encryption: true\nkube-apiserver-arg: [audit-log-path, audit-log-maxage=30]\n"
    found = [one for one in facts_of(("k3s.yaml", text)) if isinstance(one, Program)]
    assert found[0].text("audit-log-maxage") == "30"


def test_a_list_that_is_given_in_parts_is_all_of_them() -> None:
    twice = server("--etcd-servers=http://10.0.0.9:2379")
    assert [one.text for one in twice.urls("etcd-servers")] == ["https://10.0.0.1:2379", "http://10.0.0.9:2379"]
    kubeadm = (
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd:\n  external:\n"
        "    endpoints: [http://10.0.0.1:2379, https://10.0.0.2:2379]\n"
        "apiServer: {extraArgs: [{name: authorization-mode, value: RBAC}]}\n"
    )
    (found,) = [one for one in facts_of(("x.yaml", kubeadm)) if isinstance(one, Program)]
    assert [one.scheme for one in found.urls("etcd-servers")] == ["http", "https"]
    # What is written goes in place of what the installer sets.
    assert found.text("authorization-mode") == "RBAC"


def test_etcds_file_has_its_certificates_in_their_sections_only() -> None:
    text = "listen-client-urls: https://10.0.0.1:2379\ncert-file: /a\npeer-trusted-ca-file: /b\ndata-dir: /d\n"
    (etcd,) = [one for one in facts_of(("etcd.yml", text)) if isinstance(one, Program)]
    assert [etcd.text(name) for name in ("cert-file", "peer-trusted-ca-file", "data-dir")] == ["", "", "/d"]


@pytest.mark.parametrize(
    "before", [("/tini", "--"), ("/usr/bin/dumb-init",), ("nice", "-n", "5"), ("unknown", "--")], ids=" ".join
)
def test_what_a_wrapper_starts_has_its_own_flags(before: tuple[str, ...]) -> None:
    program = started(*before, "kube-apiserver", "--profiling=false")
    assert program
    assert (program.text("profiling"), program.hidden, len(program.settings)) == ("false", "", 1)


def test_a_word_that_is_the_argument_of_another_program_starts_nothing() -> None:
    assert started("kubectl", "rollout", "status", "statefulset", "etcd") is None
    assert started("kubectl", "rollout", "status", "statefulset/etcd") is None
    for command in (("start-it", "etcd", "--name=a"), ("sh", "-c", "etcd")):
        program = started(*command)
        assert program
        with pytest.raises(UndecidedError):
            program.given("cert-file")


INDENTED = "".join(f"  {line}\n" for line in GOOD_CONFIG.splitlines())
BLOCK = "".join(f"        {line}\n" for line in GOOD_CONFIG.splitlines())
PACKED = base64.b64encode(gzip.compress(GOOD_CONFIG.encode())).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(INDENTED, id="indented"),
        pytest.param("\ufeff" + GOOD_CONFIG, id="behind a byte order mark"),
        pytest.param("\ufeff" + INDENTED, id="indented behind a byte order mark"),
        pytest.param(GOOD_CONFIG.replace("kind: ", "kind:\n  "), id="a kind on a line of its own"),
        pytest.param(f"- tasks:\n  - copy:\n      content: |\n{BLOCK}", id="a task"),
        pytest.param(
            f"apiVersion: v1\nkind: ConfigMap\nbinaryData: {{a: {base64.b64encode(GOOD_CONFIG.encode()).decode()}}}\n",
            id="bytes of a ConfigMap",
        ),
        pytest.param(f"write_files:\n- {{path: /a, encoding: gz+b64, content: {PACKED}}}\n", id="compressed"),
    ],
)
def test_an_encryption_configuration_is_seen_in_whatever_form(text: str) -> None:
    (found,) = configurations(text)
    assert found.judged.accepted is True


@pytest.mark.parametrize(
    "content", [GOOD_CONFIG.encode("utf-16"), GOOD_CONFIG.encode("utf-16-be"), GOOD_CONFIG.encode("utf-32")]
)
def test_what_is_not_utf_8_is_not_read_and_not_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "enc.yaml").write_bytes(content)
    assert [one.about for one in collect([tmp_path], today=TODAY).unread] == [frozenset({About.CONFIGURATION})]
    (tmp_path / "enc.yaml").write_text("a: b\n", encoding="utf-16")
    assert collect([tmp_path], today=TODAY).unread == ()


@pytest.mark.parametrize("value", ["[]", "{}", "[a]", "{a: b}"])
@pytest.mark.parametrize(("kind", "field"), [("ConfigMap", "binaryData"), ("Secret", "data")])
def test_what_is_no_text_where_an_encoded_one_should_be_is_passed_over(kind: str, field: str, value: str) -> None:
    assert found_in(f"apiVersion: v1\nkind: {kind}\n{field}: {{a: {value}}}\n") == ()


def test_an_encoding_that_is_not_known_hides_everything() -> None:
    (unread,) = found_in("write_files:\n- {path: /a, encoding: rot13, content: x}\n")
    assert isinstance(unread, Unread)
    assert About.CONFIGURATION in unread.about


@pytest.mark.parametrize("mark", ["{% if x %}", "%{ if x }", "{{- if .Values.x }}"])
def test_a_condition_in_a_comment_makes_what_stands_there_uncertain(mark: str) -> None:
    found = facts_of(("enc.yaml", GOOD_CONFIG.replace("resources:\n", f"resources:\n# {mark}\n", 1)))
    assert [one.about for one in found if isinstance(one, Unread)] == [frozenset({About.CONFIGURATION})]
    assert facts_of(("other.yaml", f"# {mark}\netcd: true\n")) == ()


@pytest.mark.parametrize("value", ["%{ if x }/etc/e.yaml%{ endif }", "${A}${B}", "{% if x %}/e{% endif %}"])
def test_what_may_become_nothing_is_not_given(value: str) -> None:
    with pytest.raises(UndecidedError):
        server(f"--encryption-provider-config={value}").given("encryption-provider-config")


@pytest.mark.parametrize(("secret", "given"), [("'{{ x }}'", None), ("''", False), ("abc", True)])
def test_a_secret_of_talos_may_be_put_in_later(secret: str, given: bool | None) -> None:
    text = f"version: v1alpha1\nmachine: {{type: controlplane}}\ncluster: {{secretboxEncryptionSecret: {secret}}}\n"
    found = next(one for one in facts_of(("x.yaml", text)) if isinstance(one, Program))
    if given is None:
        with pytest.raises(UndecidedError):
            found.given("encryption-provider-config")
    else:
        assert (found.given("encryption-provider-config") is not None) is given


def test_a_file_of_variables_that_is_missing_may_say_otherwise_than_the_unit() -> None:
    unit = "[Service]\nEnvironment=ETCD_CERT_FILE=/a\nEnvironmentFile=/etc/x\nExecStart=/usr/bin/etcd --key-file=/k\n"
    (etcd,) = [one for one in facts_of(("etcd.service", unit)) if isinstance(one, Program)]
    assert etcd.text("key-file") == "/k"
    with pytest.raises(UndecidedError):
        etcd.given("cert-file")


def odd_certificate() -> bytes:
    """A certificate with an alternative name of a kind that the library does not know."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    x400 = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex("3002a300"))
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return made.add_extension(x400, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_certificate_that_cannot_be_read_hides_no_other() -> None:
    good = new_authority("ca", now=datetime.now(UTC), lifetime=timedelta(days=9)).certificate
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    found = list(pem.read("x.crt", odd_certificate() + broken + good))
    assert [type(one) for one in found] == [Unread, Unread, CertificateFact]


def test_a_certificate_may_stand_behind_text(tmp_path: Path) -> None:
    good = new_authority("ca", now=datetime.now(UTC), lifetime=timedelta(days=9)).certificate
    (tmp_path / "x.crt").write_bytes(b"Certificate:\n    Data:\n" + good)
    assert len(collect([tmp_path], today=TODAY).certificates) == 1
    (tmp_path / "etcd.env").write_bytes(b"ETCD_CERT_FILE=/a\n" + good)
    assert len(collect([tmp_path], today=TODAY).etcds) == 1


def test_each_name_of_a_file_is_as_committed_as_the_other(tmp_path: Path) -> None:
    (tmp_path / "z.yaml").write_text(GOOD_CONFIG)
    (tmp_path / "a.yaml").symlink_to("z.yaml")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_bytes(index("z.yaml"))
    found = collect([tmp_path], today=TODAY)
    assert {Path(one.path).name: one.git for one in found.files} == {"a.yaml": Git.TRACKED, "z.yaml": Git.TRACKED}
    assert len(found.configurations) == 1


def test_the_audit_policy_of_talos_is_judged() -> None:
    text = (
        "version: v1alpha1\nmachine: {type: controlplane}\ncluster:\n  apiServer:\n    auditPolicy:\n"
        "      apiVersion: audit.k8s.io/v1\n      kind: Policy\n      rules:\n      - level: RequestResponse\n"
    )
    (policy,) = [one for one in facts_of(("x.yaml", text)) if isinstance(one, AuditPolicy)]
    assert [(one.level, one.location.line) for one in policy.rules] == [("RequestResponse", 9)]


def test_the_variables_that_kubeadm_gives_etcd_count_where_no_flag_does() -> None:
    text = (
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd:\n  local:\n    extraEnvs:\n"
        "    - {name: ETCD_ENABLE_PPROF, value: 'true'}\n    - {name: ETCD_CERT_FILE, value: /other}\n"
        "    - {name: ETCD_CORS, valueFrom: {fieldRef: {fieldPath: x}}}\n"
    )
    (etcd,) = [one for one in facts_of(("x.yaml", text)) if isinstance(one, Program) and one.about is About.ETCD]
    assert etcd.switched("enable-pprof")
    assert etcd.text("cert-file") == "/etc/kubernetes/pki/etcd/server.crt"
    with pytest.raises(UndecidedError):
        etcd.text("cors")


def test_k3s_adds_what_stands_beside_its_file() -> None:
    plus = "secrets-encryption: true\nkube-apiserver-arg+: [audit-log-maxage=30]\n"
    (server_of_k3s, *_) = [one for one in facts_of(("k3s.yaml", plus)) if isinstance(one, Program)]
    assert server_of_k3s.text("audit-log-maxage") == "30"
    beside = "etc/rancher/k3s/config.yaml.d/10.yaml"
    for one in facts_of((beside, "kube-apiserver-arg: [audit-log-maxage=30]\n")):
        assert isinstance(one, Program)
        with pytest.raises(UndecidedError, match=r"adds to config\.yaml"):
            one.given("audit-log-path")
