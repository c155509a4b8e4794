"""What changes between two texts of a static pod manifest, as a diff to read.

A manifest holds no key of an EncryptionConfiguration, so it is shown as it is, but for what may be a password: the
values of environment variables and of probes' headers, of flags named after a secret, and logins in addresses. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from keyctl.documents import Mapping, Node, Scalar, Sequence, parse

_MASK = "<not shown>"
_VALUES = frozenset({"env", "httpHeaders"})
_WORDS = frozenset({"command", "args"})
_SECRET_FLAG = re.compile(r"--?[a-z0-9_.-]*(?:password|passwd|secret|token|credential)[a-z0-9_.-]*", re.IGNORECASE)
# A file's path is no secret, and neither is a yes or no.
_HARMLESS = re.compile(r"/.*|true|false|", re.DOTALL)
_LOGIN = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
_TEXT = re.compile(r"\S(?:.*\S)?")


def manifest_diff(before: bytes, after: bytes, *, name: str) -> str:
    """The unified diff of two texts of the manifest `name`, both readable; "" when nothing changes.

    Ends with a line break. Control characters are escaped.
    """
    old, new = (_shown_lines(content, name) for content in (before, after))
    lines = difflib.unified_diff(old, new, fromfile=name, tofile=f"{name}, fixed", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _shown_lines(content: bytes, name: str) -> list[str]:
    document = parse(content, name=name)
    text = document.text
    # A set: two aliases of one text name the same place.
    for start, end in sorted(set(_hidden(document.root, text)), reverse=True):
        # Line by line, so that lines keep their numbers.
        text = text[:start] + _TEXT.sub(_MASK, text[start:end]) + text[end:]
    text = _LOGIN.sub(_MASK, text)
    return [_inert(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n")]


def _hidden(node: Node, text: str, above: str = "") -> Iterator[tuple[int, int]]:
    """The places in `text` of what is not shown; `above` is the field that `node`, or the list around it, is of."""
    if isinstance(node, Mapping):
        for key, value in node.items:
            if above in _VALUES and key.text == "value" and isinstance(value, Scalar):
                yield value.span.start, value.span.end
            else:
                yield from _hidden(value, text, key.text)
    elif isinstance(node, Sequence):
        if above in _WORDS:
            yield from _hidden_words(node, text)
        for item in node.items:
            yield from _hidden(item, text, above)


def _hidden_words(words: Sequence, text: str) -> Iterator[tuple[int, int]]:
    before = ""
    for word in words.items:
        if not isinstance(word, Scalar):
            continue
        name, equals, value = word.text.partition("=")
        start, end = word.span.start, word.span.end
        if equals and _SECRET_FLAG.fullmatch(name) and not _HARMLESS.fullmatch(value):
            yield text.find("=", start, end) + 1 or start, end
        elif _SECRET_FLAG.fullmatch(before) and not word.text.startswith("-") and not _HARMLESS.fullmatch(word.text):
            yield start, end
        before = word.text


def _inert(line: str) -> str:
    return "".join(one if one.isprintable() or one == "\t" else ascii(one)[1:-1] for one in line)
