from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.bbolt import BoltFile, Leaf
from tests.support.bolt_writer import BoltBuilder, branch, fnv1a, inline_bucket, leaf, meta_page

ITEMS = [(0, b"a", b"1"), (0, b"b", b""), (0, b"c", b"333")]
EXPECTED = [(b"a", b"1"), (b"b", b""), (b"c", b"333")]


def read(data: bytes, bucket: bytes = b"key") -> list[tuple[bytes, bytes]]:
    bolt = BoltFile(data, len(data), "test.db")
    found = [(key, bolt.value(offset, size)) for key, offset, size in bolt.entries(bucket)]
    assert list(reversed(backwards(bolt, bucket))) == found
    return found


def backwards(bolt: BoltFile, bucket: bytes) -> list[tuple[bytes, bytes]]:
    """The same entries by the quick way."""
    found = []
    for run in bolt.runs_backwards(bucket):
        for number, start, end, held in reversed(run.leaves):
            one = Leaf(number, run.offset + start, run.content[start:end], held)
            found += [(key, bolt.value(offset, size)) for key, offset, size, _ in reversed(list(bolt.elements(one)))]
    return found


def broken(data: bytes) -> UnusableInputError:
    with pytest.raises(UnusableInputError) as caught:
        read(data)
    assert "test.db" in str(caught.value)
    assert caught.value.cause
    return caught.value


@pytest.mark.parametrize("page_size", [1024, 4096, 16384, 65536])
def test_a_bucket_is_read_at_any_page_size(page_size: int) -> None:
    assert read(BoltBuilder(page_size).bucket_leaf(ITEMS).data()) == EXPECTED


def test_an_inline_bucket_is_read() -> None:
    assert read(BoltBuilder().root({b"key": inline_bucket(ITEMS)}).data()) == EXPECTED


def test_a_value_larger_than_a_page_continues_on_overflow_pages() -> None:
    large = bytes(range(256)) * 64
    assert read(BoltBuilder().bucket_leaf([(0, b"a", large), (0, b"b", b"2")]).data()) == [(b"a", large), (b"b", b"2")]


def test_branches_are_followed_in_order() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 5, 0)})
    builder.pages |= {3: leaf(3, ITEMS[:1]), 4: leaf(4, ITEMS[1:]), 5: branch(5, [(b"a", 3), (b"b", 4)])}
    assert read(builder.data()) == EXPECTED


def test_a_bucket_that_is_not_there_has_no_entries() -> None:
    assert read(BoltBuilder().bucket_leaf(ITEMS).data(), b"lease") == []


@pytest.mark.parametrize("damaged", [0, 1])
def test_one_broken_meta_page_is_enough_to_read_by_the_other(damaged: int) -> None:
    data = bytearray(BoltBuilder(16384).bucket_leaf(ITEMS).data())
    data[damaged * 16384 + 40] ^= 1
    assert read(bytes(data)) == EXPECTED


@pytest.mark.parametrize(("txids", "winner"), [((10, 9), b"old"), ((10, 11), b"new")])
def test_the_meta_page_with_the_higher_transaction_wins(txids: tuple[int, int], winner: bytes) -> None:
    builder = BoltBuilder().root({b"key": inline_bucket([(0, b"which", b"old")])})
    builder.pages[3] = leaf(3, [(1, b"key", inline_bucket([(0, b"which", b"new")]))])
    data = bytearray(builder.data(txids=txids))
    data[4096:8192] = meta_page(4096, 1, root=3, high_water=4, txid=txids[1])
    assert read(bytes(data)) == [(b"which", winner)]


def test_two_broken_meta_pages_are_no_database() -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    data[40] ^= 1
    data[4096 + 40] ^= 1
    assert "damaged or cut at its start" in str(broken(bytes(data)))


def test_a_cut_file_says_how_many_bytes_are_missing() -> None:
    data = BoltBuilder().bucket_leaf(ITEMS).data()
    assert broken(data[:-512]).cause == f"it has {len(data) - 512} bytes, meta page 0 says {len(data)}"


def test_a_page_with_another_number_is_named_with_its_offset() -> None:
    builder = BoltBuilder().bucket_leaf(ITEMS)
    builder.pages[3] = leaf(7, ITEMS)
    assert "page 3 (offset 12288)" in str(broken(builder.data()))


def test_a_page_that_is_neither_branch_nor_leaf_is_damage() -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    data[3 * 4096 + 8] = 0x10
    assert "neither a branch nor a leaf" in str(broken(bytes(data)).cause)


def test_more_elements_than_a_page_can_hold_are_damage() -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    struct.pack_into("<H", data, 3 * 4096 + 10, 300)
    assert "300 elements" in str(broken(bytes(data)).cause)


def test_an_entry_beyond_its_page_is_damage() -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    struct.pack_into("<I", data, 3 * 4096 + 16 + 12, 5000)
    assert "beyond" in str(broken(bytes(data)).cause)


def test_a_child_outside_of_the_file_is_damage() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 3, 0)})
    builder.pages[3] = branch(3, [(b"a", 900)])
    assert "page 900" in str(broken(builder.data()))


def test_overflow_beyond_the_end_is_damage() -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    struct.pack_into("<I", data, 3 * 4096 + 12, 9)
    assert "9 more" in str(broken(bytes(data)).cause)


def test_a_cycle_of_branches_ends() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 3, 0)})
    builder.pages |= {3: branch(3, [(b"a", 4)]), 4: branch(4, [(b"a", 3)])}
    assert "reached twice" in str(broken(builder.data()).cause)


def test_a_page_with_two_parents_is_damage() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 3, 0)})
    builder.pages |= {3: branch(3, [(b"a", 4), (b"b", 4)]), 4: leaf(4, ITEMS)}
    assert "reached twice" in str(broken(builder.data()).cause)


def test_an_endless_chain_of_branches_does_not_exhaust_the_stack() -> None:
    builder = BoltBuilder(1024).root({b"key": struct.pack("<QQ", 3, 0)})
    builder.pages |= {number: branch(number, [(b"a", number + 1)]) for number in range(3, 2000)}
    builder.pages[2000] = leaf(2000, ITEMS)
    assert "too deep" in str(broken(builder.data()).cause)


def test_a_short_inline_bucket_is_damage() -> None:
    assert "too short" in str(broken(BoltBuilder().root({b"key": struct.pack("<QQ", 0, 0)}).data()).cause)


def test_a_plain_value_in_the_place_of_a_bucket_is_damage() -> None:
    builder = BoltBuilder()
    builder.pages[2] = leaf(2, [(0, b"key", bytes(32))])
    assert "a bucket is expected" in str(broken(builder.data()).cause)


@given(st.lists(st.tuples(st.integers(0, 5 * 4096 - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_are_read_or_refused_but_nothing_else_happens(changes: list[tuple[int, int]]) -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 5, 0)})
    builder.pages |= {3: leaf(3, ITEMS[:1]), 4: leaf(4, ITEMS[1:]), 5: branch(5, [(b"a", 3), (b"b", 4)])}
    data = bytearray(builder.data())
    for offset, byte in changes:
        data[offset + 4096] = byte
    with suppress(UnusableInputError):
        read(bytes(data))


def test_a_run_of_leaves_is_read_backwards_in_order_whatever_lies_between_them() -> None:
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 20, 0)})
    large = bytes(5000)
    builder.pages |= {number: leaf(number, [(0, b"%02d" % number, b"v")]) for number in (3, 4, 5, 8, 10, 9)}
    builder.pages[6] = leaf(6, [(0, b"06", large)], overflow=1)
    builder.pages[20] = branch(20, [(b"%02d" % number, number) for number in (3, 4, 5, 6, 8, 9, 10)])
    assert [key for key, _ in read(builder.data())] == [b"03", b"04", b"05", b"06", b"08", b"09", b"10"]


@pytest.mark.parametrize(("damaged", "used"), [(0, 1), (1, 0)])
def test_the_meta_page_that_was_used_is_told_and_that_the_other_is_damaged(damaged: int, used: int) -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    assert not BoltFile(bytes(data), len(data), "test.db").meta.other_damaged
    data[damaged * 4096 + 40] ^= 1
    meta = BoltFile(bytes(data), len(data), "test.db").meta
    assert (meta.page, meta.other_damaged) == (used, True)


def test_a_big_endian_database_is_told_from_damage() -> None:
    data = bytearray(BoltBuilder().bucket_leaf(ITEMS).data())
    for number in (0, 1):
        start = number * 4096 + 16
        body = struct.pack(">IIIIQQQQQ", *struct.unpack("<IIIIQQQQQ", data[start : start + 56]))
        data[start : start + 64] = body + struct.pack(">Q", fnv1a(body))
    error = broken(bytes(data))
    assert "big-endian" in str(error)
    assert error.hints == ("read it on a machine of its own kind",)


@pytest.mark.parametrize("data", [b"x", b"-" * 9000, bytes(70000)])
def test_what_is_no_bbolt_file_is_no_etcd_database(data: bytes) -> None:
    assert "no etcd database" in str(broken(data))


def test_pages_of_sixteen_megabytes_are_read() -> None:
    assert read(BoltBuilder(16 << 20).root({b"key": inline_bucket(ITEMS)}).data()) == EXPECTED


def test_a_file_that_became_shorter_is_no_crash() -> None:
    data = BoltBuilder().bucket_leaf(ITEMS).data()
    bolt = BoltFile(Shrinking(data), len(data), "test.db")
    for read_it in (lambda: list(bolt.entries(b"key")), lambda: list(bolt.runs_backwards(b"key")), bolt.reachable):
        with pytest.raises(UnusableInputError, match="became shorter"):
            read_it()


class Shrinking:
    """Bytes whose end is gone once the meta pages were read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __getitem__(self, where: slice) -> bytes:
        return self._data[where] if where.stop <= 2 * 4096 else self._data[: 2 * 4096 + 5][where]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_number_of_elements_that_was_changed_hides_none(number: int) -> None:
    """Without a SHA-256 nothing else would tell: the root, a branch and a leaf."""
    builder = BoltBuilder().root({name: struct.pack("<QQ", 3, 0) for name in (b"key", b"more")})
    builder.pages |= {3: branch(3, [(b"a", 4), (b"b", 5)]), 4: leaf(4, [(0, b"a", b""), (0, b"aa", b"")])}
    builder.pages[5] = leaf(5, [(0, b"b", b"")])
    data = bytearray(builder.data())
    assert len(list(BoltFile(bytes(data), len(data), "test.db").entries(b"key"))) == 3
    struct.pack_into("<H", data, number * 4096 + 10, 1)
    for read in (
        lambda file: list(file.entries(b"key")),
        lambda file: list(file.runs_backwards(b"key")),
        lambda file: file.reachable(),
    ):
        with pytest.raises(UnusableInputError, match=rf"damaged at page {number} ") as caught:
            read(BoltFile(bytes(data), len(data), "test.db"))
        assert caught.value.cause == "its first key is not right behind 1 elements"
