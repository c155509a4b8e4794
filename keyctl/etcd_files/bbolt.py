"""Read a bbolt file: pages, buckets, entries. Knows nothing of what etcd keeps in them, and never writes.

The format is that of go.etcd.io/bbolt internal/common, little-endian. Damage
raises `UnusableInputError` naming the page and the offset in the file; no
number read from the file is used before it was checked.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from typing import NamedTuple

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt_meta import PAGE_HEADER, Meta, Sliceable, choose_meta

# One element of a branch: pos, key size, child page. Positions count from the element that holds them.
_BRANCH = struct.Struct("<IIQ")
# One element of a leaf: flags, pos, key size, value size.
LEAF_ELEMENT = struct.Struct("<IIII")
# Where an element begins that holds such a position: after the flags in a leaf, at once in a branch.
_POSITION, _LEAF_POSITION = struct.Struct("<I"), 4
_BUCKET = struct.Struct("<QQ")  # root page, sequence
_PAGE_ID = struct.Struct("<Q")

_BRANCH_PAGE, _LEAF_PAGE, _FREELIST_PAGE = 0x01, 0x02, 0x10
_IS_BUCKET = 0x01
_META_PAGES = 2
# More levels than a file of any size has; a made-up chain of pages must not exhaust the memory.
_MAX_DEPTH = 64
# Leaves that lie one behind the other are read together, up to this size.
_RUN_BYTES = 256 << 10
# A freelist of more pages than its header can count keeps their number in its first element.
_UNCOUNTED = 0xFFFF

# One entry: (key, offset of the value in the file, its length).
Entry = tuple[bytes, int, int]


class Leaf(NamedTuple):
    """A leaf whose header was checked: `content` lies at `offset` of the file and starts with that header.

    `held` is the number of its elements, which are not checked yet. An inline
    bucket has the number of the page around it.
    """

    number: int
    offset: int
    content: bytes
    held: int


class LeafRun(NamedTuple):
    """Leaves that lie one behind the other: `content` of all of them, from `offset` of the file on.

    `leaves` are (number, start in `content`, end in `content`, elements held).
    """

    offset: int
    content: bytes
    leaves: list[tuple[int, int, int, int]]


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
        # Each header, and the position in a leaf's first element.
        self._headers = struct.Struct(f"{PAGE_HEADER.format}4xI{self.page_size - PAGE_HEADER.size - 8}x")

    def buckets(self) -> list[bytes]:
        """The names of the top-level buckets."""
        leaves = self._tree(self.meta.root, self._marks())
        return [name for leaf in leaves for name, _, _, is_bucket in self.elements(leaf) if is_bucket]

    def leaves(self, bucket: bytes) -> Generator[Leaf]:
        """The leaves of a top-level bucket in key order; none when there is no such bucket."""
        marks = self._marks()
        root = self._top(bucket, marks)
        if isinstance(root, Leaf):
            yield root
        elif root is not None:
            yield from self._tree(root, marks)

    def runs_backwards(self, bucket: bytes) -> Generator[LeafRun]:
        """The leaves of a top-level bucket from the last one to the first: the quick way through a large one.

        The leaves of a run are ascending.
        """
        marks = self._marks()
        root = self._top(bucket, marks)
        if isinstance(root, Leaf):
            yield _run_of_one(root)
        elif root is not None:
            yield from self._backwards(root, 0, marks)

    def entries(self, bucket: bytes) -> Generator[Entry]:
        """The entries of a top-level bucket in key order; none when there is no such bucket."""
        for leaf in self.leaves(bucket):
            for key, offset, size, _ in self.elements(leaf):
                yield key, offset, size

    def value(self, offset: int, size: int) -> bytes:
        """The bytes of a value that an entry points to."""
        return self._read(offset, size)

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
        pending: list[int | Leaf] = [self.meta.root]
        while pending:
            root = pending.pop()
            if isinstance(root, Leaf):
                self._check_order(root, _Span(root.number), None)
            for leaf in (root,) if isinstance(root, Leaf) else self._tree(root, marks, strict=True):
                buckets = (entry for entry in self.elements(leaf) if entry[3])
                pending.extend(self._root(leaf, offset, size) for _, offset, size, _ in buckets)
        return marks

    def elements(self, leaf: Leaf) -> Generator[tuple[bytes, int, int, bool]]:
        """(key, offset of the value in the file, its size, whether it is a bucket) of each entry, in order."""
        content, element = leaf.content, PAGE_HEADER.size
        end = len(content)
        heads = content[element : element + leaf.held * LEAF_ELEMENT.size]
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

    def _read(self, offset: int, size: int) -> bytes:
        found = self._data[offset : offset + size]
        if len(found) < size:
            raise UnusableInputError(
                f"{self._name} became shorter while it was read",
                cause=f"it ends before offset {offset + size}",
                hint="take the file again",
            )
        return found

    def _marks(self) -> bytearray:
        marks = bytearray(self.meta.high_water)
        marks[:_META_PAGES] = b"\1" * min(_META_PAGES, len(marks))
        return marks

    def _top(self, bucket: bytes, marks: bytearray) -> int | Leaf | None:
        """Where a top-level bucket begins: a page, or the leaf itself of an inline bucket; None when there is none."""
        for leaf in self._tree(self.meta.root, marks):
            for name, offset, size, is_bucket in self.elements(leaf):
                if name == bucket:
                    if not is_bucket:
                        raise self.damage(leaf.number, offset, f"a bucket is expected, and {bucket!r} is none")
                    return self._root(leaf, offset, size)
        return None

    def _root(self, around: Leaf, offset: int, size: int) -> int | Leaf:
        """Where the bucket begins that stands in the leaf `around`, with its header at `offset`."""
        if size < _BUCKET.size:
            raise self.damage(around.number, offset, "a bucket is too short")
        start = offset - around.offset
        root, _ = _BUCKET.unpack_from(around.content, start)
        if root:
            return int(root)
        if size < _BUCKET.size + PAGE_HEADER.size:
            raise self.damage(around.number, offset, "an inline bucket is too short")
        content = around.content[start + _BUCKET.size : start + size]
        _, flags, count, _ = PAGE_HEADER.unpack_from(content)
        leaf = Leaf(around.number, offset + _BUCKET.size, content, count)
        if not self._is_leaf(leaf, flags):
            raise self.damage(leaf.number, leaf.offset, "an inline bucket has branches")
        return leaf

    def _backwards(self, number: int, depth: int, marks: bytearray) -> Generator[LeafRun]:
        node, is_leaf = self._node(number, depth, marks)
        if is_leaf:
            yield _run_of_one(node)
            return
        children = [child for _, _, child in self._heads(node)]
        for first, end in _stretches_backwards(children, max(1, _RUN_BYTES // self.page_size)):
            run = self._run(first, end, marks)
            if run is not None:
                yield run
                continue
            for child in range(end - 1, first - 1, -1):
                yield from self._backwards(child, depth + 1, marks)

    def _run(self, first: int, end: int, marks: bytearray) -> LeafRun | None:
        """The pages from `first` to before `end`, marked, when all of them are plain leaves; None otherwise."""
        page_size = self.page_size
        if first < _META_PAGES or end > len(marks) or marks.find(1, first, end) >= 0:
            return None
        content = self._data[first * page_size : end * page_size]
        if len(content) < (end - first) * page_size or PAGE_HEADER.unpack_from(content)[1] != _LEAF_PAGE:
            return None
        leaves, number, most = [], first, (page_size - PAGE_HEADER.size) // LEAF_ELEMENT.size
        for found, flags, count, overflow, position in self._headers.iter_unpack(content):
            if found != number or flags != _LEAF_PAGE or overflow or count > most:
                return None
            if count and position != count * LEAF_ELEMENT.size:
                return None
            start = (number - first) * page_size
            leaves.append((number, start, start + page_size, count))
            number += 1
        marks[first:end] = b"\1" * (end - first)
        return LeafRun(first * page_size, content, leaves)

    def _tree(self, root: int, marks: bytearray, *, strict: bool = False) -> Generator[Leaf]:
        """The leaves below page `root`, in order; marks each page. `strict` compares every key, too."""
        pending = [_Span(root)]
        last: bytes | None = None
        while pending:
            span = pending.pop()
            node, is_leaf = self._node(span.number, span.depth, marks)
            if not is_leaf:
                pending.extend(reversed(list(self._children(node, span, strict=strict))))
                continue
            if strict:
                last = self._check_order(node, span, last)
            yield node

    def _node(self, number: int, depth: int, marks: bytearray) -> tuple[Leaf, bool]:
        """Page `number`, marked, and whether it is a leaf (otherwise a branch)."""
        page_size = self.page_size
        offset = number * page_size
        if depth > _MAX_DEPTH:
            raise self.damage(number, offset, "the tree is too deep")
        if not _META_PAGES <= number < len(marks):
            raise self.damage(number, offset, f"the file has {len(marks)} pages")
        content = self._read(offset, page_size)
        found, flags, count, overflow = PAGE_HEADER.unpack_from(content)
        end = number + 1 + overflow
        if found != number or end > len(marks):
            raise self.damage(number, offset, f"its header says page {found} and {overflow} more")
        if marks.find(1, number, end) >= 0:
            raise self.damage(number, offset, "it is reached twice")
        marks[number:end] = b"\1" * (1 + overflow)
        if overflow:
            content = self._read(offset, (1 + overflow) * page_size)
        node = Leaf(number, offset, content, count)
        return node, self._is_leaf(node, flags)

    def _is_leaf(self, node: Leaf, flags: int) -> bool:
        if flags not in (_BRANCH_PAGE, _LEAF_PAGE):
            raise self.damage(node.number, node.offset, f"flags {flags:#x} are neither a branch nor a leaf")
        if PAGE_HEADER.size + node.held * LEAF_ELEMENT.size > len(node.content):
            raise self.damage(node.number, node.offset, f"{node.held} elements do not fit into it")
        # bbolt writes the first key right behind the last element: a number that was changed would hide elements.
        first = PAGE_HEADER.size + (_LEAF_POSITION if flags == _LEAF_PAGE else 0)
        if node.held and _POSITION.unpack_from(node.content, first)[0] != node.held * LEAF_ELEMENT.size:
            raise self.damage(node.number, node.offset, f"its first key is not right behind {node.held} elements")
        return flags == _LEAF_PAGE

    def _children(self, node: Leaf, span: _Span, *, strict: bool) -> Iterator[_Span]:
        start, heads = PAGE_HEADER.size, self._heads(node)
        if not strict:
            return (_Span(child, span.depth + 1) for _, _, child in heads)
        if not node.held:
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
        return (_Span(child, span.depth + 1, low, high) for child, low, high in zip(numbers, keys, ends, strict=True))

    @staticmethod
    def _heads(branch: Leaf) -> Iterator[tuple[int, int, int]]:
        """(position, key size, child) of each element of a branch."""
        start = PAGE_HEADER.size
        return _BRANCH.iter_unpack(branch.content[start : start + branch.held * _BRANCH.size])

    def _check_order(self, leaf: Leaf, span: _Span, last: bytes | None) -> bytes | None:
        """Check the entries of a leaf and return its last key, or `last` when it has none."""
        keys, behind = [], PAGE_HEADER.size + leaf.held * LEAF_ELEMENT.size + leaf.offset
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
        found, flags, count, overflow = PAGE_HEADER.unpack(self._read(offset, PAGE_HEADER.size))
        end = number + 1 + overflow
        if found != number or flags != _FREELIST_PAGE or end > len(marks):
            raise self.damage(number, offset, f"its header says page {found}, flags {flags:#x} and {overflow} more")
        if count == _UNCOUNTED:
            count = 1 + _PAGE_ID.unpack(self._read(offset + PAGE_HEADER.size, _PAGE_ID.size))[0]
        if PAGE_HEADER.size + count * _PAGE_ID.size > (1 + overflow) * self.page_size:
            raise self.damage(number, offset, f"{count} free pages do not fit into the freelist")
        marks[number:end] = b"\1" * (1 + overflow)


def _run_of_one(leaf: Leaf) -> LeafRun:
    return LeafRun(leaf.offset, leaf.content, [(leaf.number, 0, len(leaf.content), leaf.held)])


def _stretches_backwards(numbers: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Numbers that follow one another, at most `most`, as (first, end); the last of `numbers` come first."""
    first = end = -1
    for number in reversed(numbers):
        if number == first - 1 and end - first < most:
            first = number
            continue
        if end >= 0:
            yield first, end
        first, end = number, number + 1
    if end >= 0:
        yield first, end
