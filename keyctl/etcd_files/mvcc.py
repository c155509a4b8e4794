"""What etcd keeps in its bbolt file: the live values, and the revisions it stands at.

Bucket `key` holds one record a change, in order of revision: the bbolt key is
the revision (8 bytes main, "_", 8 bytes sub, and "t" for a deletion), the value
an mvccpb.KeyValue. Knows no prefix and judges no value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile

_REVISION = struct.Struct(">QcQ")
_TOMBSTONE = b"t"
# Protobuf: the wire types, and the tags of key (1) and value (5), both length-delimited.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY_TAG, _VALUE_TAG = 1 << 3 | _BYTES, 5 << 3 | _BYTES


@dataclass(frozen=True, slots=True)
class Record:
    """Where the newest record of a key lies in the file, and the revision that wrote it."""

    offset: int
    size: int
    revision: int


@dataclass(frozen=True, slots=True)
class Head:
    """The live records by etcd key, and the revisions: `current`, and `compacted` (0 when never compacted)."""

    records: dict[bytes, Record]
    current: int
    compacted: int


def read_head(bolt: BoltFile, name: str) -> Head:
    """Find the newest record of every key that is not deleted. Raises `UnusableInputError` for a damaged record."""
    records: dict[bytes, Record] = {}
    last = (0, -1)
    for entry, offset, size in bolt.entries(b"key"):
        main, sub, deleted = _revision(entry, offset, name)
        if (main, sub) <= last:
            raise _damage(name, offset, f"revision {main} follows revision {last[0]}")
        last = (main, sub)
        # A restore that bumps the revision leaves a record without content.
        if size == 0:
            continue
        key, _ = decode_key_value(bolt.value(offset, size), offset, name)
        if deleted:
            records.pop(key, None)
        else:
            records[key] = Record(offset, size, main)
    finished = _compaction(bolt, b"finishedCompactRev", name)
    # An interrupted compaction goes on when etcd starts; a compacted tombstone may have been the last record.
    scheduled = _compaction(bolt, b"scheduledCompactRev", name)
    return Head(records, max(last[0], finished, scheduled), finished)


def decode_key_value(data: bytes, offset: int, name: str) -> tuple[bytes, bytes]:
    """Key and value of a serialized mvccpb.KeyValue that lies at `offset` of the file `name`."""
    key = value = b""
    position = 0
    try:
        while position < len(data):
            tag, position = _varint(data, position)
            kind = tag & 7
            if kind == _BYTES:
                length, position = _varint(data, position)
                content = data[position : position + length]
                position += length
                if tag == _KEY_TAG:
                    key = content
                elif tag == _VALUE_TAG:
                    value = content
            elif kind == _VARINT:
                _, position = _varint(data, position)
            elif kind in (_FIXED64, _FIXED32):
                position += 8 if kind == _FIXED64 else 4
            else:
                raise _damage(name, offset, f"wire type {kind} in a record")
    except IndexError:
        position = len(data) + 1
    if position > len(data) or not key:
        raise _damage(name, offset, "a record is cut or has no key")
    return key, value


def _revision(entry: bytes, offset: int, name: str) -> tuple[int, int, bool]:
    if len(entry) == _REVISION.size or (len(entry) == _REVISION.size + 1 and entry.endswith(_TOMBSTONE)):
        main, separator, sub = _REVISION.unpack_from(entry)
        if separator == b"_":
            return main, sub, len(entry) > _REVISION.size
    raise _damage(name, offset, f"{len(entry)} bytes that are no revision")


def _compaction(bolt: BoltFile, which: bytes, name: str) -> int:
    for key, offset, size in bolt.entries(b"meta"):
        if key == which:
            return _revision(bolt.value(offset, size), offset, name)[0]
    return 0


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("a number that does not end")


def _damage(name: str, offset: int, what: str) -> UnusableInputError:
    return UnusableInputError(f"{name} is damaged at offset {offset}", cause=what, hint="use another copy")
