"""What of an EncryptionConfiguration may be read by anyone: single names, values and comments, each by its own form.

Everything else is masked, whatever it looks like. Pure: texts in, texts out.
"""

from __future__ import annotations

import re

from keyctl.encryption_config.checks.served_resources import is_built_in
from keyctl.encryption_config.repair.lines import FIELD_NAMES
from keyctl.keys.shown import reads_like_key, shown_name

_UNKNOWN_FIELD = re.compile(r"[a-z][A-Za-z]{0,15}")
_RESOURCE = re.compile(r"[a-z0-9*][a-z0-9*.-]{0,252}")
_CUSTOM_RESOURCE = re.compile(r"[a-z]{2,40}s(?:\.[a-z][a-z0-9-]{0,39}){2,5}")
_WORD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_PATH = re.compile(r"(?:/[a-z][a-z.]{0,23})+/?[.,;:)]?")
# What values have that cannot be a key: by the lower-case names of their fields.
_VALUES = {
    "apiversion": re.compile(r"[a-z0-9][a-z0-9./-]{0,62}"),
    "kind": re.compile(r"[A-Za-z]{1,40}"),
    "endpoint": re.compile(r"unix://(?:/[a-z@][a-z0-9._-]{0,39})+/?"),
    "timeout": re.compile(r"[+-]?[0-9.]{1,8}(?:ns|us|ms|s|m|h)?"),
    "cachesize": re.compile(r"-?[0-9]{1,10}"),
}

# Words after which a comment may go on with a key. The resource and the provider are named everywhere.
_SECRETIVE = re.compile(
    r"""secret(?!s\b(?!["']?[ \t]*[:=])|box\b)s?["']?|pass(?:w(?:or)?d|phrase)?\b["']?|pwd|token|credential"""
    r"""|\bkey["']?(?=[ \t]*[:=])""",
    re.IGNORECASE,
)
_CHUNK = re.compile(r"[^ \t]+")
_PROSE = re.compile(r"[A-Za-z!\"'()*,./:;<>?@\[\]{}|-]{1,24}")
_PIECE = re.compile(r"(?:[A-Z]?[a-z]{2,})+|[A-Za-z]?[a-z]*|[A-Z]+")
_SIGNS = re.compile(r"[\[\]{}(),. \t:=\"'|>-]*")


class Masks:
    """The mask of each text that must not be read: a number, the same for the same text."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, text: str) -> str:
        """The mask of `text`."""
        number = self._numbers.setdefault(text, len(self._numbers) + 1)
        return f"<secret {number}>"


class Comments:
    """Comments with all but plain words masked, one after another: what one says counts for those right below it."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._below_secret = False

    def interrupted(self) -> None:
        """Something else than a comment stands here."""
        self._below_secret = False

    def masked(self, comment: str) -> str:
        """`comment`, which starts with its sign; what follows a word such as secret is masked, also in those below."""
        start = len(comment) - len(comment.lstrip("# \t"))
        if self._below_secret or reads_like_key(comment):
            return comment[:start] + hidden(comment[start:], self._masks)
        found = _SECRETIVE.search(comment)
        if found is None:
            return comment[:start] + self._words(comment[start:])
        self._below_secret = True
        readable = comment[:start] + self._words(comment[start : found.start()]) + found[0]
        return readable + hidden(comment[found.end() :], self._masks)

    def _words(self, text: str) -> str:
        return _CHUNK.sub(lambda match: match[0] if _is_prose(match[0]) else self._masks.of(match[0]), text)


def hidden(text: str, masks: Masks) -> str:
    """The mask of all of `text`; signs and space before it stay, and the quotes around it: they may be what changes."""
    bare = text.strip(" \t\r")
    if _SIGNS.fullmatch(bare):
        return text
    before = text[: text.index(bare)]
    signs = re.match(r"[:= \t]*", bare)
    before, bare = before + (signs[0] if signs else ""), bare[signs.end() if signs else 0 :]
    quote = bare[0] if bare[0] in "\"'" and bare[-1] == bare[0] and len(bare) > 2 else ""
    core = bare[1:-1] if quote and not {quote, "\\"} & {*bare[1:-1]} else ""
    return before + (f"{quote}{masks.of(core)}{quote}" if core else masks.of(bare))


def field_is_readable(text: str) -> bool:
    """Whether the name of a field may be read: that of the schema in any case, or a short word, which may be a typo."""
    return text.lower() in FIELD_NAMES or _UNKNOWN_FIELD.fullmatch(text) is not None


def value_is_readable(field: str, text: str) -> bool:
    """Whether `text` may be read as the value of `field`, whose name is given in lower case."""
    if field == "name":
        return shown_name(text) == text
    form = _VALUES.get(field)
    return form is not None and form.fullmatch(text) is not None and shown_name(text) == text


def resource_is_readable(text: str) -> bool:
    """Whether `text` may be read where a resource stands."""
    return _RESOURCE.fullmatch(text) is not None and shown_name(text) == text


def is_certain_name(text: str) -> bool:
    """Whether `text` may be read as a name where it is not certain that it is one: a single plain word."""
    return _WORD_NAME.fullmatch(text) is not None and shown_name(text) == text


def is_certain_resource(text: str) -> bool:
    """Whether `text` is a resource, wherever it stands: a built-in one, or the plural and the group of another."""
    return is_built_in(text) or (_CUSTOM_RESOURCE.fullmatch(text) is not None and shown_name(text) == text)


def _is_prose(chunk: str) -> bool:
    if _PATH.fullmatch(chunk):
        return True
    return _PROSE.fullmatch(chunk) is not None and all(map(_PIECE.fullmatch, re.split(r"[^A-Za-z]+", chunk)))
