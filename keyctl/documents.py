"""YAML and JSON as nodes that know where they stand, with scalars as Go reads them, and text splices.

Reads what sigs.k8s.io/yaml and apimachinery's JSON decoder read, and refuses by a named rule what they may
read differently (custom tags, merge keys, directives, other encodings). Knows no schema; opens no file; never
puts a scalar into a message, for it may be a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from keyctl.document_text import BOM, EMPTY_HINT, Problem, UnreadableDocumentError, check_json, decode_text, is_json
from keyctl.errors import UnusableInputError
from keyctl.go_scalars import Kind as Kind
from keyctl.go_scalars import go_kind

_MAX_DEPTH = 50
# goyaml refuses "excessive aliasing" only beyond 1000 decoded nodes: staying below is staying accepted.
_MAX_NODES_WITH_ALIASES = 1000
_CORE_TAGS = {"tag:yaml.org,2002:" + name: name for name in ("str", "map", "seq")}

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Span:
    """Character offsets [start, end) into the text, and the 1-based line and column of the start."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf. `text` is the string itself, or the spelling of a number or bool; "" for null."""

    span: Span
    kind: Kind
    text: str = field(repr=False)
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list. `flow` is True for the bracketed form."""

    span: Span
    items: tuple[Node, ...]
    flow: bool


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in file order, no key twice. `flow` is True for the braced form."""

    span: Span
    items: tuple[tuple[Scalar, Node], ...]
    flow: bool


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """The first document of a file.

    `text` is the whole file, byte order mark included; all offsets count its characters. `others` says that
    further documents follow, which Kubernetes ignores. `plain` is False when anchors, aliases or tags are
    used: then two places may share one text, and splicing is not safe.
    """

    name: str
    text: str = field(repr=False)
    root: Node
    json: bool
    others: bool
    plain: bool


def parse(content: bytes, *, name: str) -> Document:
    """The first document of `content`; `name` is the file as the reader knows it.

    JSON when the first character is a brace (then strictly JSON, as in apimachinery), else YAML.

    Raises `UnreadableDocumentError`, its message starting with `name:line:column` where the place is known.
    """
    text = decode_text(content, name)
    if json := is_json(text):
        check_json(text, name)
    return _Composer(text, name, is_json=json).compose()


def refuse(
    name: str, span: Span, message: str, *, cause: str | None = None, hint: str | tuple[str, ...] = ()
) -> NoReturn:
    """Raise `UnusableInputError` for the place `span` of the file `name`."""
    raise UnusableInputError(f"{name}:{span.line}:{span.column}: {message}", cause=cause, hint=hint)


def splice(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """`text` with each (start, end, replacement) applied; offsets are of the text as given.

    Edits may touch but not overlap. Insertions at one place keep the order given. Raises `ValueError` otherwise.
    """
    parts: list[str] = []
    done = 0
    for start, end, replacement in sorted(edits, key=lambda edit: edit[:2]):
        if not done <= start <= end <= len(text):
            raise ValueError(f"edit [{start}, {end}) overlaps another or leaves the text")
        parts += (text[done:start], replacement)
        done = end
    return "".join((*parts, text[done:]))


class _Composer:
    """Builds nodes from libyaml's events: they tell tags, anchors and aliases apart, which PyYAML's nodes do not."""

    def __init__(self, text: str, name: str, *, is_json: bool) -> None:
        if not yaml.__with_libyaml__:
            raise RuntimeError("PyYAML was built without libyaml, whose reading of YAML Kubernetes shares")
        self._text = text
        self._name = name
        self._json = is_json
        # The parser does not count a byte order mark; offsets here do.
        self._shift = 1 if text.startswith(BOM) else 0
        self._loader = yaml.CSafeLoader(text[self._shift :])
        # None while the value is not complete: an alias inside it would contain itself.
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._plain = True
        self._aliased = False
        self._brackets = 0

    def compose(self) -> Document:
        self._next()
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            raise UnreadableDocumentError(Problem.EMPTY, self._name, "the file holds no document", hint=EMPTY_HINT)
        if isinstance(start, yaml.DocumentStartEvent) and (start.version or start.tags):
            hint = "delete the lines that start with %"
            raise self._error(Problem.DIRECTIVE, self._span(start), "YAML directives are not read by keyctl", hint)
        root, size = self._node(self._next(), depth=0)
        if self._aliased and size > _MAX_NODES_WITH_ALIASES:
            message = "too many values once aliases are expanded"
            raise self._error(Problem.MANY_ALIASES, root.span, message, "write them out")
        self._next()
        return Document(self._name, self._text, root, self._json, self._has_others(), self._plain)

    def _has_others(self) -> bool:
        try:
            return not isinstance(self._loader.get_event(), yaml.StreamEndEvent)
        except yaml.YAMLError:
            # Kubernetes never looks at what follows the first document, broken or not.
            return True

    def _next(self) -> yaml.Event:
        try:
            event = self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            cause = str(error.problem)
            mark = error.problem_mark
            raise UnreadableDocumentError(
                self._problem(error),
                self._name,
                f"not {'JSON that keyctl reads' if self._json else 'YAML'}",
                line=mark.line + 1 if mark else None,
                column=mark.column + 1 if mark else None,
                cause=cause,
                hint=self._syntax_hint(cause),
            ) from None
        if event is None:
            raise RuntimeError("the YAML parser ended before the document did")
        return event

    def _problem(self, error: yaml.MarkedYAMLError) -> Problem:
        """What goyaml makes of a text at which libyaml stopped: they differ in tags, flow colons and one escape."""
        if error.context in ("while parsing a tag", "while scanning a tag"):
            return Problem.TAG
        if (error.context, error.problem) == ("while scanning a plain scalar", "found unexpected ':'"):
            return Problem.FLOW_COLON
        at = error.problem_mark.index + self._shift if error.problem_mark else 0
        if error.problem == "found unknown escape character" and self._text.startswith("\\'", at):
            return Problem.ESCAPED_QUOTE
        return Problem.NOT_YAML

    @staticmethod
    def _syntax_hint(cause: str) -> str:
        if "tab" in cause or "cannot start any token" in cause:
            return "indent with spaces, not tabs; quote text that starts with @, ` or %"
        return "correct the indentation or the quotes at this place"

    def _span(self, event: yaml.Event, end: yaml.Event | None = None) -> Span:
        start_mark, end_mark = event.start_mark, (end or event).end_mark
        if start_mark is None or end_mark is None:
            raise RuntimeError("the YAML parser gave an event without a place")
        return Span(
            start_mark.index + self._shift, end_mark.index + self._shift, start_mark.line + 1, start_mark.column + 1
        )

    def _error(
        self, problem: Problem, span: Span, message: str, hint: str, *, cause: str | None = None
    ) -> UnreadableDocumentError:
        return UnreadableDocumentError(
            problem, self._name, message, line=span.line, column=span.column, cause=cause, hint=hint
        )

    def _node(self, event: yaml.Event, *, depth: int) -> tuple[Node, int]:
        """The node that starts with `event`, and how many nodes it is with aliases expanded."""
        if depth > _MAX_DEPTH:
            message = f"nested more than {_MAX_DEPTH} levels deep"
            raise self._error(Problem.DEPTH, self._span(event), message, "correct the indentation")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
            raise RuntimeError("the YAML parser gave an event out of order")
        tag = self._tag(event)
        if event.anchor is not None:
            self._plain = False
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            result: tuple[Node, int] = (self._scalar(event, tag), 1)
        elif isinstance(event, yaml.SequenceStartEvent):
            result = self._sequence(event, depth)
        else:
            result = self._mapping(event, depth)
        # As in goyaml a name belongs to the last value that was started with it, not to the last one completed.
        if event.anchor is not None and self._anchors[event.anchor] is None:
            self._anchors[event.anchor] = result
        return result

    def _alias(self, event: yaml.AliasEvent) -> tuple[Node, int]:
        self._plain, self._aliased = False, True
        found = self._anchors.get(str(event.anchor))
        if found is None:
            # Also an anchor whose value is not complete yet, that is, one that contains itself.
            message = "an alias without a complete anchor before it"
            raise self._error(Problem.LOOSE_ALIAS, self._span(event), message, "write the value out")
        return found

    def _tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> str | None:
        if event.tag is None:
            return None
        self._plain = False
        tag = _CORE_TAGS.get(event.tag)
        fits = {yaml.ScalarEvent: "str", yaml.SequenceStartEvent: "seq", yaml.MappingStartEvent: "map"}[type(event)]
        if tag != fits:
            hint = "delete the tag, or quote a plain value"
            raise self._error(Problem.TAG, self._span(event), "a YAML tag that keyctl does not read", hint)
        return tag

    def _scalar(self, event: yaml.ScalarEvent, tag: str | None) -> Scalar:
        quoted = event.style not in (None, "")
        span = self._span(event)
        if event.style == '"' and not self._json and "/" in _ESCAPED.findall(self._text, span.start, span.end):
            # libyaml knows this escape of YAML 1.2 and JSON; goyaml refuses the file for it.
            message = "an escaped slash in double quotes"
            raise self._error(Problem.NOT_YAML, span, message, "write / without the backslash")
        if not quoted and self._brackets and "?" in event.value:
            # libyaml takes it for a part of the text, goyaml for the start of a field.
            raise self._error(
                Problem.NOT_YAML, span, "a question mark in unquoted text in brackets", "put it in quotes"
            )
        kind = Kind.STRING if quoted or tag == "str" else go_kind(event.value)
        if self._json and kind is Kind.STRING and not quoted:
            kind = Kind.NUMBER
        return Scalar(span, kind, "" if kind is Kind.NULL else event.value, quoted)

    def _sequence(self, start: yaml.SequenceStartEvent, depth: int) -> tuple[Sequence, int]:
        items: list[Node] = []
        total = 1
        self._brackets += bool(start.flow_style)
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            node, size = self._node(event, depth=depth + 1)
            items.append(node)
            total += size
        self._brackets -= bool(start.flow_style)
        return Sequence(self._span(start, event), tuple(items), bool(start.flow_style)), total

    def _mapping(self, start: yaml.MappingStartEvent, depth: int) -> tuple[Mapping, int]:
        items: list[tuple[Scalar, Node]] = []
        lines: dict[str, int] = {}
        total = 1
        self._brackets += bool(start.flow_style)
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, depth)
            if key.text in lines:
                raise self._error(
                    Problem.FIELD_TWICE,
                    key.span,
                    "a field that stands twice in one mapping",
                    f"delete line {key.span.line} or line {lines[key.text]}",
                    cause=f"the first is on line {lines[key.text]}, the second on line {key.span.line}",
                )
            lines[key.text] = key.span.line
            node, size = self._node(self._next(), depth=depth + 1)
            items.append((key, node))
            total += size + 1
        self._brackets -= bool(start.flow_style)
        return Mapping(self._span(start, event), tuple(items), bool(start.flow_style)), total

    def _key(self, event: yaml.Event, depth: int) -> Scalar:
        key, _ = self._node(event, depth=depth + 1)
        if not isinstance(key, Scalar):
            if isinstance(key, Mapping) and self._text.startswith("{{", key.span.start - 1):
                outer = Span(key.span.start - 1, key.span.end, key.span.line, key.span.column - 1)
                message = "an unrendered template"
                raise self._error(Problem.TEMPLATE, outer, message, "render the template first")
            message = "a field name that is not text"
            raise self._error(Problem.FIELD_NOT_TEXT, key.span, message, "use a plain name before the colon")
        if key.text == "<<":
            message = "YAML merge keys are not read by keyctl"
            raise self._error(Problem.MERGE_KEY, key.span, message, "write the fields out")
        return key
