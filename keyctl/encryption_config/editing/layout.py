"""Where the elements of a list stand in the text, and the splices that reorder, add and remove them.

Works on block lists (a dash a line) and on flow lists (brackets, JSON). An element of a block list owns the
deeper comment lines right below its text, and the comment lines right above its dash from the first one that is
not deeper; they move with it. So what an element owns is the same in every place, and moving it back is exact.
Knows nothing of what the elements mean. A layout that cannot be edited line by line is refused, not rewritten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keyctl.documents import Document, Mapping, Node, Scalar, Sequence
from keyctl.errors import RefusedError

Edit = tuple[int, int, str]

# Line breaks to YAML, but not to the line arithmetic here.
_ODD_BREAKS = re.compile("\r(?!\n)|[\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class _Slot:
    """Offsets of one element. [start, end) moves with it; [dash, text_end) is what removing it takes away."""

    start: int
    dash: int
    text_end: int
    end: int


def check_editable(document: Document) -> None:
    """Raise `RefusedError` when splicing could change more than the place it is meant for."""
    if not document.plain:
        raise RefusedError(
            f"{document.name} uses YAML anchors, aliases or tags, which keyctl does not edit",
            hint="write the values out in place, have every API server load the file, then run this again",
        )
    if _ODD_BREAKS.search(document.text):
        raise RefusedError(
            f"{document.name} has line breaks that are neither LF nor CRLF",
            hint="convert them to LF, have every API server load the file, then run this again",
        )


def newline(text: str) -> str:
    """The line break of the file."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def reorder(document: Document, items: Sequence, order: tuple[int, ...]) -> list[Edit]:
    """The splices after which place i of the list holds what stood at `order[i]`; the rest stays in place."""
    text = document.text
    spans = (
        [(item.span.start, _text_end(text, item)) for item in items.items]
        if items.flow
        else [(slot.start, slot.end) for slot in _slots(document, items)]
    )
    return [(*spans[place], text[slice(*spans[source])]) for place, source in enumerate(order) if place != source]


def insert_after(document: Document, items: Sequence, index: int, lines: list[str]) -> Edit:
    """The splice that puts an element after the one at `index`.

    `lines` are its text: for a block list complete lines with dash and indentation; for a flow list the element
    alone, in several lines only when its neighbour starts a line of its own.
    """
    text = document.text
    if not items.flow:
        end = _slots(document, items)[index].end
        return end, end, "".join(newline(text) + line for line in lines)
    item = items.items[index]
    indent = indent_of_own_line(document, item)
    separator = " " if indent is None else newline(text) + indent
    end = _text_end(text, item)
    return end, end, f",{separator}{separator.join(lines)}"


def remove(document: Document, items: Sequence, index: int) -> list[Edit]:
    """The splices that take the element at `index` away; comment lines around it stay."""
    text = document.text
    if not items.flow:
        slot = _slots(document, items)[index]
        after = text.find("\n", slot.text_end)
        if after < 0:
            return [(len(text[: slot.dash].removesuffix("\n").removesuffix("\r")), slot.text_end, "")]
        return [(slot.dash, after + 1, "")]
    start, end = items.items[index].span.start, _text_end(text, items.items[index])
    first, second = (index - 1, index) if index else (index, index + 1)
    gap_start, gap_end = _text_end(text, items.items[first]), items.items[second].span.start
    if "#" not in text[gap_start:gap_end]:
        return [(gap_start, end, "")] if index else [(start, gap_end, "")]
    comma = _comma(text, gap_start)
    return [(start, end, ""), (comma, comma + 1, "")]


def indent_of_own_line(document: Document, node: Node) -> str | None:
    """What stands before `node` on its line when that is only indentation, else None."""
    before = document.text[_line_start(document.text, node.span.start) : node.span.start]
    return None if before.strip(" \t") else before


def dash_gap(document: Document, items: Sequence) -> int:
    """How many characters stand between the dash of a block list and its first element on the same line; else 1."""
    slot = _slots(document, items)[0]
    between = items.items[0].span.start - (slot.dash + items.span.column)
    on_one_line = _line_start(document.text, items.items[0].span.start) == slot.dash
    return between if on_one_line else 1


def _slots(document: Document, items: Sequence) -> list[_Slot]:
    text = document.text
    column = items.span.column - 1
    slots: list[_Slot] = []
    floor = 0
    for index, item in enumerate(items.items):
        dash = _dash_line(document, item, column, floor if index else _line_start(text, items.span.start))
        text_end = _line_end(text, _text_end(text, item))
        end = _own_comments_below(text, text_end, column)
        slots.append(_Slot(_own_comments_above(text, dash, floor, column), dash, text_end, end))
        floor = end
    return slots


def _dash_line(document: Document, item: Node, column: int, floor: int) -> int:
    """The start of the line with the dash of `item`: at or above the line where its text starts."""
    text = document.text
    start = _line_start(text, item.span.start)
    while start >= floor:
        line = text[start : start + column + 1]
        if line.endswith("-") and not line[:-1].strip(" "):
            return start
        start = _line_start(text, start - 1) if start else -1
    raise _unusual(document, item)


def _own_comments_above(text: str, dash: int, floor: int, column: int) -> int:
    own = start = dash
    while start > floor:
        above = _line_start(text, start - 1)
        line = text[above:start]
        stripped = line.lstrip(" \t")
        if above < floor or not stripped.startswith("#"):
            break
        start = above
        # A deeper line on top would belong to whatever element comes to stand above it.
        if len(line) - len(stripped) <= column:
            own = start
    return own


def _own_comments_below(text: str, end: int, column: int) -> int:
    while (below := text.find("\n", end)) >= 0:
        line = text[below + 1 : _line_end(text, below + 1)]
        stripped = line.lstrip(" \t")
        if not stripped.startswith("#") or len(line) - len(stripped) <= column:
            break
        end = below + 1 + len(line)
    return end


def _text_end(text: str, node: Node) -> int:
    """Where the text of `node` really ends: a block collection's own end is that of the blanks after it."""
    if isinstance(node, Scalar) or node.flow or not node.items:
        return node.span.start + len(text[node.span.start : node.span.end].rstrip())
    if isinstance(node, Mapping):
        key, value = node.items[-1]
        return max(_text_end(text, value), key.span.end)
    return _text_end(text, node.items[-1])


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, max(offset, 0)) + 1


def _line_end(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    return end - 1 if end > offset and text[end - 1] == "\r" else end


def _comma(text: str, offset: int) -> int:
    while text[offset] != ",":
        offset = text.index("\n", offset) if text[offset] == "#" else offset + 1
    return offset


def _unusual(document: Document, node: Node) -> RefusedError:
    return RefusedError(
        f"{document.name}:{node.span.line}: a list in a form that keyctl does not edit",
        hint="give each element a line that starts with its dash, or put the list in brackets",
    )
