"""A child process that helps to read: what becomes of its failures, and what is done where there can be none."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from keyctl.errors import StoppedError, UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.database_file import opened
from keyctl.etcd_files.delivery import Database, live_values
from keyctl.etcd_files.forked import forked
from keyctl.etcd_files.mvcc import read_standing
from keyctl.etcd_files.snapshot_file import digest_checked, extent
from tests.support.effects import open_descriptors
from tests.unit.backup.databases import snapshot

WRITTEN = [(b"/registry/secrets/default/s%d" % number, b"value %d" % number, 5 + number) for number in range(50)]


def tell_process(answer: BinaryIO) -> None:
    answer.write(b"%d" % os.getpid())


def test_the_answer_comes_from_another_process_and_no_process_stays() -> None:
    with forked(tell_process) as answer:
        process = int(answer.read())
    assert process != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.fixture(params=[errno.EAGAIN, errno.ENOMEM])
def no_child(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "fork", refuse)


def test_where_there_can_be_no_child_the_work_is_done_here_and_no_pipe_stays_open(no_child: None) -> None:
    before = open_descriptors()
    with forked(tell_process) as answer:
        assert int(answer.read()) == os.getpid()
    assert open_descriptors() <= before


def read(path: Path) -> tuple[int, str]:
    """How many values a child process finds, and the integrity that another one does."""
    with opened(path) as file:
        found = extent(file)
        with digest_checked(file, found) as integrity:
            bolt = BoltFile(file, found.length, str(path))
            database = Database(bolt, file, str(path), read_standing(bolt, str(path)), helped=True)
            return sum(len(batch) for batch in live_values(database, b"", 99)), integrity()


def test_a_file_is_read_whole_where_there_can_be_no_child(
    no_child: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyctl.etcd_files.snapshot_file.is_worth_it", lambda _: True)
    assert read(snapshot(tmp_path / "s.db", WRITTEN)) == (len(WRITTEN), "sha256-ok")


def test_without_child_and_without_room_for_notes_it_says_what_is_lacking(
    no_child: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> BinaryIO:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StoppedError, match="no second process could be started") as caught, forked(tell_process):
        pass
    assert caught.value.cause == "No space left on device"


def slip(answer: BinaryIO) -> None:
    answer.write(b"half")
    raise LookupError("no such page")


def read_all(answer: BinaryIO) -> bytes:
    return answer.read()


def find_it_short(answer: BinaryIO) -> bytes:
    raise UnusableInputError(f"only {len(answer.read())} bytes")


@pytest.mark.parametrize("take", [read_all, find_it_short])
def test_a_bug_in_the_child_is_told_as_one_with_its_place(take: Callable[[BinaryIO], bytes]) -> None:
    with pytest.raises(RuntimeError, match="LookupError: no such page") as caught, forked(slip) as answer:
        take(answer)
    assert "in slip" in str(caught.value)


def test_a_bug_in_the_child_does_not_hide_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), forked(slip) as answer:
        interrupted_after(answer)


def interrupted_after(answer: BinaryIO) -> None:
    answer.read()
    raise KeyboardInterrupt


def fail_as_expected(answer: BinaryIO) -> None:
    answer.write(b"half")
    raise UnusableInputError("damaged")


def run_out_of_memory(answer: BinaryIO) -> None:
    answer.write(b"half")
    raise MemoryError


def be_killed(answer: BinaryIO) -> None:
    answer.write(b"half")
    answer.flush()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("work", [fail_as_expected, run_out_of_memory, be_killed])
def test_what_is_no_bug_ends_the_answer_and_no_more(work: Callable[[BinaryIO], None]) -> None:
    with forked(work) as answer:
        assert answer.read() == b"half"


def test_a_child_that_was_ended_is_said_to_have_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyctl.etcd_files.delivery._Found._tell", lambda _, answer: be_killed(answer))
    with pytest.raises(UnusableInputError, match="was not read to its end") as caught:
        read(snapshot(tmp_path / "s.db", WRITTEN))
    assert "was ended" in (caught.value.cause or "")


def test_a_signal_for_the_whole_group_ends_the_child_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    def wait(answer: BinaryIO) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            answer.write(b"cleaned up")

    with forked(wait) as answer:
        assert answer.read() == b""
    assert capfd.readouterr().err == ""


def test_a_hang_up_that_is_ignored_is_ignored_by_the_child_too() -> None:
    def wait(answer: BinaryIO) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        answer.write(b"whole")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with forked(wait) as answer:
            assert answer.read() == b"whole"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_during_the_start_is_raised_when_the_child_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    fork = os.fork

    def interrupted() -> int:
        process = fork()
        if process:
            started.append(process)
            signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt), forked(tell_process):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
