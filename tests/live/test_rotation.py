"""The main job on real servers: turn encryption on, change the key, survive being killed anywhere."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keyctl.hosts.manifests import add_encryption_flag
from keyctl.lab.kubelet import admin_credentials
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of, raw_values
from tests.support.seeded import Seeded, seed
from tests.support.watcher import Watcher

pytestmark = pytest.mark.live


@pytest.fixture
def seeded(control_plane: ControlPlanes, tmp_path: Path) -> Seeded:
    return seed(control_plane(3), tmp_path / "state", 120)


def test_enable_then_rotate_leaves_every_secret_as_it_was_under_the_new_key(seeded: Seeded) -> None:
    assert seeded.keyctl("verify-secrets").code == 13
    before = seeded.metadata()

    enabled = seeded.keyctl("enable", "--yes")
    assert enabled.code == 0, enabled.stderr
    (first,) = heads_of(seeded.lab, "secrets")
    assert seeded.keyctl("verify-secrets").code == 0

    rotated = seeded.keyctl("rotate", "--yes")
    assert rotated.code == 0, rotated.stderr
    (second,) = heads_of(seeded.lab, "secrets")
    assert first != second
    assert second.startswith(b"k8s:enc:aescbc:v1:key-")
    assert seeded.keyctl("verify-secrets").code == 0
    assert seeded.changed() == {}
    assert seeded.metadata() == before
    assert len(set(seeded.files())) == 1
    assert seeded.files()[0].startswith(b"# Encryption at rest")
    for server in seeded.lab.topology.servers:
        file = seeded.lab.layout.server(server.name).encryption_config
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_rotation_killed_before_and_after_every_effect_loses_nothing(seeded: Seeded, tmp_path: Path) -> None:
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
    ):
        for phase in ("before", "after"):
            assert any(point.startswith(f"{phase} {effect}") for point in points), (phase, effect)
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


@pytest.mark.reload
def test_servers_that_reload_by_themselves_are_waited_for(control_plane: ControlPlanes, tmp_path: Path) -> None:
    seeded = seed(control_plane(2, reload=True), tmp_path / "state", 20)
    enabled = seeded.keyctl("enable", "--yes")
    assert enabled.code == 0, enabled.stderr
    assert "restarting" not in enabled.stderr.split("== adding")[1]
    assert len(heads_of(seeded.lab, "secrets")) == 1
    assert seeded.changed() == {}
    assert seeded.keyctl("verify-secrets").code == 0


def test_a_file_of_config_new_serves_a_first_start(control_plane: ControlPlanes, tmp_path: Path) -> None:
    lab = control_plane(1)
    files = lab.layout.server("cp1")
    lab.stop("cp1")
    files.encryption_config.parent.mkdir(mode=0o700, exist_ok=True)
    written = Seeded(lab, tmp_path / "state", ()).keyctl("config", "new", str(files.encryption_config))
    assert written.code == 0, written.stderr
    flagged = add_encryption_flag(
        files.manifest.read_bytes(), config_path=str(files.encryption_config), reload=False, name="manifest"
    )
    files.manifest.write_bytes(flagged)
    lab.restart("cp1")
    seeded = seed(lab, tmp_path / "state", 10)
    (head,) = heads_of(lab, "secrets")
    assert head.startswith(b"k8s:enc:aescbc:v1:key-")
    assert seeded.keyctl("verify-secrets").code == 0
    assert seeded.changed() == {}
