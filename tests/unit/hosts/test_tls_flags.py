"""Flags of TLS in the static pods of etcd and kube-apiserver: set in their place, added where they lack, mounted."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from keyctl.documents import parse
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.hosts.pod import pods
from keyctl.hosts.tls_flags import program_of, with_flags

FOLDER = PurePosixPath("/etc/etcd/pki")
FLAGS = {"cert-file": f"{FOLDER}/server.crt", "peer-cert-file": f"{FOLDER}/peer.crt", "client-cert-auth": "true"}
ETCD = """\
apiVersion: v1
kind: Pod
metadata:
  name: etcd
spec:
  containers:
  - command:
    - etcd
    - --cert-file=/old/server.crt   # the old one
    - "--peer-cert-file=/old/peer.crt"
    - --data-dir=/var/lib/etcd
    name: etcd
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: data
  volumes:
  - hostPath: {path: /var/lib/etcd}
    name: data
"""
SERVER = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    command: [kube-apiserver]
    args:
    - --etcd-servers=https://127.0.0.1:2379
"""


def flags_of(text: str) -> list[tuple[str, str]]:
    (pod,) = pods(parse(text.encode(), name="m"))
    return [(flag.name, flag.value) for flag in pod.flags()]


def edited(text: str, flags: dict[str, str], folder: PurePosixPath = FOLDER) -> str:
    return with_flags(text.encode(), flags, folder, name="m.yaml").decode()


def test_what_is_there_is_set_in_its_place_and_the_rest_is_added() -> None:
    after = edited(ETCD, FLAGS)
    assert flags_of(after) == [
        ("cert-file", "/etc/etcd/pki/server.crt"),
        ("peer-cert-file", "/etc/etcd/pki/peer.crt"),
        ("data-dir", "/var/lib/etcd"),
        ("client-cert-auth", "true"),
    ]
    assert "--cert-file=/etc/etcd/pki/server.crt   # the old one" in after
    assert '"--peer-cert-file=/etc/etcd/pki/peer.crt"' in after
    (pod,) = pods(parse(after.encode(), name="m"))
    mount = pod.showing(FOLDER / "server.crt")
    assert mount is not None
    assert (mount.inside, mount.volume) == (FOLDER, "keyctl-certs")


def test_doing_it_twice_is_doing_it_once() -> None:
    once = edited(ETCD, FLAGS)
    assert edited(once, FLAGS) == once


def test_a_flag_that_is_given_twice_is_set_in_both_places() -> None:
    text = ETCD.replace("    - --data-dir", "    - --cert-file=/older/server.crt\n    - --data-dir")
    assert [value for name, value in flags_of(edited(text, FLAGS)) if name == "cert-file"] == [FLAGS["cert-file"]] * 2


def test_a_folder_that_the_container_sees_already_is_not_mounted_again() -> None:
    after = edited(ETCD, {"cert-file": "/var/lib/etcd/pki/server.crt"}, PurePosixPath("/var/lib/etcd/pki"))
    assert after.count("mountPath") == 1


def test_an_api_server_gets_its_flags_behind_its_own() -> None:
    flags = {"etcd-cafile": "/e/ca.crt", "etcd-certfile": "/e/client.crt", "etcd-keyfile": "/e/client.key"}
    after = edited(SERVER, flags, PurePosixPath("/e"))
    assert flags_of(after) == [("etcd-servers", "https://127.0.0.1:2379"), *flags.items()]
    assert (program_of(ETCD.encode(), name="m"), program_of(SERVER.encode(), name="m")) == ("etcd", "kube-apiserver")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ETCD.replace("--cert-file=/old/server.crt ", "--cert-file\n    - /old/server.crt "), "a word of its own"),
        (ETCD.replace("mountPath: /var/lib/etcd", f"mountPath: {FOLDER}"), "cannot be mounted"),
    ],
)
def test_what_cannot_be_edited_for_certain_is_refused(text: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        edited(text, FLAGS)
    assert caught.value.hints


@pytest.mark.parametrize("text", [ETCD.replace("etcd", "other"), ETCD.replace("- etcd", "- &a etcd"), "a: b"])
def test_what_is_no_manifest_of_either_is_unusable(text: str) -> None:
    with pytest.raises(UnusableInputError):
        edited(text, FLAGS)
