"""The script that works on a host behind ssh, run by shells of this machine; and what is made of its answers."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError, UnusableInputError
from keyctl.hosts import ssh
from keyctl.hosts.interface import Host
from keyctl.hosts.process import Cut, Ended
from keyctl.hosts.ssh_failures import ConnectionLostError
from tests.support.remote_shell import RemoteShell, busybox_shell

_OLD = b"old: " + b"o" * 200
_NEW = b"new: " + b"n" * 300
_EFFECTS = ("stat", "sha256sum", "dd", "mv", "ln", "rm", "sync", "cp", "chmod", "mkdir", "head")


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture(params=["dash", "bash"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteShell:
    return RemoteShell(tmp_path / "tools", request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "enc" / "enc.yaml"
    path.parent.mkdir()
    path.write_bytes(_OLD)
    path.chmod(0o600)
    return path


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def _write(remote: RemoteShell, path: Path, *, in_place: bool = False, new: bool = False) -> None:
    remote.host().write(str(path), _NEW, expected=None if new else _hash(_OLD), in_place=in_place)


def _killed_at_each_step(remote: RemoteShell, act: Callable[[], None]) -> Iterator[int]:
    """Run `act` with its process group killed before program 0, 1, 2 … of the script; a `dd` does a part first."""
    count = remote.tools / "count"
    for name in _EFFECTS:
        part = '"$real" "$@" bs=100 count=1;' if name == "dd" else ""
        counted = f'read -r n <{count}; echo $((n - 1)) >{count}; [ "$n" != 0 ] || {{ {part} kill -9 0; }}'
        remote.tool(name, f'{counted}; exec "$real" "$@"')
    for step in itertools.count():
        count.write_text(f"{step}\n")
        try:
            act()
        except UnreachableError:
            count.write_text("-1\n")
            yield step
        else:
            return


def test_a_replacement_killed_at_any_step_leaves_the_old_or_the_new_file(remote: RemoteShell, path: Path) -> None:
    kills = 0
    for _ in _killed_at_each_step(remote, lambda: _write(remote, path)):
        kills += 1
        assert path.read_bytes() in (_OLD, _NEW)
        remote.host().sweep(str(path))
        assert _names(path) == ["enc.yaml"]
        path.write_bytes(_OLD)
    assert kills > 20
    assert path.read_bytes() == _NEW


def test_a_new_file_killed_at_any_step_is_there_or_not(remote: RemoteShell, tmp_path: Path) -> None:
    path = tmp_path / "new" / "enc.yaml"
    kills = 0
    for _ in _killed_at_each_step(remote, lambda: _write(remote, path, new=True)):
        kills += 1
        assert not path.exists() or path.read_bytes() == _NEW
        remote.host().sweep(str(path))
        assert not path.parent.exists() or _names(path) in ([], ["enc.yaml"])
        path.unlink(missing_ok=True)
    assert kills > 10
    assert path.read_bytes() == _NEW


def test_a_rewrite_in_place_killed_at_any_step_is_completed_by_sweeping(remote: RemoteShell, path: Path) -> None:
    inode = path.stat().st_ino
    torn = kills = 0
    for _ in _killed_at_each_step(remote, lambda: _write(remote, path, in_place=True)):
        kills += 1
        torn += path.read_bytes() not in (_OLD, _NEW)
        remote.host().sweep(str(path))
        assert path.read_bytes() in (_OLD, _NEW)
        assert _names(path) == ["enc.yaml"]
        assert path.stat().st_ino == inode
        path.write_bytes(_OLD)
    assert kills > 20
    assert torn >= 1


@pytest.mark.parametrize("in_place", [False, True])
def test_a_change_while_the_temporary_is_written_is_noticed(remote: RemoteShell, path: Path, in_place: bool) -> None:
    # After the content was written: the script's own dd, not the one that reads the script.
    remote.tool("dd", f'"$real" "$@"; case $* in *fsync*) printf theirs >"{path}";; esac')
    with pytest.raises(RefusedError) as caught:
        _write(remote, path, in_place=in_place)
    assert caught.value.rule == "R8"
    assert path.read_bytes() == b"theirs"
    assert _names(path) == ["enc.yaml"]


def test_a_file_that_comes_up_while_a_new_one_is_placed_is_not_replaced(remote: RemoteShell, tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    remote.tool("ln", f'printf theirs >"{path}"; exec "$real" "$@"')
    with pytest.raises(RefusedError, match="somebody else changed") as caught:
        _write(remote, path, new=True)
    assert caught.value.cause == "expected no file, found one"
    assert path.read_bytes() == b"theirs"
    assert not list(tmp_path.glob(".keyctl*"))


@pytest.mark.parametrize("spoil", ["printf theirs >", "rm -f "], ids=["changed", "removed"])
def test_what_does_not_read_back_is_not_called_written(remote: RemoteShell, path: Path, spoil: str) -> None:
    remote.tool("mv", f'"$real" "$@"; {spoil}"{path}"')
    with pytest.raises(RefusedError, match="somebody else changed") as caught:
        _write(remote, path)
    assert caught.value.cause == "right after writing it did not hold what was written"


@pytest.mark.parametrize("cut", [0, 1, 100, len(_NEW) - 1])
def test_a_content_that_was_cut_off_on_its_way_is_never_put_in_place(remote: RemoteShell, path: Path, cut: int) -> None:
    real = remote.run

    def cutting(command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        return real(command, content[: len(content) - len(_NEW) + cut], seconds=seconds, most=most)

    remote.run = cutting  # type: ignore[method-assign]  # the connection, not what is tested
    with pytest.raises(ConnectionLostError, match="lost in the middle"):
        _write(remote, path)
    assert path.read_bytes() == _OLD
    assert _names(path) == ["enc.yaml"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_script_that_was_cut_off_on_its_way_does_nothing(remote: RemoteShell, path: Path, share: float) -> None:
    real = remote.run

    def cutting(command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        script = len(content) - len(_NEW)
        return real(command, content[: int(script * share)], seconds=seconds, most=most)

    remote.run = cutting  # type: ignore[method-assign]  # as above
    with pytest.raises(UnreachableError):
        _write(remote, path)
    assert (path.read_bytes(), _names(path)) == (_OLD, ["enc.yaml"])


def test_a_write_that_was_held_up_gives_up_before_anybody_stops_waiting_for_it(
    remote: RemoteShell, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ssh._WRITE_SECONDS < ssh._CALL_SECONDS
    monkeypatch.setattr(ssh, "_WRITE_SECONDS", 0)
    remote.tool("dd", 'case $* in *fsync*) sleep 1.1;; esac; exec "$real" "$@"')
    with pytest.raises(ConnectionLostError) as caught:
        _write(remote, path)
    assert "nothing was changed" in str(caught.value.cause)
    assert (path.read_bytes(), _names(path)) == (_OLD, ["enc.yaml"])


def test_nothing_but_a_fixed_line_stands_on_the_command_line(remote: RemoteShell, path: Path) -> None:
    remote.host(restart=("restart-it", "s3cret-word")).write(str(path), _NEW, expected=_hash(_OLD))
    with pytest.raises(StoppedError):
        remote.host(restart=("restart-it", "s3cret-word")).restart()
    remote.host(sudo=True)
    for command, _ in remote.sent:
        assert re.fullmatch(r"exec sh -c 'eval \"\$\(dd bs=1 count=[0-9]+ 2>/dev/null\)\"'", command)


def test_everything_is_synced_before_it_is_put_in_place_and_the_directory_after(
    remote: RemoteShell, path: Path
) -> None:
    notes = remote.tools / "notes"
    for name in ("dd", "mv", "sync"):
        remote.tool(name, f'echo "{name} $*" >>{notes}; exec "$real" "$@"')
    _write(remote, path)
    done = [line.split() for line in notes.read_text().splitlines() if "count=" not in line]
    assert [words[0] for words in done] == ["dd", "mv", "sync"]
    assert "conv=fsync" in done[0]
    assert done[2][1] == f"{path.parent}/"


def test_the_copy_of_a_rewrite_in_place_is_kept_synced_until_the_file_reads_back(
    remote: RemoteShell, path: Path
) -> None:
    notes = remote.tools / "notes"
    for name in ("dd", "mv", "sync", "sha256sum", "rm"):
        remote.tool(name, f'echo "{name} $*" >>{notes}; exec "$real" "$@"')
    path.chmod(0o644)
    _write(remote, path, in_place=True)
    lines = [line for line in notes.read_text().splitlines() if "count=" not in line and "--help" not in line]
    assert [line.split()[0] for line in lines] == [
        "sha256sum",
        "dd",
        "sha256sum",
        "sha256sum",
        "mv",
        "sync",
        "dd",
        "sync",
        "sha256sum",
        "rm",
    ]


def test_a_temporary_is_private_and_dotted_whatever_the_file_is(remote: RemoteShell, path: Path) -> None:
    path.chmod(0o644)
    notes = remote.tools / "notes"
    look = f'for f in "{path.parent}"/.[!.]*; do stat -c "%a %n" "$f" >>{notes}; done'
    remote.tool("dd", f'case $* in *of=*) {look};; esac; exec "$real" "$@"')
    _write(remote, path, in_place=True)
    mode, _, name = notes.read_text().strip().partition(" ")
    assert mode == "600"
    assert Path(name).name == f".keyctl-enc.yaml.redo-{_hash(_OLD)[7:]}"


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ("cp", "No space left on device"),
        ("chmod", "Operation not permitted"),
        ("mv", "Read-only file system"),
        ("sync", "Input/output error"),
        ("sha256sum", "Permission denied"),
    ],
)
def test_what_the_file_system_says_there_is_our_own_error_and_changes_nothing(
    remote: RemoteShell, path: Path, tool: str, says: str
) -> None:
    remote.tool(tool, f"case $* in --help) exec $real --help;; esac; echo '{tool}: s3cret-word: {says}' >&2; exit 1")
    with pytest.raises(UnreachableError, match=r"host cp1: .*enc\.yaml cannot be used") as caught:
        _write(remote, path)
    assert says in str(caught.value.cause)
    assert "s3cret-word" not in f"{caught.value!r} {caught.value.cause} {caught.value.hints}"
    assert path.read_bytes() == (_OLD if tool != "sync" else _NEW)
    assert _names(path) == ["enc.yaml"]


def test_an_owner_that_cannot_be_kept_stops_the_write(remote: RemoteShell, path: Path) -> None:
    # So does cp for somebody who may not give files away: without a word.
    remote.tool("cp", 'case $* in *--help*) exec "$real" "$@";; esac')
    path.chmod(0o640)
    remote.tool("chmod", "")
    with pytest.raises(UnreachableError, match="cannot be used") as caught:
        _write(remote, path)
    assert "attributes" in str(caught.value.cause)
    assert (path.read_bytes(), _names(path)) == (_OLD, ["enc.yaml"])


def test_where_no_access_list_can_be_kept_a_file_of_the_group_is_not_replaced(remote: RemoteShell, path: Path) -> None:
    remote.tool("cp", "exit 1")
    path.chmod(0o640)
    with pytest.raises(UnreachableError, match="there is no cp --attributes-only"):
        _write(remote, path)
    assert path.read_bytes() == _OLD
    path.chmod(0o600)
    _write(remote, path)
    assert path.read_bytes() == _NEW


def test_a_program_that_is_missing_there_is_named(remote: RemoteShell, path: Path, tmp_path: Path) -> None:
    for name in ("sh", "dd", "stat", "rm"):
        if not (remote.tools / name).exists():
            (remote.tools / name).symlink_to(shutil.which(name) or "")
    remote.environment["PATH"] = str(remote.tools)
    script = ssh._SCRIPT.replace(b"PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin\n", b"")
    assert script != ssh._SCRIPT
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssh, "_SCRIPT", script)
        with pytest.raises(UnreachableError, match="host cp1: there is no sha256sum") as caught:
            remote.host().read(str(path))
    assert "coreutils" in caught.value.hints[0]


def _nobody(tmp_path: Path, path: Path) -> RemoteShell:
    """A shell of somebody who owns nothing here, or, where tests are not run by root, of us."""
    for directory in (tmp_path, *tmp_path.parents[:3]):
        if os.geteuid() == 0 and directory.stat().st_uid == 0:
            directory.chmod(
                directory.stat().st_mode | 0o055 if directory == tmp_path else directory.stat().st_mode | 0o011
            )
    path.parent.chmod(0)
    before = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    return RemoteShell(tmp_path / "tools", "sh", before)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda host, path: host.read(path), id="read"),
        pytest.param(lambda host, path: host.write(path, _NEW, expected=None), id="write"),
        pytest.param(lambda host, path: host.sweep(path), id="sweep"),
    ],
)
def test_a_file_that_may_not_be_seen_is_not_taken_for_a_missing_one(
    tmp_path: Path, path: Path, act: Callable[[Host, str], object]
) -> None:
    host = _nobody(tmp_path, path).host()
    with pytest.raises(UnreachableError, match="cannot be used") as caught:
        act(host, str(path))
    assert "Permission denied" in str(caught.value.cause)
    assert "sudo" in caught.value.hints[0]
    path.parent.chmod(0o700)


def test_what_a_login_shell_says_before_is_not_taken_for_the_file(remote: RemoteShell, path: Path) -> None:
    real = remote.run

    def chatty(command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        return real(f"printf 'welcome\\nkeyctl 0 begin\\n'; {command}", content, seconds=seconds, most=most)

    remote.run = chatty  # type: ignore[method-assign]  # as above
    found = remote.host().read(str(path))
    assert found is not None
    assert found.content == _OLD


def test_a_file_that_is_replaced_while_it_is_opened_is_read_as_one_of_both(remote: RemoteShell, path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(_NEW)
    other.chmod(0o640)
    # Right behind the first look at its inode.
    remote.tool("stat", f'"$real" "$@"; case $* in *%d:%i*) if [ -e "{other}" ]; then mv "{other}" "{path}"; fi;; esac')
    found = remote.host().read(str(path))
    assert found is not None
    assert (found.content, found.mode) == (_NEW, 0o640)


def test_a_file_that_is_never_the_one_that_was_opened_is_not_read(remote: RemoteShell, path: Path) -> None:
    # What somebody does who puts a link there right before it is opened.
    remote.tool("stat", 'case $* in *%d:%i*/dev/fd/3) echo 1:2;; *) exec "$real" "$@";; esac')
    with pytest.raises(UnreachableError, match="cannot be used") as caught:
        remote.host().read(str(path))
    assert caught.value.cause == "open failed there"


def test_a_huge_file_is_refused_without_being_read(remote: RemoteShell, path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 40)
    remote.tool("sha256sum", f': >"{remote.tools}/hashed"; exec "$real" "$@"')
    with pytest.raises(UnusableInputError, match="larger than 1 MiB"):
        remote.host().read(str(path))
    assert not (remote.tools / "hashed").exists()


@pytest.mark.parametrize("kept", [0.2, 0.9, 0.999])
def test_an_answer_that_was_cut_off_is_no_file(remote: RemoteShell, path: Path, kept: float) -> None:
    real = remote.run

    def cutting(command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        ended = real(command, content, seconds=seconds, most=most)
        return Ended(255, ended.output[: int(len(ended.output) * kept)], b"")

    remote.run = cutting  # type: ignore[method-assign]  # as above
    with pytest.raises(ConnectionLostError):
        remote.host().read(str(path))


def test_what_comes_back_of_a_write_is_compared_here_too(remote: RemoteShell, path: Path) -> None:
    real = remote.run

    def other(command: str, content: bytes, *, seconds: float, most: int) -> Ended:
        ended = real(command, content, seconds=seconds, most=most)
        return Ended(ended.status, ended.output.replace(b"nnn", b"mmm"), ended.errors)

    remote.run = other  # type: ignore[method-assign]  # as above
    with pytest.raises(RefusedError, match="somebody else changed"):
        _write(remote, path)


@pytest.mark.parametrize(
    ("ended", "kind", "says"),
    [
        (Ended(None, b"", b"", Cut.TIME), UnreachableError, "no answer in time"),
        (Ended(None, b"x" * 99, b"", Cut.SIZE), UnreachableError, "more than a file"),
        (Ended(255, b"", b"client_loop: send disconnect: Broken pipe"), ConnectionLostError, "was lost"),
    ],
)
def test_an_answer_that_did_not_come_is_told_as_what_it_is(
    remote: RemoteShell, ended: Ended, kind: type[KeyctlError], says: str
) -> None:
    remote.answers = [ended, ended]
    with pytest.raises(kind, match=says) as caught:
        remote.host().write("/etc/enc.yaml", _NEW, expected=_hash(_OLD))
    assert "nnn" not in f"{caught.value!r} {caught.value.cause}"
    assert len(remote.sent) == 1


def test_a_look_is_asked_for_once_more_where_the_connection_broke_and_a_write_is_not(
    remote: RemoteShell, path: Path
) -> None:
    lost = Ended(255, b"", b"client_loop: send disconnect: Broken pipe")
    remote.answers = [lost]
    found = remote.host().read(str(path))
    assert found is not None
    assert (found.content, remote.dropped) == (_OLD, 1)
    remote.answers = [lost, lost]
    with pytest.raises(ConnectionLostError):
        remote.host().read(str(path))
    remote.answers = [lost]
    with pytest.raises(ConnectionLostError):
        _write(remote, path)
    assert path.read_bytes() == _OLD


def test_a_restart_runs_there_without_a_shell_and_without_input(remote: RemoteShell, tmp_path: Path) -> None:
    place = tmp_path / "a b; $HOME"
    remote.tool("touch-it", f'read -r line && exit 9; [ "$1" = \'a b; $HOME\' ] && : >"{tmp_path}/$1"')
    remote.host(restart=("touch-it", "a b; $HOME")).restart()
    assert place.exists()


def test_a_restart_that_takes_too_long_is_ended_there_with_its_children(remote: RemoteShell, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = ("sh", "-c", f'sleep 60 & echo $! >"{pid}"; wait')
    begun = time.monotonic()
    with pytest.raises(StoppedError) as caught:
        remote.host(restart=command, wait=1.0).restart()
    assert "did not end within 1 s" in str(caught.value.cause)
    assert time.monotonic() - begun < 20
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        told = subprocess.run(["ps", "-o", "stat=", "-p", pid.read_text()], capture_output=True, text=True).stdout
        if not told.strip() or told.startswith("Z"):
            return
        time.sleep(0.05)
    raise AssertionError("the child of the restart command outlived it")


def test_a_failed_restart_tells_its_status_and_not_its_output(remote: RemoteShell) -> None:
    with pytest.raises(StoppedError) as caught:
        remote.host(restart=("sh", "-c", "echo AAECAwQF; echo AAECAwQF >&2; exit 7")).restart()
    assert caught.value.cause == "sh ended with exit status 7"
    with pytest.raises(StoppedError) as missing:
        remote.host(restart=("no-such-program",)).restart()
    assert missing.value.cause == "no-such-program ended with exit status 127"


def test_no_refusal_shows_what_a_file_holds(remote: RemoteShell, path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        remote.host().write(str(path), b"secret-new", expected=_hash(b"other"))
    told = f"{caught.value!r} {caught.value.cause} {caught.value.hints}"
    assert "ooo" not in told
    assert "secret-new" not in told


def test_busybox_does_it_too_without_any_program_of_coreutils(tmp_path: Path, path: Path) -> None:
    remote = busybox_shell(tmp_path / "busybox", "cp")
    remote.environment["PATH"] = str(remote.tools)
    _write(remote, path)
    remote.host().write(str(path), b"three", expected=_hash(_NEW), in_place=True)
    found = remote.host().read(str(path))
    assert found is not None
    assert (found.content, found.mode) == (b"three", 0o600)
    assert _names(path) == ["enc.yaml"]
