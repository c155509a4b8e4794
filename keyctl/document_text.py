"""Bytes → the text of a YAML or JSON document, or why there is none. Pure; builds no nodes.

The place of a mistake is a line and a column; no character of the text but one that is not allowed is repeated.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import NoReturn

from keyctl.errors import UnusableInputError
from keyctl.file_argument import file_argument

BOM = "\ufeff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
EMPTY_HINT = "write a whole document into it, or restore it from a backup"
_JSON_HINT = "correct the JSON (no comments, no trailing commas), or write block-style YAML"

# What libyaml and goyaml call printable, less a byte order mark inside the text.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
# The line that starts the first document, behind comments; and any that ends the document before it.
_FIRST_DOCUMENT = re.compile(r"\ufeff?(?:[ \t]*(?:#[^\r\n]*)?[\r\n])*---(?!\S)")
_NEXT_DOCUMENT = re.compile("(?:^|(?<=[\r\n\x85\u2028\u2029]))(?:---|\\.\\.\\.)(?!\\S)")
_YAML_BREAK = re.compile("[\x85\u2028\u2029]")
# What Go's unicode.IsSpace skips before apimachinery looks for the brace that means JSON.
_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_JSON_START = re.compile(f"[{_GO_SPACE}]*{{")


class Problem(Enum):
    """Why a text is no document to keyctl; what a reader of the document makes of it is another's to say."""

    EMPTY = "empty"
    UTF16 = "UTF-16 or a NUL byte"
    NOT_UTF8 = "not UTF-8"
    CONTROL_CHARACTER = "a character that YAML does not allow"
    ORDER_MARK = "a byte order mark inside the text"
    BEHIND = "bytes that are no text, behind the first document"
    LINE_SEPARATOR = "a line separator that JSON and YAML read differently"
    NOT_YAML = "not YAML"
    NOT_JSON = "not JSON"
    FLOW_COLON = "a colon at the end of unquoted text in brackets"
    ESCAPED_QUOTE = "an escaped single quote"
    DIRECTIVE = "a YAML directive"
    TAG = "a YAML tag"
    MERGE_KEY = "a YAML merge key"
    LOOSE_ALIAS = "an alias without a complete anchor"
    MANY_ALIASES = "too many values once aliases are expanded"
    DEPTH = "nested too deeply"
    TEMPLATE = "an unrendered template"
    FIELD_NOT_TEXT = "a field name that is not text"
    FIELD_TWICE = "a field that stands twice"


class UnreadableDocumentError(UnusableInputError):
    """A text that keyctl reads no document from. `line` and `column` are 1-based, None where no place is known."""

    def __init__(
        self,
        problem: Problem,
        name: str,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        cause: str | None = None,
        hint: str,
    ) -> None:
        place = f"{name}:{line}:{column}" if column else f"{name}:{line}" if line else name
        super().__init__(f"{place}: {message}", cause=cause, hint=hint)
        self.problem = problem
        self.name = name
        self.message = message
        self.line = line
        self.column = column


def is_json(text: str) -> bool:
    """Whether Kubernetes takes `text` for JSON: its first character is a brace."""
    return _JSON_START.match(text) is not None


def decode_text(content: bytes, name: str) -> str:
    """The text of `content`, its byte order mark included. Raises `UnreadableDocumentError`."""
    if not content:
        raise UnreadableDocumentError(Problem.EMPTY, name, "the file is empty", hint=EMPTY_HINT)
    if content.startswith(_UTF16_MARKS) or b"\0" in content:
        raise UnreadableDocumentError(Problem.UTF16, name, "not UTF-8 text", hint=_hint_for_utf16(content, name))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise _at(
            before, _in_first(before, Problem.NOT_UTF8), name, "not UTF-8 text", "save the file as UTF-8"
        ) from None
    match = _UNPRINTABLE.search(text, 1 if text.startswith(BOM) else 0)
    if match is not None:
        before = text[: match.start()]
        if match[0] == BOM:
            raise _at(before, Problem.ORDER_MARK, name, "a byte order mark inside the text", "delete the character")
        message = f"a control character that YAML does not allow, U+{ord(match[0]):04X}"
        raise _at(before, _in_first(before, Problem.CONTROL_CHARACTER), name, message, "delete the character")
    return text


def _hint_for_utf16(content: bytes, name: str) -> str:
    """What to do about a byte order mark of UTF-16, or NUL bytes, which text of mostly ASCII has beside each letter."""
    marked = content.startswith(_UTF16_MARKS)
    high, low = (content[start::2].count(0) * 2 > len(content) // 2 for start in (0, 1))
    if not marked and high == low:
        return "delete the NUL bytes; is it a text file?"
    encoding = "UTF-16" if marked else "UTF-16BE" if high else "UTF-16LE"
    return f"iconv -f {encoding} -t UTF-8 {file_argument(name)}"


def _in_first(before: str, problem: Problem) -> Problem:
    """`problem`, or BEHIND when the first document may end `before`: how far behind it a parser looks is its own."""
    start = _FIRST_DOCUMENT.match(before)
    return Problem.BEHIND if _NEXT_DOCUMENT.search(before, start.end() if start else 0) else problem


def _at(
    before: str, problem: Problem, name: str, message: str, hint: str, cause: str | None = None
) -> UnreadableDocumentError:
    """The error for the place right behind the text `before`."""
    # Neither a byte order mark nor half a line break is something that an editor counts.
    lines = before.removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    line, column = len(lines), len(lines[-1]) + 1
    return UnreadableDocumentError(problem, name, message, line=line, column=column, cause=cause, hint=hint)


def check_json(text: str, name: str) -> None:
    """Raise `UnreadableDocumentError` unless `text` is JSON that a YAML parser reads in the same way."""
    # YAML's flow form allows more than JSON; apimachinery takes a leading brace for JSON and nothing else.
    if match := _YAML_BREAK.search(text):
        message = f"a line separator that YAML and JSON read differently, U+{ord(match[0]):04X}"
        hint = "delete the character, or write it as an escape"
        raise _at(text[: match.start()], Problem.LINE_SEPARATOR, name, message, hint)

    def refuse_constant(_: str) -> NoReturn:
        cause = "NaN and Infinity are no JSON numbers"
        raise UnreadableDocumentError(Problem.NOT_JSON, name, "not JSON", cause=cause, hint=_JSON_HINT)

    try:
        json.loads(text, parse_constant=refuse_constant, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        at, problem = _json_mistake(text, error)
        cause = f"{problem}; a file that starts with a brace is JSON to Kubernetes"
        raise _at(text[:at], Problem.NOT_JSON, name, "not JSON", _JSON_HINT, cause) from None
    except RecursionError:
        raise UnreadableDocumentError(Problem.DEPTH, name, "nested too deeply", hint=_JSON_HINT) from None


def _json_mistake(text: str, error: json.JSONDecodeError) -> tuple[int, str]:
    """Where the mistake is, and what. Pythons differ in whether they point at a trailing comma or behind it."""
    comma = error.pos if text.startswith(",", error.pos) else len(text[: error.pos].rstrip()) - 1
    if text.startswith(",", comma) and text[comma + 1 :].lstrip().startswith(("]", "}")):
        return comma, "a comma before a closing bracket"
    return error.pos, f"{error.msg[0].lower()}{error.msg[1:]}"
