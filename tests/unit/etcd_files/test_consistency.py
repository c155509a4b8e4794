"""What reading a whole database finds, piece by piece."""

from __future__ import annotations

import struct

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.consistency import Counts, check
from keyctl.etcd_files.delivery import Database
from keyctl.etcd_files.mvcc import read_standing
from tests.support.bolt_writer import BoltBuilder, branch, inline_bucket, key_value, leaf, revision

Record = tuple[bytes, bytes]


def put(at: int, key: bytes, *, created: int | None = None, **changed: int) -> Record:
    created = at if created is None else created
    fields = {"created": created, "modified": at, "version": 1 + at - created} | changed
    return revision(at), key_value(key, b"value", **fields)


def deletion(at: int, key: bytes = b"/a") -> Record:
    return revision(at, deleted=True), b"\x0a" + bytes([len(key)]) + key


SOUND = [put(2, b"/a"), put(3, b"/a", created=2), put(4, b"/b"), deletion(5), (revision(1000), b"")]


def checked(records: list[Record], others: dict[bytes, dict[bytes, bytes]] | None = None) -> Counts:
    buckets = {b"key": inline_bucket((0, key, value) for key, value in records)}
    for name, items in (others or {}).items():
        buckets[name] = inline_bucket((0, key, value) for key, value in items.items())
    return checked_file(BoltBuilder().root(buckets))


def checked_file(builder: BoltBuilder) -> Counts:
    data = builder.data()
    bolt = BoltFile(data, len(data), "test.db")
    return check(Database(bolt, data, "test.db", read_standing(bolt, "test.db")))


def cause(records: list[Record], others: dict[bytes, dict[bytes, bytes]] | None = None) -> str:
    with pytest.raises(UnusableInputError, match=r"test\.db is damaged at .*offset \d+") as caught:
        checked(records, others)
    return str(caught.value.cause)


def test_a_sound_database_is_counted() -> None:
    counts = checked(SOUND, {b"meta": {b"consistent_index": bytes(8), b"term": bytes(8)}, b"lease": {bytes(8): b"x"}})
    assert (counts.records, counts.deletions, counts.live) == (5, 1, 1)
    assert counts.entries == {"key": 5, "meta": 2, "lease": 1}
    assert (counts.pages, counts.free) == (3, 0)
    assert counts.standing.current == 1000


def test_free_pages_are_counted() -> None:
    builder = BoltBuilder().bucket_leaf([(0, key, value) for key, value in SOUND])
    builder.pages[9] = b"left"
    counts = checked_file(builder)
    assert (counts.pages, counts.free) == (4, 6)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        pytest.param([put(2, b"/a", modified=3)], "says 3 of itself", id="another revision"),
        pytest.param([put(2, b"/a", created=3, version=1)], "created at 3", id="created later"),
        pytest.param([put(2, b"/a", created=0, version=1)], "created at 0", id="never created"),
        pytest.param([put(2, b"/a", version=0)], "version 0", id="no version"),
        pytest.param([(revision(2, deleted=True), b"")], "no key", id="deletion of nothing"),
        pytest.param(
            [(revision(2, deleted=True), key_value(b"/a", b"1"))], "more than a key", id="deletion of a value"
        ),
        pytest.param([(revision(2), b"\x08\x01")], "cut, or is none", id="key as a number"),
        pytest.param([(revision(2), b"\x0a\x00\x10\x02\x18\x02\x20\x01")], "cut, or is none", id="empty key"),
        pytest.param([(revision(2), put(2, b"/a")[1][:-1])], "cut, or is none", id="cut"),
        pytest.param([(revision(2)[:-1], put(2, b"/a")[1])], "no revision", id="short revision"),
        pytest.param([put(2, b"/a"), deletion(2)], "revision 2 follows revision 2", id="twice the same"),
    ],
)
def test_a_record_that_etcd_does_not_write_is_damage(records: list[Record], words: str) -> None:
    assert words in cause(records)


@pytest.mark.parametrize(
    "others",
    [
        {b"meta": {b"consistent_index": bytes(7)}},
        {b"meta": {b"term": bytes(9)}},
        {b"auth": {b"authRevision": b""}},
        {b"auth": {b"authEnabled": b"true"}},
        {b"lease": {b"seven77": b""}},
    ],
)
def test_numbers_of_another_size_are_damage(others: dict[bytes, dict[bytes, bytes]]) -> None:
    assert cause(SOUND, others)


def test_keys_out_of_order_in_any_bucket_are_damage() -> None:
    assert "out of order" in cause(SOUND, {b"members": {b"b": b"", b"a": b""}})


def test_a_page_that_is_reached_twice_is_damage() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 3, 0)})
    builder.pages |= {3: branch(3, [(revision(1), 4), (revision(9), 4)]), 4: leaf(4, [])}
    with pytest.raises(UnusableInputError, match=r"damaged at page 4 \(offset 16384\)"):
        checked_file(builder)


def test_two_records_where_a_compaction_leaves_one_are_an_error() -> None:
    with pytest.raises(UnusableInputError, match="not consistent"):
        checked([put(2, b"/a"), put(3, b"/a", created=2)], {b"meta": {b"finishedCompactRev": revision(3)}})
