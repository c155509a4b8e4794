"""Encryption configurations as people and programs might write them, right and wrong, for hypothesis.

Made by structure (entries, providers, keys; one thing in ten odd, or none) and laid out in one of many ways, or taken
from the hand-made set; then damaged as text. Judges nothing: what a document is worth is for the server and for keyctl
to say.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from tests.support import encryption_document_words as words
from tests.support.encryption_document_accepted import ACCEPTED
from tests.support.encryption_document_layout import (
    Layout,
    Leaf,
    List,
    Map,
    Node,
    Style,
    as_json,
    as_yaml,
    with_another,
)
from tests.support.encryption_document_parts import secret

Value = TypeVar("Value")

CURRENT = ("apiserver.config.k8s.io/v1", "EncryptionConfiguration")
LEGACY = ("v1", "EncryptionConfig")
_KINDS = (CURRENT, LEGACY, (CURRENT[0], LEGACY[1]), (LEGACY[0], CURRENT[1]), ("/v1", LEGACY[1]), ("", ""), ("1", "1"))
_STATIC = ("aescbc", "aesgcm", "secretbox")
_FIELDS = ("apiVersion", "kind", "resources", "providers", "keys", "name", "secret", *_STATIC, "identity", "kms")
_SOME_RESOURCES = st.lists(st.sampled_from(words.RESOURCES), min_size=1, max_size=3, unique=True)
_ACCEPTED = tuple(document.content.decode() for document in ACCEPTED)
_UNSET: tuple[Node, ...] = (Leaf("null", Style.RAW),)
_IDENTITY: tuple[Node, ...] = (Map(()),)
_ODD_IDENTITY: tuple[Node, ...] = (*_UNSET, Leaf("", Style.RAW), List(()), Map(((Leaf("a", Style.RAW), _UNSET[0]),)))


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """The bytes of one file: made up from nothing, or one of the hand-made that a server accepts, hardly damaged."""
    if draw(st.integers(0, 2)) == 0:
        text, damages = draw(st.sampled_from(_ACCEPTED)), [0, 1, 1, 1, 1, 1, 2]
    else:
        text, damages = draw(_made_up()), [0, 0, 0, 0, 1, 1, 2, 4]
    for _ in range(draw(st.sampled_from(damages))):
        text = _damaged(draw, text)
    return _as_bytes(draw, text)


@st.composite
def _made_up(draw: st.DrawFn) -> str:
    maker = _Maker(draw, calm=draw(st.integers(0, 2)) > 0)
    root = maker.root()
    for _ in range(0 if maker.calm else draw(st.integers(0, 2))):
        root = _other_structure(draw, root)
    form = draw(st.sampled_from(["yaml", "yaml", "yaml", "json"]))
    text = as_json(root, draw(st.sampled_from([None, 1, 2]))) if form == "json" else as_yaml(root, draw(_layouts()))
    return _around(draw, text)


@dataclass(frozen=True)
class _Maker:
    """Draws the parts. A calm one takes good values only, in any spelling."""

    draw: st.DrawFn
    calm: bool

    def root(self) -> Node:
        version, kind = self._pick((CURRENT, CURRENT, LEGACY), _KINDS)
        entries = List(tuple(self._entry() for _ in range(self._count())))
        pairs = [("apiVersion", self._text(version)), ("kind", self._text(kind)), ("resources", entries)]
        return self._map(pairs)

    def _entry(self) -> Node:
        if self.draw(st.integers(0, 4)) == 0:
            named = [self._pick(words.WILDCARDS, words.ODD_RESOURCES)]
        else:
            named = [self._pick((name,), words.ODD_RESOURCES) for name in self.draw(_SOME_RESOURCES)]
            named += named[:1] if self._odd() else []
        names = List(tuple(map(self._text, named)))
        providers = List(tuple(self._provider() for _ in range(self._count())))
        return self._map([("resources", names), ("providers", providers)])

    def _provider(self) -> Node:
        kind = self.draw(st.sampled_from([*_STATIC, *_STATIC, "identity", "identity", "kms"]))
        pairs: list[tuple[str, Node]] = []
        if kind == "identity":
            pairs.append((kind, self._pick(_IDENTITY, _ODD_IDENTITY)))
        elif kind == "kms":
            pairs.append((kind, self._kms()))
        else:
            keys = List(tuple(self._key(kind) for _ in range(self._count())))
            pairs.append((kind, self._map([("keys", keys)])))
        if self._odd():
            pairs.append(("identity", self._pick(_UNSET, _IDENTITY)))
        return self._map(pairs)

    def _key(self, provider: str) -> Node:
        lengths = (32,) if provider == "secretbox" else (32, 32, 16, 24)
        length = self._pick(lengths, (0, 1, 8, 16, 24, 31, 33, 48))
        text = secret(self.draw(st.integers(0, 3)), length)
        if self._odd():
            text = self.draw(st.sampled_from(_OTHER_BASE64))(text)
        return self._map([("name", self._text(self._pick(words.NAMES, words.ODD_NAMES))), ("secret", self._text(text))])

    def _kms(self) -> Node:
        pairs: list[tuple[str, Node]] = [
            ("apiVersion", self._text(self._pick(("v2",), ("v1", "v2", "v3", "")))),
            ("name", self._text(self._pick((*words.NAMES, "k3", "k4", "k5"), words.ODD_NAMES))),
            ("endpoint", self._text(self._pick(words.ENDPOINTS, words.ODD_ENDPOINTS))),
        ]
        if self.draw(st.booleans()):
            pairs.append(("timeout", self._text(self._pick(words.TIMEOUTS, words.ODD_TIMEOUTS))))
        if self._odd():
            pairs.append(("cachesize", Leaf(self._pick(words.NUMBERS, words.ODD_NUMBERS), Style.RAW)))
        return self._map(pairs)

    def _map(self, pairs: list[tuple[str, Node]]) -> Node:
        """The fields, in their order or another, and now and then without one of them."""
        order = self.draw(st.permutations(pairs)) if self.draw(st.integers(0, 3)) == 0 else pairs
        kept = order[1:] if self._odd() and self._odd() else order
        return Map(tuple((self._field(name), node) for name, node in kept))

    def _field(self, name: str) -> Leaf:
        if self._odd() and self._odd():
            name = self.draw(st.sampled_from(words.ODD_FIELDS))
        styles = (Style.SINGLE, Style.DOUBLE, Style.TAGGED)
        return Leaf(name, self.draw(st.sampled_from(styles)) if self.draw(st.integers(0, 9)) == 0 else Style.RAW)

    def _text(self, text: str) -> Node:
        """In a style that keeps `text`, or, less calmly, as it comes."""
        kept = [Style.SINGLE, Style.DOUBLE, Style.ASCII, Style.TAGGED]
        common = text.isascii() and text.replace(".", "").replace("-", "").isalnum()
        plain = [Style.RAW] * 6 if not self.calm or (common and not text[0].isdigit()) else []
        block = [Style.LITERAL, Style.FOLDED] if self._odd() else []
        return Leaf(text, self.draw(st.sampled_from([*plain, *kept, *block])))

    def _pick(self, good: Sequence[Value], odd: Sequence[Value]) -> Value:
        return self.draw(st.sampled_from(odd if self._odd() else good))

    def _odd(self) -> bool:
        return not self.calm and self.draw(st.integers(0, 9)) == 0

    def _count(self) -> int:
        return self._pick((1, 1, 1, 2, 2, 3), (0, 1, 4))


_OTHER_BASE64 = (
    lambda text: text.replace("+", "-").replace("/", "_"),
    lambda text: text.rstrip("="),
    lambda text: text[:-1] + "\n=",
    lambda text: text[:20] + "\n" + text[20:],
    lambda text: text[:20] + "\r\n" + text[20:] + "\r\n",
    lambda text: text[:20] + " " + text[20:],
    lambda text: text + "\n",
    lambda text: text + "=",
    lambda text: text[:-2] + "/" + text[-1:],
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.b64decode(text).hex(),
    lambda text: "",
    lambda text: "\n",
)


def _other_structure(draw: st.DrawFn, root: Node) -> Node:
    """The tree with one node replaced by another: by nothing, by one of another type, or by one of its own parts."""
    others: list[Node] = [
        Leaf("", Style.RAW),
        Leaf("null", Style.RAW),
        Leaf(draw(st.sampled_from(words.ODD_NAMES)), Style.RAW),
        Map(()),
        List(()),
        Map(((Leaf(draw(st.sampled_from(_FIELDS)), Style.RAW), Leaf("a", Style.RAW)),)),
    ]
    return with_another(draw, root, others)


@st.composite
def _layouts(draw: st.DrawFn) -> Layout:
    return Layout(
        step=draw(st.sampled_from([1, 2, 2, 4])),
        dash=draw(st.sampled_from([0, 0, 2, 4])),
        gap=draw(st.sampled_from([1, 1, 3])),
        flow_from=draw(st.sampled_from([*range(8), 9, 9, 9, 9])),
        tight=draw(st.booleans()),
        comments=draw(st.sampled_from([0, 0, 2, 5])),
        anchors=draw(st.sampled_from([0, 0, 0, 3])),
    )


def _around(draw: st.DrawFn, text: str) -> str:
    """What may stand before and behind a document."""
    before = draw(
        st.sampled_from([*[""] * 20, "---\n", "--- # a\n", "# a\n", "\n", " ", "---\n---\n", "%YAML 1.1\n---\n"])
    )
    behind = draw(st.sampled_from([*[""] * 20, "---\n", "...\n", "---\n}{\n", "--- a\n", "# a", "\n\n", "---\n\x01"]))
    return before + text + behind


def _damaged(draw: st.DrawFn, text: str) -> str:
    """The text with one change of characters or of lines."""
    how = draw(
        st.sampled_from(["insert", "insert", "delete", "replace", "drop", "double", "swap", "indent", "dedent", "cut"])
    )
    at = draw(st.integers(0, len(text)))
    splinter = draw(st.sampled_from((*words.SPLINTERS, *words.ODD_NAMES))) if how in ("insert", "replace") else ""
    if how in ("insert", "delete", "replace"):
        return text[:at] + splinter + text[at + (how != "insert") :]
    if how == "cut":
        return text[:at]
    lines = text.splitlines(keepends=True) or [""]
    place = draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    other = {
        "drop": [],
        "double": [line, line],
        "swap": [*lines[place + 1 : place + 2], line],
        "indent": [draw(st.sampled_from([" ", "  ", "\t", "    "])) + line],
        "dedent": [line[draw(st.integers(1, 4)) :] if line.startswith(" ") else line],
    }[how]
    return "".join([*lines[:place], *other, *lines[place + (2 if how == "swap" else 1) :]])


def _as_bytes(draw: st.DrawFn, text: str) -> bytes:
    how = draw(st.sampled_from([*["utf-8"] * 30, "crlf", "crlf", "cr", "mark", "mark", "utf-16", "stray byte"]))
    if how in ("crlf", "cr"):
        text = text.replace("\n", "\r\n" if how == "crlf" else "\r")
    content = text.encode("utf-16" if how == "utf-16" else "utf-8")
    if how == "mark":
        return b"\xef\xbb\xbf" + content
    if how == "stray byte":
        at = draw(st.integers(0, len(content)))
        return (
            content[:at] + draw(st.sampled_from([b"\xe4", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\0"])) + content[at:]
        )
    return content
