"""The indentation of an EncryptionConfiguration, rebuilt from what the schema says of its fields. Text in, text out.

The name of a field says at which depth it belongs, the order of the lines says to what. Only the white space and
the dash before a line change: no field or value is invented, dropped, moved to another line or read. What is not
fully understood is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from keyctl.encryption_config.repair.lines import Form, Line, Value, read_lines
from keyctl.keys.key import STATIC_PROVIDERS, Provider

_T = TypeVar("_T")
_BOM = "\ufeff"
_STEP = 2
_STATIC = frozenset(provider.value for provider in STATIC_PROVIDERS)
_KMS_ONLY = frozenset({"cachesize", "endpoint", "timeout"})
_GROUP = "apiserver.config.k8s.io/"


def relayout(text: str) -> str | None:
    """`text` with the indentation that the schema asks for; None when it is not clear what that is.

    A text whose indentation is right comes back as it is. The caller judges whether the result is a good
    configuration: a document may be well indented and wrong.
    """
    mark = _BOM if text.startswith(_BOM) else ""
    lines = read_lines(text[len(mark) :])
    try:
        top = _Tree(lines).top
    except _UnclearError:
        return None
    placed = _Placing()
    placed.top(top)
    return mark + "".join(_rewritten(lines, placed.prefixes))


class _UnclearError(Exception):
    """The lines can be read in more than one way, or in none."""


@dataclass(slots=True)
class _Field:
    """A line and what belongs under it: the fields of a mapping, or the elements of a list, each with its fields."""

    line: Line
    fields: list[_Field] = field(default_factory=list)
    elements: list[list[_Field]] = field(default_factory=list)


class _Tree:
    """Puts each line under the one that it belongs to."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.top: list[_Field] = []
        self._entries: _Field | None = None
        # The fields of all elements in a row: where one ends and the next begins is seen at the end.
        self._entry_fields: list[_Field] = []
        self._key_fields: list[tuple[_Field, list[_Field]]] = []
        self._items: _Field | None = None
        self._providers: _Field | None = None
        self._provider: _Field | None = None
        self._keys: list[_Field] | None = None
        meant = [line for line in lines if line.form not in (Form.BLANK, Form.COMMENT, Form.BLOCK)]
        if meant and meant[0].form is Form.MARKER:
            del meant[0]
        for line, after in zip(meant, [*meant[1:], None], strict=False):
            self._add(line, after)
        # Without a version at the top, one given to a KMS provider may have been meant for it.
        if self._entries is None or not any(one.line.name == "apiVersion" for one in self.top):
            raise _UnclearError
        self._entries.elements = _pairs(self._entry_fields, ("resources", "providers"))
        for keys, fields in self._key_fields:
            keys.elements = _pairs(fields, ("name", "secret"))

    def _add(self, line: Line, after: Line | None) -> None:
        if line.form is Form.ITEM:
            _there(self._items).elements.append([_Field(line)])
            return
        if line.form is not Form.FIELD or line.value is Value.UNCLEAR:
            raise _UnclearError
        self._items = None
        match line.name:
            case "resources" | "providers":
                lists_values = line.value is Value.INLINE or (after is not None and after.form is Form.ITEM)
                if line.name == "providers" or lists_values:
                    self._add_to_entry(line)
                else:
                    self._entries = self._add_to_top(line)
            case "kind":
                self._add_to_top(line)
            case "apiVersion" if not self._in_kms() or _GROUP in line.text:
                self._add_to_top(line)
            case "name" if not self._in_kms():
                _there(self._keys).append(_Field(line))
            case "secret":
                _there(self._keys).append(_Field(line))
            case "keys":
                self._add_keys(line)
            case "apiVersion" | "name":
                self._add_to_kms(line)
            case name if name in _KMS_ONLY:
                self._add_to_kms(line)
            case name if name in _STATIC | {Provider.KMS, Provider.IDENTITY}:
                self._add_provider(line)
            case _:
                raise _UnclearError

    def _add_to_top(self, line: Line) -> _Field:
        if line.dash or any(other.line.name == line.name for other in self.top):
            raise _UnclearError
        self._providers = self._provider = self._keys = None
        added = _Field(line)
        self.top.append(added)
        return added

    def _add_to_entry(self, line: Line) -> None:
        # The list of entries is the last field of the top level so far, or the line would have to move.
        if self._entries is None or self.top[-1] is not self._entries:
            raise _UnclearError
        added = _Field(line)
        self._entry_fields.append(added)
        self._provider = self._keys = None
        empty = line.value is Value.EMPTY
        self._providers = added if line.name == "providers" and empty else None
        self._items = added if line.name == "resources" and empty else None

    def _add_provider(self, line: Line) -> None:
        added = _Field(line)
        _there(self._providers).elements.append([added])
        self._keys = None
        self._provider = added if line.value is Value.EMPTY else None

    def _add_keys(self, line: Line) -> None:
        provider = _there(self._provider)
        if provider.line.name not in _STATIC or provider.fields:
            raise _UnclearError
        added = _Field(line)
        provider.fields.append(added)
        self._keys = None
        if line.value is Value.EMPTY:
            self._keys = []
            self._key_fields.append((added, self._keys))

    def _add_to_kms(self, line: Line) -> None:
        kms = _there(self._provider)
        if kms.line.name != Provider.KMS or any(other.line.name == line.name for other in kms.fields):
            raise _UnclearError
        kms.fields.append(_Field(line))

    def _in_kms(self) -> bool:
        return self._provider is not None and self._provider.line.name == Provider.KMS


def _there(value: _T | None) -> _T:
    if value is None:
        raise _UnclearError
    return value


def _pairs(fields: Sequence[_Field], names: tuple[str, str]) -> list[list[_Field]]:
    """`fields` in a row as list elements that have at most one field of each of the two `names`.

    Raises `_UnclearError` when neither the dashes nor the order say which belong together.
    """
    pairs = [list(fields[start : start + 2]) for start in range(0, len(fields), 2)]
    if all({one.line.name for one in pair} == set(names) for pair in pairs):
        # A dash before the second and none before the next: as written, those two are one element.
        if any(pair[1].line.dash and not after[0].line.dash for pair, after in pairwise(pairs)):
            raise _UnclearError
        return pairs
    elements: list[list[_Field]] = []
    for one in fields:
        joins = bool(elements) and len(elements[-1]) == 1 and elements[-1][0].line.name != one.line.name
        if one.line.dash or not elements:
            elements.append([one])
        elif joins:
            elements[-1].append(one)
        else:
            raise _UnclearError
    return elements


class _Placing:
    """Decides the white space and dash before each line, from the top of the tree down.

    A collection stands where most of its parts stand, if it may stand there; else it goes with what it belongs to.
    """

    def __init__(self) -> None:
        self.prefixes: dict[int, tuple[str, str]] = {}

    def top(self, fields: Sequence[_Field]) -> None:
        self._mapping(fields, _column([one.line.column for one in fields], least=0, shift=None, usual=0))

    def _mapping(self, fields: Iterable[_Field], column: int) -> None:
        for one in fields:
            self.prefixes[one.line.number] = (" " * column, "")
            self._below(one, column)

    def _below(self, parent: _Field, column: int) -> None:
        shift = None if parent.line.column is None else column - parent.line.column
        if parent.fields:
            columns = [None if one.line.dash else one.line.column for one in parent.fields]
            self._mapping(parent.fields, _column(columns, least=column + 1, shift=shift, usual=column + _STEP))
        elif parent.elements:
            columns = _dash_columns([element[0].line for element in parent.elements])
            dash = _column(columns, least=column, shift=shift, usual=column + _STEP)
            for first, *others in parent.elements:
                gap = first.line.dash if first.line.dash and "\t" not in first.line.dash else "- "
                self.prefixes[first.line.number] = (" " * dash, gap)
                self._below(first, dash + len(gap))
                self._mapping(others, dash + len(gap))


def _dash_columns(firsts: Sequence[Line]) -> list[int | None]:
    """Where the dashes of a list stand; where they would, when none has one and the fields stay in place."""
    dashed = [line.dash_column for line in firsts if line.dash]
    return dashed or [line.column - _STEP if line.column is not None else None for line in firsts]


def _column(found: Sequence[int | None], *, least: int, shift: int | None, usual: int) -> int:
    """The column that most of `found` have and that is at least `least`; of equals, the one found first."""
    known = [column for column in found if column is not None]
    for delta in (0, shift or 0):
        allowed = [column + delta for column in known if column + delta >= least]
        if allowed:
            return Counter(allowed).most_common(1)[0][0]
    return usual


def _rewritten(lines: Sequence[Line], prefixes: dict[int, tuple[str, str]]) -> list[str]:
    """The lines with their new prefixes; comments and block scalars move with the line that they belong to."""
    below = _lines_below(lines)
    written: list[str] = []
    scalar_shift = 0
    for line in lines:
        if line.number in prefixes:
            indent, dash = prefixes[line.number]
            scalar_shift = len(indent + dash) - (line.column or 0)
            written.append(f"{indent}{dash}{line.text}{line.end}")
        elif line.form is Form.BLOCK:
            written.append(f"{' ' * (len(line.indent) + scalar_shift)}{line.text}{line.end}")
        else:
            written.append(f"{_free_indent(line, below.get(line.number), prefixes)}{line.text}{line.end}")
    return written


def _lines_below(lines: Sequence[Line]) -> dict[int, Line]:
    """For the number of each comment the first line under it that is none."""
    below: dict[int, Line] = {}
    last: Line | None = None
    for line in reversed(lines):
        if line.form is not Form.COMMENT:
            last = line
        elif last is not None:
            below[line.number] = last
    return below


def _free_indent(line: Line, below: Line | None, prefixes: dict[int, tuple[str, str]]) -> str:
    """The white space before a comment or blank line. Neither may have a tab there."""
    new = prefixes.get(below.number) if below is not None else None
    if below is None or new is None:
        return "" if "\t" in line.indent else line.indent
    if "\t" in line.indent:
        return new[0]
    return line.indent if "\t" in below.indent else " " * max(0, len(line.indent) + len(new[0]) - len(below.indent))
