"""Which files an API server reads for etcd, as its manifest and its mounts say."""

from __future__ import annotations

import pytest

from keyctl.errors import UnusableInputError
from keyctl.renewing.flags import other_file

FOLDER = "/etc/kubernetes/pki/etcd-client"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --etcd-cafile=/pki/ca.crt
    - --etcd-certfile=/pki/client.crt
    - --etcd-keyfile=/pki/client.key
    volumeMounts:
    - {mountPath: /pki, name: pki}
  volumes:
  - hostPath: {path: /etc/kubernetes/pki/etcd-client}
    name: pki
"""


def said(manifest: str) -> str:
    return other_file(manifest.encode(), FOLDER, name="manifest")


def test_flags_are_followed_through_the_mounts_of_the_pod() -> None:
    assert said(MANIFEST) == ""


@pytest.mark.parametrize(
    ("was", "is_", "wrong"),
    [
        ("    - --etcd-cafile=/pki/ca.crt\n", "", "it has no --etcd-cafile"),
        ("/pki/ca.crt", "/pki/other.crt", f"--etcd-cafile is not {FOLDER}/ca.crt of its host"),
        ("=/pki/client.key", "=/etc/client.key", f"--etcd-keyfile is not {FOLDER}/client.key of its host"),
        (
            "path: /etc/kubernetes/pki/etcd-client",
            "path: /elsewhere",
            f"--etcd-cafile is not {FOLDER}/ca.crt of its host",
        ),
    ],
)
def test_another_file_is_told(was: str, is_: str, wrong: str) -> None:
    assert was in MANIFEST
    assert said(MANIFEST.replace(was, is_)) == wrong


def test_what_is_no_manifest_of_an_api_server_is_refused() -> None:
    with pytest.raises(UnusableInputError):
        said(MANIFEST.replace("name: kube-apiserver\n    command", "name: other\n    command"))
