"""What every host does; run on the fake and on the real ones."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from keyctl.errors import RefusedError, StoppedError, UnusableInputError
from keyctl.hosts.command import CommandHost
from keyctl.hosts.interface import Host
from keyctl.hosts.local import LocalHost
from keyctl.hosts.ssh import SshHost
from keyctl.hosts.ssh_connection import SshConnection
from keyctl.hosts.static_pod import StaticPodHost
from tests.support.memory_host import MemoryHost
from tests.support.pulled import Pulled, nothing_opens
from tests.support.remote_shell import RemoteShell, busybox_shell
from tests.support.sshd import ADDRESS, Sshd, running_sshd

_TEMPORARY = ".keyctl-enc.yaml.0123456789abcdef"
_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


class _Scene(Protocol):
    """A host, and what others do to its files."""

    host: Host
    path: str

    def place(self, content: bytes, mode: int) -> None: ...
    def link(self) -> None: ...
    def leave_temporary(self) -> str: ...
    def host_that_restarts(self, *, well: bool) -> Host: ...


class _Memory:
    def __init__(self) -> None:
        self.memory = MemoryHost("cp1")
        self.host: Host = self.memory
        self.path = "/etc/kubernetes/enc/enc.yaml"

    def place(self, content: bytes, mode: int) -> None:
        self.memory.place(self.path, content, mode=mode)

    def link(self) -> None:
        self.memory.links.add(self.path)

    def leave_temporary(self) -> str:
        self.memory.leftovers[self.path] = (_TEMPORARY,)
        return _TEMPORARY

    def host_that_restarts(self, *, well: bool) -> Host:
        def fail() -> None:
            raise StoppedError("host cp1: the restart command failed")

        return MemoryHost("cp1", on_restart=(lambda: None) if well else fail)


class _OnDisk:
    """A host whose files are below a directory of this machine."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "enc" / "enc.yaml"
        self.path = str(self.file)
        self.host = self.build(None)

    def build(self, restart: tuple[str, ...] | None) -> Host:
        return LocalHost("cp1", restart_command=restart, restart_wait=30.0)

    def place(self, content: bytes, mode: int) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_bytes(content)
        self.file.chmod(mode)

    def link(self) -> None:
        self.file.parent.mkdir()
        self.file.with_name("real").write_bytes(b"real")
        self.file.symlink_to("real")

    def leave_temporary(self) -> str:
        self.file.with_name(_TEMPORARY).write_bytes(b"half a fi")
        return _TEMPORARY

    def host_that_restarts(self, *, well: bool) -> Host:
        return self.build((sys.executable, "-c", f"raise SystemExit({0 if well else 3})"))

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.file.parent.iterdir())


class _Shell(_OnDisk):
    def __init__(self, directory: Path, shell: str) -> None:
        tools = directory / "tools"
        self._remote = busybox_shell(tools) if shell == "busybox" else RemoteShell(tools, shell)
        super().__init__(directory)

    def build(self, restart: tuple[str, ...] | None) -> Host:
        return self._remote.host(restart=restart)


class _Ssh(_OnDisk):
    def __init__(self, directory: Path, server: Sshd) -> None:
        self._connection = SshConnection("cp1", ADDRESS, config=server.config)
        super().__init__(directory)

    def build(self, restart: tuple[str, ...] | None) -> Host:
        return SshHost("cp1", self._connection, sudo=False, restart_command=restart, restart_wait=30.0)


class _StaticPod(_OnDisk):
    """Its files; its restart is another one (tests/unit/hosts/test_static_pod.py)."""

    def build(self, restart: tuple[str, ...] | None) -> Host:
        manifest = self.file.with_name("kube-apiserver.yaml")
        if restart and "0" in restart[-1]:
            manifest.parent.mkdir(exist_ok=True)
            manifest.write_text("metadata:\n  name: kube-apiserver\n")
        return StaticPodHost(super().build(restart), str(manifest), now=lambda: datetime.now(UTC))


class _Command(_OnDisk):
    """Commands of a user. What they do not tell, the host does not know."""

    def build(self, restart: tuple[str, ...] | None) -> Host:
        return CommandHost(
            "cp1",
            read=("sh", "-c", 'test -e "$1" || exit 3; cat "$1"', "sh", "{path}"),
            write=("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1.new" && mv "$1.new" "$1"', "sh", "{path}"),
            remove=("rm", "{path}"),
            wait=5.0,
            restart_command=restart,
            restart_wait=30.0,
        )


class _Agent:
    """An agent on the host, which has a turn before each look at its report; it restarts nothing."""

    def __init__(self, directory: Path) -> None:
        self.node = Pulled(directory, opens=nothing_opens)
        self.host: Host = self.node.host
        self.path = self.node.path

    def place(self, content: bytes, mode: int) -> None:
        self.node.place(content, mode)


# Where everything about a file can be kept; busybox's cp keeps no access list, so its script refuses what may have one.
_KEEPING = ("local", "dash", "bash", "ssh", "static pod")
_ON_DISK = (*_KEEPING, "busybox")


def _on_disk(request: pytest.FixtureRequest, directory: Path) -> _OnDisk:
    match request.param:
        case "local":
            return _OnDisk(directory)
        case "static pod":
            return _StaticPod(directory)
        case "ssh":
            return _Ssh(directory, request.getfixturevalue("sshd"))
        case shell:
            return _Shell(directory, shell)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(params=["memory", "command", *_ON_DISK])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> _Scene:
    """Any host."""
    match request.param:
        case "memory":
            return _Memory()
        case "command":
            return _Command(tmp_path)
    return _on_disk(request, tmp_path)


@pytest.fixture(params=["memory", "command", "agent", *_ON_DISK])
def any_way(request: pytest.FixtureRequest, tmp_path: Path) -> _Scene | _Agent:
    """Any host, also one that only an agent on it gets to: that one removes nothing."""
    if request.param == "agent":
        return _Agent(tmp_path)
    if request.param == "memory":
        return _Memory()
    return _Command(tmp_path) if request.param == "command" else _on_disk(request, tmp_path)


@pytest.fixture(params=["memory", *_ON_DISK])
def seeing(request: pytest.FixtureRequest, tmp_path: Path) -> _Scene:
    """A host that sees more of a file than what it holds: all but those behind a user's commands."""
    return _Memory() if request.param == "memory" else _on_disk(request, tmp_path)


@pytest.fixture(params=["memory", *_KEEPING])
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> _Scene:
    """A host that keeps every mode."""
    return _Memory() if request.param == "memory" else _on_disk(request, tmp_path)


@pytest.fixture(params=_KEEPING)
def keeping_disk(request: pytest.FixtureRequest, tmp_path: Path) -> _OnDisk:
    """A host that keeps every mode, whose files can be looked at from here."""
    return _on_disk(request, tmp_path)


@pytest.fixture(params=_ON_DISK)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> _OnDisk:
    """A host whose files can be looked at from here."""
    return _on_disk(request, tmp_path)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_file_that_is_not_there_reads_as_none(any_way: _Scene | _Agent) -> None:
    assert any_way.host.read(any_way.path) is None


def test_a_file_reads_with_the_hash_of_its_bytes(any_way: _Scene | _Agent) -> None:
    any_way.place(b"one\r\n\0\xff\n\n", 0o640)
    found = any_way.host.read(any_way.path)
    assert found is not None
    assert (found.path, found.content) == (any_way.path, b"one\r\n\0\xff\n\n")
    assert found.sha256 == _hash(found.content)


def test_a_file_reads_with_its_mode(seeing: _Scene) -> None:
    seeing.place(b"one", 0o640)
    found = seeing.host.read(seeing.path)
    assert found is not None
    assert found.mode == 0o640


def test_an_empty_file_is_there(any_way: _Scene | _Agent) -> None:
    any_way.place(b"", 0o600)
    found = any_way.host.read(any_way.path)
    assert found is not None
    assert (found.content, found.sha256) == (b"", _hash(b""))


def test_a_new_file_comes_back_as_written(any_way: _Scene | _Agent) -> None:
    written = any_way.host.write(any_way.path, b"new", expected=None)
    assert (written.content, written.sha256) == (b"new", _hash(b"new"))
    assert any_way.host.read(any_way.path) == written


def test_a_new_file_is_private(seeing: _Scene) -> None:
    assert seeing.host.write(seeing.path, b"new", expected=None).mode == 0o600


def test_an_expected_file_is_replaced(any_way: _Scene | _Agent) -> None:
    any_way.place(b"old and longer", 0o600)
    written = any_way.host.write(any_way.path, b"new", expected=_hash(b"old and longer"))
    assert written.content == b"new"
    assert any_way.host.read(any_way.path) == written


@pytest.mark.parametrize("in_place", [False, True])
def test_a_replaced_file_keeps_its_mode(keeping: _Scene, in_place: bool) -> None:
    keeping.place(b"old and longer", 0o640)
    written = keeping.host.write(keeping.path, b"new", expected=_hash(b"old and longer"), in_place=in_place)
    assert (written.content, written.mode) == (b"new", 0o640)
    assert keeping.host.read(keeping.path) == written


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("expected", [None, _hash(b"another")])
def test_a_file_that_somebody_else_changed_is_refused_and_left(
    seeing: _Scene, expected: str | None, in_place: bool
) -> None:
    seeing.place(b"theirs", 0o600)
    with pytest.raises(RefusedError, match="cp1") as caught:
        seeing.host.write(seeing.path, b"ours", expected=expected, in_place=in_place)
    assert caught.value.rule == "R8"
    found = seeing.host.read(seeing.path)
    assert found is not None
    assert found.content == b"theirs"


@pytest.mark.parametrize("expected", [None, _hash(b"another")])
def test_an_unexpected_file_is_refused_and_both_hashes_are_told(any_way: _Scene | _Agent, expected: str | None) -> None:
    any_way.place(b"theirs", 0o600)
    with pytest.raises(RefusedError, match="somebody else changed") as caught:
        any_way.host.write(any_way.path, b"ours", expected=expected)
    assert caught.value.rule == "R8"
    assert caught.value.cause in (None, f"expected {expected or 'no file'}, found {_hash(b'theirs')}")


def test_an_expected_file_that_is_gone_is_refused(any_way: _Scene | _Agent) -> None:
    with pytest.raises(RefusedError) as caught:
        any_way.host.write(any_way.path, b"ours", expected=_hash(b"was here"))
    assert caught.value.rule == "R8"
    assert any_way.host.read(any_way.path) is None


def test_a_symbolic_link_is_neither_read_nor_written(seeing: _Scene) -> None:
    seeing.link()
    with pytest.raises(RefusedError) as reading:
        seeing.host.read(seeing.path)
    with pytest.raises(RefusedError) as writing:
        seeing.host.write(seeing.path, b"ours", expected=_hash(b"real"))
    assert (reading.value.rule, writing.value.rule) == ("R13", "R13")


def test_leftovers_are_swept_once_and_the_file_stays(seeing: _Scene) -> None:
    seeing.place(b"file", 0o600)
    name = seeing.leave_temporary()
    assert seeing.host.sweep(seeing.path) == (name,)
    assert seeing.host.sweep(seeing.path) == ()
    found = seeing.host.read(seeing.path)
    assert found is not None
    assert found.content == b"file"


def test_free_space_is_known_also_for_a_file_that_does_not_exist_yet(seeing: _Scene) -> None:
    free = seeing.host.free_bytes(seeing.path)
    assert free is not None
    assert free > 0


def test_a_file_is_removed_only_while_it_is_the_expected_one(scene: _Scene) -> None:
    written = scene.host.write(scene.path, b"one", expected=None)
    with pytest.raises(RefusedError) as caught:
        scene.host.remove(scene.path, expected="sha256:" + "0" * 64)
    assert caught.value.rule == "R8"
    assert scene.host.read(scene.path) is not None
    scene.host.remove(scene.path, expected=written.sha256)
    assert scene.host.read(scene.path) is None
    with pytest.raises(RefusedError):
        scene.host.remove(scene.path, expected=written.sha256)


def test_a_restart_that_works_says_nothing(scene: _Scene) -> None:
    scene.host_that_restarts(well=True).restart()


def test_a_restart_that_fails_stops_the_run_and_names_the_host(scene: _Scene) -> None:
    with pytest.raises(StoppedError, match="cp1"):
        scene.host_that_restarts(well=False).restart()


def test_a_host_without_a_way_to_restart_stops_the_run(any_way: _Scene | _Agent) -> None:
    with pytest.raises(StoppedError, match=r"cp1: (no restart command|there is no manifest|its agent restarts)"):
        any_way.host.restart()


def test_a_file_never_shows_its_content_in_a_repr(any_way: _Scene | _Agent) -> None:
    assert "top-secret" not in repr(any_way.host.write(any_way.path, b"top-secret", expected=None))


def test_a_file_that_can_be_no_configuration_is_not_read(scene: _Scene) -> None:
    scene.place(bytes(1024 * 1024), 0o600)
    found = scene.host.read(scene.path)
    assert found is not None
    assert len(found.content) == 1024 * 1024
    scene.place(bytes(1024 * 1024 + 1), 0o600)
    with pytest.raises(UnusableInputError, match=r"cp1: .* is larger than 1 MiB"):
        scene.host.read(scene.path)


def test_no_file_is_written_that_could_not_be_read_again(any_way: _Scene | _Agent) -> None:
    with pytest.raises(UnusableInputError, match="larger than 1 MiB"):
        any_way.host.write(any_way.path, bytes(1024 * 1024 + 1), expected=None)
    assert any_way.host.read(any_way.path) is None


@pytest.mark.parametrize("in_place", [False, True])
def test_only_a_file_written_in_place_stays_the_same_inode_and_nothing_is_left_beside_it(
    disk: _OnDisk, in_place: bool
) -> None:
    disk.place(b"old", 0o600)
    with disk.file.open("rb") as reader:
        disk.host.write(disk.path, b"new one", expected=_hash(b"old"), in_place=in_place)
        assert reader.read() == (b"new one" if in_place else b"old")
    assert disk.names() == ["enc.yaml"]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_mode_is_kept_without_a_umask(keeping_disk: _OnDisk, open_umask: None, mode: int, in_place: bool) -> None:
    keeping_disk.place(b"old", mode)
    assert keeping_disk.host.write(keeping_disk.path, b"new", expected=_hash(b"old"), in_place=in_place).mode == mode
    assert stat.S_IMODE(keeping_disk.file.stat().st_mode) == mode


def test_a_setuid_bit_is_not_carried_over(disk: _OnDisk) -> None:
    disk.place(b"old", 0o4600)
    disk.host.write(disk.path, b"new", expected=_hash(b"old"))
    assert stat.S_IMODE(disk.file.stat().st_mode) == 0o600


def test_new_files_and_directories_are_private_without_a_umask(disk: _OnDisk, open_umask: None) -> None:
    path = disk.file.parent / "new" / "enc.yaml"
    disk.host.write(str(path), b"new", expected=None)
    places = (path, path.parent, path.parent.parent)
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o600, 0o700, 0o700]


def test_no_directory_is_created_for_a_file_that_should_be_there(disk: _OnDisk) -> None:
    with pytest.raises(RefusedError):
        disk.host.write(disk.path, b"new", expected=_hash(b"old"))
    assert not disk.file.parent.exists()


@_needs_root
@pytest.mark.parametrize("in_place", [False, True])
def test_owner_and_group_are_kept(disk: _OnDisk, in_place: bool) -> None:
    disk.place(b"old", 0o600)
    os.chown(disk.file, 12345, 23456)
    disk.host.write(disk.path, b"new", expected=_hash(b"old"), in_place=in_place)
    assert (disk.file.stat().st_uid, disk.file.stat().st_gid) == (12345, 23456)


def test_an_access_list_is_kept_and_does_not_open_the_file_to_the_group(keeping_disk: _OnDisk) -> None:
    value = _access_list(somebody=4, mask=4)
    keeping_disk.place(b"old", 0o600)
    os.setxattr(keeping_disk.file, "system.posix_acl_access", value)
    keeping_disk.host.write(keeping_disk.path, b"new", expected=_hash(b"old"))
    assert os.getxattr(keeping_disk.file, "system.posix_acl_access") == value
    assert stat.S_IMODE(keeping_disk.file.stat().st_mode) == 0o640


@pytest.mark.parametrize("in_place", [False, True])
def test_the_access_list_that_a_directory_gives_its_files_opens_no_file_to_anybody(
    keeping_disk: _OnDisk, in_place: bool
) -> None:
    keeping_disk.place(b"old", 0o640)
    os.setxattr(keeping_disk.file.parent, "system.posix_acl_default", _access_list(somebody=6, mask=7))
    keeping_disk.host.write(keeping_disk.path, b"new", expected=_hash(b"old"), in_place=in_place)
    assert os.listxattr(keeping_disk.file) == []
    assert stat.S_IMODE(keeping_disk.file.stat().st_mode) == 0o640


def test_a_new_file_in_such_a_directory_is_private(disk: _OnDisk) -> None:
    disk.file.parent.mkdir()
    os.setxattr(disk.file.parent, "system.posix_acl_default", _access_list(somebody=6, mask=7))
    path = disk.file.parent / "new" / "enc.yaml"
    assert disk.host.write(str(path), b"new", expected=None).mode == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def _access_list(*, somebody: int, mask: int) -> bytes:
    """user::rwx or rw-, user:12345 as `somebody`, group::---, `mask`, other::---, as the kernel wants it."""
    nobody = 0xFFFFFFFF
    owner = 7 if mask == 7 else 6
    entries = [(1, owner, nobody), (2, somebody, 12345), (4, 0, nobody), (16, mask, nobody), (32, 0, nobody)]
    return b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + permission.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, permission, who in entries
    )


def test_only_regular_files_are_read_and_none_is_waited_for(disk: _OnDisk) -> None:
    disk.file.parent.mkdir()
    pipe = disk.file.with_name("pipe")
    os.mkfifo(pipe)
    for place in (pipe, disk.file.parent):
        with pytest.raises(RefusedError, match="no regular file") as caught:
            disk.host.read(str(place))
        assert caught.value.rule == "R13"


@pytest.mark.parametrize("torn", [b"", b"new on"])
def test_a_rewrite_in_place_that_was_cut_off_is_completed_by_sweeping(disk: _OnDisk, torn: bytes) -> None:
    disk.place(torn, 0o640)
    inode = disk.file.stat().st_ino
    redo = disk.file.with_name(f".keyctl-enc.yaml.redo-{_hash(b'old')[7:]}")
    redo.write_bytes(b"new one")
    assert disk.host.sweep(disk.path) == (redo.name,)
    assert (disk.file.read_bytes(), disk.file.stat().st_ino) == (b"new one", inode)
    assert disk.names() == ["enc.yaml"]


def test_a_rewrite_in_place_that_was_never_begun_is_not_begun_by_sweeping(disk: _OnDisk) -> None:
    disk.place(b"old", 0o640)
    disk.file.with_name(f".keyctl-enc.yaml.redo-{_hash(b'old')[7:]}").write_bytes(b"new one")
    disk.host.sweep(disk.path)
    assert disk.file.read_bytes() == b"old"
    assert disk.names() == ["enc.yaml"]


@pytest.mark.parametrize("theirs", [b"theirs", None])
def test_a_torn_file_that_somebody_else_changed_since_is_left_to_the_user(disk: _OnDisk, theirs: bytes | None) -> None:
    disk.place(theirs or b"", 0o600)
    if theirs is None:
        disk.file.unlink()
    redo = disk.file.with_name(f".keyctl-enc.yaml.redo-{_hash(b'old')[7:]}")
    redo.write_bytes(b"new one")
    with pytest.raises(RefusedError) as caught:
        disk.host.sweep(disk.path)
    assert caught.value.rule == "R8"
    assert redo.name in str(caught.value.cause)
    assert redo.read_bytes() == b"new one"
    assert (disk.file.read_bytes() if disk.file.exists() else None) == theirs


def test_sweeping_takes_only_our_own_temporaries_of_this_file(disk: _OnDisk) -> None:
    others = [
        ".keyctl-enc.yaml.bak.0123456789abcdef",
        ".keyctl-enc.yaml.redo-0123456789abcdef",
        ".keyctl-other.yaml.0123456789abcdef",
        ".enc.yaml.swp",
        ".keyctl-enc.yaml.notes",
        "keyctl-enc.yaml.0123456789abcdef",
    ]
    disk.place(b"file", 0o600)
    for name in (_TEMPORARY, *others):
        disk.file.with_name(name).write_bytes(b"x")
    assert disk.host.sweep(disk.path) == (_TEMPORARY,)
    assert disk.names() == sorted(["enc.yaml", *others])


def test_sweeping_where_there_is_no_directory_finds_nothing(disk: _OnDisk) -> None:
    assert disk.host.sweep(disk.path) == ()


def test_a_path_with_a_shells_own_characters_is_a_path(disk: _OnDisk) -> None:
    path = disk.file.parent / "a 'b\" $(touch c) *;&\\ é" / "e n?c.yaml"
    written = disk.host.write(str(path), b"one", expected=None)
    assert path.read_bytes() == b"one"
    path.with_name(".keyctl-e n?c.yaml.0123456789abcdef").write_bytes(b"x")
    assert disk.host.sweep(str(path)) == (".keyctl-e n?c.yaml.0123456789abcdef",)
    disk.host.remove(str(path), expected=written.sha256)
    assert list(path.parent.iterdir()) == []


def test_it_is_told_when_a_file_last_changed_and_what_time_it_is_there(disk: _OnDisk) -> None:
    before = datetime.now(UTC).timestamp()
    found = disk.host.write(disk.path, b"new", expected=None)
    assert found.changed is not None
    assert found.ahead is not None
    assert before - 2 < found.changed < datetime.now(UTC).timestamp() + 2
    assert abs(found.ahead) < 2
