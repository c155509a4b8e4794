"""The snapshots of `keyctl demo --offline` are such that etcd's own tool takes them: checked, counted and restored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keyctl.cli.offline_story import ROTATED, ROTATED_CONFIGURATION
from keyctl.lab.staged.database import snapshot
from keyctl.lab.staged.history import History
from keyctl.lab.staged.scene import Scene
from tests.support.binaries import binary

CONFIG_MAPS = 12
pytestmark = pytest.mark.live


def etcdutl(*arguments: str | Path) -> str:
    command = [str(binary("etcdutl")), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("acts", [1, 2, 3])
def test_etcdutl_finds_the_made_snapshot_whole_and_restores_it(tmp_path: Path, acts: int) -> None:
    scene = Scene()
    planted = [act() for act in (scene.go_wrong, scene.be_rotated, scene.be_sanitized)[:acts]][-1]
    file = tmp_path / "made.db"
    file.write_bytes(snapshot(scene.history))

    status = json.loads(etcdutl("snapshot", "status", file, "-w", "json"))
    assert status["revision"] == scene.history.revision
    assert status["totalKey"] == planted.live + CONFIG_MAPS

    etcdutl("snapshot", "restore", file, "--data-dir", tmp_path / "restored")
    restored = json.loads(etcdutl("hashkv", tmp_path / "restored" / "member" / "snap" / "db", "-w", "json"))
    assert restored["compactRevision"] == scene.history.compacted
    assert restored["hashRevision"] == scene.history.revision


def test_a_real_api_server_gives_back_every_secret_of_the_repaired_snapshot(tmp_path: Path) -> None:
    keyctl("demo", "--offline", "--directory", "made", directory=tmp_path)
    arguments = (ROTATED, "--encryption-config", ROTATED_CONFIGURATION, "--cluster", "keyctl.yaml", "-o", "json")
    answer = keyctl("snapshot", "restore-test", *arguments, directory=tmp_path / "made")
    scene = Scene()
    scene.go_wrong()
    live = scene.be_rotated().live
    served = json.loads(answer)["server"]["resources"]
    assert served == [{"resource": "secrets", "stored": live, "listed": live, "problem": None}]


def keyctl(*arguments: str, directory: Path) -> str:
    command = [sys.executable, "-m", "keyctl", *arguments]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_etcdutl_refuses_a_snapshot_whose_digest_is_not_its_own(tmp_path: Path) -> None:
    scene = Scene()
    scene.go_wrong()
    content = bytearray(snapshot(scene.history))
    content[-1] ^= 1
    file = tmp_path / "made.db"
    file.write_bytes(content)
    command = [str(binary("etcdutl")), "snapshot", "restore", str(file), "--data-dir", str(tmp_path / "restored")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode != 0
    assert "sha256" in ended.stderr


def test_the_history_of_an_etcd_that_was_never_compacted_keeps_every_change() -> None:
    history = History()
    history.put(b"/registry/a", b"one")
    history.put(b"/registry/a", b"two")
    history.delete(b"/registry/a")
    assert len(history.kept()) == 3
    history.compact()
    assert history.kept() == []
