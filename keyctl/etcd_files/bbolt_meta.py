"""The two meta pages of a bbolt file: which one holds, and what kind of file it is when none does."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Protocol

from keyctl.errors import UnusableInputError

PAGE_HEADER = struct.Struct("<QHHI")  # id, flags, count, overflow
# magic, version, page size, flags, root, sequence, freelist, high water, txid, checksum
_META = struct.Struct("<IIIIQQQQQQ")
_MAGIC, _VERSION = 0xED0CDAED, 2
_MAGIC_HERE, _MAGIC_SWAPPED = _MAGIC.to_bytes(4, "little"), _MAGIC.to_bytes(4, "big")
_SUMMED = _META.size - 8
_PAGE_SIZES = tuple(1024 << shift for shift in range(15))
_NO_FREELIST = 0xFFFFFFFFFFFFFFFF


class Sliceable(Protocol):
    """Bytes that are read where they are sliced: a file, a memory map, or bytes."""

    def __getitem__(self, where: slice, /) -> bytes:
        """The bytes of `where`, fewer where they end."""
        ...


@dataclass(frozen=True, slots=True)
class Meta:
    """What the newest valid meta page says.

    `high_water` is the number of pages ever allocated, `freelist` the page that
    lists the free ones (etcd on Linux writes none). `page` is the meta page this
    is from; `other_damaged`: the other one, which may be newer, is not valid.
    """

    page_size: int
    root: int
    freelist: int | None
    high_water: int
    txid: int
    page: int
    other_damaged: bool


def choose_meta(data: Sliceable, length: int, name: str) -> Meta:
    """The newest valid meta of the first `length` bytes of `data`.

    Raises `UnusableInputError` when there is none, and when it tells of more pages than there are.
    """
    newest = newest_meta(data, length, name)
    needed = newest.high_water * newest.page_size
    if needed > length:
        raise UnusableInputError(
            f"{name} is not a whole database",
            cause=f"it has {length} bytes, meta page {newest.page} says {needed}",
            hint="it was cut, or is still being copied: take the file again",
        )
    return newest


def newest_meta(data: Sliceable, length: int, name: str) -> Meta:
    """The newest valid meta, whatever it says. Raises `UnusableInputError` when there is none."""
    first = _meta(data, length, 0, 0)
    sizes = (first.page_size,) if first else _PAGE_SIZES
    second = next((meta for meta in (_meta(data, length, size, 1) for size in sizes) if meta), None)
    valid = [meta for meta in (first, second) if meta is not None]
    if not valid:
        raise _not_bbolt(data, length, name)
    newest = max(valid, key=lambda meta: meta.txid)
    return newest if len(valid) > 1 else replace(newest, other_damaged=True)


def _meta(data: Sliceable, length: int, offset: int, page: int) -> Meta | None:
    start = offset + PAGE_HEADER.size
    raw = data[start : start + _META.size]
    if start + _META.size > length or len(raw) < _META.size:
        return None
    magic, version, page_size, _, root, _, freelist, high_water, txid, checksum = _META.unpack(raw)
    if (magic, version) != (_MAGIC, _VERSION) or page_size not in _PAGE_SIZES or offset not in (0, page_size):
        return None
    if _fnv1a(raw[:_SUMMED]) != checksum:
        return None
    listed = None if freelist == _NO_FREELIST else freelist
    return Meta(page_size, root, listed, high_water, txid, page, other_damaged=False)


def _not_bbolt(data: Sliceable, length: int, name: str) -> UnusableInputError:
    offsets = (0, *_PAGE_SIZES)
    magics = [data[offset + PAGE_HEADER.size : offset + PAGE_HEADER.size + 4] for offset in offsets]
    if _MAGIC_SWAPPED in magics:
        return UnusableInputError(
            f"{name} is a big-endian database",
            cause="bbolt writes numbers in the order of the machine, and this one was written on another kind",
            hint="read it on a machine of its own kind",
        )
    if _MAGIC_HERE in magics:
        return UnusableInputError(
            f"{name} is damaged or cut at its start",
            cause=f"neither of its meta pages (0 and 1) is valid, {length} bytes",
            hint="use another copy; this one cannot be read",
        )
    return UnusableInputError(
        f"{name} is no etcd database",
        cause="neither of its meta pages (0 and 1) is one of bbolt's",
        hint="name a snapshot that `etcdctl snapshot save` wrote, or the file member/snap/db of a data directory",
    )


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
