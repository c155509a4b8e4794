"""What old material still lies where: areas of etcd's files by plaintext and keys.

For reports that looked behind the live values.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from keyctl.reports.html.elements import Child, el, mark, name, said
from keyctl.reports.html.fields import Fields, inner, items, number, text
from keyctl.reports.html.parts import captioned, scrolled, section

_AREAS = {"history": "history", "freePages": "free pages", "wal": "WAL", "snapDir": "other files"}
_COVERAGE = {
    "scanned": ("ok", "looked at"),
    "not-scanned": ("unknown", "not looked at"),
    "absent": ("none", "not there"),
}
_Key = tuple[str, str, bool, bool]


def drawn(data: Fields) -> Element | None:
    """The map; None where nothing behind the live values was looked at, and nothing is known of it."""
    coverage = inner(data, "coverage")
    groups = (*items(inner(data, "history"), "encrypted"), *items(inner(data, "residue"), "encrypted"))
    plain = {area: _plaintext(data, area) for area in _AREAS}
    looked = any(coverage.get(area) == "scanned" for area in _AREAS)
    if not looked and not groups and not any(plain.values()):
        return None
    keys = sorted({_key(group) for group in groups}, key=lambda key: (not key[2], key))
    heads: tuple[str | _Key, ...] = ("area", "looked at", "plaintext", *keys)
    rows = [
        el(
            "tr",
            el("th", words, scope="row"),
            el("td", _covered(text(coverage, area))),
            _counted(plain[area], "plaintext"),
            *(_counted(_values(groups, area, key), "missing" if key[2] else "", retired=key[2]) for key in keys),
        )
        for area, words in _AREAS.items()
    ]
    caption = "leftovers by area and key"
    table = el(
        "table",
        captioned(caption),
        el("thead", el("tr", *map(_head, heads))),
        el("tbody", *rows),
        class_="grid",
    )
    return section(
        "leftovers",
        "What is left behind the live values",
        scrolled(caption, table),
        _remarks(items(data, "remarks")),
    )


def _plaintext(data: Fields, area: str) -> int:
    if area == "history":
        return number(inner(data, "history"), "plaintext")
    return number(inner(inner(data, "residue"), "plaintextIn"), area)


def _key(group: Fields) -> _Key:
    return text(group, "provider"), text(group, "key"), group.get("retired") is True, group.get("otherBytes") is True


def _values(groups: Sequence[Fields], area: str, key: _Key) -> int:
    return sum(number(group, "values") for group in groups if text(group, "area") == area and _key(group) == key)


def _head(head: str | _Key) -> Element:
    if isinstance(head, str):
        return el("th", head, scope="col", class_="count" if head == "plaintext" else None)
    provider, key, retired, other_bytes = head
    role = "retired key" + (", other bytes of that name" if other_bytes else "") if retired else "key in use"
    label = f"{provider}/{key}" if key else provider
    return el("th", name(label), " ", el("span", role, class_="part title"), scope="col", class_="count")


def _covered(word: str) -> Element:
    state, words = _COVERAGE.get(word, ("unknown", "not known"))
    return mark(state, shown=words)


def _counted(count: int, wrong: str, *, retired: bool = False) -> Element:
    if not count:
        return el("td", "0", class_="count nothing")
    if not wrong:
        return el("td", str(count), class_="count shade-2")
    word = mark(wrong, shown="retired key" if retired else wrong)
    return el("td", str(count), " ", el("span", word, class_="part"), class_="count is-bad")


def _remarks(remarks: Sequence[Fields]) -> Element | None:
    if not remarks:
        return None
    lines: list[Child] = [
        el("li", f"{_AREAS.get(text(one, 'area'), text(one, 'area'))}: ", said(text(one, "text"))) for one in remarks
    ]
    return el("ul", *lines)
