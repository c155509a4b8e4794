"""Which pages a database refers to, and what reading every one of them finds."""

from __future__ import annotations

import struct

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile
from tests.support.bolt_writer import BRANCH, LEAF, BoltBuilder, branch, fnv1a, inline_bucket, leaf

ITEMS = [(0, b"a", b"1"), (0, b"b", b""), (0, b"c", b"333")]


# What nothing refers to


def with_free_pages() -> BoltBuilder:
    """Pages 4, 7 and 8 are free; 5 has one of overflow."""
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 9, 0), b"meta": inline_bucket(ITEMS)})
    builder.pages |= {
        3: leaf(3, ITEMS[:1]),
        4: leaf(4, ITEMS),
        5: leaf(5, [(0, b"b", bytes(5000))], overflow=1),
        7: b"left behind",
        9: branch(9, [(b"a", 3), (b"b", 5)]),
    }
    return builder


def test_free_runs_are_the_pages_that_nothing_refers_to() -> None:
    data = with_free_pages().data()
    bolt = BoltFile(data, len(data), "test.db")
    assert list(bolt.free_runs()) == [(4, 1), (7, 2)]
    assert [number for number, mark in enumerate(bolt.reachable()) if mark] == [0, 1, 2, 3, 5, 6, 9]


def test_what_lies_behind_the_pages_ever_allocated_is_the_last_run() -> None:
    data = with_free_pages().data() + b"behind" + bytes(4096)
    bolt = BoltFile(data, len(data), "test.db")
    assert list(bolt.free_runs())[-1] == (10, 2)
    assert list(BoltFile(data, 10 * 4096 + 3, "test.db").free_runs())[-1] == (10, 1)


def test_the_pages_of_a_freelist_are_not_free() -> None:
    builder = with_free_pages()
    builder.pages[4] = struct.pack("<QHHIQQ", 4, 0x10, 2, 0, 7, 8)
    data = bytearray(builder.data())
    put_freelist(data, 4)
    bolt = BoltFile(bytes(data), len(data), "test.db")
    assert list(bolt.free_runs()) == [(7, 2)]


@pytest.mark.parametrize(
    ("freelist", "page", "words"),
    [
        (4, struct.pack("<QHHI", 4, 2, 0, 0), "flags 0x2"),
        (4, struct.pack("<QHHI", 5, 0x10, 0, 0), "says page 5"),
        (4, struct.pack("<QHHI", 4, 0x10, 0, 50), "50 more"),
        (4, struct.pack("<QHHI", 4, 0x10, 600, 0), "600 free pages"),
        (4, struct.pack("<QHHIQ", 4, 0x10, 0xFFFF, 0, 1 << 60), "do not fit"),
        (400, b"", "has 10 pages"),
    ],
)
def test_a_damaged_freelist_is_named(freelist: int, page: bytes, words: str) -> None:
    builder = with_free_pages()
    builder.pages[4] = page
    data = bytearray(builder.data())
    put_freelist(data, freelist)
    with pytest.raises(UnusableInputError, match=rf"damaged at page {freelist} ") as caught:
        BoltFile(bytes(data), len(data), "test.db").reachable()
    assert words in str(caught.value.cause)


def put_freelist(data: bytearray, number: int) -> None:
    for meta in (16, 4096 + 16):
        struct.pack_into("<Q", data, meta + 32, number)
        struct.pack_into("<Q", data, meta + 56, fnv1a(bytes(data[meta : meta + 56])))


# What reading every page finds, and reading the entries alone does not have to


def unreachable(builder: BoltBuilder) -> str:
    data = builder.data()
    with pytest.raises(UnusableInputError, match=r"test\.db is damaged at page \d+ \(offset \d+\)") as caught:
        BoltFile(bytes(data), len(data), "test.db").reachable()
    return str(caught.value.cause)


def tree(*leaves: list[tuple[int, bytes, bytes]], keys: tuple[bytes, ...]) -> BoltBuilder:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 3, 0)})
    builder.pages |= {number: leaf(number, items) for number, items in enumerate(leaves, start=4)}
    builder.pages[3] = branch(3, [(key, number) for number, key in enumerate(keys, start=4)])
    return builder


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        pytest.param(BoltBuilder().bucket_leaf([(0, b"b", b""), (0, b"a", b"")]), "out of order", id="in a leaf"),
        pytest.param(BoltBuilder().bucket_leaf([(0, b"a", b""), (0, b"a", b"")]), "out of order", id="equal"),
        pytest.param(BoltBuilder().bucket_leaf([(0, b"", b"1")]), "empty", id="empty key"),
        pytest.param(
            BoltBuilder().root({b"key": inline_bucket([(0, b"b", b""), (0, b"a", b"")])}), "out of order", id="inline"
        ),
        pytest.param(tree([(0, b"a", b"")], [(0, b"c", b"")], keys=(b"b", b"c")), "before the one", id="before parent"),
        pytest.param(tree([(0, b"d", b"")], [(0, b"e", b"")], keys=(b"a", b"c")), "page after", id="beyond the next"),
        pytest.param(tree([(0, b"a", b"")], [(0, b"b", b"")], keys=(b"b", b"a")), "out of order", id="in a branch"),
        pytest.param(tree(keys=()), "without children", id="no children"),
    ],
)
def test_keys_out_of_order_are_damage(builder: BoltBuilder, words: str) -> None:
    assert words in unreachable(builder)


def test_entries_that_share_bytes_are_damage() -> None:
    builder = BoltBuilder().bucket_leaf(ITEMS)
    page = bytearray(builder.pages[3])
    struct.pack_into("<I", page, 16 + 16 + 4, struct.unpack_from("<I", page, 16 + 16 + 4)[0] - 1)
    builder.pages[3] = bytes(page)
    assert "overlaps" in unreachable(builder)


def test_a_key_of_a_branch_beyond_its_page_is_damage() -> None:
    builder = tree([(0, b"a", b"")], keys=(b"a",))
    page = bytearray(builder.pages[3])
    struct.pack_into("<I", page, 16 + 4, 1 << 30)
    builder.pages[3] = bytes(page)
    assert "beyond" in unreachable(builder)


def test_two_buckets_cannot_share_a_page() -> None:
    builder = BoltBuilder().bucket_leaf(ITEMS)
    builder.root({b"key": struct.pack("<QQ", 3, 0), b"lease": struct.pack("<QQ", 3, 0)})
    assert "reached twice" in unreachable(builder)


def test_a_bucket_in_a_bucket_is_reached_too() -> None:
    builder = BoltBuilder().root({b"key": inline_bucket([(1, b"inner", struct.pack("<QQ", 3, 0))])})
    builder.pages[3] = leaf(3, ITEMS)
    data = builder.data()
    assert list(BoltFile(data, len(data), "test.db").free_runs()) == []


@pytest.mark.parametrize("flags", [0, BRANCH | LEAF, 0x10])
def test_a_page_has_exactly_one_kind(flags: int) -> None:
    builder = BoltBuilder().bucket_leaf(ITEMS)
    page = bytearray(builder.pages[3])
    struct.pack_into("<H", page, 8, flags)
    builder.pages[3] = bytes(page)
    assert "neither a branch nor a leaf" in unreachable(builder)
