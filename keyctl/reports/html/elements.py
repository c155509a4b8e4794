"""Elements of a page. Whatever is given as text stays text: it is escaped when the page is written, and never acts."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from keyctl.reports.marks import MARKS, inert

Child = Element | str | None

# Elements behind which the text of the page begins a new line, for those who read or compare its source.
_STRUCTURE = ("html", "head", "meta", "style", "title", "body", "header", "nav", "main", "section", "article", "footer")
_TEXT = ("h1", "h2", "h3", "h4", "p", "ul", "ol", "li", "dl", "dt", "dd", "div", "details", "summary")
_FIGURES = ("table", "caption", "thead", "tbody", "tr", "svg", "rect", "line")
_BLOCKS = frozenset((*_STRUCTURE, *_TEXT, *_FIGURES))
# What a sign says, as the class that colours it.
_TONES = {"✓": "good", "!": "warn", "✗": "bad", "?": "open", "-": "quiet"}


def el(tag: str, /, *children: Child, **attributes: str | int | None) -> Element:
    """The element `tag` with `children`; None among them, and attributes that are None, are left out.

    An attribute that Python cannot spell is written with an underscore for a hyphen, or one at its end: `class_`.
    """
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    made = Element(tag, {key: inert(str(value)) for key, value in given.items() if value is not None})
    if tag in _BLOCKS:
        made.tail = "\n"
    extend(made, children)
    return made


def extend(parent: Element, children: Iterable[Child]) -> None:
    """Add `children` behind what `parent` has."""
    for child in children:
        if isinstance(child, str):
            _add_text(parent, inert(child))
        elif child is not None:
            parent.append(child)


def style_sheet(text: str) -> Element:
    """A style element with `text`, which is written as it is: it must be ours."""
    made = Element("style")
    made.text, made.tail = text, "\n"
    return made


def mark(word: str, *, shown: str | None = None) -> Element:
    """The sign of a state with its word, or with `shown` for it: never the colour alone."""
    sign = MARKS[word][0] if word in MARKS else "-"
    return el(
        "span",
        el("span", sign, aria_hidden="true"),
        f" {word if shown is None else shown}",
        class_=f"mark {tone(word)}",
    )


def tone(word: str) -> str:
    """The class that colours the state `word`: good, warn, bad, open or quiet."""
    return _TONES[MARKS[word][0]] if word in MARKS else "quiet"


def name(text: str) -> Element:
    """A name that somebody else chose, kept apart from the text around it: its direction of writing is its own."""
    return el("bdi", text, class_="name")


def said(text: str) -> Element:
    """A sentence that may hold such names."""
    return el("bdi", text)


def written(root: Element) -> str:
    """`root` as HTML."""
    return ElementTree.tostring(root, encoding="unicode", method="html")


def _add_text(parent: Element, text: str) -> None:
    if len(parent):
        last = parent[-1]
        last.tail = (last.tail or "") + text
    else:
        parent.text = (parent.text or "") + text
