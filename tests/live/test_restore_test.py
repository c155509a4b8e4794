"""`keyctl snapshot restore-test` as a user meets it: a real etcd restored from the file, a real API server on that."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.effective import all_static_keys
from keyctl.lab.plane import Lab
from tests.support import seal
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.seeded import seed
from tests.support.server_flags import encrypt_by_hand
from tests.support.shell import Shell

pytestmark = pytest.mark.live

KEY = seal.key("first")
SECRETS = 6


def left_behind(folder: Path, shell: Shell) -> list[str]:
    """What a throw-away control plane has left: in the place that it was given, and among the labs of the user."""
    labs = shell.state / "keyctl" / "labs"
    return [path.name for place in (folder, labs) if place.is_dir() for path in place.iterdir() if path.name[0] != "."]


def save(lab: Lab, shell: Shell) -> None:
    saved = shell.keyctl("snapshot", "save", "s.db", "-q", KEYCTL_CLUSTER=str(lab.cluster_file))
    assert saved.code == 0, saved.stderr


def test_a_backup_is_restored_and_served_and_one_without_its_key_is_not(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    shell, room = Shell(tmp_path / "user"), tmp_path / "room"
    shell.folder.mkdir()
    room.mkdir()
    lab = control_plane(1)
    encrypt_by_hand(lab, KEY, ("secrets",))
    seed(lab, shell.state, SECRETS)
    save(lab, shell)
    config = lab.layout.server("cp1").encryption_config
    words = ("snapshot", "restore-test", "s.db", "--scratch", room, "-o", "json")
    cluster = {"KEYCTL_CLUSTER": str(lab.cluster_file), "KEYCTL_LAB_BIN": str(lab.layout.bin)}

    without = shell.keyctl(*words, **cluster)
    assert without.code == 12, without.stderr
    assert "kube-apiserver" not in without.stderr, "none is started that could not become ready"

    right = shell.keyctl(*words, "--encryption-config", config, "--write-config", "needed.yaml", **cluster)
    assert right.code == 0, right.stdout + right.stderr
    report = json.loads(right.stdout)
    assert (report["proof"], report["unopened"], report["notTried"]) == ("served", 0, None)
    (served,) = report["server"]["resources"]
    assert (served["resource"], served["problem"]) == ("secrets", None)
    assert served["listed"] >= served["stored"] >= SECRETS
    needed = shell.folder / "needed.yaml"
    assert stat.S_IMODE(needed.stat().st_mode) == 0o600
    assert [key.ref for key in all_static_keys(decode(needed.read_bytes(), name="needed").config)] == [KEY.ref]

    listed = json.loads(shell.keyctl("keys", "list", "-o", "json", **cluster).stdout)
    (backup,) = listed["backups"]
    assert (backup["needs"], backup["tested"]["proof"]) == (["aescbc:first"], "served")
    assert backup["fingerprints"] == {"aescbc:first": KEY.fingerprint}
    assert left_behind(room, shell) == []
    assert leaks(key_texts([config]), shell.said) == []
    assert wrong_hints(shell.said) == []
