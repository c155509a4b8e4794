"""A host behind the user's own commands, which are shell scripts here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, StoppedError, UnreachableError
from keyctl.hosts import command
from keyctl.hosts.command import CommandHost

READ = 'test -e "$1" || exit 3; cat "$1"'
WRITE = 'cat >"$1"'


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _host(
    *,
    read: str = READ,
    write: str = WRITE,
    remove: str | None = None,
    wait: float = 5.0,
    slept: list[float] | None = None,
) -> CommandHost:
    clock = slept if slept is not None else []

    def script(text: str) -> tuple[str, ...]:
        return ("sh", "-c", text, "sh", "{path}", "{server}")

    return CommandHost(
        "cp1",
        read=script(read),
        write=script(write),
        remove=script(remove) if remove else None,
        wait=wait,
        restart_command=None,
        restart_wait=1.0,
        monotonic=lambda: sum(clock),
        sleep=clock.append,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "enc.yaml"
    path.write_bytes(b"old")
    return path


def test_the_words_of_a_command_name_the_file_and_the_server_and_no_shell_reads_them(tmp_path: Path) -> None:
    note = tmp_path / "note"
    host = CommandHost(
        "cp1",
        read=("sh", "-c", f'printf "%s\\n" "$@" >"{note}"; exit 3', "sh", "--from={server}:{path}", "{other} {}"),
        write=("false",),
        remove=None,
        wait=1.0,
        restart_command=None,
        restart_wait=1.0,
    )
    assert host.read("/etc/{server} $(x)/enc.yaml") is None
    assert note.read_text().splitlines() == ["--from=cp1:/etc/{server} $(x)/enc.yaml", "{other} {}"]


def test_what_such_a_way_does_not_tell_is_not_made_up(path: Path) -> None:
    host = _host()
    found = host.read(str(path))
    assert found is not None
    assert (found.mode, found.changed, found.ahead) == (None, None, None)
    assert host.free_bytes(str(path)) is None
    assert host.sweep(str(path)) == ()


@pytest.mark.parametrize("status", [1, 2, 4, 127])
def test_only_exit_status_3_means_that_there_is_no_file(path: Path, status: int) -> None:
    with pytest.raises(UnreachableError, match="host cp1: the read command failed") as caught:
        _host(read=f"exit {status}").read(str(path))
    assert caught.value.cause == f"it ended with exit status {status}"
    assert _host(read="exit 3").read(str(path)) is None
    assert command.NO_FILE == 3


def test_nothing_that_a_command_says_reaches_a_message(path: Path) -> None:
    host = _host(read="cat $1; echo AAECAwQF >&2; exit 1")
    with pytest.raises(UnreachableError) as caught:
        host.read(str(path))
    error: KeyctlError = caught.value
    assert "AAECAwQF" not in f"{error!r} {error.cause} {error.hints}"
    assert "old" not in f"{error.cause} {error.hints}"


def test_a_command_that_does_not_exist_is_named(path: Path) -> None:
    host = CommandHost(
        "cp1", read=("/nonexistent/r",), write=("w",), remove=None, wait=1, restart_command=None, restart_wait=1
    )
    with pytest.raises(UnreachableError) as caught:
        host.read(str(path))
    assert caught.value.cause == "/nonexistent/r: No such file or directory"


def test_a_distribution_that_takes_its_time_is_waited_for(path: Path) -> None:
    slept: list[float] = []
    # The third look after the write is the first to see it.
    read = 'n=$(cat "$1.n" 2>/dev/null || echo 0); [ -e "$1.new" ] && n=$((n + 1)) && echo $n >"$1.n"; '
    host = _host(
        read=read + '[ "$n" -lt 3 ] || mv "$1.new" "$1" 2>/dev/null; cat "$1"', write='cat >"$1.new"', slept=slept
    )
    assert host.write(str(path), b"new", expected=_hash(b"old")).content == b"new"
    assert slept == [1.0, 1.0]


def test_a_distribution_that_never_arrives_is_waited_for_no_longer_than_said(path: Path) -> None:
    slept: list[float] = []
    with pytest.raises(UnreachableError, match="still as it was 5 s after") as caught:
        _host(write="cat >/dev/null", slept=slept).write(str(path), b"new", expected=_hash(b"old"))
    assert 5 <= sum(slept) <= 7
    assert any("host.wait" in hint for hint in caught.value.hints)


def test_a_distribution_of_something_else_is_noticed(path: Path) -> None:
    with pytest.raises(RefusedError, match="somebody else changed") as caught:
        _host(write='cat >/dev/null; printf theirs >"$1"').write(str(path), b"new", expected=_hash(b"old"))
    assert caught.value.rule == "R8"


def test_a_write_command_that_fails_is_not_waited_for(path: Path) -> None:
    slept: list[float] = []
    with pytest.raises(UnreachableError, match="the write command failed"):
        _host(write="exit 9", slept=slept).write(str(path), b"new", expected=_hash(b"old"))
    assert slept == []
    assert path.read_bytes() == b"old"


def test_no_command_is_run_for_a_file_that_somebody_else_changed(path: Path) -> None:
    host = _host(write='cat >"$1"', remove='rm "$1"')
    with pytest.raises(RefusedError) as writing:
        host.write(str(path), b"new", expected=_hash(b"another"))
    with pytest.raises(RefusedError) as removing:
        host.remove(str(path), expected=_hash(b"another"))
    assert (writing.value.rule, removing.value.rule) == ("R8", "R8")
    assert path.read_bytes() == b"old"


def test_a_file_that_must_be_written_in_place_is_refused(path: Path) -> None:
    with pytest.raises(RefusedError, match="in place") as caught:
        _host().write(str(path), b"new", expected=_hash(b"old"), in_place=True)
    assert caught.value.rule == "R13"
    assert path.read_bytes() == b"old"


def test_without_a_command_for_it_no_file_is_removed(path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no command for that") as caught:
        _host().remove(str(path), expected=_hash(b"old"))
    assert "host.remove" in caught.value.hints[0]
    _host(remove='rm "$1"').remove(str(path), expected=_hash(b"old"))
    assert not path.exists()


def test_a_file_that_stays_although_it_was_removed_is_not_called_removed(path: Path) -> None:
    with pytest.raises(UnreachableError, match="still as it was"):
        _host(remove="true").remove(str(path), expected=_hash(b"old"))


def test_a_command_that_hangs_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_CALL_SECONDS", 1.0)
    with pytest.raises(UnreachableError) as caught:
        _host(read="sleep 60", wait=0.5).read(str(path))
    assert caught.value.cause == "it did not end in time"


def test_the_restart_runs_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="no restart command"):
        _host().restart()
