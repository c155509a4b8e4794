from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.hosts import local
from keyctl.hosts.local import LocalHost
from tests.support.effects import noted, open_descriptors

_OLD = b"old: " + b"o" * 200
_NEW = b"new: " + b"n" * 300
_HOST = LocalHost("cp1", restart_command=None, restart_wait=1.0)

_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "enc.yaml"
    path.write_bytes(_OLD)
    path.chmod(0o600)
    return path


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _replace(path: Path, *, in_place: bool = False) -> None:
    _HOST.write(str(path), _NEW, expected=_hash(_OLD), in_place=in_place)


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_replaced_file_is_a_new_inode_and_nothing_is_left_beside_it(path: Path) -> None:
    with path.open("rb") as reader:
        inode = path.stat().st_ino
        _replace(path)
        assert path.stat().st_ino != inode
        assert reader.read() == _OLD
    assert _names(path) == ["enc.yaml"]


def test_a_file_rewritten_in_place_keeps_its_inode_and_nothing_is_left_beside_it(path: Path) -> None:
    inode = path.stat().st_ino
    with path.open("rb") as reader:
        _replace(path, in_place=True)
        assert reader.read() == _NEW
    assert path.stat().st_ino == inode
    assert _names(path) == ["enc.yaml"]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_the_mode_of_a_file_is_kept_without_a_umask(path: Path, open_umask: None, mode: int, in_place: bool) -> None:
    path.chmod(mode)
    assert _HOST.write(str(path), _NEW, expected=_hash(_OLD), in_place=in_place).mode == mode
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_refusal_tells_what_was_expected_and_what_was_found(path: Path) -> None:
    for expected, said in ((None, "no file"), (_hash(_NEW), _hash(_NEW))):
        with pytest.raises(RefusedError) as caught:
            _HOST.write(str(path), _NEW, expected=expected)
        assert caught.value.cause == f"expected {said}, found {_hash(_OLD)}"
    path.unlink()
    with pytest.raises(RefusedError) as caught:
        _HOST.write(str(path), _NEW, expected=_hash(_OLD))
    assert caught.value.cause == f"expected {_hash(_OLD)}, found none"


def test_a_setuid_bit_is_not_carried_over(path: Path) -> None:
    path.chmod(0o4600)
    _replace(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_new_files_and_directories_are_private_without_a_umask(tmp_path: Path, open_umask: None) -> None:
    path = tmp_path / "new" / "enc" / "enc.yaml"
    _HOST.write(str(path), _NEW, expected=None)
    assert [stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert _names(path) == ["enc.yaml"]


def test_no_directory_is_created_for_a_file_that_should_be_there(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        _HOST.write(str(tmp_path / "enc" / "enc.yaml"), _NEW, expected=_hash(_OLD))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("in_place", [False, True])
def test_a_temporary_is_private_exclusive_and_dotted(
    path: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    created: list[tuple[str, int, bool]] = []
    real = os.open

    def looking(place: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = real(place, flags, mode)
        if flags & os.O_CREAT:
            created.append((place.name, stat.S_IMODE(os.fstat(descriptor).st_mode), bool(flags & os.O_EXCL)))
        return descriptor

    monkeypatch.setattr(os, "open", looking)
    _replace(path, in_place=in_place)
    ((name, mode, exclusive),) = created
    assert name.startswith(".keyctl-enc.yaml.")
    assert (mode, exclusive) == (0o600, True)


def test_the_copy_kept_during_a_rewrite_in_place_is_private_whatever_the_file_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.chmod(0o644)
    seen = []
    real = local._overwrite

    def looking(target: Path, content: bytes) -> None:
        (copy,) = path.parent.glob(".keyctl-*")
        seen.append((copy.read_bytes(), stat.S_IMODE(copy.stat().st_mode)))
        real(target, content)

    monkeypatch.setattr(local, "_overwrite", looking)
    _replace(path, in_place=True)
    assert seen == [(_NEW, 0o600)]


@_needs_root
@pytest.mark.parametrize("in_place", [False, True])
def test_owner_and_group_are_kept(path: Path, in_place: bool) -> None:
    os.chown(path, 12345, 23456)
    _replace(path, in_place=in_place)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@_needs_root
def test_a_file_whose_owner_cannot_be_kept_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    os.chown(path, 12345, 23456)
    monkeypatch.setattr(os, "fchown", denied)
    with pytest.raises(UnreachableError, match=r"cp1: .*enc\.yaml"):
        _replace(path)
    assert path.read_bytes() == _OLD
    assert _names(path) == ["enc.yaml"]


def test_the_label_of_a_file_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A user attribute stands for the label: only root may set that one, and only where it means something.
    monkeypatch.setattr(local, "_ATTRIBUTES", ("user.keyctl-test", "user.keyctl-absent"))
    os.setxattr(path, "user.keyctl-test", b"etc_t")
    _replace(path)
    assert os.getxattr(path, "user.keyctl-test") == b"etc_t"
    assert os.listxattr(path) == ["user.keyctl-test"]


def test_a_file_whose_label_cannot_be_read_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "getxattr", denied)
    with pytest.raises(UnreachableError, match="cannot be used"):
        _replace(path)
    assert path.read_bytes() == _OLD
    assert _names(path) == ["enc.yaml"]


def test_the_label_and_the_access_list_are_what_is_kept() -> None:
    assert local._ATTRIBUTES == ("security.selinux", "system.posix_acl_access")


def test_an_access_list_is_kept_and_does_not_open_the_file_to_the_group(path: Path) -> None:
    # user::rw-, user:12345:r--, group::---, mask::r--, other::---
    entries = [(1, 6, 0xFFFFFFFF), (2, 4, 12345), (4, 0, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    value = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + permission.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, permission, who in entries
    )
    os.setxattr(path, "system.posix_acl_access", value)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    _replace(path)
    assert os.getxattr(path, "system.posix_acl_access") == value


@pytest.mark.parametrize("in_place", [False, True])
def test_a_change_while_the_temporary_is_written_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    real = os.fsync

    def meanwhile(descriptor: int) -> None:
        path.write_bytes(b"theirs")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(RefusedError) as caught:
        _replace(path, in_place=in_place)
    assert caught.value.rule == "R8"
    assert path.read_bytes() == b"theirs"
    assert _names(path) == ["enc.yaml"]


def test_a_file_that_comes_up_while_a_new_one_is_placed_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "enc.yaml"
    real = os.link

    def meanwhile(source: Path, target: Path) -> None:
        path.write_bytes(b"theirs")
        real(source, target)

    monkeypatch.setattr(os, "link", meanwhile)
    with pytest.raises(RefusedError) as caught:
        _HOST.write(str(path), _NEW, expected=None)
    assert caught.value.rule == "R8"
    assert path.read_bytes() == b"theirs"
    assert _names(path) == ["enc.yaml"]


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"theirs"), Path.unlink], ids=["changed", "removed"])
@pytest.mark.parametrize("in_place", [False, True])
def test_what_does_not_read_back_is_not_called_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool, spoil: Callable[[Path], object]
) -> None:
    real = local._sync_directory

    def meanwhile(directory: Path) -> None:
        real(directory)
        if path.read_bytes() == _NEW:
            spoil(path)

    monkeypatch.setattr(local, "_sync_directory", meanwhile)
    with pytest.raises(RefusedError, match="somebody else changed"):
        _replace(path, in_place=in_place)


def test_everything_is_synced_before_it_is_put_in_place_and_the_directory_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = noted(monkeypatch)
    _replace(path)
    assert done[:4] == ["write", "fsync file", "replace", "fsync directory"]


def test_a_new_file_is_synced_before_it_has_its_name_and_every_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = noted(monkeypatch)
    _HOST.write(str(tmp_path / "enc" / "enc.yaml"), _NEW, expected=None)
    placed = ["write", "fsync file", "link", "fsync directory", "unlink"]
    assert done == ["mkdir", "fsync directory", *placed]


def test_the_copy_is_synced_before_the_file_is_rewritten_in_place_and_removed_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = noted(monkeypatch)
    _replace(path, in_place=True)
    copied = ["write", "fsync file", "rename", "fsync directory"]
    assert done == [*copied, "write", "fsync file", "fsync directory", "unlink"]


def test_no_file_stays_open(path: Path) -> None:
    before = open_descriptors()
    _replace(path)
    _HOST.write(str(path), _OLD, expected=_hash(_NEW), in_place=True)
    _HOST.write(str(path.parent / "new" / "enc.yaml"), _NEW, expected=None)
    with pytest.raises(RefusedError):
        _HOST.read(str(path.parent))
    assert open_descriptors() <= before


def test_a_link_that_leads_nowhere_is_refused_and_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    path.symlink_to("nowhere")
    with pytest.raises(RefusedError) as caught:
        _HOST.write(str(path), _NEW, expected=None)
    assert caught.value.rule == "R13"
    assert _names(path) == ["enc.yaml"]


def test_only_regular_files_are_read_and_none_is_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path):
        with pytest.raises(RefusedError, match="no regular file") as caught:
            _HOST.read(str(place))
        assert caught.value.rule == "R13"


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_what_the_file_system_says_is_our_own_error_and_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing)
        with pytest.raises(UnreachableError, match="host cp1: ") as caught:
            _replace(path)
    assert str(path) in str(caught.value)
    assert "No space left on device" in str(caught.value.cause)
    assert path.read_bytes() == _OLD
    assert _names(path) == ["enc.yaml"]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda below: _HOST.write(below, _NEW, expected=None), id="write"),
        pytest.param(lambda below: _HOST.read(below), id="read"),
        pytest.param(lambda below: _HOST.sweep(below), id="sweep"),
    ],
)
def test_a_directory_that_is_a_file_is_our_own_error(path: Path, act: Callable[[str], object]) -> None:
    with pytest.raises(UnreachableError, match="host cp1"):
        act(str(path / "enc.yaml"))


def test_no_refusal_shows_what_a_file_holds(path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        _HOST.write(str(path), b"secret-new", expected=_hash(b"other"))
    error: KeyctlError = caught.value
    assert "ooo" not in f"{error!r} {error.cause} {error.hints}"
    assert "secret-new" not in f"{error!r} {error.cause} {error.hints}"


def test_no_copy_is_staged_that_could_not_be_read_again_once_it_is_in_place(path: Path) -> None:
    with pytest.raises(UnusableInputError, match="larger than 1 MiB"):
        _HOST.stage(str(path), bytes(1024 * 1024 + 1), expected=_hash(_OLD))
    assert _names(path) == ["enc.yaml"]
