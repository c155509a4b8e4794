"""Read pages that belong to no tree any more, as far as they still are what they were.

A freed page keeps its bytes until another is written over it. The pages behind
its first may have gone to others since, so every page that begins with a header
of its own ends what was written before it. Nothing here is damage: what does
not fit is not told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from keyctl.etcd_files.bbolt_meta import PAGE_HEADER, Sliceable
from keyctl.etcd_files.loose_records import LONGEST_RECORD

_ELEMENT = struct.Struct("<IIII")  # flags, pos, key size, value size
_BRANCH, _LEAF, _META, _FREELIST = 0x01, 0x02, 0x04, 0x10
# The revision of a record, and of a deletion.
_REVISION_SIZES = (17, 18)
_SEPARATOR_AT, _SEPARATOR = 8, b"_"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes from `start` to `end` that were written together; without a header (not `headed`), perhaps not even these.

    `count` is the number of a leaf's elements, else 0.
    """

    start: int
    end: int
    count: int
    headed: bool


@dataclass(frozen=True, slots=True)
class StaleRecord:
    """An element of a leaf: its revision lies at `start`, its record from `value` to `end` of the file."""

    start: int
    value: int
    end: int


def stretches(data: Sliceable, start: int, end: int, page_size: int) -> Iterator[Stretch]:
    """Divide pages, from the offset `start` to `end`, where one header's pages end or the next header begins."""
    begin, count, headed, until = start, 0, False, end
    for offset in range(start, end, page_size):
        header = _header(data, offset, offset // page_size)
        if header is None and offset != until:
            continue
        if offset > begin:
            yield Stretch(begin, offset, count, headed)
        begin, headed, (count, pages) = offset, header is not None, header or (0, 0)
        until = min(offset + pages * page_size, end) if pages else end
    if begin < end:
        yield Stretch(begin, end, count, headed)


def stale_records(data: Sliceable, stretch: Stretch) -> Iterator[StaleRecord]:
    """The elements of a leaf of etcd's bucket `key` that lie wholly inside `stretch`, in order of offset."""
    heads = data[stretch.start + PAGE_HEADER.size : min(stretch.end, _heads_end(stretch))]
    heads = heads[: len(heads) // _ELEMENT.size * _ELEMENT.size]
    behind = stretch.start + PAGE_HEADER.size + len(heads)
    for index, (flags, position, key_size, size) in enumerate(_ELEMENT.iter_unpack(heads)):
        start = stretch.start + PAGE_HEADER.size + index * _ELEMENT.size + position
        value = start + key_size
        if flags or key_size not in _REVISION_SIZES or size > LONGEST_RECORD:
            continue
        if start < behind or value + size > stretch.end:
            continue
        if data[start + _SEPARATOR_AT : start + _SEPARATOR_AT + 1] == _SEPARATOR:
            behind = value + size
            yield StaleRecord(start, value, behind)


def _heads_end(stretch: Stretch) -> int:
    return stretch.start + PAGE_HEADER.size + stretch.count * _ELEMENT.size


def _header(data: Sliceable, offset: int, number: int) -> tuple[int, int] | None:
    """(elements of a leaf, number of pages) where the page at `offset` begins with its own number and a kind."""
    raw = data[offset : offset + PAGE_HEADER.size]
    if len(raw) < PAGE_HEADER.size:
        return None
    found, flags, count, overflow = PAGE_HEADER.unpack(raw)
    if found != number or flags not in (_BRANCH, _LEAF, _META, _FREELIST):
        return None
    return (count if flags == _LEAF else 0), 1 + overflow
