"""Which records are live and which are past, against a table of all keys; and what is no record at all."""

from __future__ import annotations

import random
import struct

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import records as records_module
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.delivery import Database, live_values, past_values
from keyctl.etcd_files.mvcc import read_standing
from keyctl.stored.source import Value
from tests.support.bolt_writer import BoltBuilder, branch, inline_bucket, key_value, leaf, revision

Record = tuple[bytes, bytes]


def opened(records: list[Record], compacted: int = 0) -> Database:
    buckets = {b"key": inline_bucket((0, key, value) for key, value in records)}
    if compacted:
        buckets[b"meta"] = inline_bucket([(0, b"finishedCompactRev", revision(compacted))])
    data = BoltBuilder(1 << 18).root(buckets).data()
    bolt = BoltFile(data, len(data), "test.db")
    return Database(bolt, data, "test.db", read_standing(bolt, "test.db"))


def live(database: Database, at: int = 0, prefix: bytes = b"") -> list[Value]:
    return [value for batch in live_values(database, prefix, at or database.standing.current) for value in batch]


def past(database: Database, at: int = 0, prefix: bytes = b"") -> list[Value]:
    return [value for batch in past_values(database, prefix, at or database.standing.current) for value in batch]


def put(at: int, key: bytes, value: bytes, *, created: int | None = None, sub: int = 0, lease: int = 0) -> Record:
    created = at if created is None else created
    return revision(at, sub), key_value(key, value, created=created, modified=at, version=1 + at - created, lease=lease)


def deletion(at: int, key: bytes, sub: int = 0) -> Record:
    return revision(at, sub, deleted=True), b"\x0a" + bytes([len(key)]) + key


def test_the_newest_record_of_a_key_is_the_live_one_and_the_others_are_past() -> None:
    database = opened([put(2, b"/a", b"old"), put(3, b"/b", b"b", lease=1 << 40), put(4, b"/a", b"new", created=2)])
    assert live(database) == [(b"/a", b"new", 4), (b"/b", b"b", 3)]
    assert past(database) == [(b"/a", b"old", 2)]


def test_a_deleted_key_is_not_live_until_it_is_created_again() -> None:
    records = [put(2, b"/a", b"1"), deletion(3, b"/a")]
    assert (live(opened(records)), past(opened(records))) == ([], [(b"/a", b"1", 2)])
    records.append(put(4, b"/a", b"2"))
    assert (live(opened(records)), past(opened(records))) == ([(b"/a", b"2", 4)], [(b"/a", b"1", 2)])


def test_what_is_older_than_a_deletion_is_not_live_though_a_compaction_should_have_taken_it() -> None:
    database = opened([put(2, b"/a", b"1"), deletion(3, b"/a"), put(4, b"/b", b"2")], compacted=3)
    assert live(database) == [(b"/b", b"2", 4)]
    assert past(database) == [(b"/a", b"1", 2)]


def test_changes_of_one_transaction_count_by_their_order_in_it() -> None:
    records = [
        put(2, b"/a", b"1"),
        put(2, b"/a", b"2", created=1, sub=1),
        deletion(2, b"/b", 2),
        put(2, b"/b", b"3", sub=3),
    ]
    assert live(opened(records)) == [(b"/b", b"3", 2), (b"/a", b"2", 2)]


def test_the_empty_record_of_a_bumped_restore_is_no_value() -> None:
    database = opened([put(2, b"/a", b"1"), (revision(1000), b"")])
    assert (live(database), past(database)) == ([(b"/a", b"1", 2)], [])


def test_an_empty_value_is_a_value() -> None:
    assert live(opened([put(2, b"/a", b"")])) == [(b"/a", b"", 2)]


def test_at_a_revision_what_came_after_it_is_past_and_what_was_deleted_after_it_is_live() -> None:
    database = opened([put(2, b"/a", b"1"), put(3, b"/a", b"2", created=2), put(4, b"/b", b"3"), deletion(5, b"/a")])
    assert live(database, 3) == [(b"/a", b"2", 3)]
    assert sorted(past(database, 3)) == [(b"/a", b"1", 2), (b"/b", b"3", 4)]
    assert live(database, 2) == [(b"/a", b"1", 2)]
    assert live(database, 5) == [(b"/b", b"3", 4)]


def test_only_keys_under_the_prefix_are_delivered() -> None:
    database = opened([put(2, b"/a/1", b"1"), put(3, b"/b", b"2"), put(4, b"/a/1", b"3", created=2)])
    assert live(database, prefix=b"/a/") == [(b"/a/1", b"3", 4)]
    assert past(database, prefix=b"/b") == []


def test_keys_and_values_of_any_length_are_found() -> None:
    sizes = [1, 127, 128, 300, 16383, 16384]
    records = [put(number, b"k" * size, b"v" * size) for number, size in enumerate(sizes, start=2)]
    assert sorted((len(key), len(value)) for key, value, _ in live(opened(records))) == [(size, size) for size in sizes]


def test_a_key_may_hold_the_bytes_that_follow_on_keys() -> None:
    keys = [b"/a\x10", b"\x10", b"/a\x10\x02\x18\x02\x20\x01\x2a\x011", b"/\n"]
    records = [put(number, key, b"%d" % number) for number, key in enumerate(keys, start=2)]
    assert [key for key, _, _ in live(opened(records))] == keys[::-1]


@pytest.mark.parametrize("behind", [b"\x30\x05\x30\x06", b"\x3a\x01x", b"\x2a\x00", b"\x30\x05\x2a\x00"])
def test_what_follows_on_a_value_is_read_as_protobuf_reads_it(behind: bytes) -> None:
    entry, record = put(2, b"/a", b"1")
    expected = b"" if b"\x2a" in behind else b"1"
    assert live(opened([(entry, record + behind)])) == [(b"/a", expected, 2)]


@pytest.mark.parametrize("seed", range(30))
def test_random_changes_are_told_as_a_table_of_all_keys_tells_them(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    records: list[Record] = []
    created: dict[bytes, int] = {}
    tables: list[dict[bytes, Value]] = [{}]
    values: list[Value] = []
    for at in range(1, 60):
        key = b"/%d" % chance.randrange(9)
        table = dict(tables[-1])
        if key in created and chance.random() < 0.3:
            records.append(deletion(at, key))
            del created[key], table[key]
        else:
            created.setdefault(key, at)
            records.append(put(at, key, b"%d" % at, created=created[key]))
            table[key] = (key, b"%d" % at, at)
            values.append(table[key])
        tables.append(table)
    compacted = chance.choice([0, chance.randrange(1, 60)])
    kept = [
        record
        for record, at in zip(records, range(1, 60), strict=True)
        if at > compacted or at in {value[2] for value in tables[compacted].values()}
    ]
    database = opened(kept, compacted)
    there = [value for value in values if revision(value[2]) in dict(kept)]
    for at in range(max(compacted, 1), 60):
        assert sorted(live(database, at)) == sorted(tables[at].values())
        assert sorted([*live(database, at), *past(database, at)]) == sorted(there)


def test_a_second_live_record_of_a_key_is_an_error_and_never_a_count() -> None:
    twice = [put(2, b"/a", b"1"), put(3, b"/a", b"2", created=2)]
    with pytest.raises(UnusableInputError, match="not consistent") as caught:
        live(opened(twice, compacted=3))
    assert "/a" in str(caught.value.cause)
    with pytest.raises(UnusableInputError, match="not consistent"):
        live(opened([put(2, b"/a", b"1"), put(3, b"/a", b"2")]))


def test_keys_whose_hashes_are_equal_are_counted_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "_hash", lambda key: 7)
    assert len(live(opened([put(2, b"/a", b"1"), put(3, b"/b", b"2")]))) == 2
    with pytest.raises(UnusableInputError, match="not consistent"):
        live(opened([put(2, b"/a", b"1"), put(3, b"/a", b"2")]))


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([(b"short", key_value(b"/a", b"1"))], id="short revision"),
        pytest.param([(revision(2).replace(b"_", b"-"), key_value(b"/a", b"1"))], id="other separator"),
        pytest.param([(revision(2).replace(b"_", b"-"), key_value(b"/a", b"1")), put(3, b"/b", b"2")], id="not last"),
        pytest.param(
            [(revision(2)[:5], revision(2)[5:] + key_value(b"/a", b"1")), put(3, b"/b", b"2")], id="cut early"
        ),
        pytest.param([(revision(2) + b"x", key_value(b"/a", b"1"))], id="other mark"),
        pytest.param([(revision(2) + b"tt", key_value(b"/a", b"1"))], id="two marks"),
        pytest.param([(revision(2), key_value(b"/a", b"1")[:-1])], id="cut record"),
        pytest.param([(revision(2), b"\x0a")], id="one byte"),
        pytest.param([(revision(2), b"\x2a\x011")], id="no key"),
        pytest.param([(revision(2), b"\x0a\x00" + key_value(b"/a", b"1")[4:])], id="empty key"),
        pytest.param([(revision(2, deleted=True), b"")], id="deletion of nothing"),
        pytest.param([(revision(2), b"\x0b")], id="unknown wire type"),
        pytest.param([(revision(2), b"\x0a\x01" + key_value(b"/a", b"1")[2:])], id="key longer than it says"),
        pytest.param([(revision(2), b"\x0a\x03" + key_value(b"/a", b"1")[2:])], id="key shorter than it says"),
        pytest.param([(revision(2), key_value(b"/a", b"1") + b"\x30\x80")], id="cut lease"),
        pytest.param([(revision(2), b"\x0a\x02/a\x10" + b"\xff" * 20)], id="endless number"),
        pytest.param([put(3, b"/a", b"1"), put(2, b"/a", b"2")], id="order"),
        pytest.param([put(3, b"/a", b"1"), deletion(3, b"/a")], id="same revision"),
    ],
)
def test_what_is_no_record_is_named_by_its_offset(records: list[Record]) -> None:
    with pytest.raises(UnusableInputError, match=r"test\.db is damaged at .*offset \d+"):
        live(opened(records))


def test_a_bucket_among_the_records_is_damage() -> None:
    builder = BoltBuilder().bucket_leaf([(1, *put(2, b"/a", b"1"))])
    data = builder.data()
    bolt = BoltFile(data, len(data), "test.db")
    with pytest.raises(UnusableInputError, match="damaged at page 3"):
        live(Database(bolt, data, "test.db", read_standing(bolt, "test.db")))


def test_a_record_beyond_its_page_is_damage_even_where_the_next_page_was_read_with_it() -> None:
    builder = BoltBuilder().bucket_leaf([(0, *put(2, b"/a", b"1"))])
    page = bytearray(leaf(3, [(0, *put(2, b"/a", b"1"))]))
    page[16 + 12 : 16 + 16] = (5000).to_bytes(4, "little")
    builder.pages |= {3: bytes(page), 4: leaf(4, [])}
    data = builder.data()
    bolt = BoltFile(data, len(data), "test.db")
    with pytest.raises(UnusableInputError, match="damaged at page 3"):
        live(Database(bolt, data, "test.db", read_standing(bolt, "test.db")))


def test_a_value_that_reaches_into_the_next_page_is_damage_although_its_own_size_agrees() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 5, 0)})
    long = leaf(3, [(0, *put(2, b"/a", b"x" * 4200))])
    second = leaf(4, [(0, *put(3, b"/b", b"2"))])
    builder.pages |= {3: long[:4096], 4: second, 5: branch(5, [(revision(2), 3), (revision(3), 4)])}
    data = builder.data()
    bolt = BoltFile(data, len(data), "test.db")
    with pytest.raises(UnusableInputError, match="damaged at page 3") as caught:
        live(Database(bolt, data, "test.db", read_standing(bolt, "test.db")))
    assert "reaches beyond" in str(caught.value.cause)
