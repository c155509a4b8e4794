"""What etcd keeps in its bbolt file: how a record reads, and the revisions the file stands at.

Bucket `key` holds one record a change, in order of revision: the bbolt key is
the revision (8 bytes main, "_", 8 bytes sub, and "t" for a deletion), the value
an mvccpb.KeyValue. Knows no prefix and judges no value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import LEAF_ELEMENT, BoltFile
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER
from keyctl.stored.protobuf import DamagedError, fields, varint

RECORDS = b"key"
# The bbolt key of a change: main revision, separator, sub revision; a deletion has one byte more.
REVISION = struct.Struct(">QcQ")
TOMBSTONE = b"t"
SEPARATOR = b"_"
_META = b"meta"
# Of mvccpb.KeyValue.
_KEY, _CREATED, _MODIFIED, _VALUE = 1, 2, 3, 5
_VARINT, _LENGTH_DELIMITED = 0, 2


@dataclass(frozen=True, slots=True)
class Standing:
    """The revisions of a file.

    `current` is the newest, `compacted` what is compacted to the end (0: never),
    `compacting` what a compaction that may have been interrupted aims at.
    `storage_version` is that of etcd's storage; "" before 3.5, which did not tell.
    """

    current: int
    compacted: int
    compacting: int
    storage_version: str

    @property
    def readable_from(self) -> int:
        """The oldest revision at which every value is still there."""
        return max(self.compacted, self.compacting)


class Record(NamedTuple):
    """Where key and value of an mvccpb.KeyValue begin and end. `is_first`: it is the one that created the key."""

    key_at: int
    key_end: int
    value_at: int
    value_end: int
    is_first: bool


def read_standing(bolt: BoltFile, name: str) -> Standing:
    """The revisions that `bolt` stands at. Raises `UnusableInputError` for damage and what is no database of etcd."""
    if RECORDS not in bolt.buckets():
        raise UnusableInputError(
            f"{name} is no etcd database",
            cause='it is a bbolt database without a bucket "key"',
            hint="name a snapshot that `etcdctl snapshot save` wrote, or the file member/snap/db of a data directory",
        )
    meta = {key: (bolt.value(offset, size), offset) for key, offset, size in bolt.entries(_META)}
    compacted, compacting = (
        split_revision(*meta[key], name)[0] if key in meta else 0
        for key in (b"finishedCompactRev", b"scheduledCompactRev")
    )
    # NOTE: without the last record a compaction may be newer than all that is left.
    newest = max(_last_revision(bolt, name), compacted, compacting)
    told, _ = meta.get(b"storageVersion", (b"3.5" if b"term" in meta else b"", 0))
    return Standing(newest, compacted, compacting, told.decode("ascii", "backslashreplace"))


def split_revision(entry: bytes, offset: int, name: str) -> tuple[int, int, bool]:
    """Main and sub revision of a bbolt key, and whether it is a deletion. Raises `UnusableInputError`."""
    if len(entry) == REVISION.size or (len(entry) == REVISION.size + 1 and entry.endswith(TOMBSTONE)):
        main, separator, sub = REVISION.unpack_from(entry)
        if separator == SEPARATOR:
            return main, sub, len(entry) > REVISION.size
    raise damage(name, offset, f"{len(entry)} bytes that are no revision")


def read_record(content: bytes, start: int, stop: int, offset: int, name: str) -> Record:
    """The mvccpb.KeyValue in `content[start:stop]`, where `content` lies at `offset` of the file `name`.

    Raises `UnusableInputError` when it is none.
    """
    parts, revisions = {_KEY: (0, 0), _VALUE: (0, 0)}, {_CREATED: 0, _MODIFIED: 0}
    try:
        for number, kind, at, end in fields(content, start, stop):
            if number in parts and kind == _LENGTH_DELIMITED:
                parts[number] = at, end
            elif number in revisions and kind == _VARINT:
                revisions[number], _ = varint(content, at, end)
    except DamagedError:
        raise damage(name, offset + start, "a record is cut, or is none") from None
    key_at, key_end = parts[_KEY]
    if key_at == key_end:
        raise damage(name, offset + start, "a record has no key")
    return Record(key_at, key_end, *parts[_VALUE], 0 < revisions[_CREATED] == revisions[_MODIFIED])


def damage(name: str, offset: int, what: str) -> UnusableInputError:
    """The error for damage found at `offset` of the file `name`."""
    return UnusableInputError(f"{name} is damaged at offset {offset}", cause=what, hint="use another copy")


def _last_revision(bolt: BoltFile, name: str) -> int:
    """The main revision of the last record, 0 when there is none."""
    for run in bolt.runs_backwards(RECORDS):
        for _, start, end, held in reversed(run.leaves):
            if held:
                element = start + PAGE_HEADER.size + (held - 1) * LEAF_ELEMENT.size
                _, position, size, _ = LEAF_ELEMENT.unpack_from(run.content, element)
                at = element + position
                if at + size > end:
                    raise damage(name, run.offset + element, "an entry reaches beyond its page")
                return split_revision(run.content[at : at + size], run.offset + at, name)[0]
    return 0
