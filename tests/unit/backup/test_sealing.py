"""A snapshot file is sealed whole or not at all, what lay open is gone, and what was read back was what was written."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import pytest

from keyctl.backup import sealing
from keyctl.backup.sealing import is_sealed, opened, seal_file, sealed_digest
from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.keys import age_stream
from tests.unit.backup.databases import snapshot
from tests.unit.backup.real_snapshots import Person

OWNER = Person()
# Seals so many megabytes and opens them again; prints the peak of its memory in KiB.
SEALING = """
import hashlib, os, resource, sys
from pathlib import Path
from keyctl.backup.sealing import opened, seal_file
plain = Path(sys.argv[1])
with plain.open("wb") as file:
    file.truncate(int(sys.argv[2]) << 20)
digest = hashlib.sha256()
with plain.open("rb") as file:
    for _ in range(int(sys.argv[2])):
        digest.update(file.read(1 << 20))
with plain.open("ab") as file:
    file.write(digest.digest())
path = plain.with_suffix(".age")
seal_file(plain, path, [sys.argv[3]], sha256=digest.hexdigest(), progress=lambda *_: None)
with opened(path, os.environ["OWNER"].encode(), plain.parent):
    pass
path.unlink()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
_Usage = namedtuple("_Usage", ["total", "used", "free"])


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    written = [(b"/registry/configmaps/default/a", os.urandom(100_000), 2)]
    return snapshot(tmp_path / "open" / "s.db", written)


def sha256(path: Path) -> str:
    return path.read_bytes()[-32:].hex()


def seal(plain: Path, path: Path, to: Sequence[str] = (OWNER.recipient,)) -> sealing.Sealed:
    return seal_file(plain, path, to, sha256=sha256(plain), progress=lambda *_: None)


def others(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "open")


def test_it_is_private_has_the_digest_that_is_told_and_opens_to_the_same_bytes(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db.age"
    made = seal(plain, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (made.inode, made.size) == ((path.stat().st_dev, path.stat().st_ino), path.stat().st_size)
    assert sealed_digest(path) == (made.size, made.sha256, plain.stat().st_size)
    assert is_sealed(path)
    assert not is_sealed(plain)
    assert not is_sealed(tmp_path / "nothing")
    with opened(path, OWNER.identity.encode(), tmp_path / "open") as copy:
        assert copy.read_bytes() == plain.read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert [one.name for one in (tmp_path / "open").iterdir()] == ["s.db"]


def test_it_takes_no_more_memory_for_a_large_snapshot_than_for_a_small_one(tmp_path: Path) -> None:
    def peak(megabytes: int) -> int:
        ran = subprocess.run(
            [sys.executable, "-c", SEALING, str(tmp_path / f"{megabytes}.db"), str(megabytes), OWNER.recipient],
            env={**os.environ, "OWNER": OWNER.identity},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        return int(ran.stdout)

    assert peak(64) - peak(4) < 16 << 10


def test_one_that_is_not_sealed_is_read_where_it_lies(plain: Path, tmp_path: Path) -> None:
    with opened(plain, None, tmp_path) as content:
        assert content == plain


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_sealed(tmp_path / "pipe")


def test_nothing_is_overwritten(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "s.db.age").write_text("mine")
    with pytest.raises(RefusedError, match="exists already"):
        seal(plain, tmp_path / "s.db.age")
    assert (tmp_path / "s.db.age").read_text() == "mine"
    assert others(tmp_path) == ["s.db.age"]


def test_a_disk_without_room_is_refused_before_the_first_byte(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(0, 0, 1000))
    with pytest.raises(RefusedError, match="has no room"):
        seal(plain, tmp_path / "s.db.age")
    assert others(tmp_path) == []


def test_a_snapshot_that_is_not_the_one_that_arrived_is_not_sealed(plain: Path, tmp_path: Path) -> None:
    expected = sha256(plain)
    content = bytearray(plain.read_bytes())
    content[5000] ^= 1
    plain.write_bytes(content)
    with pytest.raises(StoppedError, match="changed before it was encrypted"):
        seal_file(plain, tmp_path / "s.db.age", [OWNER.recipient], sha256=expected, progress=lambda *_: None)
    assert others(tmp_path) == []


def test_a_disk_that_does_not_give_back_what_was_written_leaves_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.fsync

    def forgetful(descriptor: int) -> None:
        really(descriptor)
        os.pwrite(descriptor, b"\0\0\0\0", 5000)

    monkeypatch.setattr("keyctl.backup.sealing.os.fsync", forgetful)
    with pytest.raises(StoppedError, match="not on the disk as it was written"):
        seal(plain, tmp_path / "s.db.age")
    assert others(tmp_path) == []


def test_a_disk_that_is_full_in_the_middle_leaves_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(read: object, write: object, recipients: object) -> None:
        assert callable(write)
        write(b"x" * 70_000)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(age_stream, "seal_stream", full)
    with pytest.raises(StoppedError, match="could not be written") as stopped:
        seal(plain, tmp_path / "s.db.age")
    assert "make room" in stopped.value.hints[0]
    assert others(tmp_path) == []


def test_what_a_killed_run_left_is_taken_away_by_the_next_one(plain: Path, tmp_path: Path) -> None:
    left = tmp_path / ".s.db.age.abcdefgh.part"
    left.write_bytes(b"half")
    seal(plain, tmp_path / "s.db.age")
    assert others(tmp_path) == ["s.db.age"]


def test_what_was_decrypted_is_overwritten_when_the_work_fails(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db.age"
    seal(plain, path)
    kept = tmp_path / "open" / "kept"

    def work() -> None:
        with opened(path, OWNER.identity.encode(), tmp_path / "open") as copy:
            kept.hardlink_to(copy)
            raise RuntimeError("while it lay open")

    with pytest.raises(RuntimeError, match="while it lay open"):
        work()
    assert kept.stat().st_size == plain.stat().st_size
    assert not any(kept.read_bytes())
    assert sorted(one.name for one in (tmp_path / "open").iterdir()) == ["kept", "s.db"]


def test_without_an_identity_it_is_refused_with_what_to_do(plain: Path, tmp_path: Path) -> None:
    seal(plain, tmp_path / "s.db.age")
    with (
        pytest.raises(UnusableInputError, match="is encrypted") as refused,
        opened(tmp_path / "s.db.age", None, tmp_path),
    ):
        pass
    assert "--identity" in refused.value.hints[0]


def test_a_place_that_cannot_hold_a_copy_is_told(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db.age"
    seal(plain, path)
    with (
        pytest.raises(StoppedError, match="cannot hold a copy") as stopped,
        opened(path, OWNER.identity.encode(), tmp_path / "nowhere"),
    ):
        pass
    assert "--scratch" in stopped.value.hints[0]


def test_what_cannot_be_erased_is_told(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db.age"
    seal(plain, path)

    def refused(_: Path) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(StoppedError, match="could not be erased"):  # noqa: SIM117 — what is raised leaves both
        with opened(path, OWNER.identity.encode(), tmp_path / "open"):
            monkeypatch.setattr("keyctl.backup.scratch.erase", refused)
