"""`certificates` of members and API servers in the cluster file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.cluster_file.read import parse
from keyctl.cluster_file.settings import (
    CertificateSettings,
    ClusterSettings,
    CommandActivation,
    StaticPodActivation,
)
from keyctl.errors import UnusableInputError

HOME = Path("/home/me")


def read(member: str = "", server: str = "") -> ClusterSettings:
    text = f"""\
apiVersion: keyctl/v1
kind: Cluster
name: small
etcd:
  members:
  - name: m1
    endpoint: https://10.0.0.1:2379
    {member}
apiServers:
- name: cp1
  url: https://10.0.0.1:6443
  encryptionConfig: /etc/enc.yaml
  {server}
"""
    return parse(text.encode(), name="keyctl.yaml", directory=HOME)


def of_member(text: str) -> CertificateSettings | None:
    return read(member=f"certificates: {text}").etcd.members[0].certificates


def of_server(text: str, more: str = "") -> CertificateSettings | None:
    return read(server=f"certificates: {text}{more}").api_servers[0].certificates


def test_without_a_section_there_are_none() -> None:
    settings = read()
    assert (settings.etcd.members[0].certificates, settings.api_servers[0].certificates) == (None, None)


def test_a_member_says_where_its_files_are_and_how_it_is_restarted() -> None:
    assert of_member("{folder: pki/m1, restart: {command: [restart, m1], wait: 20s}}") == CertificateSettings(
        str(HOME / "pki/m1"), CommandActivation(("restart", "m1"), timedelta(seconds=20))
    )
    manifest = "/etc/kubernetes/manifests/etcd.yaml"
    assert of_member(
        f"{{folder: /pki, manifest: {manifest}, peer: 'https://10.1.0.1:2380', restart: {{staticPod: true}}}}"
    ) == CertificateSettings("/pki", StaticPodActivation(), manifest, "https://10.1.0.1:2380")


def test_an_api_server_is_restarted_by_its_activation_unless_another_way_is_named() -> None:
    activation = "\n  activation: {restart: {command: [restart, cp1]}}"
    assert of_server("{folder: /pki}", activation) == CertificateSettings(
        "/pki", CommandActivation(("restart", "cp1")), client="kube-apiserver"
    )
    other = of_server("{folder: /pki, client: cp1, restart: {command: [other]}}", activation)
    assert other == CertificateSettings("/pki", CommandActivation(("other",)), client="cp1")


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("{restart: {command: [a]}}", "has no folder"),
        ("{folder: /pki}", "does not say how the member is restarted"),
        ("{folder: /pki, restart: {staticPod: true}}", "restarts a static pod and has no manifest"),
        ("{folder: /pki, restart: {command: [a]}, peer: 'http://10.0.0.1'}", "is not https"),
        ("{folder: /pki, restart: {command: [a]}, client: b}", "unknown field"),
    ],
)
def test_what_a_member_cannot_mean_is_refused(member: str, says: str) -> None:
    with pytest.raises(UnusableInputError, match=says):
        of_member(member)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("{folder: /pki}", "does not say how the API server is restarted"),
        ("{folder: /pki, restart: {staticPod: true}}", "has no manifest"),
        ("{folder: /pki, peer: 'https://10.0.0.1'}", "unknown field"),
        ("{folder: pki, restart: {command: [a]}}\n  host: {type: ssh, address: a}", "is a path on another host"),
    ],
)
def test_what_an_api_server_cannot_mean_is_refused(server: str, says: str) -> None:
    with pytest.raises(UnusableInputError, match=says):
        of_server(server)
