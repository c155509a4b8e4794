from __future__ import annotations

import json

import pytest

from keyctl.errors import UnusableInputError
from keyctl.findings import Finding, Status
from keyctl.hosts.manifest_rules import RULES, is_pod_manifest, judge_manifest, starts

_FILE = "/etc/kubernetes/enc/enc.yaml"
_CONFIG = f"--encryption-provider-config={_FILE}"
_RELOAD = "--encryption-provider-config-automatic-reload"
_REMOVED = f"--experimental-encryption-provider-config={_FILE}"


def manifest(*words: str, name: str = "kube-apiserver", mounts: tuple[str, ...] = ("/etc/kubernetes/enc",)) -> bytes:
    volumes = [{"name": f"v{i}", "hostPath": {"path": path}} for i, path in enumerate(mounts)]
    container = {
        "name": name,
        "command": list(words),
        "volumeMounts": [{"name": f"v{i}", "mountPath": path} for i, path in enumerate(mounts)],
    }
    return json.dumps({"kind": "Pod", "spec": {"containers": [container], "volumes": volumes}}, indent=1).encode()


def judge(*words: str, name: str = "kube-apiserver", mounts: tuple[str, ...] = ("/etc/kubernetes/enc",)) -> list[str]:
    return [finding.id for finding in judge_manifest(manifest(*words, name=name, mounts=mounts), "pod.yaml")]


def only(content: bytes) -> Finding:
    (finding,) = judge_manifest(content, "pod.yaml")
    return finding


@pytest.mark.parametrize(
    "words",
    [
        ("kube-apiserver", _CONFIG),
        ("kube-apiserver", _CONFIG, f"{_RELOAD}=true"),
        ("kube-apiserver", _CONFIG, _CONFIG),
        ("kube-apiserver", _CONFIG, "--", _REMOVED),
    ],
)
def test_a_kube_apiserver_that_reads_its_file_has_no_finding(words: tuple[str, ...]) -> None:
    assert judge(*words) == []


@pytest.mark.parametrize(
    "words",
    [
        ("kube-apiserver",),
        ("kube-apiserver", f"{_RELOAD}=false"),
        ("kube-apiserver", "--", _CONFIG),
        ("kube-apiserver", "--encryption-provider", _CONFIG.replace("--", "", 1)),
    ],
)
def test_a_kube_apiserver_without_the_flag_stores_everything_in_plaintext(words: tuple[str, ...]) -> None:
    finding = only(manifest(*words))
    assert (finding.id, finding.severity, finding.status) == ("KC-FLAG-008", "critical", "fail")
    assert "plaintext" in finding.message
    assert "keyctl enable" in str(finding.fix)


@pytest.mark.parametrize(
    ("container", "known"),
    [
        ({"name": "nginx", "image": "nginx:1.29", "command": ["nginx", "--etcd=x", "http://etcd:2379"]}, False),
        ({"name": "nginx"}, False),
        ({"name": "etcdctl", "command": ["etcdctl", "get"]}, False),
        ({"name": "netcd", "image": "example/etcdadm:1"}, False),
        ({"name": "nginx", "command": ["nginx", _CONFIG]}, False),
        ({"name": "etcd"}, True),
        ({"name": "etcd-events"}, True),
        ({"name": "main", "image": "registry.example/etcd:3.7.3-0"}, True),
        ({"name": "main", "image": "kube-scheduler@sha256:0"}, True),
        ({"name": "main", "command": ["/usr/local/bin/kube-controller-manager", "--x=1"]}, True),
        ({"name": "main", "command": ["/bin/sh", "-c", "exec /usr/local/bin/etcd --x >log"]}, True),
        ({"name": "main", "args": ["kube-scheduler"]}, True),
    ],
)
def test_a_pod_of_no_control_plane_program_is_refused_and_not_called_right(
    container: dict[str, object], known: bool
) -> None:
    content = json.dumps({"kind": "Pod", "spec": {"containers": [container]}}).encode()
    if known:
        assert judge_manifest(content, "pod.yaml") == ()
        return
    with pytest.raises(UnusableInputError, match=r"pod\.yaml:1:1: not the manifest of a control-plane program"):
        judge_manifest(content, "pod.yaml")


def test_a_container_beside_that_of_a_control_plane_program_is_looked_at_too() -> None:
    pod = json.loads(manifest("etcd", name="etcd"))
    pod["spec"]["containers"].append({"name": "backup", "command": ["backup", _CONFIG]})
    assert [one.id for one in judge_manifest(json.dumps(pod).encode(), "pod.yaml")] == ["KC-FLAG-001"]


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        (("kube-apiserver", _CONFIG), "kube-apiserver", True),
        (("kube-apiserver",), "kube-apiserver", True),
        (("kube-apiserver", "--encryption-provider-config="), "kube-apiserver", True),
        (("kube-apiserver", _REMOVED), "kube-apiserver", False),
        (("kube-apiserver", _RELOAD), "kube-apiserver", False),
        (("etcd", _CONFIG), "etcd", False),
        (("etcd",), "etcd", True),
        (("/bin/sh", "-c", f"exec etcd {_CONFIG}"), "etcd", None),
        (("kube-apiserver", "--encryption-provider-config=enc.yaml"), "kube-apiserver", None),
        (("kube-apiserver", "--encryption-provider-config=/elsewhere/enc.yaml"), "kube-apiserver", None),
        (("kube-apiserver", _REMOVED, "--encryption-provider-config=enc.yaml"), "kube-apiserver", False),
    ],
)
def test_whether_the_program_starts_is_told_where_it_is_known(
    words: tuple[str, ...], name: str, expected: bool | None
) -> None:
    assert starts(judge_manifest(manifest(*words, name=name), "pod.yaml")) is expected


@pytest.mark.parametrize("name", ["etcd", "kube-controller-manager", "kube-scheduler"])
@pytest.mark.parametrize("flag", [_CONFIG, _REMOVED, f"{_RELOAD}=true", _CONFIG[1:], _CONFIG.replace("n-p", "n_p")])
def test_an_encryption_flag_of_another_program_is_critical(name: str, flag: str) -> None:
    finding = only(manifest(name, "--other=1", flag, name=name))
    assert (finding.id, finding.severity, finding.status) == ("KC-FLAG-001", "critical", "fail")
    assert finding.message.startswith(f"{name} does not know --")


def test_a_script_that_names_the_flag_is_no_pass() -> None:
    finding = only(manifest("/bin/sh", "-c", f"exec etcd {_CONFIG}", name="etcd"))
    assert (finding.id, finding.status) == ("KC-FLAG-001", Status.UNKNOWN)


def test_a_script_that_hides_the_flags_of_the_server_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="the command of the container is not kube-apiserver"):
        judge("/bin/sh", "-c", f"exec kube-apiserver {_CONFIG}")


def test_a_server_under_another_name_is_known_by_its_command() -> None:
    assert judge("/usr/local/bin/kube-apiserver", _CONFIG, name="apiserver") == []
    assert judge("/usr/local/bin/kube-apiserver", _REMOVED, name="apiserver") == ["KC-FLAG-002"]


@pytest.mark.parametrize("words", [(_REMOVED,), tuple(_REMOVED.split("=")), (_REMOVED.replace("l-e", "l_e"),)])
def test_the_removed_flag_is_critical_for_the_server_does_not_start(words: tuple[str, ...]) -> None:
    finding = only(manifest("kube-apiserver", *words))
    assert (finding.id, finding.severity) == ("KC-FLAG-002", "critical")


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ((), ["KC-FLAG-003"]),
        (("/etc/kubernetes/en",), ["KC-FLAG-003"]),
        (("/etc/kubernetes/enc/other",), ["KC-FLAG-003"]),
        (("/etc/kubernetes",), []),
        (("/etc/kubernetes/enc",), []),
    ],
)
def test_the_file_must_lie_below_a_mount(mounts: tuple[str, ...], expected: list[str]) -> None:
    assert judge("kube-apiserver", _CONFIG, mounts=mounts) == expected


def test_a_file_from_a_volume_of_another_kind_is_seen_too() -> None:
    content = manifest("kube-apiserver", _CONFIG).replace(b'"hostPath"', b'"secret"')
    assert judge_manifest(content, "pod.yaml") == ()


@pytest.mark.parametrize(
    "value", ["enc.yaml", "/etc/$(DIR)/enc.yaml", "/etc/kubernetes/../enc.yaml", "/enc/", "//a/b", "/."]
)
def test_a_path_that_keyctl_cannot_place_is_no_pass_and_no_failure(value: str) -> None:
    finding = only(manifest("kube-apiserver", f"--encryption-provider-config={value}"))
    assert (finding.id, finding.status) == ("KC-FLAG-003", Status.UNKNOWN)
    assert value not in finding.message


def test_different_values_are_found_across_the_two_spellings_and_for_the_reload() -> None:
    other = "--encryption-provider-config=/etc/kubernetes/enc/other.yaml"
    assert judge("kube-apiserver", _CONFIG, other) == ["KC-FLAG-004"]
    assert judge("kube-apiserver", _REMOVED, other) == ["KC-FLAG-002", "KC-FLAG-004"]
    assert judge("kube-apiserver", _CONFIG, f"{_RELOAD}=true", f"{_RELOAD}=false") == ["KC-FLAG-004"]


def test_what_counts_of_a_flag_given_twice_is_the_last() -> None:
    other = "--encryption-provider-config=/srv/enc.yaml"
    assert judge("kube-apiserver", _CONFIG, other) == ["KC-FLAG-004", "KC-FLAG-003"]
    assert judge("kube-apiserver", other, _CONFIG) == ["KC-FLAG-004"]


@pytest.mark.parametrize("words", [(_RELOAD,), (f"{_RELOAD}=true",), (f"{_RELOAD}=false", f"{_RELOAD}=t")])
def test_reload_without_a_file_stops_the_server(words: tuple[str, ...]) -> None:
    assert "KC-FLAG-005" in judge("kube-apiserver", *words)
    assert "KC-FLAG-005" in judge("kube-apiserver", "--encryption-provider-config=", *words)


def test_a_file_mounted_by_itself_is_told_when_it_should_reload() -> None:
    assert judge("kube-apiserver", _CONFIG, _RELOAD, mounts=(_FILE,)) == ["KC-FLAG-006"]
    assert judge("kube-apiserver", _CONFIG, mounts=(_FILE,)) == []


def test_a_flag_with_an_empty_value_encrypts_nothing() -> None:
    finding = only(manifest("kube-apiserver", "--encryption-provider-config="))
    assert (finding.id, finding.severity) == ("KC-FLAG-007", "critical")


def test_a_finding_points_at_its_place() -> None:
    text = """\
kind: Pod
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    args:
    - "--experimental-encryption-provider-config=/a/b"
    volumeMounts:
    - {name: a, mountPath: /a}
"""
    location = only(text.encode()).location
    assert (location.file, location.line, location.column) == ("pod.yaml", 8, 7)


@pytest.mark.parametrize("text", ["kind: Pod\n", "[]\n", "spec: {containers: []}\n", "spec: {containers: [a]}\n"])
def test_what_is_no_pod_is_refused(text: str) -> None:
    with pytest.raises(UnusableInputError, match=r"pod\.yaml:1:1: not the manifest of a pod"):
        judge_manifest(text.encode(), "pod.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apiVersion: v1\nkind: Pod\n", True),
        ('apiVersion: v1\r\nkind: "Pod"  # static\r\n', True),
        ('{"apiVersion":"v1","kind":"Pod"}', True),
        ("{kind: Pod}", False),
        ("---\n{kind: Pod}", True),
        ("kind: Pod\nspec:\n\tcontainers: []\n", True),
        ("kind: PodList\n", False),
        ("kind: EncryptionConfiguration\n# kind: Pod\n", False),
        ("kind: EncryptionConfiguration\n\t# kind: Pod\n", False),
        ("kind: EncryptionConfiguration\nof: {kind: Pod}\n", False),
        ("", False),
        ("\0", False),
    ],
)
def test_a_pod_manifest_is_known_by_its_kind_even_when_it_is_broken(text: str, expected: bool) -> None:
    assert is_pod_manifest(text.encode()) is expected


def test_every_rule_has_its_own_id_and_tells_all_of_it() -> None:
    assert [rule.id for rule in RULES] == [f"KC-FLAG-00{number}" for number in range(1, len(RULES) + 1)]
    assert all(rule.why.endswith(".") and rule.fix and rule.source for rule in RULES)
