"""Repairs of single fields of an EncryptionConfiguration that is YAML or JSON already, as splices of its text.

Only what has one possible meaning: a field name in the wrong case, `identity:` without braces, a number or yes/no
where text belongs, the kind. What stands where is not decided here: that is `relayout`. Touches no key bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from keyctl.documents import Document, Kind, Mapping, Node, Scalar, Sequence, parse, splice
from keyctl.encryption_config import refusals
from keyctl.encryption_config.checks.advice import LEGACY_KIND
from keyctl.encryption_config.fields import CURRENT, LEGACY, read_fields
from keyctl.encryption_config.repair.lines import FIELD_NAMES
from keyctl.encryption_config.rules import violations
from keyctl.encryption_config.secret_text import decode_secret, readings
from keyctl.encryption_config.server import Server
from keyctl.errors import UnusableInputError
from keyctl.keys.key import STATIC_PROVIDERS, Provider

# One repair may uncover the next; a file has no more levels than this.
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Done:
    """One repair: the rule that was broken, the line of the file as it was given, and what was done."""

    rule_id: str
    line: int
    sentence: str


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str = field(repr=False)
    done: Done

    @property
    def of_text(self) -> tuple[int, int, str]:
        return self.start, self.end, self.text


@dataclass(frozen=True, slots=True)
class _Place:
    """A field of a mapping: its name, its value and the mapping."""

    name: Scalar
    value: Node
    owner: Mapping


def repair_fields(text: str, *, name: str, server: Server) -> tuple[str, tuple[Done, ...]]:
    """`text`, which `server` refuses, with the repairs of this module, and what they are.

    A text that cannot be read, or that has anchors or tags, comes back as it is.
    """
    done: list[Done] = []
    for _ in range(_ROUNDS):
        document = _readable(text, name)
        edits = [] if document is None else list(_edits(document, server))
        if not edits:
            break
        text = splice(text, [edit.of_text for edit in edits])
        done += [edit.done for edit in edits]
    return text, tuple(done)


def todays_kind(text: str, *, name: str) -> tuple[str, tuple[Done, ...]]:
    """`text` with the kind that is current, where it has the one from before Kubernetes 1.13 or half of it."""
    document = _readable(text, name)
    edits = [] if document is None else list(_kind_edits(document))
    return splice(text, [edit.of_text for edit in edits]), tuple(edit.done for edit in edits)


def empty_value(document: Document, key: Scalar, value: Scalar) -> tuple[int, int, str]:
    """Where a value takes the place of the null `value` of `key`: start, end, and what has to stand before it."""
    if document.text[value.span.start : value.span.end]:
        return value.span.start, value.span.end, ""
    colon = document.text.index(":", key.span.end) + 1
    return colon, colon, " "


def _readable(text: str, name: str) -> Document | None:
    try:
        document = parse(text.encode(), name=name)
    except UnusableInputError:
        return None
    # With an anchor, two places may share one text.
    return document if document.plain else None


def _edits(document: Document, server: Server) -> Iterator[_Edit]:
    kind = list(_kind_edits(document))
    if kind:
        yield from kind
        return
    fields = read_fields(document, server)
    found = fields.violations or violations(fields.config, server)
    places = list(_places(document.root))
    names = {(place.name.span.line, place.name.span.column): place for place in places}
    values = {(place.value.span.line, place.value.span.column): place for place in places}
    owners = {(place.owner.span.line, place.owner.span.column): place for place in places}
    for one in (*found, *fields.ignored):
        where = (one.line or 0, one.column or 0)
        if one.rule is refusals.UNKNOWN_FIELD and where in names:
            yield from _right_case(document, names[where])
        elif one.rule is refusals.WRONG_TYPE and where in values:
            yield from _quoted(document, values[where])
        elif one.rule is refusals.NO_PROVIDER and where in owners:
            yield from _with_braces(document, owners[where])


def _places(node: Node) -> Iterator[_Place]:
    if isinstance(node, Mapping):
        for key, value in node.items:
            yield _Place(key, value, node)
            yield from _places(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _places(item)


def _kind_edits(document: Document) -> Iterator[_Edit]:
    root = document.root
    if not isinstance(root, Mapping):
        return
    values = {key.text: value for key, value in root.items}
    found = [values.get("apiVersion"), values.get("kind")]
    for value, today, legacy in zip(found, CURRENT, LEGACY, strict=True):
        if not isinstance(value, Scalar) or value.text not in (today, legacy):
            return
    whole = [value.text for value in found if isinstance(value, Scalar)] == list(LEGACY)
    rule = LEGACY_KIND if whole else refusals.KIND
    for label, value, today in zip(("apiVersion", "kind"), found, CURRENT, strict=True):
        if isinstance(value, Scalar) and value.text != today:
            sentence = f"{label} is {today} now, was {value.text}"
            yield _replaced(document, value, today, Done(rule.id, value.span.line, sentence))


def _right_case(document: Document, place: _Place) -> Iterator[_Edit]:
    name = place.name
    right = FIELD_NAMES.get(name.text.lower())
    taken = any(key.text == right for key, _ in place.owner.items)
    # Quotes, where there are some, are one character on each side; with escapes inside, nothing is done.
    start = name.span.start + int(name.quoted)
    if right is None or taken or right == name.text or not document.text.startswith(name.text, start):
        return
    sentence = f"the field {right} is written in its own case"
    yield _Edit(start, start + len(name.text), right, Done(refusals.UNKNOWN_FIELD.id, name.span.line, sentence))


def _quoted(document: Document, place: _Place) -> Iterator[_Edit]:
    value = place.value
    if not isinstance(value, Scalar) or value.kind not in (Kind.NUMBER, Kind.BOOL):
        return
    if place.name.text not in ("name", "secret") or (place.name.text == "secret" and _has_two_meanings(value.text)):
        return
    what = "a number" if value.kind is Kind.NUMBER else "yes or no"
    sentence = f"the {place.name.text} is in quotes now: without them it is {what}, and no text"
    start = value.span.start
    spelling = document.text[start : value.span.end].rstrip()
    done = Done(refusals.WRONG_TYPE.id, value.span.line, sentence)
    yield _Edit(start, start + len(spelling), f'"{spelling}"', done)


def _has_two_meanings(digits: str) -> bool:
    """Whether quotes alone would make an accepted key of a text that may as well be one that was not encoded."""
    lengths = STATIC_PROVIDERS[Provider.AESCBC]
    return len(decode_secret(digits) or b"") in lengths and bool(readings(digits, lengths))


def _with_braces(document: Document, place: _Place) -> Iterator[_Edit]:
    if place.name.text != Provider.IDENTITY or len(place.owner.items) != 1 or not isinstance(place.value, Scalar):
        return
    start, end, before = empty_value(document, place.name, place.value)
    sentence = "identity has its braces: without them it is no provider"
    yield _Edit(start, end, f"{before}{{}}", Done(refusals.NO_PROVIDER.id, place.name.span.line, sentence))


def _replaced(document: Document, value: Scalar, text: str, done: Done) -> _Edit:
    start = value.span.start
    old = document.text[start : value.span.end].rstrip()
    quote = old[0] if value.quoted and old[0] in "\"'" else ""
    return _Edit(start, start + len(old), f"{quote}{text}{quote}", done)
