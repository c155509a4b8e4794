"""Resources by keys: under what every value stands, as a table of counts. For reports that have `resources`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from keyctl.reports.html.elements import Child, el, mark, name
from keyctl.reports.html.fields import Fields, items, number, text
from keyctl.reports.html.parts import captioned, scrolled, section

_PLAINTEXT, _ODD, _MISSING = "plaintext", "not recognised", "missing"
_ROLES = {"write": "writes", "read": "only reads"}
_ORDER = ("write", "read", "unknown")
_SHADES = 4
_GROUNDS = {"stale": "is-warn", "unknown": "is-open"}


@dataclass(frozen=True, slots=True)
class _Cell:
    """`values` under one key that stand alike; `state` is the state word, "" where all is right."""

    values: int
    state: str = ""


@dataclass(frozen=True, slots=True)
class _Column:
    """A key, or what is under none. `ref` tells it from others, `roles` are those it has for some resource."""

    ref: tuple[str, ...]
    label: str
    roles: tuple[str, ...] = ()


def drawn(data: Fields) -> Element | None:
    """The grid, the resources that are not judged folded below it; None for data without resources."""
    resources = items(data, "resources")
    if not resources:
        return None
    columns = _columns(resources)
    most = max((number(group, "values") for one in resources for group in items(one, "encrypted")), default=1)
    required = [one for one in resources if one.get("required") is True]
    others = [one for one in resources if one.get("required") is not True]
    return section(
        "values",
        "What stands under which key",
        el(
            "p",
            "A cell is a number of stored values, shaded by how many. What is wrong has a sign, a word and a frame.",
            class_="aside",
        ),
        _table(f"{len(required)} resources that must be encrypted", required, columns, most) if required else None,
        el(
            "details",
            el("summary", f"{len(others)} resources that are not required"),
            _table("resources that are not required", others, columns, most),
        )
        if others
        else None,
    )


def _columns(resources: Sequence[Fields]) -> tuple[_Column, ...]:
    """Keys that write first, then those that only read, then the rest; what is under no key last."""
    roles: dict[tuple[str, ...], set[str]] = {}
    for one in resources:
        for group in items(one, "encrypted"):
            roles.setdefault(_ref(group), set()).add(text(group, "role"))
    found = [_Column(ref, _label(ref), tuple(r for r in _ORDER if r in roles[ref])) for ref in roles]
    found.sort(key=lambda column: (_ORDER.index(column.roles[0]) if column.roles else len(_ORDER), column.ref))
    found.append(_Column((_PLAINTEXT,), _PLAINTEXT))
    for odd, field in ((_ODD, "unrecognised"), (_MISSING, "missing")):
        if any(number(one, field) for one in resources):
            found.append(_Column((odd,), odd))
    return tuple(found)


def _ref(group: Fields) -> tuple[str, ...]:
    return text(group, "provider"), text(group, "version"), text(group, "key"), text(group, "keyId")


def _label(ref: tuple[str, ...]) -> str:
    provider, version, key, key_id = ref
    said = f"{provider}/{key}" if key else provider
    return said + (f" {version}" if provider == "kms" else "") + (f" ({key_id})" if key_id else "")


def _table(caption: str, resources: Sequence[Fields], columns: Sequence[_Column], most: int) -> Element:
    used = [
        column for column in columns if column.ref == (_PLAINTEXT,) or any(_cells(one, column) for one in resources)
    ]
    heads = [el("th", "resource", scope="col"), *map(_head, used), el("th", "all", scope="col", class_="count")]
    rows = [_row(one, used, most) for one in resources]
    return scrolled(
        caption, el("table", captioned(caption), el("thead", el("tr", *heads)), el("tbody", *rows), class_="grid")
    )


def _head(column: _Column) -> Element:
    roles = ", ".join(_ROLES[role] for role in column.roles if role in _ROLES)
    part = el("span", roles, class_="part title") if roles else None
    return el("th", name(column.label), " " if part is not None else None, part, scope="col", class_="count")


def _row(resource: Fields, columns: Sequence[_Column], most: int) -> Element:
    judged = resource.get("required") is True
    return el(
        "tr",
        el("th", name(text(resource, "resource")), scope="row"),
        *(_shown(_cells(resource, column), most, judged=judged) for column in columns),
        el("td", str(number(resource, "values")), class_="count"),
    )


def _cells(resource: Fields, column: _Column) -> tuple[_Cell, ...]:
    """What `resource` has in `column`; nothing where it has no values there."""
    match column.ref:
        case ("plaintext",):
            found: Iterable[_Cell] = (_Cell(number(resource, "plaintext"), _PLAINTEXT),)
        case ("not recognised",):
            found = (_Cell(number(resource, "unrecognised"), "unrecognised"),)
        case ("missing",):
            found = (_Cell(number(resource, "missing"), _MISSING),)
        case _:
            found = (cell for group in items(resource, "encrypted") if _ref(group) == column.ref for cell in _of(group))
    return tuple(cell for cell in found if cell.values)


def _of(group: Fields) -> Iterator[_Cell]:
    """The values of `group`; those that its key did not open are told apart."""
    failed, state = number(group, "failed"), text(group, "state")
    if not state:
        state = {"write": "ok", "read": "stale"}.get(text(group, "role"), "unknown")
    if state == "unreadable":
        state = "stale" if text(group, "role") == "read" else "ok"
    yield _Cell(number(group, "values") - failed, "" if state == "ok" else state)
    yield _Cell(failed, "unreadable")


def _shown(cells: Sequence[_Cell], most: int, *, judged: bool) -> Element:
    if not cells:
        return el("td", "0", class_="count nothing")
    wrong = [cell for cell in cells if cell.state and (judged or cell.state in ("unreadable", "unrecognised"))]
    total = str(sum(cell.values for cell in cells))
    parts: list[Child] = [total]
    for cell in wrong:
        parts += [" ", el("span", mark(cell.state), f": {cell.values}" if len(cells) > 1 else None, class_="part")]
    ground = f"shade-{_shade(cells, most)}"
    if wrong:
        # The worst one, which comes last, frames the cell.
        ground = _GROUNDS.get(wrong[-1].state, "is-bad")
    elif any(cell.state for cell in cells):
        ground = "unjudged"
    return el("td", *parts, class_=f"count {ground}")


def _shade(cells: Sequence[_Cell], most: int) -> int:
    """1 to `_SHADES`, by the number of digits that the count has beside the most of all."""
    share = sum(cell.values for cell in cells).bit_length() / max(most.bit_length(), 1)
    return min(max(round(share * _SHADES), 1), _SHADES)
