"""What reading a whole database finds, piece by piece."""

from __future__ import annotations

import struct

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import consistency
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


COMPACTED = {b"meta": {b"finishedCompactRev": revision(5)}}


def test_a_deletion_stays_after_a_compaction_only_where_it_is_of_that_very_revision() -> None:
    """So it is with etcd 3.5.16 and later; older ones removed that, too."""
    assert checked([put(4, b"/b"), deletion(5), put(6, b"/a")], COMPACTED).deletions == 1
    what = cause([deletion(4), put(5, b"/b")], COMPACTED)
    assert what == "a deletion of revision 4 outlived the compaction of 5"


def test_a_record_that_is_older_than_the_deletion_that_a_compaction_kept_is_an_error() -> None:
    """A reader would take it for the live value."""
    what = cause([put(3, b"/a"), put(4, b"/b"), deletion(5)], COMPACTED)
    assert what == "a record of revision 3 outlived the compaction of 5"
    assert checked([put(3, b"/a"), deletion(5), put(6, b"/a")]).live == 1


USUAL = [put(2, b"/a"), put(300, b"/a" * 40, created=2), put(70_000, b"/b", created=69_999)]
LEASED = (revision(7), put(7, b"/a")[1] + b"\x30\x81\x02")


@pytest.mark.parametrize("record", [*USUAL, LEASED])
def test_the_quick_look_at_a_record_passes_nothing_that_the_thorough_one_refuses(record: Record) -> None:
    at, content = int.from_bytes(record[0][:8]), record[1]
    assert consistency._usual_key_end(content, 0, len(content), at)
    passed = refused = 0
    for place in range(len(content)):
        for byte in range(256):
            changed = content[:place] + bytes([byte]) + content[place + 1 :]
            for some in (changed, changed[:-1], changed + b"\x00"):
                if consistency._usual_key_end(some, 0, len(some), at):
                    passed += 1
                    consistency._check_record(some, 0, "test.db", at)
                else:
                    refused += 1
    assert passed > 256
    assert refused > 256


def test_a_record_is_not_read_beyond_its_end() -> None:
    content = put(2, b"/a")[1]
    for end in range(len(content)):
        assert not consistency._usual_key_end(content, 0, end, 2)
