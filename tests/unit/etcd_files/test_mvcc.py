from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.mvcc import Standing, read_record, read_standing
from tests.support.bolt_writer import BoltBuilder, inline_bucket, key_value, revision


def standing_of(records: list[tuple[bytes, bytes]], meta: dict[bytes, bytes] | None = None) -> Standing:
    buckets = {b"key": inline_bucket((0, key, value) for key, value in records)}
    if meta is not None:
        buckets[b"meta"] = inline_bucket((0, key, value) for key, value in sorted(meta.items()))
    data = BoltBuilder().root(buckets).data()
    return read_standing(BoltFile(data, len(data), "test.db"), "test.db")


def decoded(data: bytes) -> tuple[bytes, bytes]:
    found = read_record(data, 0, len(data), 0, "test.db")
    return data[found.key_at : found.key_end], data[found.value_at : found.value_end]


@pytest.mark.parametrize(
    ("finished", "scheduled", "current", "compacted", "readable"),
    [(5, 5, 7, 5, 5), (9, 9, 9, 9, 9), (3, 12, 12, 3, 12)],
)
def test_compaction_may_stand_beyond_the_last_record(
    finished: int, scheduled: int, current: int, compacted: int, readable: int
) -> None:
    meta = {b"finishedCompactRev": revision(finished), b"scheduledCompactRev": revision(scheduled)}
    standing = standing_of([(revision(7), key_value(b"/a", b"1"))], meta)
    assert (standing.current, standing.compacted, standing.readable_from) == (current, compacted, readable)


def test_the_last_record_tells_the_current_revision_deletion_or_not() -> None:
    assert standing_of([]).current == 0
    first = (revision(7), key_value(b"/a", b"1"))
    assert standing_of([first, (revision(8, deleted=True), b"\x0a\x02/a")]).current == 8
    assert standing_of([first, (revision(1000), b"")]).current == 1000


@pytest.mark.parametrize(
    ("meta", "version"), [({}, ""), ({b"term": bytes(8)}, "3.5"), ({b"storageVersion": b"3.7.0"}, "3.7.0")]
)
def test_the_version_of_the_storage_is_told(meta: dict[bytes, bytes], version: str) -> None:
    assert standing_of([], meta).storage_version == version


def test_a_damaged_compaction_revision_is_named() -> None:
    with pytest.raises(UnusableInputError, match=r"test\.db is damaged at offset \d+"):
        standing_of([], {b"finishedCompactRev": b"short"})


def test_a_database_of_another_program_is_no_etcd_database() -> None:
    data = BoltBuilder().root({b"channels": inline_bucket([])}).data()
    with pytest.raises(UnusableInputError, match="no etcd database") as caught:
        read_standing(BoltFile(data, len(data), "test.db"), "test.db")
    assert "without a bucket" in str(caught.value.cause)


@given(key=st.binary(min_size=1, max_size=300), value=st.binary(max_size=3000), lease=st.integers(0, (1 << 63) - 1))
def test_what_was_written_is_decoded(key: bytes, value: bytes, lease: int) -> None:
    assert decoded(key_value(key, value, lease=lease)) == (key, value)


@given(st.binary(max_size=60))
def test_random_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        key, _ = decoded(data)
    except UnusableInputError:
        return
    assert key


@pytest.mark.parametrize(("created", "modified", "first"), [(5, 5, True), (5, 6, False), (0, 0, False)])
def test_the_record_that_created_a_key_is_known_as_such(created: int, modified: int, first: bool) -> None:
    data = key_value(b"/a", b"1", created=created, modified=modified)
    assert read_record(data, 0, len(data), 0, "test.db").is_first is first
