"""What a stream can show, and how a report is shown on it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

from keyctl.cli import terminal
from keyctl.errors import ExitCode
from keyctl.findings import Report

REPORT = Report(kind="VerifyReport", exit_code=ExitCode.OK, verdict="all is well")


class Stream(io.TextIOWrapper):
    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(autouse=True)
def no_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_has_colour_and_a_width_and_a_pipe_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert terminal.screen(Stream(terminal=True)) == terminal.Screen(True, True, True, 90)
    assert terminal.screen(Stream(terminal=False)) == terminal.Screen(False, False, True, None)


@pytest.mark.parametrize(
    ("name", "value", "on_terminal", "color"),
    [
        ("NO_COLOR", "1", True, False),
        ("NO_COLOR", "", True, True),  # no-color.org: only when it is not empty
        ("TERM", "dumb", True, False),
        ("FORCE_COLOR", "1", False, True),
        ("CLICOLOR_FORCE", "1", False, True),
    ],
)
def test_the_environment_decides_on_colour(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, on_terminal: bool, color: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert terminal.screen(Stream(terminal=on_terminal)).color is color


def test_no_color_wins_over_force_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not terminal.screen(Stream(terminal=True)).color


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("UTF-8", True), ("utf8", True), ("ascii", False), ("latin-1", False)]
)
def test_symbols_need_an_encoding_that_has_them(encoding: str, unicode: bool) -> None:
    assert terminal.screen(Stream(terminal=False, encoding=encoding)).unicode is unicode


def test_a_report_is_shown_as_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(REPORT, "text")
    assert "all is well" in capsys.readouterr().out
    terminal.show(REPORT, "json")
    assert json.loads(capsys.readouterr().out)["exitCode"] == 0


@pytest.mark.parametrize(
    ("is_terminal", "term", "expected"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_only_what_can_be_cleared_is_shown_in_place(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, term: str, expected: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert terminal.redraws(Stream(terminal=is_terminal)) is expected


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", b"R1 \\u2026 R18"), ("utf-8", "R1 … R18".encode())])
def test_what_the_encoding_of_stdout_lacks_is_shown_by_its_number(encoding: str, shown: bytes) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "keyctl", "explain", "--help"],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (ExitCode.OK, b"")
    assert shown in ended.stdout
