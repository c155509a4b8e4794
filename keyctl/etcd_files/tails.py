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
from collections.abc import Callable, Iterator

from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.markers import LONGEST_FRAGMENT, Found
from keyctl.etcd_files.remarks import Remarks
from keyctl.stored.envelope import MARKER, kms_v2_key_id
from keyctl.stored.protobuf import DamagedError, fields, varint
from keyctl.stored.source import OTHER_THAN_SECRETS, PERHAPS_SECRETS, SECRETS, Area

# The types that Secrets are known to have; no other object has a text like these at its end.
_SECRET_TYPE = rb"(Opaque|[a-z0-9-]++(?:\.[a-z0-9-]++)++/[A-Za-z0-9._-]++)"
_KNOWN_TYPE = re.compile(_SECRET_TYPE)
# What the API server writes behind every protobuf object; behind a Secret's type (field 3) and perhaps `immutable`.
_END, _TYPE_TAG = b'\x1a\x00"\x00', b"\x1a"
_IMMUTABLE = (b"\x28\x00", b"\x28\x01")
_SEAL = re.compile(rb"k8s:enc:[a-z]{1,16}:v\d:[^:]{1,1024}:")
_JSON_END = re.compile(rb'(?:"type":"(?:%b|[^"]*)")?\}\n\x00*\Z' % _SECRET_TYPE)
# Shorter pieces are what is left of a record's head; and nothing tells so few bytes of text from ciphertext.
_SHORTEST = 24
_TEXT = re.compile(rb"[\t\n\r -~]{24}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
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

    def secrets(self, data: Sliceable, start: int, end: int) -> Iterator[Found]:
        """Yield the ends of Secrets, and of what may be one, in `data[start:end]`, which something else explains."""
        content = data[start : min(end, start + _LONGEST_PIECE)]
        yield from (found for found in _ends(start, content) if found.tail_of != OTHER_THAN_SECRETS)

    def remark(self, remarks: Remarks, area: Area, name: str = "") -> None:
        """Say what was counted; `name` is the file, where it is not the database itself."""
        where = f" of {name}" if name else ""
        cure = f"removing {name}" if name else "compacting and defragmenting the member"
        if self._readable:
            places = ", ".join(map(str, self._places)) + (", …" if self._readable > len(self._places) else "")
            remarks.say(
                area,
                f"{_pages(self._readable)}{where} ({places}) with plaintext of which nothing says what it was;"
                f" {cure} removes it",
                unread=True,
            )
        if self._sealed:
            remarks.say(
                area,
                f"{_pages(self._sealed)}{where} with the rest of a value that looks encrypted; its head is lost, so it"
                f" may be under a retired key; {cure} removes it",
                unread=True,
            )

    def _piece(self, offset: int, content: bytes) -> Iterator[Found]:
        at = offset
        for found in _ends(offset, content):
            yield found
            at = found.offset + len(found.value)
        rest = content[at - offset :].strip(b"\0")
        if len(rest) < _SHORTEST:
            return
        pages = -(-len(rest) // self._page_size)
        if is_like_ciphertext(rest):
            self._sealed += pages
            return
        first = (offset + len(content.rstrip(b"\0")) - len(rest)) // self._page_size
        self._places += range(first, first + pages)[: _MOST_PLACES - len(self._places)]
        self._readable += pages


def is_sealed(value: bytes) -> bool:
    """Whether `value`, as much of it as is there, begins as encrypted ones do, and goes on as a cipher's bytes do.

    So few that this cannot be told are those of no value: an object is longer.
    """
    return _body_is(
        value,
        lambda body: len(body) >= _ENOUGH and (is_like_ciphertext(body) or kms_v2_key_id(body) is not None),
    )


def begins_sealed(value: bytes) -> bool:
    """Whether it does so as far as its first bytes; what comes then may be something else."""
    return _body_is(value, lambda body: is_like_ciphertext(body[:_ENOUGH]))


def _body_is(value: bytes, like: Callable[[bytes], bool]) -> bool:
    head = _SEAL.match(value) if value.startswith(MARKER) else None
    return head is not None and like(value[head.end() :].strip(b"\0"))


def _ends(offset: int, content: bytes) -> Iterator[Found]:
    """Each end of an object in `content`, which lies at `offset`, with what comes before it."""
    at, end = 0, content.find(_END)
    while end >= 0:
        behind = end + len(_END)
        yield _tail(offset, content, at, behind, _ended(content, at, end))
        at, end = behind, content.find(_END, behind)
    last = _JSON_END.search(content, at)
    if last is not None and (last[1] is not None or b'"type":' not in last[0]):
        yield _tail(offset, content, at, len(content), OTHER_THAN_SECRETS if last[1] is None else SECRETS)


def _ended(content: bytes, start: int, end: int) -> str:
    """What it is that ends at `end`: only a Secret has its type there, a text in a field of its own."""
    said = OTHER_THAN_SECRETS
    stops = (end, end - 2) if content[max(start, end - 2) : end] in _IMMUTABLE else (end,)
    for stop in stops:
        at = content.rfind(_TYPE_TAG, start, stop)
        while at >= 0:
            text = _field(content, at + 1, stop)
            if _KNOWN_TYPE.fullmatch(text):
                return SECRETS
            if text and not _is_message(text):
                said = PERHAPS_SECRETS
            at = content.rfind(_TYPE_TAG, start, at)
    return said


def _field(content: bytes, at: int, end: int) -> bytes:
    """What stands behind the length at `at`, if it goes to `end` and no farther; else nothing."""
    try:
        size, at = varint(content, at, end)
    except DamagedError:
        return b""
    return content[at:end] if at + size == end else b""


def _is_message(content: bytes) -> bool:
    """Whether `content` is no text, but fields: a status, say."""
    try:
        if not _CONTROL.search(content.decode()):
            return False
    except UnicodeDecodeError:
        pass
    try:
        return bool(list(fields(content, 0, len(content))))
    except DamagedError:
        return False


def _tail(offset: int, content: bytes, start: int, end: int, what: str) -> Found:
    start = max(start, end - LONGEST_FRAGMENT)
    return Found(offset + start, None, None, content[start:end], whole=False, tail_of=what)


def is_like_ciphertext(content: bytes) -> bool:
    """Whether a cipher, or a compressor, may have left these bytes; so few that nobody can tell are taken for that."""
    if _TEXT.search(content):
        return False
    expected = 256 * (1 - (255 / 256) ** len(content))
    return len(content) < _ENOUGH or len(set(content)) >= _COMMON_SHARE * expected


def _pages(number: int) -> str:
    return f"{number} free {'page' if number == 1 else 'pages'}"
