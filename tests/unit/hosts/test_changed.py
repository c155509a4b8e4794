"""When a file was last changed: neither a rename nor a copy that keeps the time may hide it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from keyctl.hosts.interface import HostFile
from keyctl.hosts.local import LocalHost


def read(path: Path) -> HostFile:
    found = LocalHost("cp1", restart_command=None, restart_wait=1.0).read(str(path))
    assert found is not None
    return found


def age(found: HostFile) -> float:
    assert found.changed is not None
    assert found.ahead == 0.0, "the host is this machine"
    return time.time() - found.changed


def test_a_file_that_was_just_written_is_new(tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    path.write_bytes(b"a")
    assert -1 < age(read(path)) < 60


def test_an_old_file_that_was_moved_there_is_as_new_as_the_move(tmp_path: Path) -> None:
    old, path = tmp_path / "old.yaml", tmp_path / "enc.yaml"
    old.write_bytes(b"a")
    os.utime(old, (1.0, 1.0))
    old.rename(path)
    assert path.stat().st_mtime == 1.0
    assert -1 < age(read(path)) < 60


def test_a_time_from_the_future_is_not_made_younger(tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    path.write_bytes(b"a")
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    assert age(read(path)) < -3000
