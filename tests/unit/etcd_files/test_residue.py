from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import loose_records, markers, stale_pages
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.delivery import Database
from keyctl.etcd_files.markers import LONGEST_FRAGMENT
from keyctl.etcd_files.mvcc import read_standing
from keyctl.etcd_files.remarks import Remarks
from keyctl.etcd_files.residue import free_page_fragments, in_batches
from keyctl.stored.source import Area, Fragment, Remark
from tests.support import seal
from tests.support.bolt_writer import BoltBuilder, Item, branch, inline_bucket, leaf, revision, varint

PAGE = 4096
KEY = b"/registry/secrets/ns/one"
LIVE = b"k8s:enc:aescbc:v1:key1:live"
PLAIN = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret <one>"
JSON = b'{"kind":"Secret","apiVersion":"v1"}'


# Objects as an API server stores them, each with another one inside.
WHOLE = (
    seal.stored("v1", "ConfigMap", "a", rest=b"\x12\x80\x01" + JSON + b"." * (128 - len(JSON))),
    seal.stored("v1", "ConfigMap", "a", rest=b"\x12\x80\x01" + PLAIN + b"." * (128 - len(PLAIN))),
    b'{"kind":"ConfigMap","apiVersion":"v1","data":{"a":' + JSON + b"}}\n",
    b"\xd9\xd9\xf7\xa1\x44data\x58\x40" + JSON + b"." * (64 - len(JSON)),
)


def record(key: bytes, value: bytes, main: int, *, lease: int = 0) -> bytes:
    parts = b"\x0a" + varint(len(key)) + key + b"\x10" + varint(main) + b"\x18" + varint(main) + b"\x20\x01"
    parts += b"\x2a" + varint(len(value)) + value if value else b""
    return parts + (b"\x30" + varint(lease) if lease else b"")


def item(main: int, value: bytes, key: bytes = KEY, *, lease: int = 0) -> Item:
    return 0, revision(main), record(key, value, main, lease=lease)


LIVE_ITEM = item(9, LIVE)


def file_with(pages: dict[int, bytes], *live: Item, end: int = 30) -> bytes:
    """A database whose live records lie in page 3; page `end` is live too, and all between are free."""
    builder = BoltBuilder().bucket_leaf(live or [LIVE_ITEM])
    builder.pages |= pages
    builder.pages[end] = leaf(end, [(0, b"a", b"b")])
    buckets = {b"key": struct.pack("<QQ", 3, 0), b"meta": struct.pack("<QQ", end, 0)}
    return builder.root(buckets).data()


def read(data: bytes, length: int = 0, *, proven: bool = True) -> tuple[list[Fragment], list[Remark]]:
    """What the first `length` bytes of `data` (0: all) leave behind, and what there is to say about them."""
    length = length or len(data)
    bolt = BoltFile(data, length, "db")
    database, remarks = Database(bolt, data, "db", read_standing(bolt, "db")), Remarks()
    return list(free_page_fragments(database, length, remarks, proven=proven)), remarks.said


def left(data: bytes) -> list[Fragment]:
    return read(data)[0]


def told(data: bytes) -> list[tuple[bytes | None, int | None, bytes, bool]]:
    return [(found.key, found.revision, found.value, found.whole) for found in left(data)]


def test_a_record_of_a_freed_leaf_is_told_whole_with_key_revision_and_page() -> None:
    (found,) = left(file_with({17: leaf(17, [item(7, PLAIN)])}))
    assert (found.area, found.place) == (Area.FREE_PAGES, "page 17")
    assert (found.key, found.revision, found.value, found.whole) == (KEY, 7, PLAIN, True)


def test_a_value_without_a_marker_is_told_where_its_record_is_whole() -> None:
    assert told(file_with({5: leaf(5, [item(7, b"anything")])})) == [(KEY, 7, b"anything", True)]


def test_a_stale_copy_of_a_record_that_is_still_there_is_nothing_left_behind() -> None:
    in_history = item(4, PLAIN)
    assert told(file_with({5: leaf(5, [in_history, LIVE_ITEM])}, in_history, LIVE_ITEM)) == []


def test_the_same_revision_with_other_bytes_is_left_behind() -> None:
    assert told(file_with({5: leaf(5, [item(9, PLAIN)])})) == [(KEY, 9, PLAIN, True)]


def test_many_stale_copies_of_one_record_are_told_once() -> None:
    found = left(file_with({page: leaf(page, [item(7, PLAIN), item(8, JSON)]) for page in (5, 8, 12)}))
    assert [(fragment.revision, fragment.place) for fragment in found] == [(7, "page 5"), (8, "page 5")]


def test_deletions_and_empty_records_leave_no_value() -> None:
    deleted = (0, revision(7, deleted=True), b"\x0a" + varint(len(KEY)) + KEY)
    assert told(file_with({5: leaf(5, [deleted, (0, revision(8), b""), item(10, b"")])})) == []


def test_other_buckets_and_branches_leave_nothing() -> None:
    pages = {5: leaf(5, [(0, b"consistent_index", b"\0\0\0\0\0\0\0\1")]), 6: branch(6, [(revision(4), 17)])}
    assert told(file_with(pages)) == []


def test_the_bucket_in_a_freed_root_is_found_by_its_values() -> None:
    freed_root = leaf(5, [(1, b"key", inline_bucket([item(6, PLAIN), item(7, JSON)]))])
    assert told(file_with({5: freed_root})) == [(KEY, 6, PLAIN, True), (KEY, 7, JSON, True)]


def test_a_page_with_another_number_is_searched_and_its_records_still_named() -> None:
    copied = leaf(5, [item(6, PLAIN), item(7, b"no marker")])
    assert told(file_with({8: copied})) == [(KEY, 6, PLAIN, True), (KEY, 7, b"no marker", True)]


def big(main: int, size: int) -> Item:
    return item(main, PLAIN + b"." * size)


def test_records_behind_the_page_that_was_used_again_are_not_believed() -> None:
    """Pages 5 to 7 held one leaf; page 6 was written again, and freed again."""
    older = leaf(5, [item(5, JSON), big(6, 5000), item(7, LIVE + b"old")], overflow=1)
    newer = leaf(6, [item(8, LIVE + b"new")])
    data = told(file_with({5: older[:PAGE], 6: newer}))
    assert (KEY, 5, JSON, True) in data
    assert (KEY, 8, LIVE + b"new", True) in data
    (cut,) = [entry for entry in data if not entry[3]]
    assert (cut[0], cut[1]) == (None, None)
    assert big(6, 5000)[2].endswith(b"." * 5000)
    assert (PLAIN + b"." * 5000).startswith(cut[2])
    assert len(data) == 3


def test_a_leaf_whose_pages_behind_went_to_others_ends_at_the_run() -> None:
    older = leaf(29, [item(5, JSON), big(6, 9000)], overflow=2)
    data = told(file_with({29: older[:PAGE]}))
    assert [(entry[0], entry[3]) for entry in data] == [(KEY, True), (None, False)]
    assert len(data[1][2]) < PAGE


def test_a_record_in_a_page_without_a_header_is_named_by_the_revision_before_it() -> None:
    older = leaf(5, [big(5, 5000), item(6, JSON), item(7, LIVE + b"old", lease=77)], overflow=1)
    newer = leaf(5, [item(8, b"short")])
    data = file_with({5: newer, 6: older[PAGE:]})
    assert told(data) == [(KEY, 8, b"short", True), (KEY, 6, JSON, True), (KEY, 7, LIVE + b"old", True)]


def test_a_record_in_a_page_without_a_header_that_is_still_there_is_nothing_left_behind() -> None:
    kept = [item(6, JSON), item(7, LIVE + b"old", lease=77)]
    older = leaf(5, [big(5, 5000), *kept], overflow=1)
    assert told(file_with({5: leaf(5, [(0, b"x", b"y")]), 6: older[PAGE:]}, *kept)) == []


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (revision(9) + record(KEY, JSON, 6)[: -len(JSON)], "the two revisions differ"),
        (revision(6) + record(KEY, JSON + b"!!", 6)[: -len(JSON) - 2], "the length reaches beyond the run"),
        (revision(6) + b"\x0b" + record(KEY, JSON, 6)[1 : -len(JSON)], "the first field is no key"),
        (revision(6) + record(KEY, JSON, 6)[: -len(JSON) - 2], "no length before the value"),
        (revision(6) + record(KEY, JSON, 6)[: -len(JSON) - 2] + b"\x38\x01\x2a\x23", "a field that no record has"),
        (revision(6) + record(b"", JSON, 6)[: -len(JSON)], "no etcd key"),
    ],
)
def test_a_name_that_does_not_fit_to_the_byte_is_not_told(before: bytes, why: str) -> None:
    page = (b"\1" * PAGE + before + JSON)[-PAGE:]
    assert told(file_with({29: page})) == [(None, None, JSON, False)], why


def test_half_a_revision_at_the_start_of_a_run_names_nothing() -> None:
    page = b"\0_" + bytes(8) + record(KEY, JSON, 0)
    assert told(file_with({4: page})) == [(None, None, JSON, False)]


def test_a_live_page_before_the_run_names_nothing_in_it() -> None:
    head = revision(6) + record(KEY, JSON, 6)[: -len(JSON)]
    live = leaf(3, [(0, revision(9), b"." * (PAGE - 49 - len(head)) + head)])
    assert (len(live), live[-len(head) :]) == (PAGE, head)
    found = told(file_with({3: live, 4: JSON}))
    assert found[0][0] is None
    assert found[0][2].startswith(JSON)


def test_a_length_that_does_not_end_at_the_value_is_none() -> None:
    page = b"\2" * 100 + b"\x2a\x05\x10" + JSON + b"the rest"
    (found,) = told(file_with({29: page}))
    assert found[2].startswith(JSON + b"the rest")


CBOR = b"\xd9\xd9\xf7\xa2\x44kind\x45Thing\x4aapiVersion\x4eexample.com/v1"


@pytest.mark.parametrize("value", [PLAIN, LIVE, JSON, b'{"apiVersion":"v1","kind":"Secret"}', CBOR])
def test_a_bare_value_is_found_by_its_beginning_and_ends_where_its_length_says(value: bytes) -> None:
    page = b"\2" * 100 + b"\x2a" + varint(len(value)) + value + b"rest"
    assert told(file_with({5: page})) == [(None, None, value, False)]


def test_a_marker_across_two_free_pages_is_found_and_across_a_live_one_is_not() -> None:
    assert len(told(file_with({5: bytes(PAGE - 2) + PLAIN[:2], 6: PLAIN[2:]}))) == 1
    assert told(file_with({29: bytes(PAGE - 2) + PLAIN[:2], 31: PLAIN[2:]})) == []


@pytest.mark.parametrize("at", [(1 << 20) - 7, (1 << 20) - 1, 1 << 20])
def test_a_marker_across_two_steps_of_the_search_is_found_once(at: int) -> None:
    filler = bytearray(2 << 20)
    filler[at : at + len(JSON)] = JSON
    assert [found.value[: len(JSON)] for found in left(file_with({4: bytes(filler)}, end=600))] == [JSON]


def test_a_value_of_unknown_length_ends_at_the_bound_and_at_the_next_one() -> None:
    pages = {5: JSON + b"." * 100 + PLAIN + b"." * 100_000}
    lengths = [len(found.value) for found in left(file_with(pages, end=60))]
    assert lengths == [len(JSON) + 100, LONGEST_FRAGMENT]


def test_a_whole_value_is_not_cut_however_long_it_is() -> None:
    found = leaf(5, [big(7, 300_000)], overflow=80)
    (fragment,) = left(file_with({5: found}, end=200))
    assert fragment.value == PLAIN + b"." * 300_000


def test_a_manifest_inside_a_value_belongs_to_that_value() -> None:
    for value in WHOLE:
        assert told(file_with({5: leaf(5, [item(7, value)])})) == [(KEY, 7, value, True)]
        assert told(file_with({8: leaf(5, [item(7, value)])})) == [(KEY, 7, value, True)]
        bare = b"\2" * 100 + b"\x2a" + varint(len(value)) + value
        assert told(file_with({5: bare})) == [(None, None, value, False)]


@pytest.mark.parametrize("around", [LIVE, PLAIN, JSON, WHOLE[0][:-1] + b".", b"anything"])
def test_a_length_that_is_not_the_values_own_hides_nothing(around: bytes) -> None:
    """A page that others wrote over, or bytes that only look like a length."""
    value = around + b"\2" * 50 + PLAIN + b"\2" * 50
    hidden = {5: b"\2" * 100 + b"\x2a" + varint(len(value)) + value}
    recorded = [{page: leaf(5, [item(7, value)])} for page in (5, 8)]
    for pages in (hidden, *recorded):
        assert [found.value for found in left(file_with(pages)) if found.value.startswith(PLAIN + b"\2")]


class Counted:
    """Bytes that know how many of them were read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.read = data, 0

    def __getitem__(self, where: slice) -> bytes:
        found = self.data[where]
        self.read += len(found)
        return found


@pytest.mark.parametrize(
    "piece",
    [
        b"k8s\0",
        b"\x2a\x7fk8s\0",
        b"\x2a\xff\xff\x3fk8s:enc:",
        b"\x2a\xff\xff\x3f" + JSON,
        b"\x2a\xff\xff\x3f" + PLAIN,
        revision(6) + b"\x0a\x01a\x18\x06\x2a\xff\xff\x3fk8s:enc:",
    ],
)
def test_however_dense_beginnings_and_made_up_lengths_are_each_byte_is_read_a_few_times(piece: bytes) -> None:
    data = Counted((piece * (1 << 20))[: 1 << 20])
    assert list(markers.spans(data, 0, len(data.data)))
    assert data.read < 5 << 20


def test_a_last_page_that_is_cut_is_searched_and_what_follows_the_database_is_not() -> None:
    data = file_with({5: b""})
    assert told(data + b"x" * 10) == []
    longer = data + bytes(100) + JSON
    assert read(longer, len(data) + 100)[0] == []
    assert [entry[2] for entry in told(longer)] == [JSON]


def test_bytes_behind_the_high_water_mark_are_searched() -> None:
    data = file_with({5: b""})
    behind = len(data) // PAGE
    assert [found.place for found in left(data + bytes(PAGE) + leaf(behind + 1, [item(7, PLAIN)]))] == [
        f"page {behind + 1}"
    ]


@pytest.mark.parametrize(
    ("position", "size"), [(0xFFFFFFFF, 17), (PAGE, 17), (16, 0xFFFFFFFF), (0, 17)], ids=["far", "out", "long", "zero"]
)
def test_an_element_that_points_elsewhere_is_not_followed(position: int, size: int) -> None:
    page = struct.pack("<QHHI", 5, 2, 2, 0) + struct.pack("<IIII", 0, position, 17, size)
    page += struct.pack("<IIII", 0, 16, 17, len(item(7, PLAIN)[2])) + revision(7) + item(7, PLAIN)[2]
    assert told(file_with({5: page})) == [(KEY, 7, PLAIN, True)]


def test_an_element_inside_another_is_not_followed() -> None:
    inner = revision(3) + record(KEY, b"inner", 3)
    outer = record(KEY, b"outer" + inner, 7)
    page = struct.pack("<QHHI", 5, 2, 2, 0) + struct.pack("<IIII", 0, 32, 17, len(outer))
    page += struct.pack("<IIII", 0, 16 + 17 + len(outer) - len(inner), 17, len(inner) - 17) + revision(7) + outer
    assert told(file_with({5: page})) == [(KEY, 7, b"outer" + inner, True)]


@pytest.mark.parametrize(
    "other",
    [
        (0, revision(7) + b"xyz", record(KEY, b"no marker", 7)),
        (0, revision(7).replace(b"_", b"-"), record(KEY, b"no marker", 7)),
        (0, revision(7), b"\x2a\x09no marker"),
        (0, revision(7), b"\x0a\xff"),
    ],
    ids=["a longer key", "no separator", "no etcd key", "no message"],
)
def test_an_element_that_is_no_record_is_not_told(other: Item) -> None:
    assert told(file_with({5: leaf(5, [other])})) == []


def test_a_record_is_found_by_its_own_bytes_where_no_element_leads_to_it() -> None:
    as_branch = struct.pack("<QHHI", 5, 1, 1, 0) + leaf(5, [item(7, b"no marker")])[16:]
    as_bucket = leaf(5, [(1, *item(7, b"no marker")[1:])])
    for page in (as_branch, as_bucket):
        assert told(file_with({5: page})) == [(KEY, 7, b"no marker", True)]


def test_a_record_that_was_written_over_in_part_is_searched() -> None:
    broken = (0, revision(7), b"\x0a\xff\xff" + JSON)
    data = told(file_with({5: leaf(5, [broken, item(8, PLAIN)])}))
    assert [(entry[2][: len(JSON)], entry[3]) for entry in data] == [(JSON, False), (PLAIN, True)]


def test_an_element_ends_with_the_pages_that_the_header_names() -> None:
    content = leaf(5, [big(6, 5000)], overflow=0)
    (found,) = told(file_with({5: content[:PAGE], 6: content[PAGE:]}))
    assert (found[0], found[3], len(found[2]) < PAGE) == (None, False, True)


def test_a_page_that_only_begins_with_its_number_does_not_end_a_record() -> None:
    long = leaf(5, [big(6, 5000)], overflow=1)
    mimic = struct.pack("<QHHI", 6, 0x77, 1, 0)
    page = long[:PAGE] + mimic + long[PAGE + len(mimic) :]
    assert [entry[3] for entry in told(file_with({5: page}))] == [True]


def test_a_record_longer_than_any_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stale_pages, loose_records):
        monkeypatch.setattr(module, "LONGEST_RECORD", 1000)
    found = told(file_with({5: leaf(5, [big(6, 2000)])}))
    assert [entry[2] for entry in found] == [PLAIN + b"." * 2000]
    assert told(file_with({5: leaf(5, [item(6, b"." * 2000)])})) == []


def test_a_count_beyond_the_page_is_not_followed() -> None:
    page = struct.pack("<QHHI", 5, 2, 0xFFFF, 0xFFFFFFFF) + leaf(5, [item(7, PLAIN)])[16:]
    assert [entry[2] for entry in told(file_with({5: page}))] == [PLAIN]


def test_damage_in_the_tree_is_an_error_and_not_a_short_list() -> None:
    data = bytearray(file_with({5: leaf(5, [item(7, PLAIN)])}))
    data[3 * PAGE + 8] = 0x40
    with pytest.raises(UnusableInputError, match="damaged at page 3"):
        left(bytes(data))


PLANTED = re.compile(rb"k8s\0<(\d+)>")


def planted(parts: Iterable[bytes]) -> set[bytes]:
    return {marker for part in parts for marker in PLANTED.findall(part)}


@given(
    st.lists(
        st.tuples(st.integers(4, 28), st.lists(st.integers(0, 9000), min_size=1, max_size=4)), min_size=1, max_size=25
    )
)
def test_whatever_was_written_over_whatever_a_byte_search_finds_no_more(
    writes: list[tuple[int, list[int]]],
) -> None:
    pages = bytearray(30 * PAGE)
    for turn, (number, sizes) in enumerate(writes):
        items = [
            item(10 + turn * 10 + place, b"k8s\0<%d>" % (turn * 10 + place) + b"." * size)
            for place, size in enumerate(sizes)
        ]
        overflow = (len(leaf(number, items)) - 1) // PAGE
        if number + overflow < 30:
            written = leaf(number, items, overflow).ljust((1 + overflow) * PAGE, b"\0")
            pages[number * PAGE : number * PAGE + len(written)] = written
    data = file_with({number: bytes(pages[number * PAGE : (number + 1) * PAGE]) for number in range(4, 30)})
    found = left(data)
    assert planted(fragment.value for fragment in found) == planted([data])
    for fragment in found:
        if fragment.whole and fragment.revision is not None:
            ((turn, place),) = {divmod(fragment.revision - 10, 10)}
            assert fragment.value == b"k8s\0<%d>" % (turn * 10 + place) + b"." * writes[turn][1][place]


@given(st.lists(st.tuples(st.integers(4 * PAGE, 30 * PAGE - 1), st.integers(0, 255)), max_size=40))
def test_no_byte_in_free_pages_can_stop_the_reader(changes: list[tuple[int, int]]) -> None:
    older = leaf(5, [item(5, JSON), big(6, 5000), item(7, LIVE + b"old", lease=7)], overflow=1)
    data = bytearray(file_with({5: older, 9: leaf(9, [item(8, PLAIN)] * 3), 11: inline_bucket([item(9, PLAIN)])}))
    for at, value in changes:
        data[at] = value
    left(bytes(data))


def test_batches_are_bounded_in_number_and_bytes() -> None:
    small = [Fragment(Area.WAL, "x", None, None, b"v", whole=False)] * 2500
    assert [len(batch) for batch in in_batches(small)] == [1000, 1000, 500]
    large = [Fragment(Area.WAL, "x", None, None, bytes(3 << 20), whole=False)] * 3
    assert [len(batch) for batch in in_batches(large)] == [2, 1]
    assert list(in_batches([])) == []


def random_bytes(number: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(number)  # noqa: S311 — no secret is made of it


def tail_of(value: bytes) -> bytes:
    """The page that is left of a leaf with `value` whose first page went to another."""
    return leaf(5, [item(6, value)], overflow=1)[PAGE:]


def secret(size: int, kind: bytes = b"Opaque", behind: bytes = b"") -> bytes:
    rest = b"\x12" + varint(size) + b"p4ssw0rd!" * (size // 9) + b"." * (size % 9)
    return seal.stored("v1", "Secret", "demo", "ns", rest=rest + b"\x1a" + varint(len(kind)) + kind + behind)


@pytest.mark.parametrize("kind", [b"Opaque", b"kubernetes.io/tls", b"helm.sh/release.v1"])
@pytest.mark.parametrize("behind", [b"", b"\x28\x01"])
@pytest.mark.parametrize("size", [3950, 5000])
def test_the_end_of_a_secret_is_told_although_its_beginning_is_lost(kind: bytes, behind: bytes, size: int) -> None:
    tail = tail_of(secret(size, kind, behind))
    data, remarks = read(file_with({5: leaf(5, [LIVE_ITEM]), 6: tail}))
    (found,) = data
    assert (found.key, found.whole, found.tail_of, found.place) == (None, False, "secrets", "page 6")
    assert found.value == tail.rstrip(b"\0") + b"\0"
    assert remarks == []


def test_the_end_of_a_secret_across_two_pages_is_one() -> None:
    value = secret(8000)
    content = leaf(5, [item(6, value)], overflow=2)
    short = len(content) - 2 * PAGE
    content = leaf(5, [item(6, secret(8000 - short + 5))], overflow=2)
    assert 0 < len(content) - 2 * PAGE < 8
    (found,) = left(file_with({5: leaf(5, [LIVE_ITEM]), 6: content[PAGE : 2 * PAGE], 7: content[2 * PAGE :]}))
    assert (found.tail_of, found.place, found.value) == ("secrets", "page 6", content[PAGE:])


@pytest.mark.parametrize(
    "value",
    [
        seal.stored("v1", "ConfigMap", "a", rest=b"\x12\xd0\x27" + b"some text " * 504),
        seal.stored("v1", "Pod", "a", rest=b"\x12\xd0\x27" + b"some text " * 504 + b"\x1a\x09\x0a\x07Running"),
        seal.stored("v1", "ResourceQuota", "a", rest=b"\x12\xd0\x27" + b"some text " * 504 + b"\x1a\x00"),
        b'{"kind":"Thing","apiVersion":"example.com/v1","spec":"' + b"some text " * 504 + b'"}\n',
    ],
)
def test_the_end_of_another_object_is_told_as_no_secret(value: bytes) -> None:
    data, remarks = read(file_with({6: tail_of(value)}))
    assert ([found.tail_of for found in data], remarks) == (["*.*"], [])


@pytest.mark.parametrize(
    "kind", [b"generic", b"x", b"any text, as it may be", "секрет".encode(), b"t" * 300, b"\x01\xff\x02", b"a/b\n"]
)
@pytest.mark.parametrize("behind", [b"", b"\x28\x00"])
def test_an_end_with_any_other_text_in_the_place_of_a_secrets_type_may_be_one(kind: bytes, behind: bytes) -> None:
    data, _ = read(file_with({6: tail_of(secret(5000, kind, behind))}))
    assert [found.tail_of for found in data] == ["*"]


def test_a_secrets_type_is_found_behind_another_field_of_that_number() -> None:
    """The bytes of the type hold what looks like one more."""
    assert [found.tail_of for found in left(file_with({6: tail_of(secret(5000, b"a.b/\x1a\x01c"))}))] == ["*"]
    assert [found.tail_of for found in left(file_with({6: tail_of(secret(5000, b"x\x1a\x06Opaque"))}))] == ["secrets"]


HEAD = b"k8s:enc:aescbc:v1:key1:"


@pytest.mark.parametrize(
    "content",
    [
        (HEAD + b"words ") * 300,
        HEAD + b"some text " * 400,
        HEAD + random_bytes(2000) + b"some text, which no cipher leaves " * 30,
        b"some text " * 30 + HEAD + random_bytes(2000),
        b"k8s:enc:" * 400,
        b"\x2a\x30" + HEAD + b"words of a Secret, which is here",
        b'{"kind":"Pod","apiVersion":"v1"' + b"some text " * 200,
        b"\x2a\xd0\x0f" + b'{"kind":"Pod","apiVersion":"v1"' + b"some text " * 200,
    ],
    ids=["often", "text", "both", "text before", "marks", "sized", "json", "json sized"],
)
def test_what_looks_like_the_beginning_of_a_value_inside_a_secret_does_not_hide_its_end(content: bytes) -> None:
    end = b"\x1a\x06Opaque" + b'\x1a\0"\0'
    found = left(file_with({6: content + end}))
    assert [one.tail_of for one in found if one.tail_of] == ["secrets"]


def test_text_behind_the_head_of_a_value_is_plaintext_of_somebody() -> None:
    for content in ((HEAD + b"words ") * 100, HEAD + b"some text " * 200, HEAD + random_bytes(999) + b"text " * 99):
        _, remarks = read(file_with({6: content}))
        assert [one.text.partition(" with")[0] for one in remarks] == ["1 free page (6)"]


def test_an_encrypted_value_that_begins_a_page_is_told_by_its_head_also_with_a_text_behind_it() -> None:
    for behind in (b"", b"some text, which no cipher leaves"):
        (found,) = left(file_with({6: HEAD + random_bytes(2000) + behind}))
        assert found.value.startswith(HEAD)


def test_what_a_kms_plugin_wrote_explains_itself_although_it_names_its_key_in_the_clear() -> None:
    value = seal.seal_kms_v2("vault", KEY, secret(500), key_id="a-long-name-of-a-key-in-a-vault")
    data, remarks = read(file_with({6: b"\x2a" + varint(len(value)) + value}))
    assert ([found.value for found in data], remarks) == ([value], [])


def test_the_end_of_a_secret_in_json_is_one_of_a_secret() -> None:
    value = b'{"kind":"Secret","apiVersion":"v1","data":{"a":"' + b"cGFzc3dvcmQ=" * 400 + b'"},"type":"Opaque"}\n'
    assert [found.tail_of for found in left(file_with({6: tail_of(value)}))] == ["secrets"]


@pytest.mark.parametrize(
    ("content", "pages"),
    [
        (b"some text " * 400, "1 free page (6)"),
        (b"some text " * 1000, "3 free pages (6, 7, 8)"),
        (b"some text " * 2000, "5 free pages (6, 7, 8, …)"),
        ("пароль ".encode() * 300, "1 free page (6)"),
        (bytes(range(1, 40)) * 50, "1 free page (6)"),
        (b'{"a":"' + b"text " * 400 + b'"},"type":"unknown"}\n', "1 free page (6)"),
        (random_bytes(4000) + b"but this is plain text, of somebody", "1 free page (6)"),
    ],
)
def test_plaintext_of_which_nothing_says_what_it_was_is_counted_and_leaves_the_area_unread(
    content: bytes, pages: str
) -> None:
    said = Remarks()
    data = file_with({6: content})
    bolt = BoltFile(data, len(data), "db")
    database = Database(bolt, data, "db", read_standing(bolt, "db"))
    assert list(free_page_fragments(database, len(data), said, proven=True)) == []
    ((area, text),) = [(one.area, one.text) for one in said.said]
    assert area is Area.FREE_PAGES
    assert text.startswith(f"{pages} with plaintext of which nothing says what it was; compacting and defragmenting")
    assert said.unread == {Area.FREE_PAGES}


def test_what_looks_encrypted_without_its_head_is_counted_and_leaves_the_area_unread() -> None:
    for seed in range(50):
        data = file_with({6: random_bytes(9000, seed)})
        bolt, said = BoltFile(data, len(data), "db"), Remarks()
        database = Database(bolt, data, "db", read_standing(bolt, "db"))
        assert list(free_page_fragments(database, len(data), said, proven=True)) == []
        assert [one.text for one in said.said] == [
            "3 free pages with the rest of a value that looks encrypted; its head is lost, so it may be under a retired"
            " key; compacting and defragmenting the member removes it"
        ]
        assert said.unread == {Area.FREE_PAGES}


def test_what_records_explain_is_no_rest() -> None:
    """Records, deletions and the ends of their heads in pages without a header, and pages of other trees."""
    gone = (0, revision(7, deleted=True), b"\x0a" + varint(len(KEY)) + KEY)
    older = leaf(5, [item(5, LIVE + random_bytes(5000)), gone, item(8, PLAIN)], overflow=1)
    cut_head = record(KEY * 3, JSON, 7)[10:]
    pages = {6: older[PAGE:], 9: cut_head, 12: branch(12, [(revision(4), 17)]), 14: leaf(14, [item(9, b"text " * 20)])}
    data, remarks = read(file_with(pages))
    assert [found.tail_of for found in data] == [""] * len(data)
    assert [one.text.partition(";")[0] for one in remarks] == [
        "1 free page with the rest of a value that looks encrypted"
    ]


def test_a_value_of_unknown_length_explains_its_own_page_only() -> None:
    _, remarks = read(file_with({6: LIVE + random_bytes(PAGE - len(LIVE)), 7: b"some text " * 300}))
    assert [one.text.partition(" with")[0] for one in remarks] == ["1 free page (7)"]


def test_records_that_no_compaction_removed_and_that_are_in_no_tree_are_said_where_no_digest_vouches() -> None:
    data = file_with({5: leaf(5, [item(7, LIVE + b"7"), item(8, LIVE + b"8")])})
    assert read(data, proven=True)[1] == []
    ((area, text),) = [(one.area, one.text) for one in read(data, proven=False)[1]]
    assert (area, text.partition(" that")[0]) == (Area.LIVE, "2 records")


def test_records_that_a_compaction_removed_are_no_contradiction() -> None:
    builder = BoltBuilder().bucket_leaf([LIVE_ITEM])
    builder.pages |= {5: leaf(5, [item(7, LIVE + b"7")]), 7: leaf(7, [(0, b"finishedCompactRev", revision(7))])}
    buckets = {b"key": struct.pack("<QQ", 3, 0), b"meta": struct.pack("<QQ", 7, 0)}
    found, remarks = read(builder.root(buckets).data(), proven=False)
    assert ([one.revision for one in found], remarks) == ([7], [])


def test_three_bytes_are_no_cbor_object() -> None:
    for behind in (b"", b"\xa1", b"\xa1\x41", b"\x00\x41a", b"\xa1\x00a", b"\xa1\x41\x00"):
        assert told(file_with({5: b"\2" * 100 + b"\xd9\xd9\xf7" + behind})) == []
