"""The fields of one mapping of a document, taken by type; every complaint knows its line.

Knows no schema: which fields exist, and what they mean, the caller says. It
quotes names of fields and never what stands in them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import NoReturn

from keyctl.documents import Document, Kind, Mapping, Node, Scalar, Sequence, Span, refuse

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_DURATION = re.compile(r"([0-9]{1,6})(ms|s|m|h|d)")
_INLINE_SECRET = re.compile(r"password|passwd|token|secret", re.IGNORECASE)


class Fields:
    """The mapping `node`, called `where` in messages, in which only the fields `known` may stand.

    A field that is null is a field left out. Raises `UnusableInputError` with the line for an unknown field.
    """

    def __init__(self, document: Document, node: Node, where: str, known: tuple[str, ...]) -> None:
        self._document = document
        self._where = where
        self._span = node.span
        if not isinstance(node, Mapping):
            self.refuse(f"{where} is not a mapping", hint="write its fields below it, indented")
        for key, _ in node.items:
            if key.text not in known:
                self._refuse_unknown(key, known)
        self._nodes = {key.text: value for key, value in node.items if not _is_null(value)}

    @classmethod
    def of(cls, document: Document, known: tuple[str, ...]) -> Fields:
        """The fields at the top of `document`."""
        return cls(document, document.root, "the file", known)

    @property
    def where(self) -> str:
        """The place, as messages name it."""
        return self._where

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def refuse(self, message: str, *, at: str | Span = "", hint: str) -> NoReturn:
        """Raise `UnusableInputError` at the field or span `at`, or at the mapping's start."""
        span = at if isinstance(at, Span) else self._nodes[at].span if at else self._span
        refuse(self._document.name, span, message, hint=hint)

    def text(self, name: str) -> str | None:
        """The text of a field, or None when it is left out. Empty text is refused."""
        return self._text(self._nodes[name], name).text if name in self._nodes else None

    def need(self, name: str) -> str:
        """The text of a field that may not be left out."""
        text = self.text(name)
        if text is None:
            self.refuse(f"{self._where} has no {name}", hint=f"add the field {name} to it")
        return text

    def scalars(self, name: str) -> tuple[Scalar, ...]:
        """The texts of a list, each with its place; none when the field is left out."""
        if name not in self._nodes:
            return ()
        return tuple(self._text(item, f"an item of {name}") for item in self._items(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of a list; none when the field is left out."""
        return tuple(scalar.text for scalar in self.scalars(name))

    def choice(self, name: str, options: Iterable[str], default: str) -> str:
        """One of `options`."""
        text, allowed = self.text(name) or default, tuple(options)
        if text not in allowed:
            self.refuse(f"{name} in {self._where} is unknown", at=name, hint=f"it is one of {', '.join(allowed)}")
        return text

    def flag(self, name: str) -> bool:
        """True or false; false when it is left out."""
        node = self._nodes.get(name)
        if node is None:
            return False
        if not isinstance(node, Scalar) or node.kind is not Kind.BOOL or node.text not in ("true", "false"):
            self.refuse(f"{name} in {self._where} is neither true nor false", at=name, hint="write true or false")
        return node.text == "true"

    def duration(self, name: str, default: timedelta) -> timedelta:
        """A time such as 10s, 3m or 90d, longer than none."""
        text = self.text(name)
        if text is None:
            return default
        parts = _DURATION.findall(text)
        total = sum((int(number) * _UNITS[unit] for number, unit in parts), timedelta())
        if "".join(number + unit for number, unit in parts) != text or not total:
            self.refuse(f"{name} in {self._where} is not a duration", at=name, hint="write it like 10s, 3m, 24h or 90d")
        return total

    def section(self, name: str, known: tuple[str, ...]) -> Fields | None:
        """The mapping under a field, or None when it is left out."""
        if name not in self._nodes:
            return None
        return Fields(self._document, self._nodes[name], self._below(name), known)

    def sections(self, name: str, known: tuple[str, ...]) -> tuple[Fields, ...]:
        """The mappings of a list; none when the field is left out."""
        if name not in self._nodes:
            return ()
        return tuple(
            Fields(self._document, item, f"{self._below(name)}[{index}]", known)
            for index, item in enumerate(self._items(name))
        )

    def is_text(self, name: str) -> bool:
        """Whether the field is there as a single value, not as a mapping or a list."""
        return isinstance(self._nodes.get(name), Scalar)

    def refuse_repeated(self, name: str, others: Iterable[Fields]) -> None:
        """Refuse the value of `name` when one of `others`, which stand before this, has the same."""
        if any(other.text(name) == self.text(name) for other in others):
            self.refuse(f"{self._where} has the {name} of an entry before it", at=name, hint="list each one once")

    def _below(self, name: str) -> str:
        return name if self._span == self._document.root.span else f"{self._where}.{name}"

    def _items(self, name: str) -> tuple[Node, ...]:
        node = self._nodes[name]
        if not isinstance(node, Sequence):
            self.refuse(f"{name} in {self._where} is not a list", at=name, hint=f"write {name}: [...]")
        return node.items

    def _text(self, node: Node, what: str) -> Scalar:
        if not isinstance(node, Scalar):
            self.refuse(f"{what} in {self._where} is not text", at=node.span, hint="write one value")
        if node.kind is not Kind.STRING:
            self.refuse(
                f"{what} in {self._where} is a {node.kind.value}, not text", at=node.span, hint="put it in quotes"
            )
        if not node.text:
            self.refuse(f"{what} in {self._where} is empty", at=node.span, hint="fill it in, or delete the field")
        return node

    def _refuse_unknown(self, key: Scalar, known: tuple[str, ...]) -> NoReturn:
        near = difflib.get_close_matches(key.text, known, n=1)
        if _INLINE_SECRET.search(key.text):
            hint = "secrets stand in files of their own" + (f": {near[0]}" if near else "")
            self.refuse(f'"{key.text}" in {self._where}: this file holds no secrets', at=key.span, hint=hint)
        guess = f'; did you mean "{near[0]}"?' if near else ""
        hint = f"known here: {', '.join(known)}"
        self.refuse(f'unknown field "{key.text}" in {self._where}{guess}', at=key.span, hint=hint)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind is Kind.NULL
