"""An HTML page as a tree, by the standard library's own parser: what a test can ask about a page without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Node:
    """An element. `children` are elements and texts, in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    @property
    def elements(self) -> list[Node]:
        """The elements right below this one."""
        return [child for child in self.children if isinstance(child, Node)]

    @property
    def text(self) -> str:
        """All text below, white space as one space."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            yield from [child] if isinstance(child, str) else child._texts()

    def all(self, *tags: str) -> list[Node]:
        """Every element below with one of `tags`, or every one, in the order of the page."""
        found = []
        for child in self.elements:
            found += [child] if not tags or child.tag in tags else []
            found += child.all(*tags)
        return found

    def one(self, tag: str) -> Node:
        """The only element below with `tag`."""
        (found,) = self.all(tag)
        return found

    def by_id(self, name: str) -> Node:
        """The only element below with this id."""
        (found,) = (node for node in self.all() if node.attributes.get("id") == name)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("")
        self._open = [self.root]
        self.declarations: list[str] = []

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(node)
        if tag not in _VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def close(self) -> None:
        super().close()
        assert self._open == [self.root], f"never closed: {[node.tag for node in self._open[1:]]}"


def read(page: str) -> Node:
    """The tree of `page`, whose elements all close as they should; fails for anything else."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.declarations == ["DOCTYPE html"]
    return reader.root
