"""Bytes out of etcd made fit for a reader: whoever can write etcd chooses them, so nothing in them may act."""

from __future__ import annotations

_LIMIT = 256


def display(raw: bytes | str) -> str:
    """`raw` on one line: control and format characters escaped as Python writes them, cut after 256 characters."""
    # NOTE: a character is shown for four bytes at most, so this much always fills the line.
    head = raw[: _LIMIT * 4 + 1]
    text = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    shown = escaped(text)
    return shown if len(shown) <= _LIMIT else shown[: _LIMIT - 1] + "…"


def escaped(text: str) -> str:
    """All of `text` on one line: control and format characters escaped as Python writes them."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
