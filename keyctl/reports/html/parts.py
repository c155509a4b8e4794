"""What the parts of a page are built of: sections under a heading, tables that scroll, pairs of a word and a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from keyctl.reports.html.elements import Child, el

# From so many characters on a cell has this class.
_BREADTHS = ((48, "longer"), (16, "long"))


def section(anchor: str, title: str, *children: Child) -> Element:
    """A section of the page: a landmark that has the name of its heading."""
    return el("section", el("h2", title, id=f"{anchor}-title"), *children, id=anchor, aria_labelledby=f"{anchor}-title")


def scrolled(label: str, table: Element) -> Element:
    """`table` in a frame of its own that scrolls where the screen is narrower, by keyboard, too."""
    return el("div", table, class_="scroll", role="region", aria_label=f"Table: {label}", tabindex=0)


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Child]], *, counts: frozenset[int] = frozenset()
) -> Element:
    """A table whose first column names its rows. `counts` are the columns of numbers."""
    heads = [
        el("th", column, scope="col", class_="count" if place in counts else None)
        for place, column in enumerate(columns)
    ]
    body = [el("tr", *(_cell(cell, place, counts) for place, cell in enumerate(row))) for row in rows]
    return scrolled(caption, el("table", captioned(caption), el("thead", el("tr", *heads)), el("tbody", *body)))


def captioned(caption: str) -> Element:
    """The caption of a table, which stays in sight while the table scrolls."""
    return el("caption", el("span", caption))


def facts(pairs: Iterable[tuple[str, Child]]) -> Element | None:
    """Pairs of a word and what it is, as a list; None where there are none."""
    shown = [part for word, value in pairs for part in (el("dt", word), el("dd", value))]
    return el("dl", *shown, class_="facts") if shown else None


def counted(number: int, one: str, more: str | None = None) -> str:
    """`number` with its noun."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def _cell(cell: Child, place: int, counts: frozenset[int]) -> Element:
    kind = "count" if place in counts else _breadth(cell)
    return el("td", cell, class_=kind) if place else el("th", cell, scope="row", class_=kind)


def _breadth(cell: Child) -> str | None:
    """The class of a cell whose text needs a column that is wide enough to be read."""
    length = len(cell if isinstance(cell, str) else "".join(cell.itertext())) if cell is not None else 0
    return next((kind for least, kind in _BREADTHS if length >= least), None)
