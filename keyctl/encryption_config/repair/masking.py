"""What changes between two texts of an EncryptionConfiguration or a pod's manifest, as a diff that shows no key.

Nothing of a configuration is shown but what is known to be harmless where it stands: by its nodes when both texts can
be read, else line by line. Equal texts get equal masks, so that what was replaced shows and what only moved does not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from keyctl.documents import Document, Mapping, Node, Scalar, Sequence, parse
from keyctl.encryption_config.repair.masked_lines import MaskedLines
from keyctl.encryption_config.repair.readable import (
    Comments,
    Masks,
    field_is_readable,
    hidden,
    resource_is_readable,
    value_is_readable,
)
from keyctl.errors import UnusableInputError
from keyctl.keys.shown import reads_like_key, shown_name

_FIELD, _ITEM = "a field's name", "an item of "
_SECRET_VALUE = re.compile(r"""secret["']?[ \t]*[:=][ \t]*["']?([^\s"']+)""", re.IGNORECASE)
_SPAN_HEADER = re.compile(r"[|>][-+0-9]*")
# Between nodes: comments, what gives YAML its structure, and words such as anchors, tags and further documents.
_BETWEEN = re.compile(r"(?P<comment>#[^\n]*)|(?P<signs>[-?:,.\[\]{} \t\r\n\ufeff]+)|(?P<word>[^\s#,\[\]{}]+|.)")

_MANIFEST_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9./_-]{0,252}")
_SECRETIVE_FIELD = re.compile(r"(?i)value|.*(?:passw|secret|token|credential)(?!.*(?:file|name|mount)).*")
_SECRETIVE_FLAG = re.compile(r"(?i)(--[a-z-]*(?:passw|secret|token|credential)[a-z-]*(?<!-file)=).+")
_LOOKS_LIKE_KEY = re.compile(
    # Lower-case paths stay readable.
    r"(?P<path>(?<![A-Za-z0-9+/])/{0,2}(?:/[a-z][a-z0-9.-]{0,23})+/?(?![A-Za-z0-9+/=]))"
    # Base64, also that for URLs.
    r"|(?P<word>[A-Za-z0-9+/_-]{16,})={0,2}"
)
# The names of flags, hosts and kinds are as long, but lower-case and in short parts, or words.
_FLAG_WORD = re.compile(r"(?:[a-z0-9]{0,15}[_/-])*[a-z0-9]{0,15}|(?:[A-Z][a-z]{1,15}){1,5}")


def masked_diff(before: str, after: str, *, name: str) -> str:
    """The unified diff of two texts of the file `name`, keys masked; "" when nothing changes.

    Ends with a line break. Control characters are escaped.
    """
    old, new = _masked(before, after)
    if old == new and before != after:
        # White space at a line's end, or the kind of line break.
        return f"--- {name}\n+++ {name}, fixed\n(only white space at line ends)\n"
    lines = difflib.unified_diff(old, new, fromfile=name, tofile=f"{name}, fixed", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def masked_text(text: str, masks: Masks) -> str:
    """`text` with all that must not be read as `masks` has it, by the same rules; control characters are escaped."""
    lines, _ = _masked(text, text, masks)
    return "".join(f"{line}\n" for line in lines)


def _masked(before: str, after: str, masks: Masks | None = None) -> tuple[list[str], list[str]]:
    """The lines of both texts, masked in one and the same way."""
    masks = masks or Masks()
    texts = (before, after)
    documents = [_read(text) for text in texts]
    # A name that is the text of a secret, too, gives that away.
    secrets = frozenset(found.rstrip(",]}") for text in texts for found in _SECRET_VALUE.findall(text))
    if all(document is not None or not text.strip() for document, text in zip(documents, texts, strict=True)):
        secrets |= {text for document in documents if document for text in _secrets(document.root)}
        masked = ["" if document is None else _MaskedNodes(document, masks, secrets).text() for document in documents]
        old, new = ([line.rstrip(" \t\r") for line in _lines(text)] for text in masked)
    else:
        readers = [MaskedLines(masks, secrets) for _ in texts]
        old, new = (list(map(reader.masked, _lines(text))) for reader, text in zip(readers, texts, strict=True))
    return [_inert(line) for line in old], [_inert(line) for line in new]


def _read(text: str) -> Document | None:
    try:
        return parse(text.encode(), name="")
    except UnusableInputError:
        return None


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


@dataclass(frozen=True, slots=True)
class _Placed:
    """A scalar and where it stands: `_FIELD`, the lower-case name of its field, or that behind `_ITEM`."""

    node: Scalar = field(repr=False)
    place: str


def _placed(node: Node, place: str = "") -> Iterator[_Placed]:
    """Every scalar of `node`; one that aliases repeat once for each of its places."""
    if isinstance(node, Mapping):
        for key, value in node.items:
            yield _Placed(key, _FIELD)
            yield from _placed(value, key.text.lower())
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _placed(item, _ITEM + place)
    else:
        yield _Placed(node, place)


def _secrets(root: Node) -> Iterator[str]:
    return (one.node.text for one in _placed(root) if one.place == "secret" and one.node.text)


class _MaskedNodes:
    """Masks one text that could be read as `document`."""

    def __init__(self, document: Document, masks: Masks, secrets: frozenset[str]) -> None:
        self._document = document
        self._masks = masks
        self._secrets = secrets
        self._comments = Comments(masks)
        root = document.root
        is_pod = isinstance(root, Mapping) and any(
            key.text == "kind" and isinstance(value, Scalar) and value.text == "Pod" for key, value in root.items
        )
        self._of: Callable[[_Placed, str], str] = self._of_manifest if is_pod else self._of_configuration

    def text(self) -> str:
        """The whole text, masked, with its line breaks."""
        source = self._document.text
        parts: list[str] = []
        at = 0
        for (start, end), places in sorted(self._places().items()):
            parts.append(self._between(source[at:start]))
            raw = source[start:end].rstrip()
            at = start + len(raw)
            shown = {self._of(one, raw) for one in places}
            # With aliases one text stands in several places, and the strictest counts.
            parts.append(raw if shown == {raw} else min(shown - {raw}))
            self._comments.interrupted()
        return "".join((*parts, self._between(source[at:])))

    def _places(self) -> dict[tuple[int, int], list[_Placed]]:
        found: dict[tuple[int, int], list[_Placed]] = {}
        for one in _placed(self._document.root):
            if one.node.span.end > one.node.span.start:
                found.setdefault((one.node.span.start, one.node.span.end), []).append(one)
        return found

    def _between(self, text: str) -> str:
        def mask(match: re.Match[str]) -> str:
            if match["comment"] is not None:
                return self._comments.masked(match[0])
            return match[0] if match["signs"] is not None else self._masks.of(match[0])

        return _BETWEEN.sub(mask, text)

    def _of_configuration(self, one: _Placed, raw: str) -> str:
        text = one.node.text
        if one.place == _FIELD:
            readable = field_is_readable(text)
        elif text in self._secrets:
            readable = False
        elif one.place == f"{_ITEM}resources":
            readable = resource_is_readable(text)
        else:
            readable = value_is_readable(one.place, text)
        return raw if readable and _bare(raw) == text else self._hidden(one.node, raw)

    def _of_manifest(self, one: _Placed, raw: str) -> str:
        text = one.node.text
        if one.place == _FIELD:
            readable = _MANIFEST_FIELD.fullmatch(text) is not None and not reads_like_key(text)
            return raw if readable and _bare(raw) == text else self._hidden(one.node, raw)
        if _SECRETIVE_FIELD.fullmatch(one.place) or "\n" in raw:
            return self._hidden(one.node, raw)
        flag = _SECRETIVE_FLAG.fullmatch(text)
        if flag is not None:
            return flag[1] + self._masks.of(text[flag.end(1) :])
        return _LOOKS_LIKE_KEY.sub(self._manifest_word, raw)

    def _manifest_word(self, match: re.Match[str]) -> str:
        word = match["word"]
        known = match["path"] is not None or (_FLAG_WORD.fullmatch(word) is not None and shown_name(word) == word)
        return match[0] if known else self._masks.of(match[0])

    def _hidden(self, node: Scalar, raw: str) -> str:
        """The mask of a scalar, line by line where it has several; its quotes stay, for they may be what changes."""
        if not node.text:
            return raw
        first, *others = raw.split("\n")
        if not others:
            quote = raw[0] if node.quoted and raw[0] in "\"'" else ""
            return f"{quote}{self._masks.of(node.text)}{quote}"
        header = _SPAN_HEADER.match(first)
        head = hidden(first, self._masks) if header is None else header[0] + self._between(first[header.end() :])
        return "\n".join((head, *(hidden(line, self._masks) for line in others)))


def _bare(raw: str) -> str:
    return raw[1:-1] if raw[:1] in ("'", '"') else raw


def _inert(line: str) -> str:
    return "".join(one if one.isprintable() or one == "\t" else ascii(one)[1:-1] for one in line)
