"""The values in etcd's file: those that are live at a revision, and all others that are still there.

One pass from the newest record to the oldest, without a table of all keys: the
first record of a key that is met is the live one, and a key is remembered only
while an older record of it may follow. None can where a record is the first of
its key, or the newest that a compaction kept. That this held for every value is
checked at the end: a count that might be wrong is an error, never an answer.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Generator

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import LEAF_ELEMENT, BoltFile, LeafRun
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.etcd_files.mvcc import RECORDS, REVISION, SEPARATOR, TOMBSTONE, Standing, damage, read_record
from keyctl.stored.protobuf import varint
from keyctl.stored.source import Value

# Sorted by key within a chunk of this size: values of one directory are judged quickly one after the other.
_CHUNK_VALUES, _CHUNK_BYTES = 4096, 4 << 20
_BATCH_VALUES = 1024
_GROUPS = 64
_MOST_SIZES = 4096

_NUMBER = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
# What etcd writes between key and value of a record: revisions, (version), (size of the value).
_BETWEEN = re.compile(rb"(?:\x10%b)?(?:\x18%b)?(?:\x20(%b))?(?:\x2a(%b))?" % ((_NUMBER,) * 4))
_FIRST_VERSION = b"\x01"
_KEY_TAG, _SHORT = 0x0A, 0x80
_SEPARATOR_AT = 8


class _Sizes(dict[bytes | None, int]):
    """How large the value is whose size stands in these bytes."""

    def __missing__(self, raw: bytes | None) -> int:
        size, _ = varint(raw or b"\0", 0, len(raw or b"\0"))
        if len(self) < _MOST_SIZES:
            self[raw] = size
        return size


def live_values(
    bolt: BoltFile, name: str, standing: Standing, prefix: bytes, revision: int
) -> Generator[list[Value]]:
    """Yield the values under `prefix` that are live at `revision`, newest first, but by key within 4096.

    Raises `UnusableInputError` for a damaged record, and at the end when the
    records contradict the compaction that the file tells of.
    """
    reading = _Pass(bolt, name, standing, prefix, revision, past=False)
    yield from reading.batches()
    suspects = reading.repeated()
    if suspects:
        _require_once(_Pass(bolt, name, standing, prefix, revision, past=False), suspects, name)


def past_values(
    bolt: BoltFile, name: str, standing: Standing, prefix: bytes, revision: int
) -> Generator[list[Value]]:
    """Yield every other value under `prefix`, in the same order: overwritten, deleted, or newer than `revision`."""
    yield from _Pass(bolt, name, standing, prefix, revision, past=True).batches()


class _Pass:
    """One way through the records, backwards. `past`: what is not live is delivered, instead of what is."""

    def __init__(
        self, bolt: BoltFile, name: str, standing: Standing, prefix: bytes, revision: int, *, past: bool
    ) -> None:
        self._bolt, self._name, self._prefix, self._past = bolt, name, prefix, past
        self._limit, self._compacted = _end_of(revision), _end_of(standing.compacted)
        # The record before, and the keys of which older records may follow.
        self._newer = b"\xff" * (REVISION.size + 1)
        self._seen: set[bytes] = set()
        self._sizes = _Sizes()
        self._hashes = [array("q") for _ in range(_GROUPS)]

    def batches(self) -> Generator[list[Value]]:
        """Deliver the values."""
        chunk: list[Value] = []
        held = 0
        for run in self._bolt.runs_backwards(RECORDS):
            self._read(run, chunk)
            held += len(run.content)
            if len(chunk) >= _CHUNK_VALUES or held >= _CHUNK_BYTES:
                yield from _in_batches(chunk)
                chunk, held = [], 0
        yield from _in_batches(chunk)

    def repeated(self) -> set[int]:
        """The hashes of live keys that came more than once."""
        doubtful = (group for group in self._hashes if len(set(group)) < len(group))
        return {number for group in doubtful for number, times in Counter(group).items() if times > 1}

    def _read(self, run: LeafRun, chunk: list[Value]) -> None:
        """Add what is wanted of the records of `run` to `chunk`. The one hot loop: some 1.5 µs a record."""
        offset, content, leaves = run
        unpack, between, sizes, prefix = LEAF_ELEMENT.iter_unpack, _BETWEEN.match, self._sizes, self._prefix
        limit, compacted, newer, seen, past = self._limit, self._compacted, self._newer, self._seen, self._past
        note = [group.append for group in self._hashes]
        for _, start, end, held in reversed(leaves):
            first = start + PAGE_HEADER.size
            element = first + held * LEAF_ELEMENT.size
            for flags, position, key_size, size in reversed(list(unpack(content[first:element]))):
                element -= LEAF_ELEMENT.size
                at = element + position
                record = at + key_size
                stop = record + size
                entry = content[at:record]
                if stop > end or flags or not key_size - 18 < 0 ...
