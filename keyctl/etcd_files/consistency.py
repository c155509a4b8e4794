"""Whether a database holds together: every page that the root refers to, every bucket, every record.

`etcdutl snapshot status` looks at none of the records, and checks no SHA-256.
The first damage is the answer, an `UnusableInputError`; there is no repair.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.delivery import Database, live_values
from keyctl.etcd_files.mvcc import RECORDS, Standing, damage, split_revision
from keyctl.stored.protobuf import DamagedError, chunks, fields, varint

_NUMBER_BYTES = 8
_VARINT, _LENGTH_DELIMITED = 0, 2
# Of mvccpb.KeyValue, with the wire type of each.
_KEY, _CREATED, _MODIFIED, _VERSION, _VALUE, _LEASE = 1, 2, 3, 4, 5, 6
_KINDS = {
    _KEY: _LENGTH_DELIMITED,
    _CREATED: _VARINT,
    _MODIFIED: _VARINT,
    _VERSION: _VARINT,
    _VALUE: _LENGTH_DELIMITED,
    _LEASE: _VARINT,
}
# The same for the many records that are written in this order, with a key below 128 bytes: what follows the key, and
# what may follow the value.
_HEAD_BYTES, _KEY_TAG, _LONG = 2, 0x0A, 0x80
_NUMBER = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
_USUAL = re.compile(rb"\x10(%b)\x18(%b)\x20(%b)\x2a(%b)" % ((_NUMBER,) * 4)).match
_LEASED = re.compile(rb"\x30[\x80-\xff]{0,8}[\x00-\x7f]").fullmatch
# How long the values of these are, wherever they are there; nothing else has a length of its own.
_SIZES = {
    (b"meta", b"consistent_index"): _NUMBER_BYTES,
    (b"meta", b"term"): _NUMBER_BYTES,
    (b"auth", b"authRevision"): _NUMBER_BYTES,
    (b"auth", b"authEnabled"): 1,
}


@dataclass(frozen=True, slots=True)
class Counts:
    """What was looked at. `pages` are those in use, `free` the others that were ever allocated.

    `entries` is by bucket. `records` are those of the bucket `key`: `live` ones,
    `deletions`, and the rest are overwritten values.
    """

    pages: int
    free: int
    entries: Mapping[str, int]
    records: int
    deletions: int
    live: int
    standing: Standing


def check(database: Database, progress: Callable[[str], None] = lambda _: None) -> Counts:
    """Read all of `database`. Raises `UnusableInputError` for the first thing that is not as etcd writes it."""
    bolt, name, standing = database.bolt, database.name, database.standing
    progress("pages")
    marks = bolt.reachable()
    progress("buckets")
    entries = {bucket: _check_bucket(bolt, bucket, name) if bucket != RECORDS else 0 for bucket in bolt.buckets()}
    progress("records")
    kinds = _check_records(bolt, name, standing.compacted)
    entries[RECORDS] = kinds.total()
    live = sum(len(batch) for batch in live_values(database, b"", standing.current))
    used = marks.count(1)
    named = {bucket.decode("utf-8", "backslashreplace"): count for bucket, count in entries.items()}
    return Counts(used, len(marks) - used, named, kinds.total(), kinds[True], live, standing)


def _check_bucket(bolt: BoltFile, bucket: bytes, name: str) -> int:
    number = 0
    for key, offset, size in bolt.entries(bucket):
        number += 1
        if bucket == b"lease" and len(key) != _NUMBER_BYTES:
            raise damage(name, offset, "the number of a lease is cut")
        if _SIZES.get((bucket, key), size) != size:
            raise damage(name, offset, f"{key.decode()} in bucket {bucket.decode()} has {size} bytes")
    return number


def _check_records(bolt: BoltFile, name: str, compacted: int) -> Counter[bool]:
    """Every record; how many are no deletions (False), and how many are.

    Up to its revision a compaction keeps of each key the newest record, and of
    deletions only those of that very revision.
    """
    kinds: Counter[bool] = Counter()
    last = (0, -1)
    gone: set[bytes] = set()
    for leaf in bolt.leaves(RECORDS):
        content = leaf.content
        for entry, offset, size, _ in bolt.elements(leaf):
            main, sub, deleted = split_revision(entry, offset, name)
            if (main, sub) <= last:
                raise damage(name, offset, f"revision {main} follows revision {last[0]}")
            last = main, sub
            kinds[deleted] += 1
            start = offset - leaf.offset
            # A restore that bumps the revision leaves a record without content.
            if deleted or (size and not _usual_key_end(content, start, start + size, main)):
                _check_record(content[start : start + size], offset, name, None if deleted else main)
            if deleted and main < compacted:
                raise damage(name, offset, f"a deletion of revision {main} outlived the compaction of {compacted}")
            if deleted and main == compacted:
                gone.add(_key(content[start : start + size]))
    if gone:
        _check_gone(bolt, name, compacted, gone)
    return kinds


def _check_gone(bolt: BoltFile, name: str, compacted: int, gone: Collection[bytes]) -> None:
    """Raise when an older record of a key is there that was deleted at the revision of the compaction."""
    for entry, offset, size in bolt.entries(RECORDS):
        main, _, _ = split_revision(entry, offset, name)
        if main >= compacted:
            return
        if size and _key(bolt.value(offset, size)) in gone:
            raise damage(name, offset, f"a record of revision {main} outlived the compaction of {compacted}")


def _key(record: bytes) -> bytes:
    return record[slice(*chunks(record, 0, len(record))[_KEY])]


def _usual_key_end(content: bytes, start: int, stop: int, revision: int) -> int:
    """Where the key ends of the record in `content[start:stop]`, if it is sound and written as nearly all are; else 0.

    The quick look: it passes nothing that `_check_record` refuses.
    """
    key_at = start + _HEAD_BYTES
    if key_at >= stop or content[start] != _KEY_TAG or not 0 < content[key_at - 1] < _LONG:
        return 0
    key_end = key_at + content[key_at - 1]
    match = _USUAL(content, key_end, stop)
    if match is None:
        return 0
    created, modified, version, size = (varint(raw, 0, len(raw))[0] for raw in match.groups())
    if modified != revision or not 0 < created <= revision or not version:
        return 0
    behind = match.end() + size
    return key_end if behind == stop or (behind < stop and _LEASED(content, behind, stop)) else 0


def _check_record(data: bytes, offset: int, name: str, revision: int | None) -> None:
    """A record as etcd writes it; `revision` is None for a deletion, of which only the key is kept."""
    numbers = {_CREATED: 0, _MODIFIED: 0, _VERSION: 0}
    found = set()
    try:
        for number, kind, start, end in fields(data, 0, len(data)):
            if _KINDS.get(number, kind) != kind:
                raise DamagedError
            found.add(number)
            if number in numbers:
                numbers[number], _ = varint(data, start, end)
            if number == _KEY and start == end:
                raise DamagedError
    except DamagedError:
        raise damage(name, offset, "a record is cut, or is none") from None
    if _KEY not in found:
        raise damage(name, offset, "a record has no key")
    if revision is None:
        if found != {_KEY}:
            raise damage(name, offset, "a deletion holds more than a key")
    elif numbers[_MODIFIED] != revision:
        raise damage(name, offset, f"a record of revision {revision} says {numbers[_MODIFIED]} of itself")
    elif not 0 < numbers[_CREATED] <= revision or not numbers[_VERSION]:
        raise damage(name, offset, f"created at {numbers[_CREATED]}, version {numbers[_VERSION]}, at {revision}")
