"""What is left of values whose beginning is lost: told where the end says what it was, counted where nothing does.

A large value lies in several pages, and only the first says whose it is. Pages
without a header that follow one another were written together at least as far
as the value goes that is in the first of them: whatever overwrote a later one
without leaving a header there overwrote this one, too. So what comes before an
end belongs to it. Without an end, bytes that no cipher leaves are somebody's
plaintext, and nobody can say whose. Judges no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.markers import LONGEST_FRAGMENT, Found
from keyctl.etcd_files.remarks import Remarks
from keyctl.stored.source import OTHER_THAN_SECRETS, SECRETS, Area

# The type of a Secret, as no other object has a text like it at its end.
_SECRET_TYPE = rb"(Opaque|[a-z0-9-]++(?:\.[a-z0-9-]++)++/[A-Za-z0-9._-]++)"
# What the API server writes behind every protobuf object, for a Secret after its type (field 3) and perhaps
# `immutable` (field 5).
_END = re.compile(rb'\x1a(?:([\x06-\x7f])%b(?:\x28[\x00\x01])?\x1a)?\x00"\x00' % _SECRET_TYPE)
_JSON_END = re.compile(rb'(?:"type":"(?:%b|[^"]*)")?\}\n\x00*\Z' % _SECRET_TYPE)
# Shorter pieces are what is left of a record's head; and nothing tells so few bytes of text from ciphertext.
_SHORTEST = 24
_TEXT = re.compile(rb"[\t\n\r -~]{24}")
# The bytes of a cipher take all values: with fewer than this share of those that chance gives, they are of none.
_COMMON_SHARE, _ENOUGH = 0.85, 64
# Longer than any value.
_LONGEST_PIECE = 4 << 20
_MOST_PLACES = 3


class Tails:
    """The bytes that nothing explains in one file with pages of `page_size` bytes."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size
        self._readable = self._sealed = 0
        self._places: list[int] = []

    def look(self, data: Sliceable, start: int, end: int) -> Iterator[Found]:
        """Take in `data[start:end]`, pages without a header, and yield each end of a value that says what it was."""
        size, begin, piece = self._page_size, start, bytearray()
        for page in range(start // size, -(-end // size)):
            low, high = max(start, page * size), min(end, (page + 1) * size)
            content = data[low:high]
            is_empty = not content.strip(b"\0")
            if is_empty or len(piece) > _LONGEST_PIECE:
                yield from self._piece(begin, bytes(piece))
                begin, piece = low, bytearray()
            if is_empty:
                begin = high
            else:
                piece += content
        yield from self._piece(begin, bytes(piece))

    def remark(self, remarks: Remarks, area: Area, name: str = "") -> None:
        """Say what was counted; `name` is the file, where it is not the database itself."""
        where = f" of {name}" if name else ""
        if self._readable:
            places = ", ".join(map(str, self._places)) + (", …" if self._readable > len(self._places) else "")
            remarks.say(
                area,
                f"{_pages(self._readable)}{where} ({places}) with plaintext of which nothing says what it was;"
                " compacting and defragmenting the member removes it",
                unread=True,
            )
        if self._sealed:
            remarks.say(
                area, f"{_pages(self._sealed)}{where} with the rest of a value that looks encrypted; its head is lost"
            )

    def _piece(self, offset: int, content: bytes) -> Iterator[Found]:
        at = 0
        for match in _END.finditer(content):
            if match[1] is None or match[1][0] == len(match[2]):
                yield _tail(offset, content, at, match.end(), OTHER_THAN_SECRETS if match[1] is None else SECRETS)
                at = match.end()
        last = _JSON_END.search(content, at)
        if last is not None and (last[1] is not None or b'"type":' not in last[0]):
            yield _tail(offset, content, at, last.end(), OTHER_THAN_SECRETS if last[1] is None else SECRETS)
            return
        rest = content[at:].strip(b"\0")
        if len(rest) < _SHORTEST:
            return
        pages = -(-len(rest) // self._page_size)
        if _is_like_ciphertext(rest):
            self._sealed += pages
            return
        first = (offset + len(content.rstrip(b"\0")) - len(rest)) // self._page_size
        self._places += range(first, first + pages)[: _MOST_PLACES - len(self._places)]
        self._readable += pages


def _tail(offset: int, content: bytes, start: int, end: int, what: str) -> Found:
    start = max(start, end - LONGEST_FRAGMENT)
    return Found(offset + start, None, None, content[start:end], whole=False, tail_of=what)


def _is_like_ciphertext(content: bytes) -> bool:
    if _TEXT.search(content):
        return False
    expected = 256 * (1 - (255 / 256) ** len(content))
    return len(content) < _ENOUGH or len(set(content)) >= _COMMON_SHARE * expected


def _pages(number: int) -> str:
    return f"{number} free {'page' if number == 1 else 'pages'}"
