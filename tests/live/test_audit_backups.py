"""`keyctl audit --backups` on snapshots of a real etcd behind a real API server, by keyctl and by etcdctl."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from keyctl.cli import wiring
from keyctl.cluster_file.read import load
from keyctl.lab.plane import Lab
from tests.support import by_hand, seal
from tests.support.binaries import binary
from tests.support.encryption_file import key_texts, leaks
from tests.support.hints import wrong_hints
from tests.support.plane import ControlPlanes
from tests.support.seeded import seed
from tests.support.server_flags import encrypt_by_hand
from tests.support.shell import Shell

pytestmark = pytest.mark.live

KEY = seal.key("first")
FOUND = tuple(f"KC-BKP-00{number}" for number in (1, 2, 3, 5, 7))
RIGHT = dict.fromkeys(FOUND, "pass")


def saved_by_etcdctl(lab: Lab, path: Path) -> None:
    etcd = lab.etcd
    access = [f"--endpoints={etcd.endpoints[0]}", f"--cacert={etcd.cacert}", f"--cert={etcd.cert}", f"--key={etcd.key}"]
    subprocess.run([binary("etcdctl"), *access, "snapshot", "save", path], check=True, timeout=60, capture_output=True)


def audited(shell: Shell, lab: Lab, directory: Path) -> tuple[dict[str, str], list[str]]:
    """The status of each check of what the files hold, and all that is said."""
    ran = shell.keyctl(
        "audit", "--backups", directory, "--cluster", lab.cluster_file, "--profile", "all", "-q", "-o", "json"
    )
    document = json.loads(ran.stdout)
    statuses = {check["id"]: check["status"] for check in document["checks"] if check["id"] in FOUND}
    said = [one["message"] for one in document["findings"] if one["id"] in FOUND]
    return statuses, said


def test_snapshots_are_dated_opened_and_judged_by_what_stands_in_them(
    control_plane: ControlPlanes, tmp_path: Path
) -> None:
    shell = Shell(tmp_path / "user")
    shell.folder.mkdir()
    own, others = tmp_path / "own", tmp_path / "others"
    own.mkdir()
    others.mkdir()
    lab = control_plane(1)
    encrypt_by_hand(lab, KEY, ("secrets",))
    seed(lab, shell.state, 6)
    wiring.key_store(load(lab.cluster_file)).put(KEY, origin="imported")
    saved = shell.keyctl("snapshot", "save", own / "s.db", "-q", KEYCTL_CLUSTER=str(lab.cluster_file))
    assert saved.code == 0, saved.stderr
    # A name without a suffix, as k3s gives them, and no manifest.
    saved_by_etcdctl(lab, others / "etcd-snapshot-1")

    statuses, said = audited(shell, lab, own)
    assert statuses == RIGHT, said
    assert any(one.startswith("the newest backup is 0 hours old, by its manifest") for one in said), said
    statuses, said = audited(shell, lab, others)
    assert statuses == RIGHT, said
    assert any(one.startswith("the newest backup is 0 hours old, by the newest Lease in it") for one in said), said

    by_hand.put(lab.etcd, f"{lab.topology.settings.prefix}/secrets/default/plain", seal.secret("plain"))
    saved_by_etcdctl(lab, others / "etcd-snapshot-2")
    statuses, said = audited(shell, lab, others)
    assert statuses == RIGHT | {"KC-BKP-003": "fail"}
    assert any("1 value of secrets in plaintext, live" in one for one in said)

    copied = lab.layout.server("cp1").encryption_config.read_bytes()
    (own / "enc.yaml").write_bytes(copied)
    assert audited(shell, lab, own)[0] == RIGHT | {"KC-BKP-005": "fail"}
    assert leaks(key_texts([lab.layout.server("cp1").encryption_config]), shell.said) == []
    assert wrong_hints(shell.said) == []
