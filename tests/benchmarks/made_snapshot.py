"""A snapshot of any size in seconds: a sound bbolt file with its SHA-256, written page by page, without etcd.

Every value is the same sealed Secret, each under a key of its own, created and never changed.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from keyctl.keys.key import Provider
from tests.benchmarks.stored_values import sealed_secrets
from tests.support import seal
from tests.support.bolt_writer import Item, branch, key_value, leaf, meta_page, revision

PREFIX = b"/made/"
_PAGE = 4096
_ROOT, _FIRST_LEAF = 2, 3
# Three records of 1.1 KB are what fits into a page; as many children as etcd's own pages have.
_A_LEAF_HOLDS, _A_BRANCH_HOLDS = 3, 120
_A_NAMESPACE_HOLDS = 200
# A page of a tree: its first key, and its number.
_Child = tuple[bytes, int]


def made_snapshot(path: Path, count: int) -> Path:
    """Write `count` values under `PREFIX` to `path`; 1.4 GB for a million."""
    with path.open("w+b") as file:
        file.seek(_FIRST_LEAF * _PAGE)
        children = _write_leaves(file, count)
        while len(children) > 1:
            children = _write_branches(file, children)
        pages = file.tell() // _PAGE
        file.seek(0)
        for number in (0, 1):
            file.write(meta_page(_PAGE, number, root=_ROOT, high_water=pages, txid=2 - number))
        file.write(_page(leaf(_ROOT, [(1, b"key", struct.pack("<QQ", children[0][1], 0))])))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.write(digest)
    return path


def _write_leaves(file: BinaryIO, count: int) -> list[_Child]:
    children, items = [], _items(count)
    while some := list(islice(items, _A_LEAF_HOLDS)):
        number = file.tell() // _PAGE
        file.write(_page(leaf(number, some)))
        children.append((some[0][1], number))
    return children


def _write_branches(file: BinaryIO, children: list[_Child]) -> list[_Child]:
    parents = []
    for start in range(0, len(children), _A_BRANCH_HOLDS):
        some, number = children[start : start + _A_BRANCH_HOLDS], file.tell() // _PAGE
        file.write(_page(branch(number, some)))
        parents.append((some[0][0], number))
    return parents


def _items(count: int) -> Iterator[Item]:
    (_, value), *_ = sealed_secrets("", seal.key("key1", Provider.AESCBC), 1)
    for number in range(count):
        key = PREFIX + b"secrets/team-%05d/login-%07d" % (number // _A_NAMESPACE_HOLDS, number)
        at = number + 2
        yield 0, revision(at), key_value(key, value, created=at, modified=at)


def _page(content: bytes) -> bytes:
    if len(content) > _PAGE:
        raise ValueError(f"{len(content)} bytes do not fit into a page")
    return content.ljust(_PAGE, b"\0")
