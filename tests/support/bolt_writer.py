"""Write small bbolt files, sound or broken on purpose, for tests of the reader."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

BRANCH, LEAF, META = 0x01, 0x02, 0x04
Item = tuple[int, bytes, bytes]  # flags, key, value


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value


def meta_page(page_size: int, number: int, *, root: int, high_water: int, txid: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, page_size, 0, root, 0, (1 << 64) - 1, high_water, txid)
    page = struct.pack("<QHHI", number, META, 0, 0) + body + struct.pack("<Q", fnv1a(body))
    return page.ljust(page_size, b"\0")


def leaf(number: int, items: Iterable[Item], overflow: int = 0) -> bytes:
    found = list(items)
    heads, content = b"", b""
    for index, (flags, key, value) in enumerate(found):
        position = 16 * (len(found) - index) + len(content)
        heads += struct.pack("<IIII", flags, position, len(key), len(value))
        content += key + value
    return struct.pack("<QHHI", number, LEAF, len(found), overflow) + heads + content


def branch(number: int, children: Iterable[tuple[bytes, int]]) -> bytes:
    found = list(children)
    heads, content = b"", b""
    for index, (key, child) in enumerate(found):
        heads += struct.pack("<IIQ", 16 * (len(found) - index) + len(content), len(key), child)
        content += key
    return struct.pack("<QHHI", number, BRANCH, len(found), 0) + heads + content


def inline_bucket(items: Iterable[Item]) -> bytes:
    return struct.pack("<QQ", 0, 0) + leaf(0, items)


def key_value(
    key: bytes, value: bytes, *, lease: int = 0, created: int = 1, modified: int = 2, version: int = 1
) -> bytes:
    """A serialized mvccpb.KeyValue, with the fields between key and value that a real one has."""
    between = b"\x10" + varint(created) + b"\x18" + varint(modified) + b"\x20" + varint(version)
    parts = b"\x0a" + varint(len(key)) + key + between
    if value:
        parts += b"\x2a" + varint(len(value)) + value
    return parts + (b"\x30" + varint(lease) if lease else b"")


def varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def revision(main: int, sub: int = 0, *, deleted: bool = False) -> bytes:
    return struct.pack(">QcQ", main, b"_", sub) + (b"t" if deleted else b"")


@dataclass
class BoltBuilder:
    """Pages by number; `data` puts the metas before them. Page 2 is the root leaf with the buckets by name."""

    page_size: int = 4096
    pages: dict[int, bytes] = field(default_factory=dict)

    def bucket_leaf(self, items: Iterable[Item], *, name: bytes = b"key", number: int = 3) -> BoltBuilder:
        """One bucket whose only leaf is page `number`, with as many overflow pages as it needs."""
        found = list(items)
        overflow = (len(leaf(number, found)) - 1) // self.page_size
        self.pages[number] = leaf(number, found, overflow)
        return self.root({name: struct.pack("<QQ", number, 0)})

    def root(self, buckets: dict[bytes, bytes]) -> BoltBuilder:
        self.pages[2] = leaf(2, ((1, name, value) for name, value in sorted(buckets.items())))
        return self

    def data(self, *, txids: tuple[int, int] = (10, 9)) -> bytes:
        last = max(self.pages)
        high_water = last + 1 + (len(self.pages[last]) - 1) // self.page_size
        output = bytearray(high_water * self.page_size)
        for number, page in self.pages.items():
            output[number * self.page_size : number * self.page_size + len(page)] = page
        for number in (0, 1):
            meta = meta_page(self.page_size, number, root=2, high_water=high_water, txid=txids[number])
            output[number * self.page_size : (number + 1) * self.page_size] = meta
        return bytes(output)
