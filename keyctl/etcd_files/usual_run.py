"""Records as etcd writes nearly all of them, read a run of leaves at a time: by columns instead of one by one.

Whoever gets None here reads the run record by record. Judges no record.
"""

from __future__ import annotations

import re
import struct
from array import array
from functools import lru_cache
from itertools import chain, repeat
from operator import add, gt, le
from typing import NamedTuple

from keyctl.etcd_files.bbolt import LEAF_ELEMENT, LeafRun
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.etcd_files.mvcc import REVISION
from keyctl.stored.protobuf import varint
from keyctl.stored.source import PLACE

_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
# A record up to its value: (revision), (size of the key), (key); the revisions that created and modified it, and
# whether they are one (); version, (size of the value).
USUAL = re.compile(
    rb"(.{8}_.{8})\x0a([\x01-\x7f])([^\x10]+)\x10(%b)\x18(?:\4()|%b)\x20%b\x2a([\x80-\xff]{0,4}[\x00-\x7f])"
    % (_NUMBER, _NUMBER, _NUMBER),
    re.DOTALL,
)
# What follows on the value of a key with a lease.
LEASE = re.compile(rb"\x30%b" % _NUMBER)
# From where a record begins to its key: the revision, a tag, and one byte for the size.
BEFORE_KEY = REVISION.size + 2
# A place is five numbers, each of eight bytes; of a record three are told, and the length of its key.
_PLACE_NUMBERS = PLACE.size // 8
_RECORD_BYTES = 3 * 8 + 1
_MOST_SIZES = 4096
# What is kept of layouts of leaves: so many, of leaves that hold no more than this.
_MOST_LAYOUTS, _MOST_KEPT = 1024, 512


class Sizes(dict[bytes, int]):
    """The numbers that these bytes are, as protobuf writes them."""

    def __missing__(self, raw: bytes) -> int:
        size, _ = varint(raw, 0, len(raw))
        if len(self) < _MOST_SIZES:
            self[raw] = size
        return size


class UsualRun(NamedTuple):
    """The records of a run, the newest first: their revisions as bytes, their keys, where they and their values lie.

    `all_first`: each of them created its key. `key_lengths` has one byte for each.
    """

    entries: tuple[bytes, ...]
    keys: tuple[bytes, ...]
    all_first: bool
    starts: list[int]
    key_lengths: bytes
    value_starts: list[int]
    value_ends: list[int]

    def columns(self) -> bytes:
        """What `places` takes: where the records begin, where their values begin and end, and their keys' lengths."""
        numbers = array("Q", self.starts)
        numbers.extend(self.value_starts)
        numbers.extend(self.value_ends)
        return numbers.tobytes() + self.key_lengths


def places(columns: bytes) -> bytes:
    """A `PLACE` for each record of `UsualRun.columns`."""
    count = len(columns) // _RECORD_BYTES
    numbers = array("Q", columns[:-count])
    starts = numbers[:count]
    # Of a list the length is known at once; of anything else an array grows number by number.
    key_starts = array("Q", list(map(add, starts, repeat(BEFORE_KEY))))
    key_ends = array("Q", list(map(add, key_starts, columns[-count:])))
    found = array("Q", bytes(PLACE.size * count))
    for index, column in enumerate((starts, key_starts, key_ends, numbers[count : 2 * count], numbers[2 * count :])):
        found[index::_PLACE_NUMBERS] = column
    return found.tobytes()


def usual_run(run: LeafRun, sizes: Sizes) -> UsualRun | None:
    """The records of `run`; None where one of them is not as usual, or out of order, or there is none."""
    content, leaves = run.content, run.leaves[::-1]
    width, head = LEAF_ELEMENT.size, PAGE_HEADER.size
    heads = b"".join([content[start + head : start + head + width * held] for _, start, _, held in run.leaves])
    words = struct.unpack(f"<{len(heads) // 4}I", heads)[::-1]
    told_sizes, key_sizes, positions, flags = words[::4], words[1::4], words[2::4], words[3::4]
    if not words or any(flags) or key_sizes.count(REVISION.size) < len(key_sizes):
        return None
    at = chain.from_iterable(
        [(_kept_elements if held <= _MOST_KEPT else _elements_backwards)(start, held) for _, start, _, held in leaves]
    )
    starts = list(map(add, at, positions))
    stops = list(map(add, map(add, starts, key_sizes), told_sizes))
    limits = chain.from_iterable([repeat(end, held) for _, _, end, held in leaves])
    if not all(map(le, stops, limits)):
        return None
    found = list(map(USUAL.match, repeat(content), starts, stops))
    matches = list(filter(None, found))
    if len(matches) < len(found):
        return None
    entries, told_keys, keys, _, firsts, raw_sizes = zip(*map(re.Match.groups, matches), strict=True)
    key_lengths = b"".join(told_keys)
    value_starts = list(map(re.Match.end, matches))
    value_ends = list(map(add, value_starts, map(sizes.__getitem__, raw_sizes)))
    in_order = all(map(gt, entries, entries[1:]))
    if not in_order or list(map(len, keys)) != list(key_lengths) or not _end(content, value_ends, stops):
        return None
    return UsualRun(entries, keys, None not in firsts, starts, key_lengths, value_starts, value_ends)


def _elements_backwards(start: int, held: int) -> tuple[int, ...]:
    """Where the elements of a leaf begin that begins at `start`, the last one first."""
    first = start + PAGE_HEADER.size
    return tuple(range(first, first + LEAF_ELEMENT.size * held, LEAF_ELEMENT.size))[::-1]


_kept_elements = lru_cache(maxsize=_MOST_LAYOUTS)(_elements_backwards)


def _end(content: bytes, value_ends: list[int], stops: list[int]) -> bool:
    """Whether nothing but a lease lies between the end of each value and that of its record."""
    if value_ends == stops:
        return True
    pairs = zip(value_ends, stops, strict=True)
    return all(end == stop or LEASE.fullmatch(content, end, stop) for end, stop in pairs)
