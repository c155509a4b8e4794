"""Find records and values in bytes of which nothing else is known.

A record is believed where it fits to the byte; elsewhere a value is known by
how it begins. The length that stands before a value is believed, too, unless
something begins inside that the value's own form does not account for. Judges
no value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple

from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.distinct import Distinct
from keyctl.etcd_files.loose_records import HEAD_BYTES, MAIN_BYTES, MIDDLE, LooseRecord, loose_record
from keyctl.stored import cbor
from keyctl.stored.protobuf import DamagedError, varint

_PROTOBUF, _JSON = b"k8s\0", (b'{"kind":', b'{"apiVersion":')
# How the values of an API server begin: protobuf, encrypted, the two ways it writes JSON, and CBOR.
MARKERS = (_PROTOBUF, b"k8s:enc:", *_JSON, cbor.MAGIC)
LONGEST_FRAGMENT = 64 * 1024

_STEP = 1 << 20
# Before a value stand its tag, as in mvccpb.KeyValue or PutRequest, and its length.
_VALUE_TAGS = (0x2A, 0x12)
_SIZE_BYTES = 5
_BEFORE = MAIN_BYTES
# CBOR's tag has but three bytes; in an object a map follows, whose first key begins with a letter.
_CBOR_MAPS = frozenset(range(0xA1, 0xC0))
_CBOR_TEXTS = frozenset((*range(0x41, 0x58), *range(0x61, 0x78)))
# runtime.Unknown: the type, the object, and two fields that the API server leaves empty.
_TYPE, _OBJECT, _EMPTY_FIELDS = 0x0A, 0x12, b'\x1a\x00"\x00'
# No object is larger; a made-up length must not make more be parsed.
_LONGEST_OBJECT = 4 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A value, or its beginning, at `offset` of the file. A `whole` one has its key and revision.

    `tail_of`: it is the end of a value of this resource, and its beginning is lost.
    """

    offset: int
    key: bytes | None
    revision: int | None
    value: bytes = field(repr=False)
    whole: bool
    tail_of: str = ""


class Span(NamedTuple):
    """What lies from `start` to `end` of the file; `content` tells it from others.

    `sized`: it says itself where it ends; another may have ended before. There
    is nothing `found` in a record without a value.
    """

    start: int
    end: int
    sized: bool
    content: bytes
    found: Found | None


class _Mark(NamedTuple):
    """A record or a value begins `at` an offset, and should take `size` bytes; 0: nothing says how many."""

    at: int
    size: int = 0
    record: LooseRecord | None = None


def search(data: Sliceable, start: int, end: int, known: Distinct) -> Iterator[Found]:
    """Yield the values in `data[start:end]` that are not `known` yet, in order of offset."""
    for span in spans(data, start, end):
        if known.add(span.content) and span.found is not None:
            yield span.found


def spans(data: Sliceable, start: int, end: int) -> Iterator[Span]:
    """Yield each record in `data[start:end]`, and each value that is in none, in order of offset.

    A value of unknown length ends where the next begins. The time it takes
    grows with the number of bytes, whatever they are.
    """
    behind = start
    # NOTE: sound data is nowhere read twice, and made-up lengths may reach far and overlap.
    credit = 2 * (end - start)
    for mark, after in pairwise(chain(_marks(data, start, end), (_Mark(end),))):
        if mark.at < behind:
            continue
        size = mark.size if mark.size <= min(credit, end - mark.at) else 0
        if mark.record is not None:
            if size:
                credit -= size
                span = _recorded(data, mark.record)
                behind = _searched_from(mark.record, span)
                yield span
        else:
            if mark.at + size > after.at:
                credit -= size
                size = size if is_closed(data[mark.at : mark.at + size]) else 0
            behind = mark.at + size if size else after.at
            value = data[mark.at : min(behind, mark.at + LONGEST_FRAGMENT)]
            yield Span(mark.at, behind, mark.size > 0, value, Found(mark.at, None, None, value, whole=False))


def holds_more(value: bytes) -> bool:
    """Whether in `value` something begins that its own form does not account for."""
    return any(value.find(marker, 1) >= 0 for marker in MARKERS) and not is_closed(value)


def _searched_from(record: LooseRecord, span: Span) -> int:
    if span.found is None:
        return record.start + 1
    return record.value_at + 1 if holds_more(span.found.value) else span.end


def _recorded(data: Sliceable, record: LooseRecord) -> Span:
    content = data[record.start : record.end]
    value = content[record.value_at - record.start : record.value_end - record.start]
    found = Found(record.value_at, record.key, record.revision, value, whole=True) if value else None
    return Span(record.start, record.end, True, content, found)


def _marks(data: Sliceable, start: int, end: int) -> Iterator[_Mark]:
    for base in range(start, end, _STEP):
        low = max(start, base - _BEFORE)
        block = data[low : min(base + _STEP + HEAD_BYTES, end)]
        first, last = base - low, base - low + _STEP
        marks = [
            _Mark(low + at, _declared_size(block, at))
            for marker in MARKERS
            for at in _places(block, marker, first, last)
            if marker != cbor.MAGIC or _is_cbor_object(block, at)
        ]
        for at in _places(block, MIDDLE, first + MAIN_BYTES, last + MAIN_BYTES):
            record = loose_record(data, end, block, low, at - MAIN_BYTES)
            if record is not None:
                marks.append(_Mark(record.start, record.end - record.start, record))
        yield from sorted(marks, key=attrgetter("at"))


def _places(block: bytes, wanted: bytes, first: int, last: int) -> Iterator[int]:
    at = block.find(wanted, first)
    while 0 <= at < last:
        yield at
        at = block.find(wanted, at + 1)


def _declared_size(block: bytes, value: int) -> int:
    """The length that stands before the value at `value`, where a field begins that ends there; 0 for none."""
    for at in range(value - 1, max(value - 1 - _SIZE_BYTES, 0), -1):
        if block[at - 1] in _VALUE_TAGS:
            try:
                size, behind = varint(block, at, value)
            except DamagedError:
                continue
            if behind == value:
                return size
    return 0


def _is_cbor_object(block: bytes, at: int) -> bool:
    at += len(cbor.MAGIC)
    head = block[at : at + 3]
    return len(head) == 3 and head[0] in _CBOR_MAPS and head[1] in _CBOR_TEXTS and head[2:].isalpha()


def is_closed(value: bytes) -> bool:
    """Whether the form of `value` accounts for every byte of it: what begins inside is its own then."""
    if len(value) > _LONGEST_OBJECT:
        return False
    if value.startswith(_PROTOBUF):
        return _is_framed(value)
    if value.startswith(cbor.MAGIC):
        return cbor.decode(value) is not None
    try:
        return value.startswith(b"{") and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def _is_framed(value: bytes) -> bool:
    """Whether a protobuf object ends where the lengths at its beginning say."""
    end = len(value)
    try:
        at = len(_PROTOBUF)
        for tag in (_TYPE, _OBJECT):
            if value[at] != tag:
                return False
            size, at = varint(value, at + 1, end)
            at += size
    except (DamagedError, IndexError):
        return False
    return value[at:] == _EMPTY_FIELDS
