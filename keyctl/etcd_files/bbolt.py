"""Read a bbolt file: pages, buckets, entries. Knows nothing of what etcd keeps in them, and never writes.

The format is that of go.etcd.io/bbolt internal/common, little-endian. Damage
raises `UnusableInputError` naming the page and the offset in the file; no
number read from the file is used before it was checked.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyctl.errors import UnusableInputError

_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct(
    "<IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, high water, txid, sum
_BRANCH = struct.Struct("<IIQ")  # pos, key size, child page
_LEAF = struct.Struct("<IIII")  # flags, pos, key size, value size
_BUCKET = struct.Struct("<QQ")  # root page, sequence

_BRANCH_PAGE, _LEAF_PAGE = 0x01, 0x02
_MAGIC, _VERSION = 0xED0CDAED, 2
_IS_BUCKET = 0x01
_SUMMED = _META.size - 8
_PAGE_SIZES = tuple(1024 << shift for shift in range(15))
# More levels than a file of any size has; a made-up chain of pages must not exhaust the stack.
_MAX_DEPTH = 64

# One entry: (key, offset of the value in the file, its length).
Entry = tuple[bytes, int, int]


@dataclass(frozen=True, slots=True)
class Meta:
    """What the newest valid meta page says. `high_water` is the number of pages ever allocated."""

    page_size: int
    root: int
    high_water: int
    txid: int


@dataclass(frozen=True, slots=True)
class _Node:
    """A branch or leaf page whose header was checked; an inline bucket has the number of the page around it."""

    number: int
    offset: int
    end: int
    is_leaf: bool
    count: int


class BoltFile:
    """The pages of one bbolt database in `data`, of which the first `length` bytes belong to it.

    `name` is for messages. Raises `UnusableInputError` for what is no bbolt
    database, or is cut.
    """

    def __init__(self, data: mmap.mmap | bytes, length: int, name: str) -> None:
        self._data = data
        self._length = length
        self._name = name
        self.meta = self._newest_meta()
        needed = self.meta.high_water * self.meta.page_size
        if needed > length:
            raise UnusableInputError(
                f"{name} is not a whole database",
                cause=f"it has {length} bytes, its meta page says {needed}",
                hint="it was cut, or is still being copied: take the file again",
            )

    def entries(self, bucket: bytes) -> Generator[Entry]:
        """The entries of a top-level bucket in key order; none when there is no such bucket."""
        for name, offset, size, is_bucket in self._walk(self._page(self.meta.root), set()):
            if name == bucket:
                if not is_bucket or size < _BUCKET.size:
                    raise self._damage(self.meta.root, offset, f"{bucket.decode()} is no bucket")
                for key, start, length, _ in self._walk(self._bucket(offset, size), set()):
                    yield key, start, length
                return

    def value(self, offset: int, size: int) -> bytes:
        """The bytes of a value that an entry points to."""
        return self._data[offset : offset + size]

    def _newest_meta(self) -> Meta:
        first = self._meta(0)
        second_offsets = (first.page_size,) if first else _PAGE_SIZES
        second = next((meta for meta in map(self._meta, second_offsets) if meta), None)
        valid = [meta for meta in (first, second) if meta is not None]
        if not valid:
            raise UnusableInputError(
                f"{self._name} is no etcd database", cause="neither of its meta pages (0 and 1) is valid"
            )
        return max(valid, key=lambda meta: meta.txid)

    def _meta(self, offset: int) -> Meta | None:
        start = offset + _PAGE.size
        if start + _META.size > self._length:
            return None
        magic, version, page_size, _, root, _, _, high_water, txid, checksum = _META.unpack_from(self._data, start)
        if (magic, version) != (_MAGIC, _VERSION) or page_size not in _PAGE_SIZES:
            return None
        if _fnv1a(self._data[start : start + _SUMMED]) != checksum:
            return None
        return Meta(page_size, root, high_water, txid)

    def _page(self, number: int) -> _Node:
        page_size = self.meta.page_size
        offset = number * page_size
        if not 1 < number < self.meta.high_water:
            raise self._damage(number, offset, f"the file has {self.meta.high_water} pages")
        found, flags, count, overflow = _PAGE.unpack_from(self._data, offset)
        if found != number or number + overflow >= self.meta.high_water:
            raise self._damage(number, offset, f"its header says page {found} and {overflow} more")
        return self._node(number, offset, offset + (1 + overflow) * page_size, flags, count)

    def _bucket(self, offset: int, size: int) -> _Node:
        root, _ = _BUCKET.unpack_from(self._data, offset)
        if root:
            return self._page(root)
        start = offset + _BUCKET.size
        if size < _BUCKET.size + _PAGE.size:
            raise self._damage(self.meta.root, offset, "an inline bucket is too short")
        _, flags, count, _ = _PAGE.unpack_from(self._data, start)
        return self._node(self.meta.root, start, offset + size, flags, count)

    def _node(self, number: int, offset: int, end: int, flags: int, count: int) -> _Node:
        if flags not in (_BRANCH_PAGE, _LEAF_PAGE):
            raise self._damage(number, offset, f"flags {flags:#x} are neither a branch nor a leaf")
        if offset + _PAGE.size + count * _LEAF.size > end:
            raise self._damage(number, offset, f"{count} elements do not fit into it")
        return _Node(number, offset, end, flags == _LEAF_PAGE, count)

    def _walk(self, node: _Node, seen: set[int], depth: int = 0) -> Generator[tuple[bytes, int, int, bool]]:
        """Yield (key, value offset, value size, is a bucket) of every leaf below `node`, in order.

        A page that is reached twice is damage: without that check a cycle would never end.
        """
        if node.offset in seen or depth > _MAX_DEPTH:
            raise self._damage(node.number, node.offset, "it is reached twice, or the tree is too deep")
        seen.add(node.offset)
        if node.is_leaf:
            yield from self._leaf(node)
            return
        start = node.offset + _PAGE.size
        for _, _, child in _BRANCH.iter_unpack(self._data[start : start + node.count * _BRANCH.size]):
            yield from self._walk(self._page(child), seen, depth + 1)

    def _leaf(self, node: _Node) -> Generator[tuple[bytes, int, int, bool]]:
        data, end = self._data, node.end
        element = node.offset + _PAGE.size
        for flags, position, key_size, size in _LEAF.iter_unpack(data[element : element + node.count * _LEAF.size]):
            # Positions count from the element that holds them.
            start = element + position
            value = start + key_size
            if value + size > end:
                raise self._damage(node.number, element, "an entry reaches beyond it")
            yield data[start:value], value, size, bool(flags & _IS_BUCKET)
            element += _LEAF.size

    def _damage(self, number: int, offset: int, what: str) -> UnusableInputError:
        return UnusableInputError(
            f"{self._name} is damaged at page {number} (offset {offset})",
            cause=what,
            hint="use another copy; this one cannot be read to its end",
        )


@contextmanager
def mapped(path: Path) -> Generator[mmap.mmap]:
    """Map a file for reading. Raises `UnusableInputError` when it cannot be opened or is empty."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise UnusableInputError(f"{path} is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read", cause=error.strerror) from error
    with data:
        yield data


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
