"""What is left in the pages of a database file that nothing refers to any more. No verdicts here.

etcd writes changed pages anew and never wipes the old ones: overwritten,
deleted and compacted values stay in the file until a page is used again, and go
into every snapshot. Where a page still parses its records are told whole, with
key and revision; elsewhere values are found by how they begin.

What counts as left behind: a stale copy, byte for byte, of a record that the
tree still has (live or in history) does not: whoever reads the values meets it
there, and it goes when they go. A record that is in no tree does, once however
many copies there are. A value of which only a part is left is told as found,
whether the tree has it or not. A part without the value's beginning is told
where its end says what it was, and otherwise counted: see `tails`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.delivery import Database
from keyctl.etcd_files.distinct import Distinct
from keyctl.etcd_files.loose_records import LONGEST_RECORD
from keyctl.etcd_files.markers import Found, Span, holds_more, is_closed, search, spans
from keyctl.etcd_files.mvcc import RECORDS
from keyctl.etcd_files.open_file import OpenFile
from keyctl.etcd_files.remarks import Remarks
from keyctl.etcd_files.stale_pages import StaleRecord, Stretch, stale_records, stretches
from keyctl.etcd_files.tails import Tails, begins_sealed, is_sealed
from keyctl.stored.envelope import MARKER
from keyctl.stored.protobuf import DamagedError, chunks
from keyctl.stored.source import Area, Fragment

_BATCH_FRAGMENTS = 1000
_BATCH_BYTES = 4 << 20
# Of mvccpb.KeyValue.
_KEY, _VALUE = 1, 5
_MAIN_BYTES = 8
# What stands between key and value: three numbers, and the length of the value.
_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
_NUMBERS = re.compile(rb"\x10%b\x18%b\x20%b\x2a%b\Z" % ((_NUMBER,) * 4))
_PRINTABLE = bytes(range(0x21, 0x7F))
_LONGEST_HEAD = 1024


def free_page_fragments(database: Database, length: int, remarks: Remarks, *, proven: bool) -> Iterator[Fragment]:
    """Yield what the free pages of `database` hold, whose first `length` bytes belong to it.

    `proven`: a digest shows that its tree is as it was written. Raises
    `UnusableInputError` where the tree is damaged, never for what lies outside of it.
    """
    bolt, data, page_size = database.bolt, database.data, database.bolt.page_size
    known, tails, unreached = Distinct(), Tails(page_size), 0
    for leaf in bolt.leaves(RECORDS):
        for key, offset, size, _ in bolt.elements(leaf):
            at = offset - leaf.offset
            known.add(leaf.content[at - len(key) : at + size])
    for first, count in bolt.free_runs():
        end = min((first + count) * page_size, length)
        for found in left_behind(data, first * page_size, end, page_size, known, tails):
            unreached += found.revision is not None and found.revision > database.standing.readable_from
            yield fragment(found, Area.FREE_PAGES, f"page {found.offset // page_size}")
    tails.remark(remarks, Area.FREE_PAGES)
    if unreached and not proven:
        remarks.say(
            Area.LIVE,
            f"{unreached} {'record' if unreached == 1 else 'records'} that no compaction removed lie in free pages and"
            " in no tree: damage may hide live values, or they were never committed, or are from before a restore",
        )


def left_behind(
    data: Sliceable, start: int, end: int, page_size: int, known: Distinct, tails: Tails
) -> Iterator[Found]:
    """Yield what the pages of `data` from the offset `start` to `end` hold and is not `known` yet."""
    for first, last in _filled(data, start, end, page_size):
        for stretch in stretches(data, first, last, page_size):
            if stretch.headed:
                yield from _of_page(data, stretch, known)
            else:
                yield from _loose(data, stretch, page_size, known, tails)


def _filled(data: Sliceable, start: int, end: int, page_size: int) -> Iterator[tuple[int, int]]:
    """The pages from `start` to `end` without those in holes that no record reaches across."""
    if not isinstance(data, OpenFile):
        yield start, end
        return
    for first, last in data.filled(start, end, LONGEST_RECORD):
        yield max(start, first // page_size * page_size), min(end, -(-last // page_size) * page_size)


def _of_page(data: Sliceable, stretch: Stretch, known: Distinct) -> Iterator[Found]:
    at = stretch.start
    for record in stale_records(data, stretch):
        found = None
        # A content that is known was read before: live, in history, or from another page.
        if known.add(data[record.start : record.end]):
            found = _read(data, record)
            if found is None:
                continue
        if record.start > at:
            yield from search(data, at, record.start, known)
        at = record.end
        if found is not None and found.value:
            yield found
            if holds_more(found.value):
                at = found.offset + 1
    yield from search(data, at, stretch.end, known)


def _loose(data: Sliceable, stretch: Stretch, page_size: int, known: Distinct, tails: Tails) -> Iterator[Found]:
    """What lies in pages without a header: the ends of large values, and small records behind them."""
    at = stretch.start
    for span in spans(data, stretch.start, stretch.end):
        # What does not say where it ends is believed to the end of its page.
        end = span.end if span.sized else min(span.end, (span.start // page_size + 1) * page_size)
        value = span.content[: end - span.start]
        is_piece = span.found is not None and not span.found.whole
        if is_piece and value.startswith(MARKER) and not is_sealed(value):
            # NOTE: text may hold these words; what is behind them must not be taken for encrypted.
            if begins_sealed(value) and known.add(span.content) and span.found is not None:
                yield span.found
            continue
        yield from _new(tails.look(data, at, span.start - _cut_head(data, at, span)), known)
        at = max(at, end)
        if known.add(span.content) and span.found is not None:
            yield span.found
        if is_piece and not is_closed(value):
            yield from _new(tails.secrets(data, span.start, end), known)
    yield from _new(tails.look(data, at, stretch.end), known)


def _new(found: Iterator[Found], known: Distinct) -> Iterator[Found]:
    return (one for one in found if known.add(one.value))


def _cut_head(data: Sliceable, start: int, span: Span) -> int:
    """How many bytes before a value are of its own record, the beginning of which is lost."""
    before = data[max(start, span.start - _LONGEST_HEAD) : span.start]
    match = _NUMBERS.search(before)
    if span.found is None or span.found.whole or match is None:
        return 0
    return len(before) - len(before[: match.start()].rstrip(_PRINTABLE))


def _read(data: Sliceable, record: StaleRecord) -> Found | None:
    """The record as found, or None when it is not one: its bytes were written over in part."""
    content = data[record.value : record.end]
    if not content:
        return Found(record.value, b"", 0, b"", True)
    try:
        parts = chunks(content, 0, len(content))
    except DamagedError:
        return None
    if _KEY not in parts:
        return None
    key = slice(*parts[_KEY])
    value = slice(*parts.get(_VALUE, (0, 0)))
    revision = int.from_bytes(data[record.start : record.start + _MAIN_BYTES], "big")
    return Found(record.value + value.start, content[key], revision, content[value], True)


def fragment(found: Found, area: Area, place: str) -> Fragment:
    """What was found, as whoever judges it wants it."""
    return Fragment(area, place, found.key, found.revision, found.value, found.whole, found.tail_of)


def in_batches(fragments: Iterable[Fragment]) -> Iterator[list[Fragment]]:
    """Group fragments so that neither their number nor their bytes grow beyond a bound."""
    batch: list[Fragment] = []
    size = 0
    for item in fragments:
        batch.append(item)
        size += len(item.value)
        if len(batch) >= _BATCH_FRAGMENTS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
