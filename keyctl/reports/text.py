"""A report as lines for a person: what is wrong first, then the tables, the verdict, and what to do next.

Never by colour alone: every state has a symbol and a word. Nothing is cut
unless a width is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keyctl.findings import Finding, Report, Status, Table
from keyctl.reports.marks import MARKS, inert, verdict_word, where

_STATE_COLUMN = "STATE"
_GAP = "  "
_NARROWEST = 8
_FOLDED = frozenset({Status.PASS, Status.NOT_APPLICABLE})


def render(report: Report, *, width: int | None, color: bool, unicode: bool, wide: bool) -> str:
    """`report` as text without a newline at its end.

    `width` is the number of columns there are, None where nothing may be cut.
    `wide` shows wide columns and the findings that are folded otherwise.
    """
    style = _Style(color=color, unicode=unicode)
    blocks = [list(_table(table, style, width=width, wide=wide)) for table in report.tables]
    blocks.append(list(_finding_lines(report.findings, style, wide=wide)))
    blocks.append([inert(note) for note in report.notes])
    blocks.append([style.verdict(report)])
    blocks.append([f"next: {inert(step)}" for step in report.next_steps])
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    return text if unicode else text.replace("…", "~").encode("ascii", "backslashreplace").decode("ascii")


class _Style:
    def __init__(self, *, color: bool, unicode: bool) -> None:
        self._color, self._unicode = color, unicode

    def mark(self, word: str) -> str:
        """Symbol and word, or the word alone where it needs no symbol."""
        if word not in MARKS:
            return inert(word)
        symbol, ascii_symbol, _ = MARKS[word]
        if self._unicode:
            return f"{symbol} {word}"
        return word if ascii_symbol == word else f"{ascii_symbol} {word}"

    def paint(self, word: str, shown: str) -> str:
        if not self._color or word not in MARKS:
            return shown
        bare = shown.rstrip()
        return f"\x1b[{MARKS[word][2]}m{bare}\x1b[0m{shown[len(bare) :]}"

    def verdict(self, report: Report) -> str:
        word = verdict_word(report)
        return self.paint(word, f"{self.mark(word)}: {inert(report.verdict)}")


def _finding_lines(findings: Sequence[Finding], style: _Style, *, wide: bool) -> Iterator[str]:
    shown = [finding for finding in findings if wide or finding.status not in _FOLDED]
    fixes = [finding.fix for finding in shown]
    for number, finding in enumerate(shown):
        place = where(finding.location)
        # A failed check is named by how bad it is: that is what --fail-on goes by.
        word = str(finding.severity if finding.status is Status.FAIL else finding.status)
        text = f"{finding.message}: {place}" if place else finding.message
        yield f"{style.paint(word, style.mark(word))} {inert(f'{finding.id} {text}')}"
        # What mends several that stand together is said once, behind the last of them.
        if finding.fix and fixes[number + 1 : number + 2] != [finding.fix]:
            yield f"    {inert(finding.fix)}"


def _table(table: Table, style: _Style, *, width: int | None, wide: bool) -> Iterator[str]:
    shown = [index for index in range(len(table.columns)) if wide or index not in table.wide_only]
    if not shown:
        return
    state = [index for index in shown if table.columns[index] == _STATE_COLUMN]
    cells = [[table.columns[index] for index in shown]]
    cells += [
        [style.mark(row[index]) if index in state else inert(row[index]) for index in shown] for row in table.rows
    ]
    numeric = [index in table.numeric for index in shown]
    widths = _widths(cells, [right or place in state for place, right in zip(shown, numeric, strict=True)], width)
    if table.title:
        yield f"{inert(table.title)}:"
    for number, row in enumerate(cells):
        parts = []
        for place, cell in enumerate(row):
            fitted = _fit(cell, widths[place], right=numeric[place])
            is_state = number > 0 and shown[place] in state
            parts.append(style.paint(table.rows[number - 1][shown[place]], fitted) if is_state else fitted)
        yield _GAP.join(parts).rstrip()


def _widths(cells: Sequence[Sequence[str]], rigid: Sequence[bool], width: int | None) -> list[int]:
    """The width of each column; the widest that are not `rigid` give way until all fit into `width`."""
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    while width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        place = max((p for p, fixed in enumerate(rigid) if not fixed), key=lambda p: widths[p], default=None)
        if place is None or widths[place] <= _NARROWEST:
            return widths
        widths[place] -= 1
    return widths


def _fit(cell: str, width: int, *, right: bool) -> str:
    if len(cell) > width:
        cell = cell[: width - 1] + "…"
    return cell.rjust(width) if right else cell.ljust(width)
