from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.hosts import manifests
from keyctl.hosts.manifests import Mount, add_encryption_flag, go_seconds, mount_of, read_flags

_CONFIG = "/etc/kubernetes/enc/enc.yaml"

_KUBEADM = """\
# kept by hand
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.1   # ours
    - --etcd-servers=https://127.0.0.1:2379
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
    # the image is pinned
    image: registry.example/kube-apiserver:v1.37.1
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
      readOnly: true
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
status: {}
"""

_EDITED = """\
# kept by hand
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.1   # ours
    - --etcd-servers=https://127.0.0.1:2379
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
    - --encryption-provider-config=/etc/kubernetes/enc/enc.yaml
    - --encryption-provider-config-automatic-reload=true
    # the image is pinned
    image: registry.example/kube-apiserver:v1.37.1
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
      readOnly: true
    - mountPath: /etc/kubernetes/enc
      name: keyctl-encryption
      readOnly: true
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
  - hostPath:
      path: /etc/kubernetes/enc
      type: DirectoryOrCreate
    name: keyctl-encryption
status: {}
"""


def _add(text: str, *, reload: bool = True, config_path: str = _CONFIG) -> str:
    return add_encryption_flag(text.encode(), config_path=config_path, reload=reload, name="pod.yaml").decode()


def _pod(*words: str, args: tuple[str, ...] = (), **spec: object) -> bytes:
    container = {"name": "kube-apiserver", "command": list(words), "args": list(args)}
    return json.dumps({"spec": {"containers": [{"name": "sidecar"}, container], **spec}}).encode()


def test_the_edit_adds_exactly_the_flags_the_mount_and_the_volume() -> None:
    assert _add(_KUBEADM) == _EDITED


def test_editing_twice_is_editing_once() -> None:
    assert _add(_EDITED) == _EDITED
    assert _add(_EDITED, reload=False) == _EDITED


def test_without_reload_only_the_one_flag_is_added() -> None:
    edited = _add(_KUBEADM, reload=False)
    assert read_flags(edited.encode(), name="pod.yaml").encryption_provider_config == _CONFIG
    assert "automatic-reload" not in edited


def _without_lists(text: str) -> str:
    lines = text.split("\n")
    return "\n".join([*lines[: lines.index("    volumeMounts:")], "  hostNetwork: true", ""])


def _with_args(text: str) -> str:
    command = "  - command:\n    - kube-apiserver\n"
    return text.replace(command, "  - command: [kube-apiserver]\n    args:\n")


def _with_long_flow(text: str) -> str:
    name = "    name: kube-apiserver\n"
    text = _without_lists(text).replace(
        "  hostNetwork: true\n", "  dnsConfig: {\n    options: [{name: a}\n    ]\n  }\n"
    )
    return text.replace(name, f"{name}    ports: [\n      {{containerPort: 6443}}\n    ]\n")


def _with_block_text(text: str) -> str:
    name = "    name: kube-apiserver\n"
    return _without_lists(text).replace(name, f"{name}    tty: |\n      a\n      b\n\n")


_LAYOUTS: dict[str, Callable[[str], str]] = {
    "as kubeadm writes it": lambda text: text,
    "no mounts and no volumes": _without_lists,
    "all at one end": lambda text: _without_lists(text).removesuffix("\n  hostNetwork: true\n"),
    "windows line ends": lambda text: text.replace("\n", "\r\n"),
    "no last line end": lambda text: text.removesuffix("\nstatus: {}\n"),
    "comment": lambda text: text.replace("volumeMounts:\n", "volumeMounts:  # what it sees\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "json": lambda text: json.dumps(yaml.safe_load(text)),
    "json without lists": lambda text: json.dumps(yaml.safe_load(_without_lists(text)), indent=2),
    "flow": lambda text: "---\n" + yaml.safe_dump(yaml.safe_load(text), default_flow_style=True),
    "sorted": lambda text: yaml.safe_dump(yaml.safe_load(text), indent=4),
    "flow over several lines": _with_long_flow,
    "an empty list of volumes": lambda text: _without_lists(text) + "  volumes: []\n",
    "args": _with_args,
    "block text": _with_block_text,
}


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_whatever_the_layout_only_lines_are_added_and_the_pod_says_what_it_should(layout: str) -> None:
    change = _LAYOUTS[layout]
    before = change(_KUBEADM)
    after = _add(before)
    expected = yaml.safe_load(before)
    (container,) = expected["spec"]["containers"]
    (container.get("args") or container["command"]).extend(
        [f"--encryption-provider-config={_CONFIG}", "--encryption-provider-config-automatic-reload=true"]
    )
    mount = {"mountPath": "/etc/kubernetes/enc", "name": "keyctl-encryption", "readOnly": True}
    volume = {"hostPath": {"path": "/etc/kubernetes/enc", "type": "DirectoryOrCreate"}, "name": "keyctl-encryption"}
    container.setdefault("volumeMounts", []).append(mount)
    expected["spec"].setdefault("volumes", []).append(volume)
    assert yaml.safe_load(after) == expected
    assert _add(after) == after
    left = iter(after)
    assert all(character in left for character in before), "something was taken away"
    assert ("\r\n" in before) == ("\r\n" in after)
    assert after.count("\r\n") in (0, after.count("\n"))


def test_an_unusual_path_is_quoted() -> None:
    edited = _add(_KUBEADM, config_path="/etc/my enc: #1/enc.yaml")
    assert read_flags(edited.encode(), name="p").encryption_provider_config == "/etc/my enc: #1/enc.yaml"
    assert mount_of(edited.encode(), "/etc/my enc: #1/enc.yaml") is Mount.DIRECTORY


def test_the_name_of_the_volume_is_free() -> None:
    taken = _KUBEADM.replace("k8s-certs", "keyctl-encryption")
    assert "name: keyctl-encryption-2\n" in _add(taken)


@pytest.mark.parametrize(
    "mounted", ["/etc/kubernetes", "/etc/kubernetes/enc", "/etc/kubernetes/enc/", "/etc/kubernetes/enc/enc.yaml"]
)
def test_nothing_is_mounted_that_the_container_sees_already(mounted: str) -> None:
    edited = _add(_KUBEADM.replace("/etc/kubernetes/pki\n", f"{mounted}\n"))
    assert edited.count("mountPath") == 1
    assert edited.count("hostPath") == 1
    assert read_flags(edited.encode(), name="p").encryption_provider_config == _CONFIG


@pytest.mark.parametrize("inside", ["/etc/kubernetes/enc", _CONFIG])
def test_a_place_in_the_container_that_is_taken_is_refused(inside: str) -> None:
    taken = _KUBEADM.replace("mountPath: /etc/kubernetes/pki", f"mountPath: {inside}")
    with pytest.raises(RefusedError, match="cannot be mounted") as caught:
        _add(taken)
    assert inside in str(caught.value.cause)


def test_the_root_directory_is_never_mounted() -> None:
    with pytest.raises(RefusedError, match="cannot be mounted"):
        _add(_KUBEADM, config_path="/enc.yaml")


@pytest.mark.parametrize(
    "flag", ["--encryption-provider-config=/other.yaml", "--encryption-provider-config-automatic-reload=false"]
)
def test_a_flag_with_another_value_is_refused(flag: str) -> None:
    with pytest.raises(RefusedError, match="another value"):
        _add(_KUBEADM.replace("--advertise-address=10.0.0.1", flag))


@pytest.mark.parametrize("spelling", ["=true", "=T", "=1", ""])
def test_a_reload_flag_in_any_spelling_of_true_is_left(spelling: str) -> None:
    edited = _add(
        _KUBEADM.replace("--advertise-address=10.0.0.1", f"--encryption-provider-config-automatic-reload{spelling}")
    )
    assert edited.count("automatic-reload") == 1


def test_yaml_with_anchors_is_read_but_not_edited() -> None:
    anchored = _KUBEADM.replace("name: k8s-certs\n      read", "name: &v k8s-certs\n      read")
    assert read_flags(anchored.encode(), name="p").etcd_servers
    with pytest.raises(UnusableInputError, match="anchors"):
        _add(anchored)


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        pytest.param("--advertise-address=10.0.0.1", "--other", id="a flag is lost"),
        pytest.param("config=/etc/kubernetes/enc/enc", "config=/etc/kubernetes/enc/x", id="other file"),
        pytest.param("automatic-reload=true", "automatic-reload=false", id="no reload"),
        pytest.param("mountPath: /etc/kubernetes/enc", "mountPath: /etc/kubernetes/x", id="no mount"),
        pytest.param("mountPath: /etc/kubernetes/pki", "mountPath: /etc/kubernetes/x", id="a mount is lost"),
    ],
)  # fmt: skip
def test_an_edit_that_says_something_else_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch, said: str, instead: str
) -> None:
    assert _EDITED.count(said) == 1
    monkeypatch.setattr(manifests, "splice", lambda text, edits: _EDITED.replace(said, instead))
    with pytest.raises(RuntimeError):
        _add(_KUBEADM)


@pytest.mark.parametrize("volumes", ["volumes:", "volumes: text"])
def test_a_field_that_should_be_a_list_is_not_given_twice(volumes: str) -> None:
    with pytest.raises(UnusableInputError, match="volumes is empty or no list") as caught:
        _add(_without_lists(_KUBEADM) + f"  {volumes}\n")
    assert caught.value.hints == ("delete the field volumes",)


@pytest.mark.parametrize(
    ("words", "args", "expected"),
    [
        (("kube-apiserver", "--etcd-prefix=/a"), (), "/a"),
        (("/usr/bin/kube-apiserver", "--etcd-prefix", "/a"), (), "/a"),
        (("kube-apiserver", "--etcd-prefix=/a", "--etcd-prefix=/b"), (), "/b"),
        (("kube-apiserver", "--etcd-prefix=/a"), ("--etcd-prefix=/b",), "/b"),
        (("kube-apiserver", "--etcd_prefix=/a=b"), (), "/a=b"),
        (("kube-apiserver", "--other"), (), None),
        (("kube-apiserver", "etcd-prefix=/a"), (), None),
        (("kube-apiserver", "--other", "--etcd-prefix=/a"), (), "/a"),
        (("kube-apiserver", "--", "--etcd-prefix=/a"), (), None),
        (("/go-runner", "--etcd-prefix=/x", "kube-apiserver", "--other=1"), (), None),
        (("kube-apiserver",), ("--log-dir", "/var/log/kube-apiserver", "--etcd-prefix=/a"), "/a"),
        ((), ("--etcd-prefix=/a", "--log-dir=/var/log/kube-apiserver"), "/a"),
    ],
)
def test_flags_are_read_as_the_server_reads_them(
    words: tuple[str, ...], args: tuple[str, ...], expected: str | None
) -> None:
    assert read_flags(_pod(*words, args=args), name="p").etcd_prefix == expected


def test_every_flag_that_matters_has_a_name() -> None:
    flags = read_flags(
        _pod(
            "kube-apiserver",
            f"--encryption-provider-config={_CONFIG}",
            "--encryption-provider-config-automatic-reload",
            "--etcd-servers=https://a:2379,https://b:2379",
            "--etcd-servers=https://c:2379",
            "--etcd-servers-overrides=/events#https://e:2379;https://f:2379,coordination.k8s.io/leases#https://g:2379",
            "--request-timeout=30s",
        ),
        name="p",
    )
    assert flags.encryption_provider_config == _CONFIG
    assert flags.automatic_reload
    assert flags.etcd_servers == ("https://a:2379", "https://b:2379", "https://c:2379")
    assert flags.etcd_servers_overrides == (
        ("events", ("https://e:2379", "https://f:2379")),
        ("leases.coordination.k8s.io", ("https://g:2379",)),
    )
    assert flags.overridden_resources == ("events", "leases.coordination.k8s.io")
    assert flags.request_timeout == "30s"


def test_a_server_without_flags_has_the_defaults() -> None:
    flags = read_flags(_pod("kube-apiserver"), name="p")
    assert (flags.encryption_provider_config, flags.automatic_reload, flags.etcd_prefix) == (None, False, None)
    assert (flags.etcd_servers, flags.etcd_servers_overrides, flags.request_timeout) == ((), (), None)


@pytest.mark.parametrize("value", ["false", "0", "F", "yes"])
def test_reload_is_off_unless_the_flag_says_true(value: str) -> None:
    flags = read_flags(_pod("kube-apiserver", f"--encryption-provider-config-automatic-reload={value}"), name="p")
    assert not flags.automatic_reload


def test_flags_inside_a_shell_script_are_refused_and_not_overlooked() -> None:
    with pytest.raises(UnusableInputError, match="the command of the container is not kube-apiserver"):
        read_flags(_pod("/bin/sh", "-c", "exec kube-apiserver --etcd-prefix=/a"), name="p")


@pytest.mark.parametrize(
    "text",
    [
        "kind: Pod\n",
        "spec: {containers: []}\n",
        "spec: {containers: [{name: etcd}]}\n",
        "spec: {containers: [{name: kube-apiserver}, {name: kube-apiserver}]}\n",
        "[]\n",
        "spec: text\n",
    ],
)
def test_what_is_no_pod_of_an_api_server_is_refused(text: str) -> None:
    with pytest.raises(UnusableInputError, match=r"pod\.yaml:1:1: not the manifest"):
        read_flags(text.encode(), name="pod.yaml")


def test_a_word_that_is_not_text_is_refused() -> None:
    text = "spec: {containers: [{name: kube-apiserver, command: [kube-apiserver, 5]}]}\n"
    with pytest.raises(UnusableInputError, match="a word of the command"):
        read_flags(text.encode(), name="p")


def test_a_container_without_a_command_cannot_be_given_flags() -> None:
    with pytest.raises(UnusableInputError, match="has no command"):
        _add("spec: {containers: [{name: kube-apiserver}]}\n")


def _mounted(*mounts: dict[str, str | None], **volumes: object) -> bytes:
    pod = json.loads(_pod("kube-apiserver"))
    pod["spec"]["containers"][1]["volumeMounts"] = list(mounts)
    pod["spec"]["volumes"] = [{"name": name, **source} for name, source in volumes.items() if isinstance(source, dict)]
    return json.dumps(pod).encode()


def _host(path: str) -> dict[str, object]:
    return {"hostPath": {"path": path}}


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        pytest.param(_mounted(), Mount.NONE, id="no mount"),
        pytest.param(
            _mounted({"name": "a", "mountPath": "/etc/kubernetes/enc", "subPathExpr": None},
                     a=_host("/etc/kubernetes/enc")),
            Mount.DIRECTORY, id="a sub-path that is null"),
        pytest.param(_mounted({"name": "a", "mountPath": "/etc/kubernetes/enc"}, a=_host("/etc/kubernetes/enc/")),
                     Mount.DIRECTORY, id="its directory"),
        pytest.param(_mounted({"name": "a", "mountPath": "/etc/kubernetes/"}, a=_host("/etc/kubernetes")),
                     Mount.DIRECTORY, id="a directory above"),
        pytest.param(_mounted({"name": "a", "mountPath": _CONFIG}, a=_host(_CONFIG)), Mount.SINGLE_FILE, id="the file"),
        pytest.param(
            _mounted({"name": "a", "mountPath": _CONFIG, "subPath": "enc.yaml"}, a=_host("/etc/kubernetes/enc")),
            Mount.SINGLE_FILE, id="the file by its sub-path"),
        pytest.param(
            _mounted({"name": "a", "mountPath": "/etc/kubernetes/enc", "subPath": "enc"}, a=_host("/etc/kubernetes")),
            Mount.DIRECTORY, id="its directory by its sub-path"),
        pytest.param(
            _mounted({"name": "a", "mountPath": "/etc/kubernetes/enc", "subPathExpr": "$(X)"},
                     a=_host("/etc/kubernetes/enc")),
            Mount.NONE, id="a sub-path that depends"),
        pytest.param(
            _mounted({"name": "a", "mountPath": "/etc/kubernetes"}, {"name": "b", "mountPath": _CONFIG},
                     a=_host("/etc/kubernetes"), b=_host(_CONFIG)),
            Mount.SINGLE_FILE, id="the innermost counts"),
        pytest.param(_mounted({"name": "a", "mountPath": "/etc/kubernetes/enc"}, a=_host("/srv/enc")),
                     Mount.NONE, id="another directory of the host"),
        pytest.param(_mounted({"name": "a", "mountPath": "/etc/kubernetes/enc"}, a={}),
                     Mount.NONE, id="nothing of the host"),
        pytest.param(_mounted({"name": "a", "mountPath": "/etc/kubernetes/en"}, a=_host("/etc/kubernetes/en")),
                     Mount.NONE, id="a name that only begins alike"),
    ],
)  # fmt: skip
def test_how_the_container_sees_a_path(manifest: bytes, expected: Mount) -> None:
    assert mount_of(manifest, _CONFIG) is expected


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("1m0s", 60.0), ("10s", 10.0), ("1.5h", 5400.0), ("300ms", 0.3), ("60", None), ("", None), ("1m x", None)],
)
def test_a_duration_means_what_go_says(duration: str, seconds: float | None) -> None:
    assert go_seconds(duration) == seconds
