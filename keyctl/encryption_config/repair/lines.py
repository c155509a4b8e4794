"""The lines of an EncryptionConfiguration in block style: indentation, dash, field, value. Text only.

Reads also what is no YAML, because its indentation is wrong. Says nothing of where a line belongs, and keeps every
character: the lines of a text joined again are the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum

from keyctl.keys.key import Provider

# Every field of the schema, by its lower-case spelling.
FIELD_NAMES = {
    name.lower(): name
    for name in (
        *("apiVersion", "kind", "resources", "providers", "keys", "name", "secret", "cachesize", "endpoint", "timeout"),
        *(provider.value for provider in Provider),
    )
}

_LINE = re.compile(r"(?P<indent>[ \t]*)(?P<text>[^\n]*?)(?P<end>\r?\n|\Z)")
_DASH = re.compile(r"(?P<dash>-[ \t]+)(?P<text>.+)")
_FIELD = re.compile(r"""(?P<quote>["']?)(?P<name>[A-Za-z]+)(?P=quote)[ \t]*:(?P<value>(?:[ \t].*)?)""")
_MARKER = re.compile(r"---[ \t]*(?:#.*)?")
_TAIL = r"[ \t]*(?:[ \t]#.*)?"
_QUOTED = re.compile(rf"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'){_TAIL}""")
_BLOCK = re.compile(rf"[|>][-+]?{_TAIL}")
_FLOW_PART = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|(?P<open>[\[{])|(?P<close>[\]}])|(?P<stray>["'])|."""
)
_CLOSER = {"[": "]", "{": "}"}
_BASE64_LINE = re.compile(r"[A-Za-z0-9+/=]+[ \t]*")
# Breaks to YAML or to a terminal that are not the line ends handled here.
_OTHER_BREAK = re.compile("\r(?!\n)|[\x85\u2028\u2029]")


class Form(Enum):
    """What a line is."""

    BLANK = "blank"
    COMMENT = "comment"
    MARKER = "the start of a document"
    FIELD = "a field, perhaps the first of a list element"
    ITEM = "a list element that is a value"
    BLOCK = "a line of the block scalar above"
    UNCLEAR = "anything else"


class Value(Enum):
    """What stands after the colon of a field."""

    EMPTY = "nothing, or a comment"
    INLINE = "a whole value"
    BLOCK = "the start of a block scalar"
    UNCLEAR = "anything else"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    `indent` is its leading white space, `dash` its dash with the white space after it (or ""), `text` all the
    rest, `end` the line break (or ""). `name` and `value` say what a `Form.FIELD` holds, the name as the schema spells
    it whatever its case here.
    """

    number: int
    form: Form
    indent: str
    dash: str
    text: str = field(repr=False)
    end: str
    name: str = ""
    value: Value = Value.EMPTY

    @property
    def column(self) -> int | None:
        """The column of `text`, counted from 0; None where a tab stands before it."""
        return None if "\t" in self.indent + self.dash else len(self.indent + self.dash)

    @property
    def dash_column(self) -> int | None:
        """The column of the dash, counted from 0; None where there is none, or a tab stands before it."""
        return len(self.indent) if self.dash and "\t" not in self.indent else None

    def __str__(self) -> str:
        return f"{self.indent}{self.dash}{self.text}{self.end}"


def read_lines(text: str) -> tuple[Line, ...]:
    """The lines of `text`, which may start with a byte order mark only if the caller took it off."""
    lines: list[Line] = []
    scalar_column: int | None = None
    start = 0
    while start < len(text):
        match = _LINE.match(text, start)
        if match is None or match.end() == start:
            raise RuntimeError("a text without a next line")
        start = match.end()
        line = _line(len(lines) + 1, match["indent"], match["text"], match["end"])
        if scalar_column is not None and _is_of_scalar(line, scalar_column):
            line = replace(line, form=Form.BLOCK)
        elif line.form is not Form.BLANK:
            # Where tabs hide the column, the lines of the scalar cannot be told from what follows.
            scalar_column = line.column if line.value is Value.BLOCK else None
        lines.append(line)
    return tuple(_with_text(line, after) for line, after in zip(lines, [*lines[1:], None], strict=False))


def value_form(text: str) -> Value:
    """What `text`, all that stands after a colon or dash, is as a value."""
    value = text.strip(" \t")
    if not value or value.startswith("#"):
        return Value.EMPTY
    if value[0] in "|>":
        return Value.BLOCK if _BLOCK.fullmatch(value) else Value.UNCLEAR
    if value[0] in "\"'":
        clear = _QUOTED.fullmatch(value) is not None
    elif value[0] in "[{":
        clear = not value.startswith("{{") and _is_whole_flow(value)
    else:
        clear = _is_plain(value)
    return Value.INLINE if clear else Value.UNCLEAR


def _line(number: int, indent: str, text: str, end: str) -> Line:
    if _OTHER_BREAK.search(text):
        return Line(number, Form.UNCLEAR, indent, "", text, end)
    if not text:
        return Line(number, Form.BLANK, indent, "", text, end)
    if text.startswith("#"):
        return Line(number, Form.COMMENT, indent, "", text, end)
    if not indent and _MARKER.fullmatch(text):
        return Line(number, Form.MARKER, indent, "", text, end)
    dash = ""
    if match := _DASH.fullmatch(text):
        dash, text = match["dash"], match["text"]
    if match := _FIELD.fullmatch(text):
        name = FIELD_NAMES.get(match["name"].lower(), match["name"])
        return Line(number, Form.FIELD, indent, dash, text, end, name, value_form(match["value"]))
    is_item = bool(dash) and value_form(text) is Value.INLINE
    return Line(number, Form.ITEM if is_item else Form.UNCLEAR, indent, dash, text, end)


def _is_of_scalar(line: Line, column: int) -> bool:
    # Any other text may be a field whose indentation went wrong: not to be swallowed as the text of a key.
    return "\t" not in line.indent and len(line.indent) > column and _BASE64_LINE.fullmatch(line.text) is not None


def _with_text(line: Line, after: Line | None) -> Line:
    """`line`; unclear when it starts a block scalar of which no line follows."""
    if line.value is Value.BLOCK and (after is None or after.form is not Form.BLOCK):
        return replace(line, value=Value.UNCLEAR)
    return line


def _is_whole_flow(value: str) -> bool:
    """Whether brackets and braces close again, and only a comment follows."""
    expected: list[str] = []
    for match in _FLOW_PART.finditer(value):
        if match["stray"]:
            return False
        if match["open"]:
            expected.append(_CLOSER[match["open"]])
        elif match["close"]:
            if not expected or expected.pop() != match["close"]:
                return False
            if not expected:
                return re.fullmatch(_TAIL, value[match.end() :]) is not None
    return False


def _is_plain(value: str) -> bool:
    bare = re.split(r"[ \t]#", value, maxsplit=1)[0].rstrip(" \t")
    first, second = bare[0], bare[1:2]
    if first in "&*!%@`,]}" or (first in "-?:" and second in ("", " ", "\t")):
        return False
    return not re.search(r":(?:[ \t]|$)", bare)
