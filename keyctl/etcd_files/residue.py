"""What is left in the pages of a database file that nothing refers to any more. No verdicts here.

etcd writes changed pages anew and never wipes the old ones: overwritten,
deleted and compacted values stay in the file until a page is used again, and go
into every snapshot. Where a page still parses its records are told whole, with
key and revision; elsewhere values are found by how they begin.

What counts as left behind: a stale copy, byte for byte, of a record that the
tree still has (live or in history) does not: whoever reads the values meets it
there, and it goes when they go. A record that is in no tree does, once however
many copies there are. A value of which only a part is left is told as found,
whether the tree has it or not. A part that does not hold the value's beginning
cannot be recognized, and is not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.distinct import Distinct
from keyctl.etcd_files.markers import Found, search
from keyctl.etcd_files.stale_pages import StaleRecord, stale_records, stretches
from keyctl.stored.protobuf import DamagedError, chunks
from keyctl.stored.source import Area, Fragment

_BATCH_FRAGMENTS = 1000
_BATCH_BYTES = 4 << 20
# Of mvccpb.KeyValue.
_KEY, _VALUE = 1, 5
_MAIN_BYTES = 8


def free_page_fragments(bolt: BoltFile, data: Sliceable, length: int) -> Iterator[Fragment]:
    """Yield what the free pages of `bolt` hold: `data` is the file, its first `length` bytes the database.

    Raises `UnusableInputError` where the tree is damaged, never for what lies outside of it.
    """
    known = Distinct()
    for leaf in bolt.leaves(b"key"):
        for key, offset, size, _ in bolt.elements(leaf):
            at = offset - leaf.offset
            known.add(leaf.content[at - len(key) : at + size])
    page_size = bolt.page_size
    for first, count in bolt.free_runs():
        end = min((first + count) * page_size, length)
        for found in left_behind(data, first * page_size, end, page_size, known):
            yield fragment(found, Area.FREE_PAGES, f"page {found.offset // page_size}")


def left_behind(data: Sliceable, start: int, end: int, page_size: int, known: Distinct) -> Iterator[Found]:
    """Yield what the pages of `data` from the offset `start` to `end` hold and is not `known` yet."""
    for stretch in stretches(data, start, end, page_size):
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
        yield from search(data, at, stretch.end, known)


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
    return Fragment(area, place, found.key, found.revision, found.value, found.whole)


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
