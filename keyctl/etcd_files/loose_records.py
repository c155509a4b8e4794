"""A record of etcd's bucket `key` where no page says that there is one: parsed from its own first byte, or not at all.

Knows nothing of how the place was found, and judges no value.
"""

from __future__ import annotations

from typing import NamedTuple

from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.stored.protobuf import DamagedError, varint

MAIN_BYTES = 8
# After the main revision: "_" and 8 bytes of which a transaction never needs more than two.
MIDDLE = b"_" + bytes(6)
# How far behind its beginning the value of a record may begin: its revision, its etcd key and four numbers.
HEAD_BYTES = 4096
# Far above what etcd accepts; a made-up length must not take the memory.
LONGEST_RECORD = 64 << 20
_REVISION_BYTES, _TOMBSTONE = 17, ord("t")
# Field and wire type, in one byte, as mvccpb.KeyValue is written.
_KEY, _CREATED, _MODIFIED, _VERSION, _VALUE, _LEASE = 0x0A, 0x10, 0x18, 0x20, 0x2A, 0x30
_LEASE_BYTES = 11


class LooseRecord(NamedTuple):
    """A record from `start` to `end` of the file, its value from `value_at` to `value_end`; a deletion has none."""

    start: int
    key: bytes
    revision: int
    value_at: int
    value_end: int
    end: int


def loose_record(data: Sliceable, end: int, block: bytes, low: int, at: int) -> LooseRecord | None:
    """The record that begins at `at` of `block`, or None. Its revision stands in it twice, and both must agree.

    `block` lies at the offset `low` of `data`, of which the bytes up to `end` count.
    """
    try:
        return _parsed(data, end, block, low, at)
    except (DamagedError, IndexError):
        return None


def _parsed(data: Sliceable, end: int, block: bytes, low: int, start: int) -> LooseRecord | None:
    main = int.from_bytes(block[start : start + MAIN_BYTES], "big")
    at = start + _REVISION_BYTES
    deleted = block[at] == _TOMBSTONE
    at += deleted
    if block[at] != _KEY:
        return None
    size, at = varint(block, at + 1, len(block))
    key, at = block[at : at + size], at + size
    if not key or at > len(block):
        return None
    if deleted:
        return LooseRecord(low + start, key, main, low + at, low + at, low + at)
    modified = 0
    while at < len(block) and (tag := block[at]) in (_CREATED, _MODIFIED, _VERSION):
        number, at = varint(block, at + 1, len(block))
        modified = number if tag == _MODIFIED else modified
    if modified != main:
        return None
    size = 0
    if at < len(block) and block[at] == _VALUE:
        size, at = varint(block, at + 1, len(block))
    value_end = low + at + size
    if value_end > end or size > LONGEST_RECORD:
        return None
    return LooseRecord(low + start, key, main, low + at, value_end, value_end + _lease_size(data, value_end, end))


def _lease_size(data: Sliceable, at: int, end: int) -> int:
    """How many bytes the lease of a record takes, which stands after its value.

    The next record's revision begins with a zero byte, as unused space does.
    """
    behind = data[at : min(at + _LEASE_BYTES, end)]
    if not behind.startswith(bytes((_LEASE,))):
        return 0
    try:
        return varint(behind, 1, len(behind))[1]
    except DamagedError:
        return 0
