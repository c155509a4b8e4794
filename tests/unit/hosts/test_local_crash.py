"""What a killed or failed write leaves, and what sweeping makes of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, UnreachableError
from keyctl.hosts import local
from keyctl.hosts.local import LocalHost
from tests.support.kill_points import kill_points

_OLD = b"old: " + b"o" * 200
_NEW = b"new: " + b"n" * 300
_HOST = LocalHost("cp1", restart_command=None, restart_wait=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "enc.yaml"
    path.write_bytes(_OLD)
    path.chmod(0o600)
    return path


def _replace(path: Path, *, in_place: bool = False) -> None:
    _HOST.write(str(path), _NEW, expected="sha256:" + hashlib.sha256(_OLD).hexdigest(), in_place=in_place)


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_replacement_killed_at_any_step_leaves_the_old_or_the_new_file(path: Path) -> None:
    kills = 0
    for _ in kill_points(lambda: _replace(path)):
        kills += 1
        assert path.read_bytes() in (_OLD, _NEW)
        _HOST.sweep(str(path))
        assert _names(path) == ["enc.yaml"]
        path.write_bytes(_OLD)
    assert kills > 7
    assert path.read_bytes() == _NEW


def test_a_new_file_killed_at_any_step_is_there_or_not(tmp_path: Path) -> None:
    path = tmp_path / "enc" / "enc.yaml"
    kills = 0
    for _ in kill_points(lambda: _HOST.write(str(path), _NEW, expected=None)):
        kills += 1
        assert not path.exists() or path.read_bytes() == _NEW
        _HOST.sweep(str(path))
        assert not path.parent.exists() or _names(path) in ([], ["enc.yaml"])
        path.unlink(missing_ok=True)
    assert kills > 7
    assert path.read_bytes() == _NEW


def test_a_rewrite_in_place_killed_at_any_step_is_completed_by_sweeping(path: Path) -> None:
    inode = path.stat().st_ino
    torn = kills = 0
    for _ in kill_points(lambda: _replace(path, in_place=True)):
        kills += 1
        torn += path.read_bytes() not in (_OLD, _NEW)
        _HOST.sweep(str(path))
        assert path.read_bytes() in (_OLD, _NEW)
        assert _names(path) == ["enc.yaml"]
        assert path.stat().st_ino == inode
        path.write_bytes(_OLD)
    assert kills > 8
    assert torn == 1


def _cut_off_rewrite(path: Path) -> Path:
    for _ in kill_points(lambda: _replace(path, in_place=True)):
        copies = list(path.parent.glob(".keyctl-*"))
        if path.read_bytes() not in (_OLD, _NEW):
            (copy,) = copies
            return copy
        _HOST.sweep(str(path))
        path.write_bytes(_OLD)
    raise AssertionError("no kill left a torn file")


def test_a_torn_file_that_somebody_else_changed_since_is_left_to_the_user(path: Path) -> None:
    copy = _cut_off_rewrite(path)
    path.write_bytes(b"theirs")
    with pytest.raises(RefusedError) as caught:
        _HOST.sweep(str(path))
    assert caught.value.rule == "R8"
    assert copy.name in str(caught.value.cause)
    assert path.read_bytes() == b"theirs"
    assert copy.read_bytes() == _NEW


def test_a_file_cut_off_before_its_first_byte_is_completed(path: Path) -> None:
    _cut_off_rewrite(path)
    path.write_bytes(b"")
    _HOST.sweep(str(path))
    assert path.read_bytes() == _NEW
    assert _names(path) == ["enc.yaml"]


def test_a_rewrite_that_was_complete_is_not_begun_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = _cut_off_rewrite(path)
    path.write_bytes(_NEW)
    monkeypatch.setattr(local, "_overwrite", lambda target, content: pytest.fail("truncated a good file"))
    assert _HOST.sweep(str(path)) == (copy.name,)
    assert path.read_bytes() == _NEW


def test_a_torn_file_that_is_gone_since_is_left_to_the_user(path: Path) -> None:
    copy = _cut_off_rewrite(path)
    path.unlink()
    with pytest.raises(RefusedError):
        _HOST.sweep(str(path))
    assert copy.read_bytes() == _NEW


def test_a_rewrite_in_place_that_fails_keeps_the_copy_for_sweeping(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(target: Path, content: bytes) -> None:
        target.write_bytes(content[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(local, "_overwrite", full)
        with pytest.raises(UnreachableError, match="cannot be used"):
            _replace(path, in_place=True)
    assert path.read_bytes() == _NEW[:10]
    (name,) = _HOST.sweep(str(path))
    assert ".keyctl-enc.yaml.redo-" in name
    assert path.read_bytes() == _NEW


def test_sweeping_takes_only_our_own_temporaries_of_this_file(path: Path) -> None:
    ours = ".keyctl-enc.yaml.0123456789abcdef"
    others = [
        ".keyctl-enc.yaml.bak.0123456789abcdef",
        ".keyctl-other.yaml.0123456789abcdef",
        ".enc.yaml.swp",
        ".keyctl-enc.yaml.notes",
        "keyctl-enc.yaml.0123456789abcdef",
    ]
    for name in (ours, *others):
        path.with_name(name).write_bytes(b"x")
    assert _HOST.sweep(str(path)) == (ours,)
    assert _names(path) == sorted(["enc.yaml", *others])


def test_sweeping_where_there_is_no_directory_finds_nothing(tmp_path: Path) -> None:
    assert _HOST.sweep(str(tmp_path / "none" / "enc.yaml")) == ()
