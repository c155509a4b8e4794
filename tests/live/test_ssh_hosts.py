"""Rotations of servers whose files are behind ssh to a real sshd, restarted over it; and by a kubelet alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from keyctl.hosts.pod_edits import RESTART_MARK, same_but_for_restarts
from keyctl.lab.plane import Lab
from keyctl.lab.topology import EtcdAccess
from tests.support import seal
from tests.support.cluster_copy import ClusterFile, cluster_copy, untouched
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.kubelet import following_manifests
from tests.support.plane import ControlPlanes, control_planes
from tests.support.raw_etcd import heads_of
from tests.support.seeded import Seeded, seed
from tests.support.server_flags import encrypt_by_hand, limit_requests
from tests.support.shell import Shell
from tests.support.sshd import ADDRESS, Sshd, cut_connections, running_sshd

pytestmark = pytest.mark.live

# The limit of a request, and so each settle.
SECONDS = 4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that a session on the hosts finds before the system's."""
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Iterator[Sshd]:
    there = {
        "PATH": f"{tools}:{os.defpath}",
        "HOME": str(tmp_path_factory.mktemp("there")),
        "PYTHONPATH": str(ROOT),
    }
    with running_sshd(tmp_path_factory.mktemp("sshd"), environment=there) as server:
        yield server


@pytest.fixture(scope="module")
def plane(etcd_server: EtcdAccess, home: Path, sshd: Sshd) -> Iterator[Seeded]:
    """Three API servers, encrypted over ssh. Every test leaves them with a finished rotation."""
    with control_planes(etcd_server, home) as start:
        lab = start(3)
        limit_requests(lab, SECONDS, home / "keyctl.yaml", lambda cluster: behind_ssh(cluster, sshd.config))
        for server in lab.topology.servers:
            lab.restart(server.name)
        seeded = seed(lab, home / "state", 40)
        enabled = Shell(home).keyctl("enable", "--yes")
        assert enabled.code == 0, enabled.stderr
        yield seeded


@pytest.fixture
def shell(plane: Seeded, home: Path, sshd: Sshd) -> Iterator[Shell]:
    """At home, where the cluster file is; nothing that a test makes keyctl say or write has a key in it."""
    shell = Shell(home)
    yield shell
    configs = (plane.lab.layout.server(server.name).encryption_config for server in plane.lab.topology.servers)
    assert leaks(key_texts(configs), [*shell.said, sshd.log.read_text()], (home / "state").rglob("*.jsonl")) == []
    assert wrong_hints(shell.said) == []
    assert shell.keyctl("verify-secrets").code == 0
    assert plane.changed() == {}


def behind_ssh(cluster: ClusterFile, config: Path) -> None:
    for server in cluster["apiServers"]:
        server["host"] = {"type": "ssh", "address": ADDRESS, "config": str(config)}


def names(lab: Lab) -> set[str]:
    """What lies in the folders of the configurations."""
    servers = (lab.layout.server(server.name) for server in lab.topology.servers)
    return {file.name for server in servers for file in server.encryption_config.parent.iterdir()}


def test_a_rotation_over_ssh_ends_as_one_on_this_machine(plane: Seeded, shell: Shell, sshd: Sshd) -> None:
    (first,) = heads_of(plane.lab, "secrets")
    before = sshd.log.read_text().count("Accepted publickey")
    rotated = shell.keyctl("rotate", "--yes")
    assert rotated.code == 0, rotated.stderr
    # One login a host, however many files are looked at.
    assert sshd.log.read_text().count("Accepted publickey") == before + 3
    (second,) = heads_of(plane.lab, "secrets")
    assert first != second
    assert second.startswith(b"k8s:enc:aescbc:v1:key-")
    assert len(set(plane.files())) == 1
    assert names(plane.lab) == {"enc.yaml", "kube-apiserver.yaml.before-keyctl"}
    for server in plane.lab.topology.servers:
        file = plane.lab.layout.server(server.name).encryption_config
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_connection_that_is_cut_in_the_middle_of_a_write_stops_safely_and_resumes(
    plane: Seeded, shell: Shell, tools: Path
) -> None:
    (first,) = heads_of(plane.lab, "secrets")
    cut_connections(tools, "before")
    stopped = shell.keyctl("rotate", "--yes")
    assert stopped.code == 6, stopped.stderr
    assert "host cp1" in stopped.stderr
    assert "lost" in stopped.stderr
    assert plane.changed() == {}

    cut_connections(tools, "after")
    again = shell.keyctl("rotate", "--resume")
    assert again.code == 6, again.stderr
    assert plane.changed() == {}

    resumed = shell.keyctl("rotate", "--resume")
    assert resumed.code == 0, resumed.stderr
    assert heads_of(plane.lab, "secrets") != {first}
    assert names(plane.lab) == {"enc.yaml", "kube-apiserver.yaml.before-keyctl"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"UserKnownHostsFile": "/dev/null"}, "its host key is not known"),
        ({"IdentityFile": "/dev/null"}, "it does not let this user in"),
    ],
    ids=["unknown host", "not let in"],
)
def test_a_host_that_cannot_be_trusted_or_reached_stops_before_anything_is_touched(
    plane: Seeded, shell: Shell, sshd: Sshd, home: Path, options: dict[str, str], says: str
) -> None:
    def edit(cluster: ClusterFile) -> None:
        behind_ssh(cluster, sshd.config)
        cluster["policy"]["settle"] = f"{SECONDS}s"
        cluster["apiServers"][2]["host"] = {
            "type": "ssh", "address": ADDRESS, "config": str(sshd.client("odd_config", **options)),
        }  # fmt: skip

    odd = cluster_copy(plane.lab, home / "odd.yaml", edit)
    with untouched(plane.lab, home / "state"):
        refused = shell.keyctl("rotate", "--yes", "--cluster", odd)
    assert refused.code == 4, refused.stderr
    assert f"host cp3: {says}" in refused.stderr


def by_kubelet(cluster: ClusterFile) -> None:
    for server in cluster["apiServers"]:
        server["activation"] = {"restart": {"staticPod": True, "wait": "60s"}}


def manifests(lab: Lab) -> dict[str, bytes]:
    return {server.name: lab.layout.server(server.name).manifest.read_bytes() for server in lab.topology.servers}


def test_a_kubelet_alone_restarts_the_servers(control_plane: ControlPlanes, tmp_path: Path) -> None:
    lab, shell = control_plane(2), Shell(tmp_path)
    limit_requests(lab, SECONDS, tmp_path / "keyctl.yaml", by_kubelet)
    for server in lab.topology.servers:
        lab.restart(server.name)
    seeded = seed(lab, shell.state, 20)
    with following_manifests(lab) as restarted:
        enabled = shell.keyctl("enable", "--yes")
        assert enabled.code == 0, enabled.stderr
        # Once for the flag, which is a change of the manifest itself, and once to write with the new key.
        assert restarted == ["cp1", "cp2", "cp1", "cp2"]
        flagged = manifests(lab)
        rotated = shell.keyctl("rotate", "--yes")
        assert rotated.code == 0, rotated.stderr
    assert seeded.changed() == {}
    assert shell.keyctl("verify-secrets").code == 0
    for name, content in manifests(lab).items():
        assert content != flagged[name]
        assert same_but_for_restarts(content, flagged[name], name=name)
        assert RESTART_MARK in yaml.safe_load(content)["metadata"]["annotations"]


def test_abort_leaves_the_files_as_before_and_of_the_restarts_their_mark(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    lab, shell = control_plane(1), Shell(tmp_path)
    limit_requests(lab, SECONDS, tmp_path / "keyctl.yaml", by_kubelet)
    encrypt_by_hand(lab, seal.key("old"), ("secrets",))
    seeded = seed(lab, shell.state, 6)
    config = lab.layout.server("cp1").encryption_config
    before, manifest = config.read_bytes(), manifests(lab)["cp1"]
    with following_manifests(lab):
        paused = shell.keyctl("rotate", "--yes", "--allow-downtime", "--pause-after", "promoting")
        assert paused.code == 6, paused.stderr
        aborted = shell.keyctl("rotate", "--abort", "--yes")
        assert aborted.code == 0, aborted.stderr
    assert config.read_bytes() == before
    assert manifests(lab)["cp1"] != manifest
    assert same_but_for_restarts(manifests(lab)["cp1"], manifest, name="manifest")
    assert seeded.changed() == {}
