"""What changed between a text and its rebuilt indentation, in sentences."""

from __future__ import annotations

from itertools import groupby

from keyctl.encryption_config.repair.lines import Form, Line, read_lines


def moves(before: str, after: str) -> tuple[tuple[int, str], ...]:
    """The line and the sentence of each change; lines in a row that moved alike are one. Repeats no value."""
    # Lines stay in their order; a last one of blanks alone, without a line break, is none any more.
    pairs = list(zip(read_lines(before), read_lines(after), strict=False))
    meant = [(old, _change(old, new)) for old, new in pairs if old.form in (Form.FIELD, Form.ITEM)]
    found: list[tuple[int, str]] = []
    for change, group in groupby(meant, key=lambda pair: pair[1]):
        if change is not None:
            lines = [line for line, _ in group]
            others = len(lines) - 1
            more = f" and the {others} lines under it" if others > 1 else " and the line under it" if others else ""
            found.append((lines[0].number, f"{_label(lines[0])}{more} {change}"))
    return tuple(found)


def _label(line: Line) -> str:
    return line.name if line.form is Form.FIELD else "a resource"


def _change(old: Line, new: Line) -> str | None:
    if (old.indent, old.dash) == (new.indent, new.dash):
        return None
    if new.dash and not old.dash:
        return "begins with a dash: it starts an element of a list"
    if old.dash and not new.dash:
        return "has no dash: it belongs to the element above"
    if old.column is None or new.column is None:
        return "stands behind spaces instead of tabs"
    shift = new.column - old.column
    columns = "1 column" if abs(shift) == 1 else f"{abs(shift)} columns"
    return f"moved {'in' if shift > 0 else 'out'} by {columns}"
