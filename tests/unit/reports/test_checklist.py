"""Checks as lines: signs, folding, counts, and nothing that acts on a terminal."""

from __future__ import annotations

import pytest

from keyctl.reports.checklist import Line, Mark, Section, counted, folded, render

LINES = (
    Line(Mark.OK, "cp1", "ready"),
    Line(Mark.FAILED, "cp2", "down " * 30 + "end", "bring it back: keyctl doctor"),
    Line(Mark.WARNING, "a label that is too long for its column", "half full"),
    Line(Mark.NOT_CHECKED, "cp3", "not asked"),
)
SECTIONS = (Section("API servers", LINES), Section("empty", ()))


def test_each_outcome_has_a_sign_and_the_counts_are_in_words() -> None:
    text = render(SECTIONS, width=None, color=False, unicode=True)
    assert [line[0] for line in text.splitlines() if line.startswith(tuple("✓!✗?"))][:4] == ["✓", "✗", "!", "?"]
    assert text.endswith("1 ok, 1 warning, 1 failed, 1 not checked")
    assert "empty" not in text
    assert "\x1b" not in text


def test_nothing_is_cut_in_a_pipe_and_lines_are_folded_on_a_terminal() -> None:
    wide = render(SECTIONS, width=None, color=False, unicode=True)
    assert "down " * 30 + "end" in wide
    narrow = render(SECTIONS, width=80, color=False, unicode=True)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "".join(narrow.split()).count("down") == 30


def test_ascii_is_enough_to_tell_them_apart() -> None:
    text = render(SECTIONS, width=80, color=False, unicode=False)
    assert text.isascii()
    assert [line[:2] for line in text.splitlines() if line[:2] in ("ok", "XX", "!!", "??")] == ["ok", "XX", "!!", "??"]
    assert "-> bring it back" in text


def test_colour_is_on_the_sign_only() -> None:
    text = render(SECTIONS, width=None, color=True, unicode=True)
    assert "\x1b[32m✓\x1b[0m cp1" in text


@pytest.mark.parametrize("hostile", ["a\x1b[2Jb", "a\nb", "a\rb"])
def test_what_comes_from_outside_cannot_act_on_the_terminal(hostile: str) -> None:
    text = render((Section("s", (Line(Mark.OK, hostile, hostile, hostile),)),), width=None, color=False, unicode=True)
    assert hostile not in text
    assert hostile not in folded(hostile, 80, "")


def test_no_check_at_all_is_not_called_ok() -> None:
    assert counted(()) == "0 ok"
