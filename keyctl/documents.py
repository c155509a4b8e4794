"""YAML and JSON as nodes that know where they stand, with scalars as Go reads them, and text splices.

Reads what sigs.k8s.io/yaml and apimachinery's JSON decoder read, and refuses by a named rule what they may
read differently (custom tags, merge keys, directives, other encodings). Knows no schema; opens no file; never
puts a scalar into a message, for it may be a key.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NoReturn

import yaml

from keyctl.errors import UnusableInputError

_BOM = "\ufeff"
_MAX_DEPTH = 50
# goyaml refuses "excessive aliasing" only beyond 1000 decoded nodes: staying below is staying accepted.
_MAX_NODES_WITH_ALIASES = 1000
_CORE_TAGS = {"tag:yaml.org,2002:" + name: name for name in ("str", "map", "seq")}

# What libyaml and goyaml call printable, less a byte order mark inside the text.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_YAML_BREAK = re.compile("[\x85\u2028\u2029]")
# What Go's unicode.IsSpace skips before apimachinery looks for the brace that means JSON.
_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_JSON_START = re.compile(f"[{_GO_SPACE}]*{{")

_GO_BOOLS = frozenset(
    spelling
    for word in ("y", "yes", "true", "on", "n", "no", "false", "off")
    for spelling in (word, word.title(), word.upper())
)
_GO_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_GO_SPECIAL_FLOATS = frozenset({".nan", ".NaN", ".NAN"}) | {
    sign + word for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")
}
_GO_BASED = re.compile(r"(?P<sign>[-+]?)0(?:[xX](?P<x>[0-9a-fA-F]+)|[oO]?(?P<o>[0-7]+)|[bB](?P<b>[01]+))")
_GO_BINARY_SIGN_INSIDE = re.compile(r"0b[-+][01]{1,63}")
# strconv takes an underscore between digits when the number starts with a dot, where goyaml does not drop them first.
_GO_DOT_FLOAT = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?")
_GO_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class Kind(Enum):
    """What a scalar means to Go."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    NULL = "null"


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

    Raises `UnusableInputError`, its message starting with `name:line:column` where the place is known.
    """
    text = _decode_text(content, name)
    is_json = _JSON_START.match(text) is not None
    if is_json:
        _check_json(text, name)
    return _Composer(text, name, is_json=is_json).compose()


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


def go_kind(plain: str) -> Kind:
    """What an unquoted YAML scalar means to goyaml v2, which sigs.k8s.io/yaml uses.

    Dates and times are strings there; yes/no/on/off/y/n are bools; underscores in numbers are dropped.
    """
    if plain in _GO_NULLS:
        return Kind.NULL
    if plain in _GO_BOOLS:
        return Kind.BOOL
    if plain in _GO_SPECIAL_FLOATS:
        return Kind.NUMBER
    if plain[0] == ".":
        return Kind.NUMBER if _is_go_float(plain, _GO_DOT_FLOAT) else Kind.STRING
    if plain[0] in "+-0123456789":
        digits = plain.replace("_", "")
        if _is_go_based(digits) or _is_go_float(digits) or _GO_BINARY_SIGN_INSIDE.fullmatch(digits):
            return Kind.NUMBER
    return Kind.STRING


def _is_go_float(digits: str, pattern: re.Pattern[str] = _GO_FLOAT) -> bool:
    return pattern.fullmatch(digits) is not None and math.isfinite(float(digits))


def _is_go_based(digits: str) -> bool:
    match = _GO_BASED.fullmatch(digits)
    if match is None:
        return False
    value = int(match["x"] or match["o"] or match["b"], {"x": 16, "o": 8, "b": 2}[str(match.lastgroup)])
    limit = {"": 2**64 - 1, "+": 2**63 - 1, "-": 2**63}[match["sign"]]
    return value <= limit


def _decode_text(content: bytes, name: str) -> str:
    if not content:
        raise UnusableInputError(f"{name} is empty", hint="write a whole document into it, or restore it from a backup")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise UnusableInputError(f"{name} is not UTF-8 text", hint=f"iconv -f UTF-16 -t UTF-8 {name}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableInputError(
            f"{name}:{line}: not UTF-8 text",
            cause=f"byte {error.start} of the file is no UTF-8",
            hint="save the file as UTF-8",
        ) from None
    match = _UNPRINTABLE.search(text, 1 if text.startswith(_BOM) else 0)
    if match is not None:
        line = text.count("\n", 0, match.start()) + 1
        raise UnusableInputError(
            f"{name}:{line}: a control character that YAML does not allow",
            cause=f"U+{ord(match[0]):04X} at character {match.start()} of the file",
            hint="delete the character",
        )
    return text


def _check_json(text: str, name: str) -> None:
    # YAML's flow form allows more than JSON; apimachinery takes a leading brace for JSON and nothing else.
    if match := _YAML_BREAK.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise UnusableInputError(
            f"{name}:{line}: a line separator that YAML and JSON read differently",
            cause=f"U+{ord(match[0]):04X} at character {match.start()} of the file",
            hint="delete the character, or write it as an escape",
        )

    def refuse_constant(_: str) -> NoReturn:
        raise UnusableInputError(f"{name} is not JSON", cause="NaN and Infinity are no JSON numbers", hint=_JSON_HINT)

    try:
        json.loads(text, parse_constant=refuse_constant, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise UnusableInputError(
            f"{name}:{error.lineno}:{error.colno}: not JSON",
            cause=f"{error.msg[0].lower()}{error.msg[1:]}; a file that starts with a brace is JSON to Kubernetes",
            hint=_JSON_HINT,
        ) from None
    except RecursionError:
        raise UnusableInputError(f"{name} is nested too deeply", hint=_JSON_HINT) from None


_JSON_HINT = "correct the JSON (no comments, no trailing commas), or write block-style YAML"


class _Composer:
    """Builds nodes from libyaml's events: they tell tags, anchors and aliases apart, which PyYAML's nodes do not."""

    def __init__(self, text: str, name: str, *, is_json: bool) -> None:
        if not yaml.__with_libyaml__:
            raise RuntimeError("PyYAML was built without libyaml, whose reading of YAML Kubernetes shares")
        self._text = text
        self._name = name
        self._json = is_json
        # The parser does not count a byte order mark; offsets here do.
        self._shift = 1 if text.startswith(_BOM) else 0
        self._loader = yaml.CSafeLoader(text[self._shift :])
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._plain = True
        self._aliased = False

    def compose(self) -> Document:
        self._next()
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            raise UnusableInputError(
                f"{self._name} holds no document", hint="write a whole document into it, or restore it from a backup"
            )
        if isinstance(start, yaml.DocumentStartEvent) and (start.version or start.tags):
            self._refuse(start, "YAML directives are not read by keyctl", hint="delete the lines that start with %")
        root, size = self._node(self._next(), depth=0)
        if self._aliased and size > _MAX_NODES_WITH_ALIASES:
            refuse(self._name, root.span, "too many values once aliases are expanded", hint="write them out")
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
            where = f"{self._name}:{mark.line + 1}:{mark.column + 1}" if mark else self._name
            form = "JSON that keyctl reads" if self._json else "YAML"
            raise UnusableInputError(f"{where}: not {form}", cause=cause, hint=self._syntax_hint(cause)) from None
        if event is None:
            raise RuntimeError("the YAML parser ended before the document did")
        return event

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

    def _refuse(self, event: yaml.Event, message: str, *, cause: str | None = None, hint: str) -> NoReturn:
        refuse(self._name, self._span(event), message, cause=cause, hint=hint)

    def _node(self, event: yaml.Event, *, depth: int) -> tuple[Node, int]:
        """The node that starts with `event`, and how many nodes it is with aliases expanded."""
        if depth > _MAX_DEPTH:
            self._refuse(event, f"nested more than {_MAX_DEPTH} levels deep", hint="correct the indentation")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if not isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent):
            raise RuntimeError("the YAML parser gave an event out of order")
        tag = self._tag(event)
        if isinstance(event, yaml.ScalarEvent):
            result: tuple[Node, int] = (self._scalar(event, tag), 1)
        elif isinstance(event, yaml.SequenceStartEvent):
            result = self._sequence(event, depth)
        else:
            result = self._mapping(event, depth)
        if event.anchor is not None:
            self._plain = False
            self._anchors[event.anchor] = result
        return result

    def _alias(self, event: yaml.AliasEvent) -> tuple[Node, int]:
        self._plain, self._aliased = False, True
        found = self._anchors.get(str(event.anchor))
        if found is None:
            # Also an anchor whose value is not complete yet, that is, one that contains itself.
            self._refuse(event, "an alias without a complete anchor before it", hint="write the value out")
        return found

    def _tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> str | None:
        if event.tag is None:
            return None
        self._plain = False
        tag = _CORE_TAGS.get(event.tag)
        fits = {yaml.ScalarEvent: "str", yaml.SequenceStartEvent: "seq", yaml.MappingStartEvent: "map"}[type(event)]
        if tag != fits:
            self._refuse(event, "a YAML tag that keyctl does not read", hint="delete the tag, or quote a plain value")
        return tag

    def _scalar(self, event: yaml.ScalarEvent, tag: str | None) -> Scalar:
        quoted = event.style not in (None, "")
        span = self._span(event)
        if event.style == '"' and not self._json and "/" in _ESCAPED.findall(self._text, span.start, span.end):
            # libyaml knows this escape of YAML 1.2 and JSON; goyaml refuses the file for it.
            refuse(self._name, span, "an escaped slash in double quotes", hint="write / without the backslash")
        kind = Kind.STRING if quoted or tag == "str" else go_kind(event.value)
        if self._json and kind is Kind.STRING and not quoted:
            kind = Kind.NUMBER
        return Scalar(span, kind, "" if kind is Kind.NULL else event.value, quoted)

    def _sequence(self, start: yaml.SequenceStartEvent, depth: int) -> tuple[Sequence, int]:
        items: list[Node] = []
        total = 1
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            node, size = self._node(event, depth=depth + 1)
            items.append(node)
            total += size
        return Sequence(self._span(start, event), tuple(items), bool(start.flow_style)), total

    def _mapping(self, start: yaml.MappingStartEvent, depth: int) -> tuple[Mapping, int]:
        items: list[tuple[Scalar, Node]] = []
        lines: dict[str, int] = {}
        total = 1
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, depth)
            if key.text in lines:
                refuse(
                    self._name,
                    key.span,
                    "a field that stands twice in one mapping",
                    cause=f"the first is on line {lines[key.text]}, the second on line {key.span.line}",
                    hint=f"delete line {key.span.line} or line {lines[key.text]}",
                )
            lines[key.text] = key.span.line
            node, size = self._node(self._next(), depth=depth + 1)
            items.append((key, node))
            total += size + 1
        return Mapping(self._span(start, event), tuple(items), bool(start.flow_style)), total

    def _key(self, event: yaml.Event, depth: int) -> Scalar:
        key, _ = self._node(event, depth=depth + 1)
        if not isinstance(key, Scalar):
            if self._text.startswith("{{", key.span.start - 1) or self._text.startswith("{{", key.span.start):
                refuse(self._name, key.span, "an unrendered template", hint="render the template first")
            refuse(self._name, key.span, "a field name that is not text", hint="use a plain name before the colon")
        if key.text == "<<":
            refuse(self._name, key.span, "YAML merge keys are not read by keyctl", hint="write the fields out")
        return key
