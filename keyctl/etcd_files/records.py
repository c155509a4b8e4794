"""Where the values are in etcd's file: those that are live at a revision, or all others that are still there.

One pass from the newest record to the oldest, without a table of all keys: the
first record of a key that is met is the live one, and a key is remembered only
while an older record of it may follow. None can where a record is the first of
its key, or the newest that a compaction kept. Whether this held for every key
is known at the end, from a hash of each.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections import Counter
from collections.abc import Container, Generator, Iterable
from typing import NamedTuple

from keyctl.etcd_files.bbolt import LEAF_ELEMENT, BoltFile, LeafRun
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.etcd_files.mvcc import RECORDS, REVISION, SEPARATOR, TOMBSTONE, Standing, read_record
from keyctl.stored.protobuf import varint
from keyctl.stored.source import Value

_GROUPS = 64
_MOST_SIZES = 4096
_LAST_SUB = 0xFFFFFFFFFFFFFFFF

_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
# What etcd writes between key and value: the revisions that (created) and (modified) it, version, (size of the value).
_BETWEEN = re.compile(rb"\x10(%b)\x18(%b)\x20%b\x2a([\x80-\xff]{0,4}[\x00-\x7f])" % ((_NUMBER,) * 3))
_KEY_TAG, _LONG = 0x0A, 0x80
_MAIN = struct.Struct(">Q")
_PLACES = struct.Struct("=5Q")
_SEPARATOR_AT = _MAIN.size
_SEPARATOR_BYTE = SEPARATOR[0]


class Find(NamedTuple):
    """Wanted records among the bytes `content`, which lie at `offset` of the file.

    `places` are five numbers a record: where it begins, and where its key and
    its value begin and end.
    """

    offset: int
    content: bytes
    places: bytes


def values_of(find: Find) -> list[Value]:
    """The records as (key, value, revision), newest first."""
    _, content, places = find
    main_of = _MAIN.unpack_from
    return [
        (content[key_at:key_end], content[value_at:value_end], main_of(content, at)[0])
        for at, key_at, key_end, value_at, value_end in _PLACES.iter_unpack(places)
    ]


class Reader:
    """One way through the records, backwards. `past`: what is not live is wanted, instead of what is.

    `prefix` is how the keys start that are wanted, `revision` the one at which they are live.
    """

    def __init__(
        self, bolt: BoltFile, name: str, standing: Standing, prefix: bytes, revision: int, *, past: bool = False
    ) -> None:
        self._bolt, self._name, self._prefix, self._past = bolt, name, prefix, past
        self._limit, self._compacted = _end_of(revision), _end_of(standing.compacted)
        # The record before, and the keys of which older records may follow.
        self._newer = b"\xff" * REVISION.size
        self._seen: set[bytes] = set()
        self._sizes = _Sizes()
        self._hashes = [array("q") for _ in range(_GROUPS)]

    def finds(self) -> Generator[Find]:
        """Go through the records. Raises `UnusableInputError` for a damaged one."""
        for run in self._bolt.runs_backwards(RECORDS):
            yield Find(run.offset, run.content, self._read(run))

    def repeated(self) -> set[int]:
        """The hashes of keys that were found more than once: none, if every key was found once."""
        doubtful = (group for group in self._hashes if len(set(group)) < len(group))
        return {number for group in doubtful for number, times in Counter(group).items() if times > 1}

    def _read(self, run: LeafRun) -> bytes:
        """Where the wanted records of `run` are, see `Find`. Every value of a file comes through this loop."""
        offset, content, leaves = run
        limit, compacted, newer, seen, past = self._limit, self._compacted, self._newer, self._seen, self._past
        unpack, between, sizes = LEAF_ELEMENT.iter_unpack, _BETWEEN.match, self._sizes
        prefix, change_size, element_size = self._prefix, REVISION.size, LEAF_ELEMENT.size
        note, places = [group.append for group in self._hashes], array("Q")
        for number, start, end, held in reversed(leaves):
            elements = start + PAGE_HEADER.size
            element = elements + held * element_size
            for flags, position, key_size, size in reversed(list(unpack(content[elements:element]))):
                element -= element_size
                at = element + position
                record = at + key_size
                stop = record + size
                entry = content[at:record]
                deleted = key_size != change_size
                if deleted or stop > end or flags or entry >= newer or entry[_SEPARATOR_AT] != _SEPARATOR_BYTE:
                    self._require(run, number, element, entry, fits=stop <= end and not flags, newer=newer)
                newer = entry[:change_size] if deleted else entry
                match = None
                if size > 1 and content[record] == _KEY_TAG and (key_end := content[record + 1]) < _LONG:
                    key_at = record + 2
                    key_end += key_at
                    match = between(content, key_end, stop)
                if match is not None and (value_at := match.end()) + sizes[match[3]] == stop and key_end > key_at:
                    is_first, value_end = match[1] == match[2], stop
                elif size or deleted:
                    found = read_record(content, record, stop, offset, self._name)
                    key_at, key_end, value_at, value_end, is_first = found
                else:
                    # A restore that bumps the revision leaves a record without content.
                    continue
                key = content[key_at:key_end]
                if not key.startswith(prefix):
                    continue
                wanted = past
                if entry <= limit:
                    if key not in seen:
                        wanted = not past
                        if not is_first and entry > compacted:
                            seen.add(key)
                    elif is_first:
                        seen.discard(key)
                if wanted and not deleted:
                    places.extend((at, key_at, key_end, value_at, value_end))
                    if not past:
                        hashed = _hash(key)
                        note[hashed % _GROUPS](hashed)
        self._newer = newer
        return places.tobytes()

    def _require(self, run: LeafRun, number: int, element: int, entry: bytes, *, fits: bool, newer: bytes) -> None:
        """Raise when the entry is neither a change nor a deletion that is older than the record before."""
        change, mark = entry[: REVISION.size], entry[REVISION.size :]
        if not fits:
            what = "an entry reaches beyond it, or is no record"
        elif len(change) < REVISION.size or change[_SEPARATOR_AT] != _SEPARATOR_BYTE or mark not in (b"", TOMBSTONE):
            what = f"{len(entry)} bytes that are no revision"
        elif change >= newer:
            what = "its revisions are out of order"
        else:
            return
        raise self._bolt.damage(number, run.offset + element, what)


class _Sizes(dict[bytes, int]):
    """The numbers that these bytes are."""

    def __missing__(self, raw: bytes) -> int:
        size, _ = varint(raw, 0, len(raw))
        if len(self) < _MOST_SIZES:
            self[raw] = size
        return size


def twice(finds: Iterable[Find], suspects: Container[int]) -> bytes | None:
    """The first key that is found twice, of those whose hash is among `suspects`; different keys may share one."""
    met: set[bytes] = set()
    for find in finds:
        for key, _, _ in values_of(find):
            if _hash(key) in suspects:
                if key in met:
                    return key
                met.add(key)
    return None


def _end_of(revision: int) -> bytes:
    """What the bbolt key of every change up to `revision` is not above."""
    return REVISION.pack(revision, SEPARATOR, _LAST_SUB) + TOMBSTONE


# A name of its own, so that a test can make keys collide.
_hash = hash
