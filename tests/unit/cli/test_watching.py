"""How far reading has come: a line that is gone in the end on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import pytest

from keyctl.cli import terminal, watching
from keyctl.cli.terminal import Screen
from keyctl.cli.watching import Lines


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    return clock


def on(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "screen", lambda _: Screen(is_terminal, False, True, 80))


def test_on_a_terminal_every_part_shows_at_once_its_count_now_and_then_and_nothing_stays(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, is_terminal=True)
    with Lines("s.db") as lines:
        lines.reading("history")
        lines.reading("history: 1")
        clock.now += 0.3
        lines.reading("history: 2")
    # What clears the line is taken out where it is no terminal's.
    assert capsys.readouterr().err == "\rs.db: history\rs.db: history: 2\r"


def test_elsewhere_a_line_every_ten_seconds_and_none_for_what_is_quick(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, is_terminal=False)
    with Lines("m1") as lines:
        for second in range(25):
            clock.now = 100.0 + second
            lines.arriving((1 + second) * 10_000_000, 400_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "m1: 110 of 400 MB, 11 MB/s, about 26 s left",
        "m1: 210 of 400 MB, 10 MB/s, about 18 s left",
    ]


def test_a_dumb_terminal_gets_no_line_that_it_cannot_take_back(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, is_terminal=True)
    monkeypatch.setenv("TERM", "dumb")
    with Lines("m1") as lines:
        lines.arriving(1, 400_000_000)
        clock.now += 10
        lines.arriving(100_000_000, 400_000_000)
    assert capsys.readouterr().err == "m1: 100 of 400 MB, 10 MB/s, about 30 s left\n"


def test_what_comes_anew_from_another_member_is_timed_anew(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, is_terminal=False)
    with Lines() as lines:
        lines.arriving(9_000_000, 100_000_000)
        clock.now += 5
        lines.arriving(1, 100_000_000)
        clock.now += 10
        lines.arriving(50_000_000, 100_000_000)
    assert capsys.readouterr().err == "50 of 100 MB, 5 MB/s, about 10 s left\n"


def test_what_was_never_shown_leaves_no_trace(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on(monkeypatch, is_terminal=True)
    with Lines() as lines:
        lines.arriving(1, 2)
    assert capsys.readouterr().err == ""
