from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from keyctl.errors import ExitCode
from keyctl.findings import Location, Report, Severity, Status
from keyctl.reports import markdown
from tests.unit.reports import told


def test_the_verdict_stands_first_then_what_was_judged_then_the_failures() -> None:
    lines = markdown.render(told.of_every_status()).splitlines()
    assert lines[:2] == ["<!-- a report of keyctl -->", "## ❌ keyctl: ci-static&#58; so and so"]
    assert lines[4] == "Judged in full: 4 of the 5 checks that apply."
    order = [line for line in lines if line.startswith("###")]
    assert order == ["### Failed (1)", "### Not known (2)", "### Waived (1)"]
    row = next(line for line in lines if line.startswith("| critical"))
    assert row == "| critical | KC-ENC-001 | about fail | manifests/etcd.yaml line 7 | mend it |"


@pytest.mark.parametrize(
    ("statuses", "code", "sign"),
    [
        ((Status.PASS,), ExitCode.OK, "✅"),
        ((Status.PASS, Status.UNKNOWN), ExitCode.OK, "⚠️"),
        ((Status.PASS, Status.MANUAL), ExitCode.OK, "⚠️"),
        ((Status.PASS, Status.FAIL), ExitCode.OK, "⚠️"),
        ((Status.PASS,), ExitCode.UNEVALUATED, "❌"),
    ],
)
def test_the_green_sign_is_for_what_is_right_and_known(statuses: tuple[Status, ...], code: ExitCode, sign: str) -> None:
    text = markdown.render(told.report(*map(told.one, statuses), code=code))
    assert text.splitlines()[1].startswith(f"## {sign} keyctl: ")


def test_failures_come_by_how_bad_they_are() -> None:
    text = markdown.render(told.report(*(told.one(Status.FAIL, severity=one) for one in reversed(Severity))))
    assert re.findall(r"^\| (\w+) \| KC", text, re.MULTILINE) == [str(one) for one in Severity]


def test_nothing_that_came_from_outside_is_markup() -> None:
    html = MarkdownIt("commonmark", {"linkify": False}).enable("table").render(markdown.render(told.hostile()))
    own = {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<([a-z]\w*)", html)) == own
    assert len(re.findall("<td>", html)) == 5 * 4, "no cell was broken in two"
    # Shown as it was, with what is not printable escaped.
    assert "a|b &lt;script&gt;x&lt;/script&gt; &amp;amp;" in html


def test_nothing_turns_into_a_link_or_a_mention() -> None:
    finding = told.one(Status.FAIL, message="see https://evil.example or www.evil.example, @team, a@b.example #12")
    text = markdown.render(told.report(finding))
    assert not re.search(r"https?:|www\.|@|(?<!&)#\d", text)


def test_a_summary_is_never_larger_than_github_takes_and_says_what_is_missing() -> None:
    findings = [
        told.one(status, message="x" * 400, location=Location("y" * 400))
        for status in (Status.FAIL, Status.UNKNOWN, Status.WAIVED)
        for _ in range(2000)
    ]
    text = markdown.render(told.report(*findings))
    assert len(text.encode()) <= markdown.LARGEST
    assert len(re.findall("more are left out", text)) == 3
    for title in ("Failed", "Not known", "Waived"):
        assert f"### {title} (2000)" in text
    shown = len(re.findall(r"^\| critical \| KC", text, re.MULTILINE))
    left = int(re.findall(r"^(\d+) more are left out", text, re.MULTILINE)[0])
    assert shown + left == 2000


def test_a_failure_that_does_not_count_says_so() -> None:
    text = markdown.render(told.report(replace(told.one(Status.FAIL), counts=False), code=ExitCode.OK))
    assert "| critical, does not count | KC-ENC-001 |" in text


def test_a_report_with_nothing_in_it_says_so() -> None:
    assert "Findings: none." in markdown.render(Report("X", ExitCode.EMPTY, "nothing was there"))
