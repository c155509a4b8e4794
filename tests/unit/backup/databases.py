"""Small snapshot files made by hand: records of etcd in a bbolt file, with the SHA-256 at its end."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path

from tests.support.bolt_writer import BoltBuilder, inline_bucket, leaf, revision, varint

# The key of what stands in a free page.
GONE = b"/registry/secrets/default/gone"
# (etcd key, value, revision), in order of revision.
Written = tuple[bytes, bytes, int]


def record(key: bytes, value: bytes, created: int, modified: int, version: int) -> bytes:
    """A serialized mvccpb.KeyValue as etcd writes it."""
    texts = b"\x0a" + varint(len(key)) + key + b"\x10" + varint(created) + b"\x18" + varint(modified)
    return texts + b"\x20" + varint(version) + b"\x2a" + varint(len(value)) + value


def database(written: Iterable[Written], *, free: Iterable[bytes] = (), compacted: int = 0) -> bytes:
    """The pages of a database with these records, and a page for each of `free` that nothing refers to."""
    entries, first, versions = [], dict[bytes, int](), dict[bytes, int]()
    for key, value, at in written:
        created = first.setdefault(key, at)
        versions[key] = versions.get(key, 0) + 1
        entries.append((0, revision(at), record(key, value, created, at, versions[key])))
    builder = BoltBuilder().bucket_leaf(entries)
    meta = [(0, b"finishedCompactRev", revision(compacted))] if compacted else []
    builder.root({b"key": struct.pack("<QQ", 3, 0), b"meta": inline_bucket(meta)})
    number = max(builder.pages) + 1 + (len(builder.pages[3]) - 1) // builder.page_size
    for place, content in enumerate(free):
        builder.pages[number + place] = leaf(number + place, [(0, revision(1), record(GONE, content, 1, 1, 1))])
    return builder.data()


def snapshot(path: Path, written: Iterable[Written], *, free: Iterable[bytes] = (), compacted: int = 0) -> Path:
    """The same as a file, with the SHA-256 that etcd puts at its end."""
    data = database(written, free=free, compacted=compacted)
    path.write_bytes(data + hashlib.sha256(data).digest())
    return path
