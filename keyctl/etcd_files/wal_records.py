"""Read the records of one write-ahead log, file by file: their frames and the sum that chains them.

Knows nothing of what a record says. The last file may end in the middle of a
record, because etcd was stopped or is writing; anywhere else that is damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.crc32c import extend
from keyctl.etcd_files.open_file import OpenFile
from keyctl.stored.protobuf import LENGTH_DELIMITED, DamagedError, fields, varint

# A frame begins with the length in 56 bits; the top byte is 0x80 and the number of bytes that fill it up.
_LENGTH_BYTES = 8
_LENGTH_MASK = (1 << 56) - 1
_PADDED = 0x80
_PAD_MASK = 0x07
# etcd's own rule: a record that holds a sector of zeros was not written to its end.
_SECTOR = 512
# A made-up length must not take the memory.
_LONGEST_RECORD = 64 << 20
_VARINT = 0
_TYPE, _SUM, _DATA = 1, 2, 3


class Kind(IntEnum):
    """What a record is; etcd knows no other."""

    METADATA = 1
    ENTRY = 2
    STATE = 3
    SUM = 4
    SNAPSHOT = 5


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record whose sum is right; its frame begins at `offset` of its file."""

    kind: Kind
    data: bytes = field(repr=False)
    offset: int


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the records of a file end, and whether one was begun there (`cut`)."""

    offset: int
    cut: bool


class Chain:
    """The running sum of a log, from file to file. The first sum that is met is believed: older files are gone."""

    def __init__(self) -> None:
        self._sum = 0

    def fits(self, kind: Kind, checksum: int, data: bytes) -> bool:
        """Take the next record in; whether its sum is the one that follows."""
        if kind is Kind.SUM:
            before, self._sum = self._sum, checksum
            return before in (0, checksum)
        self._sum = extend(self._sum, data)
        return self._sum == checksum


def log_records(file: OpenFile, chain: Chain, *, last: bool) -> Iterator[LogRecord | Tail]:
    """Yield the records of `file`, then where they end. Raises `UnusableInputError` for a damaged one."""
    offset = 0
    while True:
        head = file[offset : offset + _LENGTH_BYTES]
        # etcd allocates a file before it writes to it: zeros are the end.
        if not head.strip(b"\0"):
            yield Tail(offset, cut=False)
            return
        size, padding = _length(head)
        start = offset + _LENGTH_BYTES
        body = file[start : start + size + padding] if size <= _LONGEST_RECORD else b""
        if len(body) < size + padding:
            if last:
                yield Tail(offset, cut=True)
                return
            raise damaged(file, offset, f"a record of {size} bytes does not fit into the file")
        record = _record(body[:size], offset, chain)
        if isinstance(record, str):
            if last and _is_torn(body, start):
                yield Tail(offset, cut=True)
                return
            raise damaged(file, offset, record)
        yield record
        offset = start + size + padding


def damaged(file: OpenFile, offset: int, what: str) -> UnusableInputError:
    """The error for damage of a log, found at `offset` of `file`."""
    return UnusableInputError(
        f"{file.path} is damaged at offset {offset}",
        cause=what,
        hint="the values after it cannot be read here; read the data directory of another member",
    )


def _length(head: bytes) -> tuple[int, int]:
    number = int.from_bytes(head, "little")
    top = number >> 56
    return number & _LENGTH_MASK, top & _PAD_MASK if top & _PADDED else 0


def _record(body: bytes, offset: int, chain: Chain) -> LogRecord | str:
    """The record, or what is wrong with it."""
    number = checksum = 0
    data = b""
    try:
        for name, kind, start, end in fields(body, 0, len(body)):
            if name == _DATA and kind == LENGTH_DELIMITED:
                data = body[start:end]
            elif kind == _VARINT and name == _TYPE:
                number, _ = varint(body, start, end)
            elif kind == _VARINT and name == _SUM:
                checksum, _ = varint(body, start, end)
    except DamagedError:
        return "its bytes are no record"
    if number not in set(Kind):
        return f"a record has the unknown type {number}"
    if not chain.fits(Kind(number), checksum, data):
        return "the CRC of a record is not that of its bytes and of those before it"
    return LogRecord(Kind(number), data, offset)


def _is_torn(body: bytes, offset: int) -> bool:
    """Whether a sector that `body`, at `offset` of the file, fills or touches holds only zeros."""
    first = _SECTOR - offset % _SECTOR
    sectors = [body[:first], *(body[start : start + _SECTOR] for start in range(first, len(body), _SECTOR))]
    return any(not sector.strip(b"\0") for sector in sectors)
