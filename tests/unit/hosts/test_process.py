from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from keyctl.hosts import process
from keyctl.hosts.process import Cut, Ended, run
from tests.support.effects import open_descriptors


def _python(script: str, *words: str, content: bytes = b"", seconds: float = 30.0, most: int = 10_000_000) -> Ended:
    return run((sys.executable, "-c", script, *words), content=content, seconds=seconds, most=most)


def test_much_goes_in_and_comes_out_at_the_same_time() -> None:
    content = os.urandom(1 << 20)
    script = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer, 100)"
    ended = _python(script, content=content)
    assert (ended.status, ended.output == content, ended.cut) == (0, True, None)


def test_a_program_that_does_not_read_is_no_failure_of_ours() -> None:
    assert _python("raise SystemExit(4)", content=bytes(1 << 20)).status == 4


def test_the_last_of_what_it_complained_is_kept() -> None:
    ended = _python("import sys; sys.stderr.write('x' * 100000 + 'end')")
    assert len(ended.errors) == 8192
    assert ended.errors.endswith(b"end")


def test_one_that_says_too_much_is_cut_off() -> None:
    begun = time.monotonic()
    ended = _python("while True: print('x' * 1000)", most=50_000)
    assert (ended.status, ended.cut) == (None, Cut.SIZE)
    assert len(ended.output) == 50_000
    assert time.monotonic() - begun < 20


def test_one_that_takes_too_long_is_cut_off_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.fork())); time.sleep(60)"
    begun = time.monotonic()
    ended = _python(script, str(note), seconds=1.0)
    assert (ended.status, ended.cut) == (None, Cut.TIME)
    assert time.monotonic() - begun < 20
    child = int(note.read_text() or 0)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_it_leaves_running_with_its_pipes_is_not_waited_for() -> None:
    begun = time.monotonic()
    ended = run(("sh", "-c", "sleep 20 & echo done"), seconds=15.0, most=1000)
    assert (ended.status, ended.output, ended.cut) == (0, b"done\n", None)
    assert time.monotonic() - begun < 10


def test_what_it_leaves_running_is_not_listened_to_for_longer_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process._Talk, "_serve", lambda talk, seconds: True)
    begun = time.monotonic()
    assert run(("true",), seconds=0.5, most=1000).status == 0
    assert time.monotonic() - begun < 10


def test_one_that_a_signal_ended_says_so() -> None:
    assert run(("sh", "-c", "kill -TERM $$"), seconds=10.0, most=1000).status == -15


def test_what_was_said_shows_in_no_repr() -> None:
    assert "AAECAwQF" not in repr(run(("echo", "AAECAwQF"), seconds=10.0, most=1000))


def test_a_program_that_is_not_there_is_the_systems_own_error() -> None:
    with pytest.raises(FileNotFoundError):
        run(("/nonexistent/program",), seconds=1.0, most=1)


def test_no_pipe_stays_open() -> None:
    before = open_descriptors()
    _python("pass")
    run(("sh", "-c", "sleep 5 & exit"), seconds=10.0, most=10)
    assert open_descriptors() <= before
