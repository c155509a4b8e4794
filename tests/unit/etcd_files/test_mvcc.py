from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.mvcc import Head, decode_key_value, read_head
from tests.support.bolt_writer import BoltBuilder, inline_bucket, key_value, revision

Record = tuple[bytes, bytes]


def head_of(records: list[Record], meta: dict[bytes, bytes] | None = None) -> tuple[Head, dict[bytes, bytes]]:
    """The head of a file with `records` in its bucket `key`, and the live values by key."""
    buckets = {b"key": inline_bucket((0, key, value) for key, value in records)}
    if meta is not None:
        buckets[b"meta"] = inline_bucket((0, key, value) for key, value in sorted(meta.items()))
    data = BoltBuilder(65536).root(buckets).data()
    bolt = BoltFile(data, len(data), "test.db")
    head = read_head(bolt, "test.db")
    values = {
        key: decode_key_value(bolt.value(record.offset, record.size), record.offset, "test.db")[1]
        for key, record in head.records.items()
    }
    return head, values


def test_the_newest_record_of_a_key_is_the_live_one() -> None:
    head, values = head_of(
        [
            (revision(2), key_value(b"/a", b"old")),
            (revision(3), key_value(b"/b", b"b", lease=1 << 40)),
            (revision(4), key_value(b"/a", b"new")),
        ]
    )
    assert values == {b"/a": b"new", b"/b": b"b"}
    assert (head.records[b"/a"].revision, head.current, head.compacted) == (4, 4, 0)


def test_a_deleted_key_is_not_live_until_it_is_created_again() -> None:
    tombstone = (revision(3, deleted=True), b"\x0a\x02/a")
    _, values = head_of([(revision(2), key_value(b"/a", b"1")), tombstone])
    assert values == {}
    _, values = head_of([(revision(2), key_value(b"/a", b"1")), tombstone, (revision(4), key_value(b"/a", b"2"))])
    assert values == {b"/a": b"2"}


def test_changes_of_one_transaction_count_by_their_order_in_it() -> None:
    _, values = head_of([(revision(2, 0), key_value(b"/a", b"1")), (revision(2, 1), key_value(b"/a", b"2"))])
    assert values == {b"/a": b"2"}


def test_the_empty_record_of_a_bumped_restore_moves_only_the_revision() -> None:
    head, values = head_of([(revision(2), key_value(b"/a", b"1")), (revision(1000), b"")])
    assert values == {b"/a": b"1"}
    assert head.current == 1000


def test_an_empty_value_is_a_value() -> None:
    assert head_of([(revision(2), key_value(b"/a", b""))])[1] == {b"/a": b""}


@pytest.mark.parametrize(
    ("finished", "scheduled", "current", "compacted"), [(5, 5, 7, 5), (9, 9, 9, 9), (3, 12, 12, 3)]
)
def test_compaction_may_stand_beyond_the_last_record(
    finished: int, scheduled: int, current: int, compacted: int
) -> None:
    meta = {b"finishedCompactRev": revision(finished), b"scheduledCompactRev": revision(scheduled)}
    head, _ = head_of([(revision(7), key_value(b"/a", b"1"))], meta)
    assert (head.current, head.compacted) == (current, compacted)


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([(b"short", key_value(b"/a", b"1"))], id="short revision"),
        pytest.param([(revision(2).replace(b"_", b"-"), key_value(b"/a", b"1"))], id="other separator"),
        pytest.param([(revision(2) + b"x", key_value(b"/a", b"1"))], id="other mark"),
        pytest.param([(revision(2), key_value(b"/a", b"1")[:-1])], id="cut record"),
        pytest.param([(revision(2), b"\x2a\x011")], id="no key"),
        pytest.param([(revision(2), b"\x0b")], id="unknown wire type"),
        pytest.param([(revision(2), b"\x0a\x02/a\x10" + b"\xff" * 20)], id="endless number"),
        pytest.param([(revision(3), key_value(b"/a", b"1")), (revision(2), key_value(b"/a", b"2"))], id="order"),
    ],
)
def test_a_damaged_record_is_named_by_its_offset(records: list[Record]) -> None:
    with pytest.raises(UnusableInputError, match=r"test\.db is damaged at offset \d+"):
        head_of(records)


@given(key=st.binary(min_size=1, max_size=300), value=st.binary(max_size=3000), lease=st.integers(0, (1 << 63) - 1))
def test_what_was_written_is_decoded(key: bytes, value: bytes, lease: int) -> None:
    assert decode_key_value(key_value(key, value, lease=lease), 0, "test.db") == (key, value)


@given(st.binary(max_size=60))
def test_random_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        key, _ = decode_key_value(data, 0, "test.db")
    except UnusableInputError:
        return
    assert key
