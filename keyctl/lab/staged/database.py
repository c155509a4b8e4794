"""An etcd snapshot, byte for byte: a bbolt database with etcd's buckets, and the SHA-256 behind it.

bbolt never wipes a page: it writes a changed one anew and frees the old one. So a leaf
that compaction took something out of stays in the file as it was, in no tree. Small
histories only: one level of branches.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence

from keyctl.lab.staged.history import Change, History
from keyctl.lab.staged.messages import integer, text

PAGE = 4096
# What etcd fills a page of its records to before it takes the next one.
_FILL = 0.9
_HEADER = struct.Struct("<QHHI")  # number, flags, elements, overflow
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, child
_META = struct.Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, high water, txid
_BUCKET = struct.Struct("<QQ")  # root page, sequence
_REVISION = struct.Struct(">QcQ")
_MAGIC, _VERSION, _NO_FREELIST = 0xED0CDAED, 2, (1 << 64) - 1
_BRANCH, _LEAF, _META_PAGE, _IS_BUCKET = 0x01, 0x02, 0x04, 0x01
_BUCKETS = ("alarm", "auth", "authRoles", "authUsers", "cluster", "lease", "members", "members_removed")
_STORAGE_VERSION = b"3.6.0"
_Item = tuple[bytes, bytes]


def snapshot(history: History) -> bytes:
    """The file that `etcdctl snapshot save` would write of an etcd with this history."""
    return with_digest(database(history))


def with_digest(content: bytes) -> bytes:
    """A database and its SHA-256, as a snapshot has it."""
    return content + hashlib.sha256(content).digest()


def database(history: History) -> bytes:
    """The database file: metas, the root with the buckets, freed leaves, then the tree of the records."""
    pages: list[bytes] = []
    first = 3
    gone = set(history.gone())
    for leaf in _leaves(history.changes):
        if gone.intersection(leaf):
            pages.append(_leaf(first + len(pages), map(_record, leaf)))
    tree = [tuple(map(_record, leaf)) for leaf in _leaves(history.kept())]
    numbers = range(first + len(pages), first + len(pages) + len(tree))
    pages += [_leaf(number, items) for number, items in zip(numbers, tree, strict=True)]
    top = first + len(pages)
    pages.append(_branch(top, [(items[0][0], number) for number, items in zip(numbers, tree, strict=True)]))
    root = _leaf(2, sorted(_buckets(history, top)), flags=_IS_BUCKET)
    metas = (_meta(number, high_water=top + 1) for number in (0, 1))
    return b"".join(_padded(page) for page in (*metas, root, *pages))


def _leaves(changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """`changes` as etcd packs them, which appends: a page is filled, then comes the next."""
    packed: list[Change] = []
    size = _HEADER.size
    for change in changes:
        needed = _LEAF_ELEMENT.size + sum(map(len, _record(change)))
        if packed and size + needed > PAGE * _FILL:
            yield tuple(packed)
            packed, size = [], _HEADER.size
        packed.append(change)
        size += needed
    if packed:
        yield tuple(packed)


def _record(change: Change) -> _Item:
    """The key and the value in etcd's bucket `key`: a revision, and an mvccpb.KeyValue."""
    revision = _REVISION.pack(change.revision, b"_", 0)
    if change.value is None:
        return revision + b"t", text(1, change.key)
    numbers = integer(2, change.created) + integer(3, change.revision) + integer(4, change.version)
    return revision, text(1, change.key) + numbers + text(5, change.value)


def _buckets(history: History, records: int) -> Iterator[_Item]:
    yield b"key", _BUCKET.pack(records, 0)
    yield b"meta", _inline(sorted(_standing(history)))
    yield from ((name.encode(), _inline(())) for name in _BUCKETS)


def _standing(history: History) -> Iterator[_Item]:
    yield b"consistent_index", struct.pack(">Q", history.revision + 3)
    yield b"term", struct.pack(">Q", 2)
    yield b"confState", b'{"voters":[1],"auto_leave":false}'
    yield b"storageVersion", _STORAGE_VERSION
    if history.compacted:
        for name in (b"scheduledCompactRev", b"finishedCompactRev"):
            yield name, _REVISION.pack(history.compacted, b"_", 0)


def _inline(items: Iterable[_Item]) -> bytes:
    """A bucket that is small enough to stand in its parent."""
    return _BUCKET.pack(0, 0) + _leaf(0, items)


def _leaf(number: int, items: Iterable[_Item], *, flags: int = 0) -> bytes:
    found = list(items)
    heads = content = b""
    for index, (key, value) in enumerate(found):
        position = _LEAF_ELEMENT.size * (len(found) - index) + len(content)
        heads += _LEAF_ELEMENT.pack(flags, position, len(key), len(value))
        content += key + value
    return _HEADER.pack(number, _LEAF, len(found), 0) + heads + content


def _branch(number: int, children: Sequence[tuple[bytes, int]]) -> bytes:
    heads = content = b""
    for index, (key, child) in enumerate(children):
        position = _BRANCH_ELEMENT.size * (len(children) - index) + len(content)
        heads += _BRANCH_ELEMENT.pack(position, len(key), child)
        content += key
    return _HEADER.pack(number, _BRANCH, len(children), 0) + heads + content


def _meta(number: int, *, high_water: int) -> bytes:
    body = _META.pack(_MAGIC, _VERSION, PAGE, 0, 2, 0, _NO_FREELIST, high_water, 10 + number)
    return _HEADER.pack(number, _META_PAGE, 0, 0) + body + struct.pack("<Q", _fnv1a(body))


def _padded(page: bytes) -> bytes:
    if len(page) > PAGE:
        raise ValueError(f"a page of {len(page)} bytes: the history is too large for one level of branches")
    return page.ljust(PAGE, b"\0")


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
