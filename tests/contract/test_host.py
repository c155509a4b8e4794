"""What every host does; run on the fake and on the real one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from keyctl.errors import RefusedError, StoppedError
from keyctl.hosts.interface import Host
from keyctl.hosts.local import LocalHost
from tests.support.memory_host import MemoryHost


class _Scene(Protocol):
    """A host, and what others do to its files."""

    host: Host
    path: str

    def place(self, content: bytes, mode: int) -> None: ...
    def link(self) -> None: ...
    def leave_temporary(self) -> str: ...
    def host_that_restarts(self, *, well: bool) -> Host: ...


class _Memory:
    def __init__(self, directory: Path) -> None:
        self.memory = MemoryHost("cp1")
        self.host: Host = self.memory
        self.path = "/etc/kubernetes/enc/enc.yaml"

    def place(self, content: bytes, mode: int) -> None:
        self.memory.place(self.path, content, mode=mode)

    def link(self) -> None:
        self.memory.links.add(self.path)

    def leave_temporary(self) -> str:
        self.memory.leftovers[self.path] = (".keyctl-enc.yaml.0123456789abcdef",)
        return ".keyctl-enc.yaml.0123456789abcdef"

    def host_that_restarts(self, *, well: bool) -> Host:
        def fail() -> None:
            raise StoppedError("host cp1: the restart command failed")

        return MemoryHost("cp1", on_restart=(lambda: None) if well else fail)


class _Local:
    def __init__(self, directory: Path) -> None:
        self.host: Host = LocalHost("cp1", restart_command=None, restart_wait=1.0)
        self.path = str(directory / "enc" / "enc.yaml")

    def place(self, content: bytes, mode: int) -> None:
        path = Path(self.path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    def link(self) -> None:
        path = Path(self.path)
        path.parent.mkdir()
        path.with_name("real").write_bytes(b"real")
        path.symlink_to("real")

    def leave_temporary(self) -> str:
        path = Path(self.path).with_name(".keyctl-enc.yaml.0123456789abcdef")
        path.write_bytes(b"half a fi")
        return path.name

    def host_that_restarts(self, *, well: bool) -> Host:
        command = (sys.executable, "-c", f"raise SystemExit({0 if well else 3})")
        return LocalHost("cp1", restart_command=command, restart_wait=30.0)


@pytest.fixture(params=[_Memory, _Local], ids=["memory", "local"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> _Scene:
    make: Callable[[Path], _Scene] = request.param
    return make(tmp_path)


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_file_that_is_not_there_reads_as_none(scene: _Scene) -> None:
    assert scene.host.read(scene.path) is None


def test_a_file_reads_with_the_hash_of_its_bytes_and_its_mode(scene: _Scene) -> None:
    scene.place(b"one\r\n", 0o640)
    found = scene.host.read(scene.path)
    assert found is not None
    assert (found.path, found.content, found.sha256, found.mode) == (scene.path, b"one\r\n", _hash(b"one\r\n"), 0o640)


def test_a_new_file_is_private_and_comes_back_as_written(scene: _Scene) -> None:
    written = scene.host.write(scene.path, b"new", expected=None)
    assert (written.content, written.sha256, written.mode) == (b"new", _hash(b"new"), 0o600)
    assert scene.host.read(scene.path) == written


@pytest.mark.parametrize("in_place", [False, True])
def test_an_expected_file_is_replaced_and_keeps_its_mode(scene: _Scene, in_place: bool) -> None:
    scene.place(b"old and longer", 0o640)
    written = scene.host.write(scene.path, b"new", expected=_hash(b"old and longer"), in_place=in_place)
    assert (written.content, written.mode) == (b"new", 0o640)
    assert scene.host.read(scene.path) == written


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("expected", [None, _hash(b"another")])
def test_a_file_that_somebody_else_changed_is_refused_and_left(
    scene: _Scene, expected: str | None, in_place: bool
) -> None:
    scene.place(b"theirs", 0o600)
    with pytest.raises(RefusedError, match="cp1") as caught:
        scene.host.write(scene.path, b"ours", expected=expected, in_place=in_place)
    assert caught.value.rule == "R8"
    found = scene.host.read(scene.path)
    assert found is not None
    assert found.content == b"theirs"


def test_an_expected_file_that_is_gone_is_refused(scene: _Scene) -> None:
    with pytest.raises(RefusedError) as caught:
        scene.host.write(scene.path, b"ours", expected=_hash(b"was here"))
    assert caught.value.rule == "R8"
    assert scene.host.read(scene.path) is None


def test_a_symbolic_link_is_neither_read_nor_written(scene: _Scene) -> None:
    scene.link()
    with pytest.raises(RefusedError) as reading:
        scene.host.read(scene.path)
    with pytest.raises(RefusedError) as writing:
        scene.host.write(scene.path, b"ours", expected=_hash(b"real"))
    assert (reading.value.rule, writing.value.rule) == ("R13", "R13")


def test_leftovers_are_swept_once_and_the_file_stays(scene: _Scene) -> None:
    scene.place(b"file", 0o600)
    name = scene.leave_temporary()
    assert scene.host.sweep(scene.path) == (name,)
    assert scene.host.sweep(scene.path) == ()
    found = scene.host.read(scene.path)
    assert found is not None
    assert found.content == b"file"


def test_free_space_is_known_also_for_a_file_that_does_not_exist_yet(scene: _Scene) -> None:
    assert scene.host.free_bytes(scene.path) > 0


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


def test_a_host_without_a_restart_command_stops_the_run(scene: _Scene) -> None:
    with pytest.raises(StoppedError, match="cp1: no restart command"):
        scene.host.restart()


def test_a_file_never_shows_its_content_in_a_repr(scene: _Scene) -> None:
    assert "top-secret" not in repr(scene.host.write(scene.path, b"top-secret", expected=None))
