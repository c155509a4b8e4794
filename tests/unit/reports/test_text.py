from __future__ import annotations

import pytest

from keyctl.errors import ExitCode
from keyctl.findings import Finding, Location, Report, Severity, Status, Table
from keyctl.reports import text

TABLE = Table(
    ("NAME", "VALUES", "DETAIL", "STATE"),
    (("secrets", "12", "x", "ok"), ("configmaps", "3", "y" * 30, "stale")),
    numeric=frozenset({1}),
    wide_only=frozenset({2}),
)
FINDINGS = (
    Finding("KC-1", Severity.HIGH, Status.FAIL, "bad", Location(etcd_key="/registry/x"), fix="mend it"),
    Finding("KC-2", Severity.LOW, Status.PASS, "good"),
    Finding("KC-3", Severity.LOW, Status.UNKNOWN, "who knows", Location(file="a.yaml", line=3)),
)
REPORT = Report("Test", ExitCode.STALE, "some are old", FINDINGS, {}, (TABLE,), ("a note",), ("do this",))


def render(
    report: Report = REPORT,
    *,
    width: int | None = None,
    color: bool = False,
    unicode: bool = True,
    wide: bool = False,
) -> str:
    return text.render(report, width=width, color=color, unicode=unicode, wide=wide)


def test_a_report_reads_from_the_table_to_the_next_step() -> None:
    assert render() == (
        "NAME        VALUES  STATE\n"
        "secrets         12  ✓ ok\n"
        "configmaps       3  ! stale\n"
        "\n"
        "✗ high KC-1 bad: /registry/x\n"
        "    mend it\n"
        "? unknown KC-3 who knows: a.yaml:3\n"
        "\n"
        "a note\n"
        "\n"
        "✗ fail: some are old\n"
        "\n"
        "next: do this"
    )


def test_wide_shows_wide_columns_and_folded_findings() -> None:
    assert "y" * 30 in render(wide=True)
    assert "✓ pass KC-2 good" in render(wide=True)


def test_a_table_of_wide_columns_shows_only_when_wide() -> None:
    table = Table(("A",), (("hidden",),), title="more", wide_only=frozenset({0}))
    report = Report("Test", ExitCode.OK, "fine", tables=(table,))
    assert render(report) == "✓ ok: fine"
    assert render(report, wide=True) == "more:\nA\nhidden\n\n✓ ok: fine"


def test_ascii_has_symbols_of_its_own() -> None:
    shown = render(unicode=False)
    assert shown.isascii()
    assert "\nconfigmaps       3  !! stale\n" in shown
    assert "\nsecrets         12  ok\n" in shown
    assert "\nXX fail: some are old\n" in shown
    assert "\n?? unknown KC-3" in shown


def test_colour_is_only_added_to_symbol_and_word() -> None:
    shown = render(color=True)
    assert "\x1b[33m! stale\x1b[0m" in shown
    assert shown.replace("\x1b[33m", "").replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "") == (
        render()
    )


@pytest.mark.parametrize("color", [True, False])
def test_control_characters_of_the_content_never_reach_the_terminal(color: bool) -> None:
    evil = "\x1b[2Jx\r\n\u202e"
    finding = Finding(evil, Severity.HIGH, Status.FAIL, evil, Location(etcd_key=evil), fix=evil)
    table = Table(("NAME", "STATE"), ((evil, evil),), title=evil)
    report = Report("Test", ExitCode.OK, evil, (finding,), {}, (table,), (evil,), (evil,))
    shown = render(report, color=color)
    for forbidden in ("\x1b[2J", "\r", "\u202e"):
        assert forbidden not in shown
    assert "\\x1b[2Jx\\r\\n\\u202e" in shown


def test_nothing_is_cut_without_a_width_and_long_names_give_way_with_one() -> None:
    table = Table(("NAME", "VALUES", "STATE"), (("n" * 200, "1234", "plaintext"),), numeric=frozenset({1}))
    report = Report("Test", ExitCode.OK, "fine", tables=(table,))
    assert "n" * 200 in render(report)
    lines = render(report, width=60).splitlines()[:2]
    assert [len(line) for line in lines] == [54, 60]
    assert lines[1].startswith("n" * 30)
    assert "…" in lines[1]
    assert lines[1].endswith("1234  ✗ plaintext")
    assert "~" in render(report, width=60, unicode=False)


def test_a_terminal_too_narrow_still_shows_states() -> None:
    assert "✓ ok" in render(width=5)


@pytest.mark.parametrize(
    ("severity", "status", "mark"),
    [
        (Severity.CRITICAL, Status.FAIL, "! attention"),
        (Severity.HIGH, Status.FAIL, "! attention"),
        (Severity.MEDIUM, Status.FAIL, "✓ ok"),
        (Severity.CRITICAL, Status.PASS, "✓ ok"),
        (Severity.CRITICAL, Status.UNKNOWN, "✓ ok"),
    ],
)
def test_no_tick_stands_beside_a_cross_whatever_the_exit_code_is(severity: Severity, status: Status, mark: str) -> None:
    finding = Finding("KC-X", severity, status, "m")
    report = Report("X", ExitCode.OK, "read to its end", (finding,))
    assert text.render(report, width=None, color=False, unicode=True, wide=False).endswith(f"{mark}: read to its end")


def test_what_mends_several_findings_in_a_row_stands_once_behind_them() -> None:
    bad = FINDINGS[0]
    other = Finding("KC-4", Severity.HIGH, Status.FAIL, "worse", fix="mend that")
    shown = render(Report("Test", ExitCode.STALE, "x", (bad, bad, other, bad)))
    lines = ["✗ high KC-1 bad: /registry/x"] * 2 + ["    mend it", "✗ high KC-4 worse", "    mend that"]
    assert shown.splitlines()[:7] == [*lines, "✗ high KC-1 bad: /registry/x", "    mend it"]
