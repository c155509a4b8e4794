"""What a killed run left behind is erased by the next one, and what another run works with is left alone."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyctl.backup.scratch import scratch_directory

KILLED = """
import sys, time
from pathlib import Path
from keyctl.backup.scratch import scratch_directory
with scratch_directory(Path(sys.argv[1])) as folder:
    file = folder / ".fresh.db.abc.part"
    file.write_bytes(b"what should be gone")
    file.chmod(0o600)
    print(folder, flush=True)
    time.sleep(60)
"""


def test_it_is_its_owners_and_gone_in_the_end(tmp_path: Path) -> None:
    with scratch_directory(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


@contextmanager
def another_run(parent: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(parent)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_run_that_is_killed_leaves_nothing_for_longer_than_until_the_next_one(tmp_path: Path) -> None:
    with another_run(tmp_path) as run:
        (left,) = tmp_path.glob("*/.fresh.db.abc.part")
        os.link(left, tmp_path / "kept")
        run.send_signal(signal.SIGKILL)
        run.wait()
    with scratch_directory(tmp_path) as folder:
        assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "kept", folder])
    # Its bytes went, not only its name.
    assert (tmp_path / "kept").read_bytes() == bytes(len(b"what should be gone"))


def test_a_run_that_goes_on_keeps_what_it_has(tmp_path: Path) -> None:
    with another_run(tmp_path), scratch_directory(tmp_path):
        (left,) = tmp_path.glob("*/.fresh.db.abc.part")
        assert left.read_bytes() == b"what should be gone"


def test_a_link_of_that_name_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    (elsewhere / "mine").chmod(0o600)
    (tmp_path / "keyctl-scratch-x").symlink_to(elsewhere)
    with scratch_directory(tmp_path):
        assert (elsewhere / "mine").read_text() == "mine"


def test_what_is_somebody_elses_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "keyctl-scratch-other"
    other.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: other.stat().st_uid + 1)
    with scratch_directory(tmp_path):
        assert other.is_dir()


def test_a_directory_that_another_run_took_away_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = fcntl.flock, list[int]()

    def taken_away(descriptor: int, how: int) -> None:
        lock(descriptor, how)
        calls.append(descriptor)
        if len(calls) == 1:
            next(tmp_path.iterdir()).rmdir()

    monkeypatch.setattr(fcntl, "flock", taken_away)
    with scratch_directory(tmp_path) as folder:
        assert folder.is_dir()


def test_a_whole_tree_that_was_left_is_erased_whatever_its_modes(tmp_path: Path) -> None:
    left = tmp_path / "keyctl-scratch-left"
    deep = left / "plane" / "etcd"
    deep.mkdir(parents=True)
    (deep / "db").write_bytes(b"what should be gone")
    (deep / "db").chmod(0o644)
    (left / "plane" / "link").symlink_to(tmp_path)
    os.link(deep / "db", tmp_path / "kept")
    with scratch_directory(tmp_path) as folder:
        assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "kept", folder])
    assert (tmp_path / "kept").read_bytes() == bytes(len(b"what should be gone"))
