"""Trees of fields, lists and texts, and the many ways to lay one out as YAML or JSON.

Knows no schema. The layouts mean the same, but for texts that stand as they are (`Style.RAW`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from hypothesis import strategies as st


class Style(Enum):
    """How a text is written. RAW is as it stands, whatever that means then."""

    RAW = auto()
    SINGLE = auto()
    DOUBLE = auto()
    ASCII = auto()
    TAGGED = auto()
    LITERAL = auto()
    FOLDED = auto()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text."""

    text: str
    style: Style


@dataclass(frozen=True, slots=True)
class List:
    """Elements in order."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Fields in order; a name may stand twice."""

    pairs: tuple[tuple[Leaf, Node], ...]


Node = Leaf | List | Map


@dataclass(frozen=True, slots=True)
class Layout:
    """How YAML is laid out. `flow_from` is the depth from which braces and brackets are used.

    `step` and `dash` are the blanks before a deeper mapping and list, `gap` those behind a dash. `tight` leaves out
    blanks in brackets. Every `comments`-th line gets a comment, every `anchors`-th node an anchor; 0 is none.
    """

    step: int = 2
    dash: int = 0
    gap: int = 1
    flow_from: int = 9
    tight: bool = False
    comments: int = 0
    anchors: int = 0


def with_another(draw: st.DrawFn, root: Node, others: Sequence[Node]) -> Node:
    """The tree with one node replaced by one of `others`, by one of its own parts, or doubled."""
    paths = list(_paths(root))
    path = draw(st.sampled_from(paths))
    node = _at(root, path)
    return _put(root, path, draw(st.sampled_from([*others, *_parts(node), List((node,)), List((node, node))])))


def as_json(node: Node, indent: int | None) -> str:
    """`node` as JSON, in one line when `indent` is None. A raw text stays raw where JSON has it."""
    return _json(node, indent, 0)


def as_yaml(node: Node, layout: Layout) -> str:
    """`node` as a whole YAML document."""
    writer = _Writer(layout)
    text = writer.behind(node, indent=0, depth=0)
    return _commented(text.lstrip("\n "), layout.comments)


@dataclass
class _Writer:
    layout: Layout
    nodes: int = field(default=0)

    def behind(self, node: Node, *, indent: int, depth: int) -> str:
        """What follows a colon or a dash: a blank and one line, or a line break and lines from column `indent` on."""
        mark = self._mark()
        if isinstance(node, Leaf) and node.style in (Style.LITERAL, Style.FOLDED):
            return f"{mark} {_block_text(node, indent + 1)}"
        if isinstance(node, Leaf) or depth >= self.layout.flow_from or not _parts(node):
            return f"{mark} {self._flow(node)}\n"
        pad = " " * indent
        if isinstance(node, Map):
            lines = (
                f"{pad}{_inline(name)}:{self.behind(child, indent=indent + self._deeper(child), depth=depth + 1)}"
                for name, child in node.pairs
            )
            return f"{mark}\n" + "".join(lines)
        inner = indent + 1 + self.layout.gap
        items = (self.behind(item, indent=inner, depth=depth + 1) for item in node.items)
        return f"{mark}\n" + "".join(f"{pad}-{self._joined(item)}" for item in items)

    def _joined(self, item: str) -> str:
        """An element's first line moved up behind its dash."""
        if not item.startswith("\n"):
            return item
        return " " * self.layout.gap + item.lstrip("\n ")

    def _deeper(self, child: Node) -> int:
        return self.layout.dash if isinstance(child, List) else self.layout.step

    def _flow(self, node: Node) -> str:
        if isinstance(node, Leaf):
            return _inline(node)
        comma, colon = (",", ":") if self.layout.tight else (", ", ": ")
        if isinstance(node, List):
            return f"[{comma.join(self._flow(item) for item in node.items)}]"
        # Without a blank the colon would be a part of an unquoted name.
        colons = (colon if name.style in (Style.SINGLE, Style.DOUBLE) else ": " for name, _ in node.pairs)
        pairs = zip(node.pairs, colons, strict=True)
        return f"{{{comma.join(f'{_inline(name)}{mark}{self._flow(child)}' for (name, child), mark in pairs)}}}"

    def _mark(self) -> str:
        self.nodes += 1
        return f" &n{self.nodes}" if self.layout.anchors and self.nodes % self.layout.anchors == 0 else ""


def _inline(leaf: Leaf) -> str:
    match leaf.style:
        case Style.SINGLE:
            return "'" + leaf.text.replace("'", "''").replace("\n", "\n\n ") + "'"
        case Style.DOUBLE:
            return json.dumps(leaf.text, ensure_ascii=False)
        case Style.ASCII:
            return json.dumps(leaf.text)
        case Style.TAGGED:
            return f"!!str {json.dumps(leaf.text)}"
        case _:
            return leaf.text


def _block_text(leaf: Leaf, indent: int) -> str:
    head = "|" if leaf.style is Style.LITERAL else ">"
    chomp = "" if leaf.text.endswith("\n") else "-"
    lines = leaf.text.removesuffix("\n").split("\n")
    return f"{head}{chomp}\n" + "".join(f"{' ' * indent}{line}\n" for line in lines)


def _commented(text: str, every: int) -> str:
    """`text` with a comment behind every so many lines, and a whole line of comment now and then."""
    if not every:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(
        f"{line.rstrip()} # c\n# whole\n" if number % every == 0 and line.strip() else line
        for number, line in enumerate(lines, start=1)
    )


_JSON_WORDS = ("null", "true", "false")


def _json(node: Node, indent: int | None, depth: int) -> str:
    if isinstance(node, Leaf):
        bare = node.style is Style.RAW and (node.text in _JSON_WORDS or node.text.removeprefix("-").isdecimal())
        return node.text if bare else json.dumps(node.text, ensure_ascii=node.style is not Style.DOUBLE)
    pad, end = ("", "") if indent is None else ("\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth)
    if isinstance(node, List):
        parts, (left, right) = [_json(item, indent, depth + 1) for item in node.items], "[]"
    else:
        parts = [f"{json.dumps(name.text)}:{_json(child, indent, depth + 1)}" for name, child in node.pairs]
        left, right = "{}"
    return left + ",".join(pad + part for part in parts) + (end if parts else "") + right


_Path = tuple[int, ...]


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, List):
        return node.items
    return tuple(child for _, child in node.pairs) if isinstance(node, Map) else ()


def _paths(node: Node, path: _Path = ()) -> Iterator[_Path]:
    yield path
    for number, part in enumerate(_parts(node)):
        yield from _paths(part, (*path, number))


def _at(node: Node, path: _Path) -> Node:
    for number in path:
        node = _parts(node)[number]
    return node


def _put(node: Node, path: _Path, new: Node) -> Node:
    if not path:
        return new
    number, rest = path[0], path[1:]
    child = _put(_parts(node)[number], rest, new)
    if isinstance(node, List):
        return replace(node, items=(*node.items[:number], child, *node.items[number + 1 :]))
    if isinstance(node, Map):
        name, _ = node.pairs[number]
        return replace(node, pairs=(*node.pairs[:number], (name, child), *node.pairs[number + 1 :]))
    raise ValueError("a text has no parts")
