"""The lines of a text that is no YAML, or is so only on one side of a diff, with all masked that is not known.

Goes by single lines: the indentation may be what is wrong. A word stays when it is a field, the harmless value of
one, a resource or a word of a comment.
"""

from __future__ import annotations

import re

from keyctl.encryption_config.repair.lines import FIELD_NAMES, Value, value_form
from keyctl.encryption_config.repair.readable import (
    Comments,
    Masks,
    field_is_readable,
    hidden,
    is_certain_name,
    is_certain_resource,
    value_is_readable,
)

_SPACE = re.compile(r"[ \t]*")
_BEFORE = re.compile(r"[ \t#]*(?:[-?][ \t]+)*[\[{ \t]*")
_SIGN = re.compile(r"[ \t]+|(?:---|\.\.\.)(?=[ \t]|$)|[-?](?=[ \t]|$)|[\[\]{},]|:(?=[ \t]|$|[\"'\[{])")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>[^"'\\]*)(?P=quote)(?![^ \t,:\]}])""")
_PLAIN_END = re.compile(r":(?=[ \t]|$)|,(?=[ \t]|$|[\"'\[{])|[\]}]|[ \t]#")
_COLON = re.compile(r"[ \t]*:(?=[ \t]|$|[\"'\[{])")


class MaskedLines:
    """Masks the lines of one text, in order."""

    def __init__(self, masks: Masks, secrets: frozenset[str]) -> None:
        self._masks = masks
        self._secrets = secrets
        self._comments = Comments(masks)
        # Whether a value that is masked may go on below: what looks like a comment may then be a part of it.
        self._goes_on = False

    def masked(self, line: str) -> str:
        """`line`, which has no line break, as it may be read."""
        body = line.rstrip(" \t\r")
        start = _end(_SPACE, body, 0)
        if self._goes_on and not _starts_with_field(body):
            start = _end(_BEFORE, body, 0)
            return body[:start] + hidden(body[start:], self._masks)
        if body.startswith("#", start):
            return body[:start] + self._comments.masked(body[start:])
        if body:
            self._comments.interrupted()
        return self._tokens(body)

    def _tokens(self, line: str) -> str:
        parts: list[str] = []
        at, field = 0, ""
        while at < len(line):
            end = _end(_SIGN, line, at)
            if end > at:
                parts.append(line[at:end])
                # A value stands right behind its colon.
                field = field if line[at:end].strip(" \t") in ("", ":") else ""
                at = end
                continue
            if line[at] == "#" and at and line[at - 1] in " \t":
                return "".join((*parts, self._comments.masked(line[at:])))
            end, text = _word(line, at)
            if text is None:
                return "".join((*parts, self._rest(line[at:])))
            is_field = _COLON.match(line, end) is not None
            if text.lower() == "secret" or (is_field and text.lower() not in FIELD_NAMES):
                name = line[at:end] if field_is_readable(text) else self._masks.of(text)
                return "".join((*parts, name, self._rest(line[end:])))
            if is_field:
                # A field of the schema ends whatever stood above.
                self._goes_on = False
            readable = is_field or not text or self._is_readable(field, text)
            parts.append(line[at:end] if readable else line[at:end].replace(text, self._masks.of(text)))
            at, field = end, text.lower() if is_field else ""
        return "".join(parts)

    def _is_readable(self, field: str, text: str) -> bool:
        if text in self._secrets:
            return False
        if field == "name":
            return is_certain_name(text)
        return value_is_readable(field, text) or is_certain_resource(text)

    def _rest(self, text: str) -> str:
        """The mask of all the rest of a line, from a colon or from a value on."""
        # What closes a flow collection is not part of the value, for this purpose.
        self._goes_on = value_form(text.lstrip(": \t").rstrip("]}, \t")) is not Value.INLINE
        return hidden(text, self._masks)


def _word(line: str, at: int) -> tuple[int, str | None]:
    """The end of the word at `at`, quoted or not, and its text; None when it is no whole word without escapes."""
    if line[at] in "\"'":
        quoted = _QUOTED.match(line, at)
        return (quoted.end(), quoted["text"]) if quoted else (len(line), None)
    found = _PLAIN_END.search(line, at)
    text = line[at : found.start() if found else len(line)].rstrip(" \t")
    return (at + len(text), text) if text else (len(line), None)


def _starts_with_field(line: str) -> bool:
    """Whether a field of the schema is the first that `line` has, comments aside."""
    at = _end(_BEFORE, line, 0)
    if at == len(line) or line.startswith("#"):
        return False
    end, text = _word(line, at)
    return text is not None and text.lower() in FIELD_NAMES and _COLON.match(line, end) is not None


def _end(pattern: re.Pattern[str], line: str, at: int) -> int:
    found = pattern.match(line, at)
    return found.end() if found else at
