"""What changes between two texts of an EncryptionConfiguration, as a diff in which no key can be read.

Works on the characters alone, for the texts may be no YAML. It masks too much rather than too little: all that
follows `secret:`, also over several lines and in comments, and whatever else looks like base64. Equal texts get equal
masks, so that what was replaced shows and what only moved does not.
"""

from __future__ import annotations

import difflib
import re

from keyctl.encryption_config.repair.lines import FIELD_NAMES, Value, value_form

_VOCABULARY = frozenset({"EncryptionConfiguration", "EncryptionConfig"})

# The white space, comment signs and dashes before what a line says.
_BEFORE = re.compile(r"[ \t#]*(?:-[ \t]+|\?[ \t]+)*")
_SECRET = re.compile(r"""secret["']?[ \t]*(?:[:=]|$)""", re.IGNORECASE)
_FIELD = re.compile(r"""["']?(?P<name>[A-Za-z]+)["']?[ \t]*:(?=[ \t]|$).*""")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>[^"'\\]*)(?P=quote)""")
_PUNCTUATION = re.compile(r"[\[\]{}(),. \t-]*")
_ONLY_BASE64 = re.compile(r"[A-Za-z0-9+/=_-]{8,}[\\ \t]*")
_LOOKS_LIKE_KEY = re.compile(
    # Lower-case paths stay readable.
    r"(?P<path>(?<![A-Za-z0-9+/])/{0,2}(?:/[a-z][a-z0-9.-]{0,23})+/?(?![A-Za-z0-9+/=]))"
    # Base64, also that for URLs.
    r"|(?P<word>[A-Za-z0-9+/_-]{16,})={0,2}"
)
# The names of flags, hosts and keys are as long, but lower-case and in short parts; keyctl's own have the time.
_NAME = re.compile(r"(?:[a-z0-9]{0,15}[_-])*[a-z0-9]{0,15}|key-[0-9]{8}t[0-9]{6}z-[0-9a-f]{4}")
_RESOURCE = re.compile(r"[a-z]+")
_RESOURCES_LINE = re.compile(r"[ \t#]*(?:(?:-[ \t]+)?resources[ \t]*:.*|-[ \t]+[\"']?[a-z0-9.]+[\"']?[ \t]*(?:#.*)?)")


def masked_diff(before: str, after: str, *, name: str) -> str:
    """The unified diff of two texts of the file `name`, keys masked; "" when nothing changes.

    Ends with a line break. Control characters are escaped.
    """
    masks = _Masks()
    old, new = (_masked_lines(text, masks) for text in (before, after))
    if old == new and before != after:
        # White space at a line's end, or the kind of line break.
        return f"--- {name}\n+++ {name}, fixed\n(only white space at line ends)\n"
    lines = difflib.unified_diff(old, new, fromfile=name, tofile=f"{name}, fixed", lineterm="")
    return "".join(f"{line}\n" for line in lines)


class _Masks:
    """The mask of each text that must not be read: a number, the same for the same text."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, text: str) -> str:
        number = self._numbers.setdefault(text, len(self._numbers) + 1)
        return f"<secret {number}>"


def _masked_lines(text: str, masks: _Masks) -> list[str]:
    lines: list[str] = []
    # What the value of the last secret was: it may go on over the lines that follow.
    goes_on: Value | None = None
    for line in text.removesuffix("\n").split("\n") if text else ():
        start = _BEFORE.match(line)
        prefix = start[0] if start is not None else ""
        body = line[len(prefix) :].rstrip(" \t\r")
        if goes_on is not None and _belongs_to_value(prefix, body, goes_on):
            lines.append(prefix + _hidden(body, masks))
            continue
        secret = _SECRET.search(body)
        if secret is None:
            goes_on = goes_on if _PUNCTUATION.fullmatch(body) else None
            lines.append(prefix + _without_keys(line, body, masks))
        else:
            value = body[secret.end() :]
            # What closes a flow collection is not part of the value, for this purpose.
            goes_on = value_form(value.rstrip("]}, \t"))
            lines.append(prefix + _without_keys(line, body[: secret.end()], masks) + _hidden(value, masks))
    return [_inert(line) for line in lines]


def _belongs_to_value(prefix: str, body: str, value: Value) -> bool:
    """Whether the line may continue a secret that began as `value` on a line above."""
    match = _FIELD.fullmatch(body)
    if match is not None and match["name"].lower() in FIELD_NAMES:
        return False
    if _PUNCTUATION.fullmatch(body):
        return False
    # A comment ends a value that is whole; inside quotes or a block scalar it is none.
    return not (value is Value.INLINE and "#" in prefix)


def _hidden(text: str, masks: _Masks) -> str:
    """The mask of all of `text`; the space and the quotes around it stay, for they may be what changes."""
    bare = text.lstrip(" \t")
    space = text[: len(text) - len(bare)]
    if _PUNCTUATION.fullmatch(bare):
        return text
    match = _QUOTED.fullmatch(bare)
    if match is not None:
        return f"{space}{match['quote']}{masks.of(match['text'])}{match['quote']}"
    return space + masks.of(bare)


def _without_keys(line: str, body: str, masks: _Masks) -> str:
    """`body`, which is part of `line`, less whatever may be a key."""
    names_resources = _RESOURCES_LINE.fullmatch(line.rstrip("\r")) is not None

    def mask(match: re.Match[str]) -> str:
        word = match["word"]
        known = (
            match["path"] is not None
            or word in _VOCABULARY
            or _NAME.fullmatch(word) is not None
            or (names_resources and _RESOURCE.fullmatch(word) is not None)
        )
        return match[0] if known else masks.of(match[0])

    if _ONLY_BASE64.fullmatch(body) and "-" not in line[: line.find(body)]:
        return masks.of(body)
    return _LOOKS_LIKE_KEY.sub(mask, body)


def _inert(line: str) -> str:
    return "".join(one if one.isprintable() or one == "\t" else ascii(one)[1:-1] for one in line)
