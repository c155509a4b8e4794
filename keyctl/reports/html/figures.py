"""The tables and the remaining data of a report as they are: what every kind of report has, known here or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from keyctl.findings import Table
from keyctl.reports.html.elements import Child, el, mark, name
from keyctl.reports.html.fields import shown
from keyctl.reports.html.parts import counted, facts, section, table

_STATE_COLUMN = "STATE"
# What lies deeper in the data is written as JSON.
_DEEPEST = 6


def tables(given: Sequence[Table]) -> Element | None:
    """Every table with all its columns; None where there is none."""
    drawn = [_table(one, f"table {place} of {len(given)}") for place, one in enumerate(given, 1) if one.rows]
    return section("figures", "In figures", *drawn) if drawn else None


def data(given: Mapping[str, object]) -> Element | None:
    """All fields of the report, folded."""
    if not given:
        return None
    return section(
        "data", "All fields", el("details", el("summary", counted(len(given), "field")), _object(given, _DEEPEST))
    )


def _table(one: Table, otherwise: str) -> Element:
    rows = [
        [_cell(cell, is_state=column == _STATE_COLUMN, first=not place) for place, (column, cell) in _cells(one, row)]
        for row in one.rows
    ]
    return table(one.title or otherwise, [column.lower() for column in one.columns], rows, counts=one.numeric)


def _cells(one: Table, row: Sequence[str]) -> Sequence[tuple[int, tuple[str, str]]]:
    return tuple(enumerate(zip(one.columns, row, strict=True)))


def _cell(text: str, *, is_state: bool, first: bool) -> Child:
    return mark(text) if is_state else name(text) if first else text


def _value(value: object, depth: int) -> Child:
    if isinstance(value, Mapping):
        return _object(value, depth - 1) if value and depth else shown(value or None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _list(value, depth - 1) if value and depth else shown(value or None)
    return name(shown(value))


def _object(value: Mapping[str, object], depth: int) -> Element | None:
    return facts((str(key), _value(inner, depth)) for key, inner in value.items())


def _list(value: Sequence[object], depth: int) -> Element:
    return el("ol", *(el("li", _value(inner, depth)) for inner in value))
