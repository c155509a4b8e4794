"""One rotation on real servers, killed after every effect in turn. Its own file: it takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.lab.kubelet import admin_credentials
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of, raw_values
from tests.support.seeded import Seeded, seed
from tests.support.watcher import Watcher

pytestmark = pytest.mark.live


@pytest.fixture
def seeded(control_plane: ControlPlanes, tmp_path: Path) -> Seeded:
    return seed(control_plane(3), tmp_path / "state", 120)


def test_a_rotation_killed_after_every_effect_loses_nothing(seeded: Seeded, tmp_path: Path) -> None:
    assert seeded.keyctl("enable", "--yes").code == 0
    done = tmp_path / "killed-at"
    secret = seeded.secrets[0]
    path = f"/api/v1/namespaces/{secret.namespace}/secrets/{secret.name}"
    urls = tuple(server.url for server in seeded.lab.topology.servers)
    journal = seeded.state / "keyctl" / seeded.lab.topology.settings.name / "journal.jsonl"
    with Watcher(urls, admin_credentials(seeded.lab.layout).context(), path, secret.password) as watcher:
        ran = seeded.run("tests.support.killed_keyctl", str(done), str(journal))
    assert ran.code == 0, ran.stderr
    assert watcher.faults == []
    points = done.read_text().splitlines()
    assert len(points) == len(set(points))
    assert watcher.right_answers > len(points)
    for effect in (
        "write enc.yaml of cp3",
        "restart cp3",
        "patch a batch, the 2.",
        "put a key generated",
        "journal begin",
        "compact",
        "save the second snapshot",
        "journal intent write-file cp3 RETIRED",
    ):
        assert any(point.startswith(f"after {effect}") for point in points), effect
    assert seeded.changed() == {}
    (head,) = heads_of(seeded.lab, "secrets")
    assert head in {f"k8s:enc:aescbc:v1:{name}:".encode() for name in seeded.generated_keys()}
    assert len(set(seeded.files())) == 1
    assert seeded.keyctl("verify-secrets").code == 0
    leftovers = [
        f.name
        for s in seeded.lab.topology.servers
        for f in seeded.lab.layout.server(s.name).encryption_config.parent.iterdir()
    ]
    assert set(leftovers) == {"enc.yaml", "kube-apiserver.yaml.before-keyctl"}
    assert not [key for key, _ in raw_values(seeded.lab, "secrets") if b"keyctl-canary" in key]
