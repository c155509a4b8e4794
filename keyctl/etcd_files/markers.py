"""Find values by how they begin, in bytes of which nothing else is known.

The records around them are gone or cut. What lies directly before a marker may
still say how long the value is, and even name its key and revision; nothing of
that is believed that does not fit to the byte. Judges no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise

from keyctl.etcd_files.bbolt_meta import Sliceable
from keyctl.etcd_files.distinct import Distinct
from keyctl.stored.protobuf import DamagedError, varint

# How the values of an API server begin: protobuf, encrypted, and the two ways it writes JSON.
MARKERS = (b"k8s\0", b"k8s:enc:", b'{"kind":', b'{"apiVersion":')
LONGEST_FRAGMENT = 64 * 1024

_STEP = 1 << 20
_OVERLAP = max(map(len, MARKERS)) - 1
# Field and wire type, in one byte, as mvccpb.KeyValue (and, for a value, PutRequest) is written.
_KEY, _CREATED, _MODIFIED, _VERSION, _VALUE, _LEASE = 0x0A, 0x10, 0x18, 0x20, 0x2A, 0x30
_PUT_VALUE = 0x12
_SIZE_BYTES = 5
_LEASE_BYTES = 11
# How far before its value a record may begin: its revision, its etcd key and four numbers.
_HEAD = 4096
# A revision as the key of a record: 8 bytes, "_", 8 bytes of which a transaction never needs more than two.
_MIDDLE = b"_" + bytes(6)
_MAIN, _SUB = 8, 9


@dataclass(frozen=True, slots=True)
class Found:
    """A value, or its beginning, at `offset` of the file. A `whole` one has its key and revision."""

    offset: int
    key: bytes | None
    revision: int | None
    value: bytes = field(repr=False)
    whole: bool


def search(data: Sliceable, start: int, end: int, known: Distinct) -> Iterator[Found]:
    """Yield what begins with a marker in `data[start:end]` and is not `known` yet, in order of offset.

    A value whose length stands before it ends there, and a marker inside it is
    its own; any other ends where the next begins, so that no byte is read twice.
    """
    behind = start
    for at, following in pairwise(chain(_hits(data, start, end), (end,))):
        if at < behind:
            continue
        head = data[max(start, at - _HEAD) : at]
        size = _declared_size(head)
        behind = min(at + size, end) if size else following
        record = _record(head) if size and at + size <= end else None
        if record is None:
            found = Found(at, None, None, data[at : min(behind, at + LONGEST_FRAGMENT)], whole=False)
            identity = found.value
        else:
            found = Found(at, record.key, record.revision, data[at:behind], whole=True)
            identity = record.before + found.value + _lease(data[behind : min(behind + _LEASE_BYTES, end)])
        if known.add(identity):
            yield found


def _hits(data: Sliceable, start: int, end: int) -> Iterator[int]:
    for base in range(start, end, _STEP):
        block = data[base : min(base + _STEP + _OVERLAP, end)]
        hits = []
        for marker in MARKERS:
            at = block.find(marker)
            while 0 <= at < _STEP:
                hits.append(base + at)
                at = block.find(marker, at + 1)
        yield from sorted(hits)


def _declared_size(head: bytes) -> int:
    """The length that stands before a value, where `head` ends with the start of such a field; 0 where none does."""
    for count in range(1, _SIZE_BYTES + 1):
        at = len(head) - count
        if at >= 1 and head[at - 1] in (_VALUE, _PUT_VALUE):
            try:
                size, behind = varint(head, at, len(head))
            except DamagedError:
                continue
            if behind == len(head):
                return size
    return 0


@dataclass(frozen=True, slots=True)
class _Head:
    """What lies before a value: `before` is the revision and the record up to the value."""

    key: bytes
    revision: int
    before: bytes


def _record(head: bytes) -> _Head | None:
    """The record whose value begins where `head` ends. Its revision stands in it twice, and both must agree."""
    at = head.rfind(_MIDDLE)
    name = _name(head, at + _SUB) if at >= _MAIN else None
    if name is None or name[1] != int.from_bytes(head[at - _MAIN : at], "big"):
        return None
    return _Head(*name, head[at - _MAIN :])


def _name(head: bytes, at: int) -> tuple[bytes, int] | None:
    """Key and revision of the mvccpb.KeyValue from `at` on, if its value begins exactly at the end of `head`."""
    end, revision = len(head), 0
    try:
        tag, at = varint(head, at, end)
        size, at = varint(head, at, end)
        key, at = head[at : at + size], at + size
        if tag != _KEY or not key:
            return None
        while at < end:
            tag, at = varint(head, at, end)
            number, at = varint(head, at, end)
            if tag == _VALUE:
                return (key, revision) if at == end else None
            if tag not in (_CREATED, _MODIFIED, _VERSION):
                return None
            revision = number if tag == _MODIFIED else revision
    except DamagedError:
        pass
    return None


def _lease(behind: bytes) -> bytes:
    """The lease of a record, from the bytes after its value.

    The next record's revision begins with a zero byte, as unused space does.
    """
    if not behind.startswith(bytes((_LEASE,))):
        return b""
    try:
        return behind[: varint(behind, 1, len(behind))[1]]
    except DamagedError:
        return b""
