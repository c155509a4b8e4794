"""A list of checks as lines for a person: a sign, what was looked at, what was found, and what mends it.

Never by colour alone: each outcome has a sign of its own, and the last line counts them in words. Nothing is cut:
lines are folded where a width is given.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """What came of one check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Line:
    """One check: `label` is what was looked at, `text` what was found, `mend` what to do about it, "" for nothing."""

    mark: Mark
    label: str
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Checks that belong together."""

    title: str
    lines: tuple[Line, ...]


# Sign, sign in ASCII, colour.
_SIGNS = {
    Mark.OK: ("✓", "ok", 32),
    Mark.WARNING: ("!", "!!", 33),
    Mark.FAILED: ("✗", "XX", 31),
    Mark.NOT_CHECKED: ("?", "??", 33),
}
_WIDEST_LABEL = 20
_NARROWEST = 40


def render(sections: Sequence[Section], *, width: int | None, color: bool, unicode: bool) -> str:
    """`sections` as text without a newline at its end, then how many checks came out how.

    `width` is the number of columns there are, None where no line may be folded.
    """
    lines = [one for section in sections for one in section.lines]
    margin = min(max((len(one.label) for one in lines), default=0), _WIDEST_LABEL)
    blocks = [
        "\n".join((_inert(section.title), *_lines(section, margin, width, color=color, unicode=unicode)))
        for section in sections
        if section.lines
    ]
    text = "\n\n".join((*blocks, counted(lines)))
    return text if unicode else text.encode("ascii", "backslashreplace").decode("ascii")


def folded(text: str, width: int | None, indent: str) -> str:
    """`text` in lines of `width` columns, all but the first behind `indent`; as it is where no width is given."""
    if width is None:
        return _inert(text)
    return textwrap.fill(_inert(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def counted(lines: Sequence[Line]) -> str:
    """How many of `lines` came out how, in words; outcomes that did not come are left out, but never ok."""
    found = Counter(line.mark for line in lines)
    words = {Mark.WARNING: ("warning", "warnings")}
    parts = []
    for mark in Mark:
        one, more = words.get(mark, (str(mark), str(mark)))
        if found[mark] or mark is Mark.OK:
            parts.append(f"{found[mark]} {one if found[mark] == 1 else more}")
    return ", ".join(parts)


def _lines(section: Section, margin: int, width: int | None, *, color: bool, unicode: bool) -> Iterator[str]:
    for one in section.lines:
        symbol, plain, shade = _SIGNS[one.mark]
        sign = symbol if unicode else plain
        label = _inert(one.label)
        head = f"{sign} {label.ljust(margin)}"
        indent = " " * (len(sign) + 1 + margin + 2)
        first, *rest = _folded(_inert(one.text), width, len(indent)) or [""]
        if len(label) > margin:
            yield _paint(f"{sign} {label}", sign, shade, color=color)
            rest, first = [first, *rest], ""
        else:
            yield _paint(f"{head}  {first}".rstrip(), sign, shade, color=color)
        yield from (indent + line for line in rest)
        if one.mend:
            arrow = "→ " if unicode else "-> "
            mend = _folded(_inert(one.mend), width, len(indent) + len(arrow))
            yield from (indent + (arrow if not at else " " * len(arrow)) + line for at, line in enumerate(mend))


def _folded(text: str, width: int | None, taken: int) -> list[str]:
    if width is None:
        return [text]
    room = max(width - taken, _NARROWEST)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _paint(line: str, sign: str, shade: int, *, color: bool) -> str:
    return f"\x1b[{shade}m{sign}\x1b[0m{line[len(sign) :]}" if color else line


def _inert(text: str) -> str:
    """`text` on one line, with control characters escaped: the last guard before a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
