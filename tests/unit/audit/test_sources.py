"""Each format, from a small input of its own: which programs it starts, with which settings, at which line."""

from __future__ import annotations

import base64

import pytest

from keyctl.audit.facts import About, Absent, AuditPolicy, Configuration, Fact, Program, UndecidedError, Unread
from keyctl.audit.operated import ManagedPlane, OperatorEncryption
from keyctl.audit.sources.read import DOCUMENT_SOURCES
from keyctl.findings import Evidence
from tests.unit.audit.given import GOOD_CONFIG, facts_of

STATIC_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: control-plane}
spec:
  containers:
  - name: kube-apiserver
    image: registry.example/kube-apiserver:v1.34.1
    command:
    - /usr/local/bin/kube-apiserver
    - --authorization-mode=Node
    args:
    - --authorization-mode=Node,RBAC
    - --etcd-servers
    - https://10.0.0.1:2379
    volumeMounts:
    - {name: enc, mountPath: /etc/kubernetes/enc, readOnly: true}
  - name: etcd
    image: registry.example:5000/etcd:3.6.4-0@sha256:0123
    args: [--cert-file=/a, --client-cert-auth]
    env:
    - {name: ETCD_CERT_FILE, value: /of-the-environment}
    - {name: ETCD_KEY_FILE, value: /b}
    - {name: ETCD_TRUSTED_CA_FILE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - name: sidecar
    image: registry.example/etcd:3.6.4
    command: [etcdctl, snapshot, save, /x]
  volumes:
  - {name: enc, hostPath: {path: /etc/kubernetes/enc}}
"""


def programs(*texts: tuple[str, str]) -> dict[str, Program]:
    return {one.name: one for one in facts_of(*texts) if isinstance(one, Program)}


def one(text: str, kind: type[Fact], name: str = "file.yaml") -> Fact:
    (found,) = [fact for fact in facts_of((name, text)) if isinstance(fact, kind)]
    return found


def line(program: Program, name: str) -> int | None:
    found = program.setting(name)
    assert found
    return found.location.line


def test_a_static_pod_gives_flags_of_command_and_args_in_every_container() -> None:
    found = programs(("pod.yaml", STATIC_POD))
    assert found.keys() == {"kube-apiserver", "etcd"}
    server, etcd = found["kube-apiserver"], found["etcd"]
    assert (server.about, server.version) == (About.API_SERVER, "1.34.1")
    assert (server.text("authorization-mode"), line(server, "authorization-mode")) == (
        "Node,Node,RBAC",
        12,
    )
    assert server.text("etcd-servers") == "https://10.0.0.1:2379"
    (mount,) = server.mounts or ()
    assert (mount.inside, mount.outside, mount.read_only) == ("/etc/kubernetes/enc", "/etc/kubernetes/enc", True)
    assert (etcd.about, etcd.version, etcd.switched("client-cert-auth") is not None) == (About.ETCD, "3.6.4-0", True)


def test_flags_go_before_variables_and_what_is_put_in_later_is_not_known() -> None:
    etcd = programs(("pod.yaml", STATIC_POD))["etcd"]
    assert (etcd.text("cert-file"), etcd.text("key-file")) == ("/a", "/b")
    with pytest.raises(UndecidedError, match="ETCD_TRUSTED_CA_FILE is put in later"):
        etcd.given("trusted-ca-file")


def test_a_shell_script_hides_what_is_not_given() -> None:
    pod = (
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: etcd, command: [sh, -c, 'exec etcd --cert-file=/a']}]}\n"
    )
    etcd = programs(("pod.yaml", pod))["etcd"]
    with pytest.raises(UndecidedError, match="shell script"):
        etcd.given("cert-file")


def container(text: str) -> dict[str, Program]:
    return programs(("pod.yaml", f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {{{text}}}\n"))


def test_a_program_is_known_by_its_command_and_else_by_its_name_or_image() -> None:
    by_path = container("name: store, command: [/usr/local/bin/etcd, --a=b]")["etcd"]
    assert (by_path.hidden, by_path.text("a")) == ("", "b")
    assert container("name: x, image: 'r/etcd:3.6.1'")["etcd"].version == "3.6.1"
    assert container("name: etcd, args: [--a=b]")["etcd"].text("a") == "b"
    assert container("name: x, image: busybox, args: [--name=a etcd b]") == {}
    assert container("name: etcd, command: [sleep, infinity]") == {}


def test_only_etcd_reads_etcds_variables() -> None:
    server = container("name: kube-apiserver, env: [{name: ETCD_ETCD_SERVERS, value: 'https://x'}]")["kube-apiserver"]
    assert server.settings == ()


def test_variables_from_elsewhere_hide_what_is_not_given() -> None:
    etcd = container("name: etcd, args: [--cert-file=/a], envFrom: [{secretRef: {name: x}}]")["etcd"]
    assert etcd.given("cert-file")
    with pytest.raises(UndecidedError, match="envFrom"):
        etcd.given("key-file")


def test_what_is_not_of_the_host_is_mounted_from_nowhere() -> None:
    (mount,) = container("name: etcd, volumeMounts: [{name: x, mountPath: /a}]")["etcd"].mounts or ()
    assert (mount.inside, mount.outside, mount.read_only) == ("/a", "", False)


def test_workloads_hold_pods() -> None:
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: etcd, args: [--a=b]}]}}}\n"
    )
    assert programs(("file.yaml", text))["etcd"].text("a") == "b"


def test_each_document_of_a_file_is_read_with_its_own_lines() -> None:
    text = f"# first\n---\nkind: Other\n---\n{STATIC_POD}---\n{GOOD_CONFIG}"
    found = facts_of(("all.yaml", text))
    (server,) = [fact for fact in found if isinstance(fact, Program) and fact.about is About.API_SERVER]
    (config,) = [fact for fact in found if isinstance(fact, Configuration)]
    assert line(server, "authorization-mode") == 12 + 4
    assert config.location.line == text.splitlines().index("kind: EncryptionConfiguration")
    assert config.judged.accepted is True


def test_a_document_before_the_first_marker_is_one_of_its_own() -> None:
    found = programs(("all.yaml", f"kind: Other\n---\n{STATIC_POD}"))
    assert line(found["kube-apiserver"], "authorization-mode") == 12 + 2


def test_a_list_of_objects_is_read_one_by_one() -> None:
    items = "".join(f"  {line}\n" for line in STATIC_POD.splitlines()).replace("  api", "- api", 1)
    found = programs(("pods.yaml", f"apiVersion: v1\nkind: List\nitems:\n{items}"))
    assert found.keys() == {"kube-apiserver", "etcd"}
    assert line(found["kube-apiserver"], "authorization-mode") == 12 + 3


def test_json_is_read_as_yaml_is() -> None:
    text = (
        '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "etcd", "command": ["etcd", "--a=b"]}]}}'
    )
    assert programs(("file.json", text))["etcd"].text("a") == "b"
    config = (
        '{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],'
        '"providers":[{"identity":{}}]}]}'
    )
    assert isinstance(one(config, Configuration), Configuration)


def test_a_file_that_cannot_be_read_is_told_for_all_that_it_may_hold() -> None:
    text = "apiVersion: v1\nkind: Pod\nspec:\n\t--client-cert-auth\n"
    unread = one(text, Unread)
    assert isinstance(unread, Unread)
    assert unread.about == {About.ETCD}
    assert unread.location.line == 4
    assert facts_of(("chart.yaml", "{{ if .Values.etcd }}\nsomething: else\n{{ end }}\n")) == ()


def test_a_broken_encryption_configuration_is_one_all_the_same() -> None:
    broken = one(GOOD_CONFIG.replace("  - secretbox", "\t- secretbox"), Configuration)
    assert isinstance(broken, Configuration)
    assert broken.judged.accepted is False


def test_an_encrypted_configuration_is_not_judged() -> None:
    unread = one(GOOD_CONFIG + "sops:\n  version: 3.9.0\n", Unread)
    assert isinstance(unread, Unread)
    assert unread.about == {About.CONFIGURATION}


@pytest.mark.parametrize(
    ("text", "holder", "line"),
    [
        pytest.param("apiVersion: v1\nkind: ConfigMap\ndata:\n  enc: |\n@4", "ConfigMap", 5, id="a ConfigMap"),
        pytest.param("apiVersion: v1\nkind: Secret\nstringData:\n  enc: |\n@4", "Secret", 5, id="a Secret's text"),
        pytest.param("apiVersion: v1\nkind: Secret\ndata:\n  enc: @64\n", "Secret", 4, id="a Secret's bytes"),
        pytest.param(
            "#cloud-config\nwrite_files:\n- path: /enc.yaml\n  content: |\n@4", "cloud-init file", 5, id="cloud-init"
        ),
        pytest.param(
            "write_files:\n- encoding: b64\n  content: @64\n", "cloud-init file", 3, id="cloud-init in base64"
        ),
        pytest.param(
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta1\nkind: KubeadmControlPlane\nspec:\n"
            "  kubeadmConfigSpec:\n    files:\n    - path: /enc.yaml\n      content: |\n@8",
            "Cluster API file",
            8,
            id="a file of Cluster API",
        ),
    ],
)
def test_a_configuration_inside_another_document_has_the_lines_of_the_file(text: str, holder: str, line: int) -> None:
    for indent in (4, 8):
        text = text.replace(f"@{indent}", "".join(f"{' ' * indent}{one}\n" for one in GOOD_CONFIG.splitlines()))
    config = one(text.replace("@64", base64.b64encode(GOOD_CONFIG.encode()).decode()), Configuration)
    assert isinstance(config, Configuration)
    assert (config.holder, config.location.line, config.judged.accepted) == (holder, line, True)


ETCD_CONFIG = """\
name: infra1
listen-client-urls: https://10.0.0.1:2379
client-transport-security:
  cert-file: /pki/server.crt
  client-cert-auth: true
peer-transport-security:
  cert-file: /pki/peer.crt
  auto-tls: true
"""


def test_etcds_own_file_has_its_fields_as_flags() -> None:
    etcd = programs(("etcd.conf.yml", ETCD_CONFIG))["infra1"]
    assert (etcd.text("cert-file"), etcd.text("peer-cert-file")) == ("/pki/server.crt", "/pki/peer.crt")
    assert etcd.switched("client-cert-auth")
    assert not etcd.switched("auto-tls")
    assert etcd.switched("peer-auto-tls")
    assert line(etcd, "peer-auto-tls") == 8


def test_etcds_own_file_overrides_all_flags() -> None:
    pod = (
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: etcd, image: r/etcd:3.7.3, command: [etcd, "
        "--config-file=/etc/etcd/etcd.conf.yml, --cert-file=/of-the-flag]}]}\n"
    )
    (etcd,) = programs(("pod.yaml", pod), ("host/etc/etcd/etcd.conf.yml", ETCD_CONFIG)).values()
    assert (etcd.text("cert-file"), etcd.version) == ("/pki/server.crt", "3.7.3")
    (alone,) = programs(("pod.yaml", pod)).values()
    with pytest.raises(UndecidedError, match="looks at nothing else"):
        alone.given("cert-file")


UNIT = """\
[Service]
Environment="ETCD_KEY_FILE=/of-the-unit" ETCD_DATA_DIR=/data
EnvironmentFile=-/etc/etcd/etcd.env
ExecStart=/usr/local/bin/etcd \\
  --cert-file=/of-the-flag \\
  $EXTRA
"""
VARIABLES = """\
# kept by hand
ETCD_CERT_FILE=/of-the-file
ETCD_TRUSTED_CA_FILE="/ca"
EXTRA="--auto-tls --quota-backend-bytes=1"
"""


def test_a_unit_has_its_flags_its_variables_and_those_of_its_file() -> None:
    (etcd,) = programs(("units/etcd.service", UNIT), ("etc/etcd/etcd.env", VARIABLES)).values()
    assert (etcd.text("cert-file"), line(etcd, "cert-file")) == ("/of-the-flag", 5)
    assert (etcd.text("key-file"), etcd.text("trusted-ca-file")) == ("/of-the-unit", "/ca")
    found = etcd.switched("auto-tls")
    assert found
    assert (found.location.file, found.location.line) == ("etc/etcd/etcd.env", 4)


def test_a_unit_without_its_file_does_not_know_what_is_not_given() -> None:
    (etcd,) = programs(("etcd.service", UNIT)).values()
    assert etcd.text("cert-file") == "/of-the-flag"
    with pytest.raises(UndecidedError, match=r"reads /etc/etcd/etcd\.env, which was not given"):
        etcd.given("trusted-ca-file")


def test_a_file_of_variables_alone_is_an_etcd_whose_flags_are_not_known() -> None:
    (etcd,) = programs(("etc/etcd.env", VARIABLES)).values()
    assert (etcd.text("cert-file"), line(etcd, "cert-file")) == ("/of-the-file", 2)
    with pytest.raises(UndecidedError):
        etcd.given("key-file")


def test_a_unit_reads_the_file_that_it_names_and_no_other() -> None:
    other = "ETCD_TRUSTED_CA_FILE=/of-another\n"
    found = facts_of(("a/other.env", other), ("etcd.service", UNIT), ("etc/etcd/etcd.env", VARIABLES))
    (etcd,) = [one for one in found if isinstance(one, Program) and not one.hidden]
    assert etcd.text("trusted-ca-file") == "/ca"


def test_a_variable_that_nobody_gives_hides_what_is_not_given() -> None:
    text = UNIT.replace("EnvironmentFile=-/etc/etcd/etcd.env\n", "# ExecStart=/bin/other\n; not this\n")
    (etcd,) = programs(("etcd.service", text.rstrip() + " \\")).values()
    assert (etcd.text("cert-file"), line(etcd, "cert-file")) == ("/of-the-flag", 6)
    with pytest.raises(UndecidedError, match="variables that were not given"):
        etcd.given("trusted-ca-file")


def test_a_unit_of_the_api_server_reads_none_of_etcds_variables() -> None:
    text = "[Service]\nEnvironment=ETCD_CERT_FILE=/a broken\nExecStart=-/usr/bin/kube-apiserver --etcd-cafile=/ca\n"
    (server,) = programs(("x.service", text)).values()
    assert [one.name for one in server.settings] == ["etcd-cafile"]
    assert (server.about, server.hidden) == (About.API_SERVER, "")


def test_a_file_of_variables_is_no_fact_by_itself() -> None:
    assert [type(one) for one in facts_of(("etc/etcd.env", "not a variable\n" + VARIABLES))] == [Program]
    assert facts_of(("etc/other.env", 'EXTRA="--a=b"\n')) == ()


def test_a_unit_of_another_program_is_none_of_ours() -> None:
    assert facts_of(("x.service", "[Service]\nExecStart=/usr/bin/etcdctl --cert-file=/a\n")) == ()


KUBEADM_3 = """\
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: v1.30.2
apiServer:
  extraArgs:
    encryption-provider-config: /etc/kubernetes/enc/enc.yaml
  extraVolumes:
  - {name: enc, hostPath: /etc/kubernetes/enc, mountPath: /etc/kubernetes/enc, readOnly: true}
etcd:
  local:
    imageTag: 3.5.15-0
    extraArgs:
      listen-metrics-urls: http://0.0.0.0:2381
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(KUBEADM_3, id="v1beta3"),
        pytest.param(
            KUBEADM_3.replace("v1beta3", "v1beta4")
            .replace("    encryption-provider-config: ", "  - name: encryption-provider-config\n    value: ")
            .replace("      listen-metrics-urls: ", "    - name: listen-metrics-urls\n      value: "),
            id="v1beta4",
        ),
        pytest.param(
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta1\nkind: KubeadmControlPlane\n"
            "spec:\n  kubeadmConfigSpec:\n    clusterConfiguration:\n"
            + "".join(f"      {one}\n" for one in KUBEADM_3.splitlines()[2:]),
            id="Cluster API",
        ),
        pytest.param(
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nkubeadmConfigPatches:\n- |\n"
            + "".join(f"  {one}\n" for one in KUBEADM_3.splitlines()[1:]),
            id="kind",
        ),
    ],
)
def test_kubeadm_says_what_it_sets_and_what_it_was_told(text: str) -> None:
    found = programs(("cluster.yaml", text))
    server, etcd = found["kube-apiserver"], found["etcd"]
    flag = server.given("encryption-provider-config")
    assert flag
    assert flag.evidence is Evidence.E1
    assert (
        "encryption-provider-config"
        in text.splitlines()[(flag.location.line or 0) - 2] + text.splitlines()[(flag.location.line or 0) - 1]
    )
    own = server.given("etcd-cafile")
    assert own
    assert own.evidence is Evidence.E0
    assert [mount.inside for mount in server.mounts or ()] == ["/etc/kubernetes/pki", "/etc/kubernetes/enc"]
    assert (server.version, etcd.version) == ("1.30.2", "3.5.15")
    assert etcd.text("listen-metrics-urls") == "http://0.0.0.0:2381"
    assert etcd.switched("client-cert-auth")


def test_a_control_plane_of_cluster_api_without_a_configuration_is_kubeadms_own() -> None:
    api = "apiVersion: controlplane.cluster.x-k8s.io/v1beta1\n"
    server = programs(("x.yaml", f"{api}kind: KubeadmControlPlane\nspec: {{version: v1.34.1}}\n"))["kube-apiserver"]
    assert server.given("encryption-provider-config") is None
    assert server.given("etcd-cafile")
    patch = programs(("x.yaml", f"{api}kind: KubeadmControlPlane\nspec: {{replicas: 3}}\n"))["kube-apiserver"]
    with pytest.raises(UndecidedError, match="a patch"):
        patch.given("encryption-provider-config")
    worker = "apiVersion: bootstrap.cluster.x-k8s.io/v1beta1\nkind: KubeadmConfigTemplate\nspec: {}\n"
    assert programs(("x.yaml", worker)) == {}


def test_kubeadm_is_told_where_the_data_is() -> None:
    text = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\netcd: {local: {dataDir: /data}}\n"
    etcd = programs(("x.yaml", text))["etcd"]
    assert (etcd.text("data-dir"), line(etcd, "data-dir")) == ("/data", 3)
    assert programs(("x.yaml", text.replace("dataDir", "x")))["etcd"].text("data-dir") == "/var/lib/etcd"


def test_kubeadms_other_programs_have_their_extra_arguments() -> None:
    text = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nscheduler: {extraArgs: {v: '4'}}\n"
    found = programs(("cluster.yaml", text))
    assert found.keys() == {"kube-apiserver", "kube-scheduler", "etcd"}
    assert (found["kube-scheduler"].about, found["kube-scheduler"].text("v")) == (About.PROGRAM, "4")


def test_an_external_etcd_is_not_judged_but_how_it_is_reached() -> None:
    text = (
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd:\n  external:\n"
        "    endpoints: [http://10.0.0.9:2379]\n    caFile: /ca\n    certFile: ''\n"
    )
    absent = one(text, Absent)
    assert isinstance(absent, Absent)
    assert (absent.about, absent.reason) == (About.ETCD, "external-etcd")
    server = programs(("x.yaml", text))["kube-apiserver"]
    assert [url.scheme for url in server.urls("etcd-servers")] == ["http"]
    assert (server.given("etcd-cafile") is not None, server.given("etcd-certfile")) == (True, None)


@pytest.mark.parametrize(
    ("text", "name", "encrypts", "etcd"),
    [
        pytest.param("secrets-encryption: true\ncluster-init: true\n", "k3s.yaml", True, "etcd", id="k3s with etcd"),
        pytest.param("secrets-encryption: true\n", "k3s.yaml", True, "kine", id="k3s with SQLite"),
        pytest.param("secrets-encryption: false\n", "k3s.yaml", False, "kine", id="k3s in plaintext"),
        pytest.param("cluster-init: true\n", "etc/rancher/rke2/config.yaml", True, "etcd", id="RKE2"),
        pytest.param("etcd-expose-metrics: true\ncluster-init: true\n", "config.yaml", None, "etcd", id="either"),
        pytest.param("datastore-endpoint: postgres://db\nsecrets-encryption: true\n", "x.yaml", True, "kine", id="SQL"),
        pytest.param(
            "datastore-endpoint: https://10.0.0.9:2379\nsecrets-encryption: true\n", "x.yaml", True, "external-etcd",
            id="another etcd",
        ),
    ],
)  # fmt: skip
def test_k3s_and_rke2(text: str, name: str, encrypts: bool | None, etcd: str) -> None:
    found = facts_of((name, text))
    (server,) = [fact for fact in found if isinstance(fact, Program) and fact.about is About.API_SERVER]
    if encrypts is None:
        with pytest.raises(UndecidedError, match="k3s or of RKE2"):
            server.given("encryption-provider-config")
    else:
        assert (server.given("encryption-provider-config") is not None) is encrypts
    absent = {fact.reason for fact in found if isinstance(fact, Absent)}
    assert absent | {fact.name for fact in found if isinstance(fact, Program) and fact is not server} == {etcd}


@pytest.mark.parametrize(
    ("text", "schemes"),
    [
        pytest.param("secrets-encryption: true\ncluster-init: true\n", ["https"], id="its own etcd"),
        pytest.param("secrets-encryption: true\n", ["unix"], id="SQLite"),
    ],
)
def test_k3s_reaches_its_datastore(text: str, schemes: list[str]) -> None:
    server = programs(("k3s.yaml", text))["kube-apiserver"]
    assert [url.scheme for url in server.urls("etcd-servers")] == schemes
    assert (server.given("etcd-cafile") is not None) is (schemes == ["https"])


def test_how_a_joining_server_reaches_its_datastore_is_not_known() -> None:
    found = facts_of(("k3s.yaml", "secrets-encryption: true\nserver: https://10.0.0.1:6443\n"))
    (server,) = [fact for fact in found if isinstance(fact, Program)]
    with pytest.raises(UndecidedError):
        server.given("etcd-cafile")


def test_rke2s_audit_log_is_not_known() -> None:
    server = programs(("rke2.yaml", "cluster-init: true\n"))["kube-apiserver"]
    with pytest.raises(UndecidedError):
        server.given("audit-log-path")
    assert programs(("k3s.yaml", "cluster-init: true\n"))["kube-apiserver"].given("audit-log-path") is None


def test_k3s_shows_metrics_to_others_only_when_told() -> None:
    for value, hosts in (("true", ["127.0.0.1", ""]), ("false", ["127.0.0.1"])):
        text = f"secrets-encryption: true\ncluster-init: true\netcd-expose-metrics: {value}\n"
        etcd = programs(("k3s.yaml", text))["etcd"]
        assert [url.host for url in etcd.urls("listen-metrics-urls")] == hosts


def test_what_k3s_was_told_of_encryption_stands_at_its_line() -> None:
    text = "cluster-init: true\netcd-arg: quota-backend-bytes=1\nsecrets-encryption: true\n"
    found = programs(("k3s.yaml", text))
    assert line(found["kube-apiserver"], "encryption-provider-config") == 3
    assert (found["etcd"].text("quota-backend-bytes"), line(found["etcd"], "quota-backend-bytes")) == ("1", 2)


def test_k3s_hands_flags_on() -> None:
    text = "secrets-encryption: true\nkube-apiserver-arg:\n- audit-log-path=/x\n- --authorization-mode=AlwaysAllow\n"
    server = programs(("k3s.yaml", text))["kube-apiserver"]
    assert (server.text("audit-log-path"), line(server, "audit-log-path")) == ("/x", 3)
    assert server.text("authorization-mode") == "AlwaysAllow"


@pytest.mark.parametrize(("value", "given"), [("true", True), ("Yes", True), ("false", False)])
def test_kubespray(value: str, given: bool) -> None:
    server = programs(("group_vars/k8s.yml", f"kube_encrypt_secret_data: {value}\n"))["kube-apiserver"]
    assert (server.given("encryption-provider-config") is not None) is given
    with pytest.raises(UndecidedError, match="other variables"):
        server.given("audit-log-path")


@pytest.mark.parametrize(
    ("value", "given"), [("encryptionConfig: true", True), ("encryptionConfig: false", False), ("x: 1", False)]
)
def test_kops(value: str, given: bool) -> None:
    text = (
        f"apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nspec:\n  {value}\n  authorization: {{rbac: {{}}}}\n"
        "  kubeAPIServer: {auditLogPath: /x}\n  etcdClusters: [{name: main, version: 3.5.21}]\n"
    )
    found = programs(("cluster.yaml", text))
    server, etcd = found["kube-apiserver"], found["main"]
    assert (server.given("encryption-provider-config") is not None) is given
    assert (server.text("audit-log-path"), server.text("authorization-mode")) == ("/x", "Node,RBAC")
    assert etcd.version == "3.5.21"
    with pytest.raises(UndecidedError, match="etcd-manager"):
        etcd.given("cert-file")


@pytest.mark.parametrize(("secret", "given"), [("secretboxEncryptionSecret: abc", True), ("x: 1", False)])
def test_talos(secret: str, given: bool) -> None:
    text = (
        f"version: v1alpha1\nmachine: {{type: controlplane}}\ncluster:\n  {secret}\n"
        "  apiServer:\n    extraArgs: {audit-log-path: /x}\n  etcd:\n    extraArgs: {listen-metrics-urls: 'http://0.0.0.0:2381'}\n"
    )
    found = programs(("controlplane.yaml", text))
    server = found["kube-apiserver"]
    assert (server.given("encryption-provider-config") is not None) is given
    assert server.text("audit-log-path") == "/x"
    assert found["etcd"].text("listen-metrics-urls") == "http://0.0.0.0:2381"
    assert programs(("worker.yaml", text.replace("controlplane", "worker"))) == {}


def test_microk8s() -> None:
    name = "var/snap/microk8s/current/args/kube-apiserver"
    found = facts_of((name, '# flags\n--authorization-mode=RBAC\n--etcd-servers="unix:///var/kine.sock"\n'))
    (server,) = [fact for fact in found if isinstance(fact, Program)]
    (absent,) = [fact for fact in found if isinstance(fact, Absent)]
    assert (server.text("authorization-mode"), line(server, "authorization-mode")) == ("RBAC", 2)
    assert (absent.about, absent.reason, absent.location.line) == (About.ETCD, "kine", 3)


def test_a_managed_control_plane_has_its_key_and_its_line_and_no_server_of_ours() -> None:
    text = (
        "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: shop}\n"
        "secretsEncryption:\n  keyARN: arn:aws:kms:eu-central-1:111122223333:key/1\n"
    )
    found = facts_of(("cluster.yaml", text))
    (plane,) = [fact for fact in found if isinstance(fact, ManagedPlane)]
    assert (plane.product, plane.name, plane.key) == ("EKS", "shop", "arn:aws:kms:eu-central-1:111122223333:key/1")
    assert (plane.location.file, plane.location.line) == ("cluster.yaml", 5)
    absent = {fact.about: fact.reason for fact in found if isinstance(fact, Absent)}
    assert absent == dict.fromkeys(
        (About.API_SERVER, About.ETCD, About.PROGRAM, About.CONFIGURATION), "managed-control-plane"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"cluster": {"arn": "arn:aws:eks:r:1:cluster/c", "resourcesVpcConfig": {}, "connectorConfig": {"x": 1}}}',
        "cluster: {name: shop, arn: 'arn:aws:eks:r:1:cluster/c'}\n",
        '{"selfLink": "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c/nodePools/n", '
        '"databaseEncryption": {}}',
        '[{"name": "c", "type": "Microsoft.ContainerService/ManagedClusters", "properties": {}}]',
        "apiVersion: cluster.x-k8s.io/v1beta1\nkind: Cluster\nspec: {x: AWSManagedControlPlane}\n",
    ],
    ids=["only registered there", "values of a chart", "a node pool", "a list of resources", "another object"],
)
def test_what_looks_like_a_managed_control_plane_and_is_none(text: str) -> None:
    assert [fact for fact in facts_of(("file.yaml", text)) if isinstance(fact, ManagedPlane | Absent)] == []


@pytest.mark.parametrize(
    "key",
    [
        "#{% if kms %}\nsecretsEncryption: {keyARN: arn:aws:kms:eu-central-1:111122223333:key/1}\n#{% endif %}\n",
        "{{- if .Values.kms }}\nsecretsEncryption: {keyARN: arn:aws:kms:r:1:key/1}\n{{- end }}\n",
    ],
    ids=["a condition that a comment hides from YAML", "a text that is no YAML"],
)
def test_a_managed_control_plane_that_is_not_read_in_full_is_a_doubt(key: str) -> None:
    found = facts_of(("eks.yaml", f"apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\n{key}"))
    assert any(isinstance(fact, Unread) and About.API_SERVER in fact.about for fact in found)


def test_openshifts_operator_is_told_of_a_type() -> None:
    text = (
        "apiVersion: config.openshift.io/v1\nkind: APIServer\nmetadata: {name: cluster}\nspec:\n"
        "  encryption:\n    type: aescbc\n"
    )
    told = one(text, OperatorEncryption)
    assert isinstance(told, OperatorEncryption)
    assert (told.type, told.doubt, told.location.line) == ("aescbc", "", 6)
    other = facts_of(("file.yaml", text.replace("name: cluster", "name: other")))
    assert [fact for fact in other if isinstance(fact, OperatorEncryption)] == []


def test_an_audit_policy_is_read_rule_by_rule() -> None:
    policy = one(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: None\n  users: [a]\n- level: Metadata\n"
        "  resources: [{group: '', resources: [secrets]}]\n",
        AuditPolicy,
    )
    assert isinstance(policy, AuditPolicy)
    assert [(rule.level, rule.narrowed, rule.location.line) for rule in policy.rules] == [
        ("None", True, 4),
        ("Metadata", False, 6),
    ]
    assert policy.rules[1].groups == (("", ("secrets",)),)


def test_no_source_takes_the_document_of_another() -> None:
    assert len(DOCUMENT_SOURCES) == 11
    for text in (STATIC_POD, KUBEADM_3, ETCD_CONFIG):
        found = [fact for fact in facts_of(("file.yaml", text)) if isinstance(fact, Program)]
        assert len(found) == len({(fact.name, fact.location.line) for fact in found})


def test_neither_keys_nor_values_show_in_a_repr() -> None:
    found = facts_of(("a.yaml", GOOD_CONFIG), ("etc/etcd.env", "ETCD_CERT_FILE=hidden-value\n"))
    assert "hidden-value" not in repr(found)
    assert "3q2+7wSh1" not in repr(found)
