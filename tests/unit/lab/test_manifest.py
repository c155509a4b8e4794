from __future__ import annotations

import pytest
import yaml

from keyctl.errors import UnusableInputError
from keyctl.lab import manifest
from keyctl.lab.manifest import Mount

COMMAND = ("kube-apiserver", "--secure-port=6443", "--tls-cert-file=/lab/cp1/pki/apiserver.crt")
TEXT = manifest.render(COMMAND, (Mount("serving-certs", "/lab/cp1/pki"),), version="1.37.1")


def test_what_is_rendered_is_read_back() -> None:
    pod = manifest.parse(TEXT, "cp1")
    assert pod.command == COMMAND
    assert pod.visible == ("/lab/cp1/pki",)
    assert pod.unseen() == ()


def test_it_is_a_static_pod_as_a_kubelet_takes_it() -> None:
    document = yaml.safe_load(TEXT)
    assert (document["apiVersion"], document["kind"]) == ("v1", "Pod")
    assert document["metadata"]["namespace"] == "kube-system"
    container = document["spec"]["containers"][0]
    assert container["image"] == "kube-apiserver:v1.37.1"
    assert container["volumeMounts"][0]["mountPath"] == document["spec"]["volumes"][0]["hostPath"]["path"]


def test_an_edited_flag_changes_the_command() -> None:
    edited = TEXT.replace("--secure-port=6443", "--secure-port=6444")
    assert "--secure-port=6444" in manifest.parse(edited, "cp1").command


def test_args_follow_the_command() -> None:
    document = yaml.safe_load(TEXT)
    document["spec"]["containers"][0]["args"] = ["--v=4"]
    assert manifest.parse(yaml.safe_dump(document), "cp1").command == (*COMMAND, "--v=4")


def test_a_file_that_no_mount_covers_is_not_seen() -> None:
    flag = "--encryption-provider-config=/lab/cp1/enc/enc.yaml"
    pod = manifest.parse(manifest.render((*COMMAND, flag), (Mount("x", "/lab/cp1/pki"),), version="1"), "cp1")
    assert pod.unseen() == ("/lab/cp1/enc/enc.yaml",)


def test_the_etcd_prefix_is_no_file() -> None:
    pod = manifest.parse(manifest.render((*COMMAND, "--etcd-prefix=/registry"), (), version="1"), "cp1")
    assert pod.unseen() == ("/lab/cp1/pki/apiserver.crt",)


@pytest.mark.parametrize(
    "text", ["", "spec: {", "spec: {containers: []}", "spec: {containers: [{name: other}]}", "- 1"]
)
def test_what_is_no_such_pod_is_refused_by_the_servers_name(text: str) -> None:
    with pytest.raises(UnusableInputError, match="the manifest of cp1"):
        manifest.parse(text, "cp1")


@pytest.mark.parametrize("path", ["/elsewhere", None])
def test_a_mount_without_its_volume_at_the_same_path_is_refused(path: str | None) -> None:
    document = yaml.safe_load(TEXT)
    document["spec"]["volumes"] = [{"name": "serving-certs", "hostPath": {"path": path}}] if path else []
    with pytest.raises(UnusableInputError, match="mounts serving-certs"):
        manifest.parse(yaml.safe_dump(document), "cp1")
