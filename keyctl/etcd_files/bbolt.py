"""Read a bbolt file: pages, buckets, entries. Knows nothing of what etcd keeps in them, and never writes.

The format is that of go.etcd.io/bbolt internal/common, little-endian. Damage
raises `UnusableInputError` naming the page and the offset in the file; no
number read from the file is used before it was checked.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER, Meta, Sliceable, choose_meta

# One element of a branch: pos, key size, child page. Positions count from the element that holds them.
_BRANCH = struct.Struct("<IIQ")
# One element of a leaf: flags, pos, key size, value size.
LEAF_ELEMENT = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")  # root page, sequence
_PAGE_ID = struct.Struct("<Q")

_BRANCH_PAGE, _LEAF_PAGE, _FREELIST_PAGE = 0x01, 0x02, 0x10
_IS_BUCKET = 0x01
_META_PAGES = 2
# More levels than a file of any size has; a made-up chain of pages must not exhaust the memory.
_MAX_DEPTH = 64
# A freelist of more pages than its header can count keeps their number in its first element.
_UNCOUNTED = 0xFFFF

# One entry: (key, offset of the value in the file, its length).
Entry = tuple[bytes, int, int]


class Leaf(NamedTuple):
    """A leaf whose header was checked: `content` lies at `offset` of the file and starts with that header.

    An inline bucket has the number of the page around it. Its elements are not checked yet.
    """

    number: int
    offset: int
    content: bytes
    count: int


class _Span(NamedTuple):
    """A page to visit, at a depth, whose keys must lie in `low` <= key < `high` (None: no limit)."""

    number: int
    depth: int = 0
    low: bytes | None = None
    high: bytes | None = None


class BoltFile:
    """The pages of one bbolt database in `data`, of which the first `length` bytes belong to it.

    `name` is for messages. Raises `UnusableInputError` for what is no bbolt
    database, or is cut.
    """

    def __init__(self, data: Sliceable, length: int, name: str) -> None:
        self._data = data
        self._length = length
        self._name = name
        self.meta: Meta = choose_meta(data, length, name)
        self.page_size = self.meta.page_size

    def leaves(self, bucket: bytes) -> Generator[Leaf]:
        """The leaves of a top-level bucket in key order; none when there is no such bucket."""
        marks = self._marks()
        for leaf in self._tree(self.meta.root, marks):
            for name, offset, size, is_bucket in self.elements(leaf):
                if name == bucket:
                    yield from self._bucket(leaf, offset, size if is_bucket else -1, marks)
                    return

    def entries(self, bucket: bytes) -> Generator[Entry]:
        """The entries of a top-level bucket in key order; none when there is no such bucket."""
        for leaf in self.leaves(bucket):
            for key, offset, size, _ in self.elements(leaf):
                yield key, offset, size

    def value(self, offset: int, size: int) -> bytes:
        """The bytes of a value that an entry points to."""
        return self._data[offset : offset + size]

    def page_bytes(self, first: int, count: int) -> memoryview:
        """A copy of `count` pages from `first` on, shorter where the file ends. Ask for bounded parts."""
        if first < 0 or count < 0:
            raise ValueError("pages are counted from 0")
        start = first * self.page_size
        return memoryview(self._data[start : min(start + count * self.page_size, max(self._length, start))])

    def free_runs(self) -> Iterator[tuple[int, int]]:
        """Runs of pages that nothing refers to: (first page, number of pages), ascending.

        The last one is what the file has behind the pages ever allocated; its last page may be cut.
        """
        marks, start = self.reachable(), 0
        while (start := marks.find(0, start)) >= 0:
            end = marks.find(1, start)
            end = len(marks) if end < 0 else end
            yield start, end - start
            start = end
        behind = -(-self._length // self.page_size) - len(marks)
        if behind > 0:
            yield len(marks), behind

    def reachable(self) -> bytearray:
        """One byte a page ever allocated, 1 where the root refers to it, directly or not.

        Reads every one of these pages and raises `UnusableInputError` when one
        is reached twice, is not what it says, or holds keys out of order.
        """
        marks = self._marks()
        self._mark_freelist(marks)
        pending = [self._tree(self.meta.root, marks, strict=True)]
        while pending:
            for leaf in pending.pop():
                for _, offset, size, is_bucket in self.elements(leaf):
                    if is_bucket:
                        pending.append(self._bucket(leaf, offset, size, marks, strict=True))
        return marks

    def elements(self, leaf: Leaf) -> Generator[tuple[bytes, int, int, bool]]:
        """(key, offset of the value in the file, its size, whether it is a bucket) of each entry, in order."""
        content, element = leaf.content, PAGE_HEADER.size
        end = len(content)
        heads = content[element : element + leaf.count * LEAF_ELEMENT.size]
        for flags, position, key_size, size in LEAF_ELEMENT.iter_unpack(heads):
            start = element + position
            value = start + key_size
            if value + size > end:
                raise self.damage(leaf.number, leaf.offset + element, "an entry reaches beyond it")
            yield content[start:value], leaf.offset + value, size, bool(flags & _IS_BUCKET)
            element += LEAF_ELEMENT.size

    def damage(self, number: int, offset: int, what: str) -> UnusableInputError:
        """The error for damage in page `number`, found at `offset` of the file."""
        return UnusableInputError(
            f"{self._name} is damaged at page {number} (offset {offset})",
            cause=what,
            hint="use another copy; this one cannot be read to its end",
        )

    def _marks(self) -> bytearray:
        marks = bytearray(self.meta.high_water)
        marks[:_META_PAGES] = b"\1" * min(_META_PAGES, len(marks))
        return marks

    def _bucket(
        self, around: Leaf, offset: int, size: int, marks: bytearray, *, strict: bool = False
    ) -> Generator[Leaf]:
        """The leaves of the bucket whose header lies at `offset`; `size` is negative for what is no bucket."""
        if size < _BUCKET.size:
            raise self.damage(around.number, offset, "a bucket is expected, and this is none")
        raw = self.value(offset, size)
        root, _ = _BUCKET.unpack_from(raw)
        if root:
            yield from self._tree(root, marks, strict=strict)
            return
        if size < _BUCKET.size + PAGE_HEADER.size:
            raise self.damage(around.number, offset, "an inline bucket is too short")
        content = raw[_BUCKET.size :]
        _, flags, count, _ = PAGE_HEADER.unpack_from(content)
        leaf = Leaf(around.number, offset + _BUCKET.size, content, count)
        if not self._is_leaf(leaf, flags):
            raise self.damage(leaf.number, leaf.offset, "an inline bucket has branches")
        if strict:
            self._check_order(leaf, _Span(leaf.number), None)
        yield leaf

    def _tree(self, root: int, marks: bytearray, *, strict: bool = False) -> Generator[Leaf]:
        """The leaves below page `root`, in order; marks each page. `strict` compares every key, too."""
        pending = [_Span(root)]
        last: bytes | None = None
        while pending:
            span = pending.pop()
            if span.depth > _MAX_DEPTH:
                raise self.damage(span.number, span.number * self.page_size, "the tree is too deep")
            node, is_leaf = self._node(span.number, marks)
            if not is_leaf:
                pending.extend(reversed(list(self._children(node, span, strict=strict))))
                continue
            if strict:
                last = self._check_order(node, span, last)
            yield node

    def _node(self, number: int, marks: bytearray) -> tuple[Leaf, bool]:
        page_size = self.page_size
        offset = number * page_size
        if not _META_PAGES <= number < len(marks):
            raise self.damage(number, offset, f"the file has {len(marks)} pages")
        content = self._data[offset : offset + page_size]
        found, flags, count, overflow = PAGE_HEADER.unpack_from(content)
        end = number + 1 + overflow
        if found != number or end > len(marks):
            raise self.damage(number, offset, f"its header says page {found} and {overflow} more")
        if marks.find(1, number, end) >= 0:
            raise self.damage(number, offset, "it is reached twice")
        marks[number:end] = b"\1" * (1 + overflow)
        if overflow:
            content = self._data[offset : end * page_size]
        node = Leaf(number, offset, content, count)
        return node, self._is_leaf(node, flags)

    def _is_leaf(self, node: Leaf, flags: int) -> bool:
        if flags not in (_BRANCH_PAGE, _LEAF_PAGE):
            raise self.damage(node.number, node.offset, f"flags {flags:#x} are neither a branch nor a leaf")
        if PAGE_HEADER.size + node.count * LEAF_ELEMENT.size > len(node.content):
            raise self.damage(node.number, node.offset, f"{node.count} elements do not fit into it")
        return flags == _LEAF_PAGE

    def _children(self, node: Leaf, span: _Span, *, strict: bool) -> Iterator[_Span]:
        start = PAGE_HEADER.size
        heads = _BRANCH.iter_unpack(node.content[start : start + node.count * _BRANCH.size])
        if not strict:
            return (_Span(child, span.depth + 1) for _, _, child in heads)
        if not node.count:
            raise self.damage(node.number, node.offset, "a branch without children")
        keys, numbers = [], []
        for index, (position, size, child) in enumerate(heads):
            at = start + index * _BRANCH.size + position
            if at + size > len(node.content):
                raise self.damage(node.number, node.offset + start + index * _BRANCH.size, "a key reaches beyond it")
            keys.append(node.content[at : at + size])
            numbers.append(child)
        self._check_keys(node, keys, span, None)
        ends = (*keys[1:], span.high)
        return (
            _Span(child, span.depth + 1, low, high) for child, low, high in zip(numbers, keys, ends, strict=True)
        )

    def _check_order(self, leaf: Leaf, span: _Span, last: bytes | None) -> bytes | None:
        """Check the entries of a leaf and return its last key, or `last` when it has none."""
        keys, behind = [], PAGE_HEADER.size + leaf.count * LEAF_ELEMENT.size + leaf.offset
        for key, value, size, _ in self.elements(leaf):
            if value - len(key) < behind:
                raise self.damage(leaf.number, value - len(key), "an entry overlaps the one before it")
            behind = value + size
            keys.append(key)
        self._check_keys(leaf, keys, span, last)
        return keys[-1] if keys else last

    def _check_keys(self, node: Leaf, keys: list[bytes], span: _Span, last: bytes | None) -> None:
        for key in keys:
            if not key:
                raise self.damage(node.number, node.offset, "a key is empty")
            if last is not None and key <= last:
                raise self.damage(node.number, node.offset, "its keys are out of order")
            last = key
        if keys and span.low is not None and keys[0] < span.low:
            raise self.damage(node.number, node.offset, "its first key lies before the one its parent names")
        if keys and span.high is not None and keys[-1] >= span.high:
            raise self.damage(node.number, node.offset, "its last key belongs to the page after it")

    def _mark_freelist(self, marks: bytearray) -> None:
        """Mark the pages of the freelist, where there is one. What it lists is not believed: see `free_runs`."""
        number = self.meta.freelist
        if number is None:
            return
        offset = number * self.page_size
        if not _META_PAGES <= number < len(marks):
            raise self.damage(number, offset, f"the freelist is there, and the file has {len(marks)} pages")
        found, flags, count, overflow = PAGE_HEADER.unpack_from(self.value(offset, PAGE_HEADER.size))
        end = number + 1 + overflow
        if found != number or flags != _FREELIST_PAGE or end > len(marks):
            raise self.damage(number, offset, f"its header says page {found}, flags {flags:#x} and {overflow} more")
        if count == _UNCOUNTED:
            count = 1 + _PAGE_ID.unpack(self.value(offset + PAGE_HEADER.size, _PAGE_ID.size))[0]
        if PAGE_HEADER.size + count * _PAGE_ID.size > (1 + overflow) * self.page_size:
            raise self.damage(number, offset, f"{count} free pages do not fit into the freelist")
        marks[number:end] = b"\1" * (1 + overflow)


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
