"""Write small write-ahead logs as etcd does, sound or broken on purpose, for tests of the reader."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from keyctl.etcd_files.crc32c import extend
from tests.support.bolt_writer import varint

METADATA, ENTRY, STATE, SUM, SNAPSHOT = 1, 2, 3, 4, 5


def number(name: int, value: int) -> bytes:
    return varint(name << 3) + varint(value)


def nested(name: int, content: bytes) -> bytes:
    return varint(name << 3 | 2) + varint(len(content)) + content


def put(key: bytes, value: bytes) -> bytes:
    """The fields of a PutRequest."""
    return nested(1, key) + nested(2, value)


def request(name: int, content: bytes) -> bytes:
    """An InternalRaftRequest with the fields that every one has."""
    return nested(100, number(1, 7587)) + number(1, 99) + nested(name, content)


def put_request(key: bytes, value: bytes) -> bytes:
    return request(4, put(key, value))


def operation(key: bytes, value: bytes) -> bytes:
    """A RequestOp of a transaction that puts."""
    return nested(2, put(key, value))


def txn(
    success: Iterable[bytes] = (), failure: Iterable[bytes] = (), compare: Iterable[tuple[bytes, bytes]] = ()
) -> bytes:
    """The fields of a TxnRequest."""
    compared = (nested(1, number(2, 3) + nested(3, key) + nested(7, value)) for key, value in compare)
    return b"".join([*compared, *(nested(2, item) for item in success), *(nested(3, item) for item in failure)])


def entry(index: int, data: bytes, *, kind: int = 0) -> bytes:
    return number(1, kind) + number(2, 1) + number(3, index) + (nested(4, data) if data else b"")


def frame(body: bytes, *, padded: bool = True) -> bytes:
    padding = -len(body) % 8 if padded else 0
    length = len(body) | (0x80 | padding) << 56 if padding else len(body)
    return struct.pack("<Q", length) + body + bytes(padding)


@dataclass
class LogWriter:
    """One log: its files by name, and the sum that runs on from file to file."""

    padded: bool = True
    files: dict[str, bytearray] = field(default_factory=dict)
    checksum: int = 0
    index: int = 0

    def begin(self, sequence: int) -> LogWriter:
        """Begin a file as etcd does: the sum so far, then the metadata."""
        self.files[f"{sequence:016x}-{self.index + 1:016x}.wal"] = bytearray()
        self.add(SUM, b"")
        return self.add(METADATA, number(1, 1) + number(2, 2))

    def add(self, kind: int, data: bytes, *, checksum: int | None = None) -> LogWriter:
        """Append a record; with `checksum` instead of the right one."""
        self.checksum = self.checksum if kind == SUM else extend(self.checksum, data)
        summed = self.checksum if checksum is None else checksum
        body = number(1, kind) + number(2, summed) + (nested(3, data) if data else b"")
        self.last += frame(body, padded=self.padded)
        return self

    def entry(self, data: bytes, *, kind: int = 0) -> LogWriter:
        self.index += 1
        return self.add(ENTRY, entry(self.index, data, kind=kind))

    @property
    def last(self) -> bytearray:
        return self.files[max(self.files)]

    @last.setter
    def last(self, content: bytearray) -> None:
        self.files[max(self.files)] = content

    def write(self, folder: Path) -> Path:
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder
