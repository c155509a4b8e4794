"""A report as Markdown for the summary of a CI job: the verdict first, how much was judged, then what to mend.

Whatever came from outside is text there and nothing else: no link, mention, markup or cell of a table comes of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from keyctl.findings import Finding, Report, Severity, Status
from keyctl.reports.identity import place
from keyctl.reports.printable import printable

# By this line a summary of ours is known, and may be replaced.
MARK = "<!-- a report of keyctl -->"
# GitHub shows no summary of a step that is larger than 1 MiB.
LARGEST = 1_000_000
_ACTS = re.compile(r"[\\`*_{}\[\]<>#!|~&@$:]|(?<=www)\.", re.IGNORECASE)
_LONGEST = 500
_WORST_FIRST = tuple(Severity)


def render(report: Report) -> str:
    """Markdown without a newline at its end. Rows that do not fit are left out, and how many."""
    head = [MARK, *_head(report)]
    room = LARGEST - sum(len(line.encode()) + 1 for line in head)
    lines = list(head)
    for title, statuses in (
        ("Failed", (Status.FAIL,)),
        ("Not known", (Status.UNKNOWN, Status.MANUAL)),
        ("Waived", (Status.WAIVED,)),
    ):
        found = sorted(
            (one for one in report.findings if one.status in statuses), key=lambda one: _WORST_FIRST.index(one.severity)
        )
        section = list(_section(title, found, room))
        room -= sum(len(line.encode()) + 1 for line in section)
        lines += section
    return "\n".join(lines)


def _head(report: Report) -> Iterator[str]:
    yield f"## {_word(report)}: {_text(report.verdict, LARGEST // 10)}"
    yield ""
    yield f"Exit code {int(report.exit_code)}."
    coverage = report.data.get("coverage")
    if isinstance(coverage, Mapping):
        evaluated, applicable = (_text(str(coverage.get(name))) for name in ("evaluated", "applicable"))
        yield f"Judged in full: {evaluated} of the {applicable} checks that apply."
    found = Counter(one.status for one in report.findings)
    counts = ", ".join(f"{found[status]} {status}" for status in Status if found[status])
    yield f"Findings: {counts or 'none'}."


def _word(report: Report) -> str:
    if report.exit_code:
        return "❌ keyctl"
    serious = any(one.status is Status.FAIL for one in report.findings)
    unsure = any(one.status in (Status.UNKNOWN, Status.MANUAL) for one in report.findings)
    return "⚠️ keyctl" if serious or unsure else "✅ keyctl"


def _section(title: str, found: list[Finding], room: int) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield f"### {title} ({len(found)})"
    yield ""
    yield "| severity | check | what | where | what to do |"
    yield "|---|---|---|---|---|"
    # NOTE: half of the room each, so that what is not known never falls out for want of it.
    room = room // 2 - 200
    for number, row in enumerate(map(_row, found)):
        room -= len(row.encode()) + 1
        if room < 0:
            yield ""
            yield f"{len(found) - number} more are left out: the other formats of keyctl's reports have all."
            return
        yield row


def _row(finding: Finding) -> str:
    where = place(finding.location)
    line = f"{where} line {finding.location.line}" if finding.location.line else where
    word = str(finding.severity) if finding.status is Status.FAIL else str(finding.status)
    if not finding.counts:
        word += ", does not count"
    return f"| {' | '.join(_text(cell) for cell in (word, finding.id, finding.message, line, finding.fix or ''))} |"


def _text(text: str, limit: int = _LONGEST) -> str:
    """`text` with every character that could mean something to Markdown written as its number."""
    return _ACTS.sub(lambda one: f"&#{ord(one[0])};", printable(text, limit))
