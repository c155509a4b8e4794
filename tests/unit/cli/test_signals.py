"""What asks a command to stop does so once, in order, and nothing is cut off by a terminal that is gone."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from keyctl.cli import main
from keyctl.cli.signals import STOPPING, handled, stop_now
from keyctl.errors import ExitCode


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    """All signals as a terminal hands them over, whatever started the tests."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Asked:
    """Notes the signals that come through."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.numbers.append(number)


@pytest.mark.parametrize("number", STOPPING)
def test_each_signal_is_handled_within_and_given_back_after(number: signal.Signals) -> None:
    asked = Asked()
    with handled(asked):
        signal.raise_signal(number)
    assert (asked.numbers, signal.getsignal(number)) == ([number], signal.SIG_DFL)


@pytest.mark.parametrize("number", STOPPING)
def test_every_command_ends_as_by_ctrl_c(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.cli, "main", lambda **_: signal.raise_signal(number))
    assert main.run(["version"]) == ExitCode.INTERRUPTED


def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = Asked()
    with handled(asked):
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert (asked.numbers, signal.getsignal(signal.SIGHUP)) == ([signal.SIGTERM], signal.SIG_IGN)


@pytest.mark.parametrize("first", STOPPING)
def test_a_hang_up_after_another_signal_does_not_count_and_a_second_ctrl_c_does(first: signal.Signals) -> None:
    asked = Asked()
    with handled(asked):
        for number in (first, signal.SIGHUP, signal.SIGINT):
            signal.raise_signal(number)
    assert asked.numbers == [first, signal.SIGINT]


def test_a_second_hang_up_does_not_cut_off_what_is_put_back_further_out() -> None:
    put_back = []

    def work() -> None:
        try:
            with handled(stop_now):
                signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGHUP)
            put_back.append("all")

    with pytest.raises(KeyboardInterrupt), handled(stop_now):
        work()
    assert put_back == ["all"]


def test_off_the_main_thread_nothing_is_handled_and_nothing_fails() -> None:
    done = []

    def work() -> None:
        with handled(stop_now):
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert done == [signal.SIG_DFL]


CLOSED = """
import pathlib, signal, sys, time
from keyctl.cli.signals import handled
asked = []
with handled(lambda number, frame: asked.append(number)):
    print("ready", flush=True)
    while not asked:
        time.sleep(0.01)
    print("nobody reads this", flush=True)
    print("nor this", file=sys.stderr, flush=True)
pathlib.Path(sys.argv[1]).write_text(f"finished after {asked}")
"""


def test_a_terminal_that_is_gone_does_not_keep_the_work_from_its_end(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{CLOSED}",
            tmp_path / "end",
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert os.read(ours, 100).startswith(b"ready")
        os.close(ours)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)
    assert (tmp_path / "end").read_text() == f"finished after [{int(signal.SIGHUP)}]"
