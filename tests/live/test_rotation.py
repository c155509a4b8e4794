"""The main job on real servers: turn encryption on, change the key, find every Secret as it was."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keyctl.hosts.manifests import add_encryption_flag
from tests.support.plane import ControlPlanes
from tests.support.raw_etcd import heads_of
from tests.support.seeded import Seeded, seed

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
