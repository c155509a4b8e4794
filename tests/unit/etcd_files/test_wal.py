from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import wal
from keyctl.etcd_files.crc32c import extend
from keyctl.etcd_files.open_file import OpenFile, regular_files
from keyctl.etcd_files.wal import LogReader, LogSummary
from keyctl.stored.source import Area, Fragment
from tests.support.wal_writer import (
    ENTRY,
    SNAPSHOT,
    STATE,
    LogWriter,
    entry,
    nested,
    number,
    operation,
    put_request,
    request,
    txn,
)

KEY = b"/registry/secrets/ns/one"
PLAIN = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret secret"
UNKNOWN_TXNS = [request(6, nested(4, PLAIN)), request(6, txn([nested(5, PLAIN)]))]
FIRST = "0000000000000000-0000000000000001.wal"


def read(folder: Path) -> tuple[list[Fragment], LogSummary]:
    reader = LogReader(folder)
    return list(reader.fragments()), reader.summary()


def pairs(folder: Path) -> list[tuple[bytes | None, bytes]]:
    return [(found.key, found.value) for found in read(folder)[0]]


def log(*requests: bytes, padded: bool = True) -> LogWriter:
    writer = LogWriter(padded=padded).begin(0)
    for item in requests:
        writer.entry(item)
    return writer


def test_the_check_value_of_the_checksum_and_that_it_can_be_continued() -> None:
    assert extend(0, b"123456789") == 0xE3069283
    assert extend(0, b"") == 0
    assert extend(0, bytes(32)) == 0x8A9136AA
    assert extend(extend(0, b"12345"), b"6789") == 0xE3069283


@pytest.mark.parametrize("padded", [True, False])
def test_every_put_is_told_with_its_key_and_place(tmp_path: Path, padded: bool) -> None:
    writer = log(put_request(KEY, PLAIN), padded=padded)
    offset = len(writer.last)
    writer.entry(put_request(KEY, b"k8s:enc:x")).write(tmp_path)
    fragments, summary = read(tmp_path)
    assert [(found.key, found.value, found.revision, found.whole) for found in fragments] == [
        (KEY, PLAIN, None, True),
        (KEY, b"k8s:enc:x", None, True),
    ]
    assert fragments[1].place == f"{FIRST} offset {offset}"
    assert {found.area for found in fragments} == {Area.WAL}
    assert summary == LogSummary(files=1, entries=2, values=2, without_values=0, unread=0, cut=None)


def test_both_branches_of_a_transaction_those_inside_it_and_what_it_compares_with_are_told(tmp_path: Path) -> None:
    inner = nested(4, txn([operation(b"/inner", b"in")]))
    asked = txn([operation(KEY, b"done"), inner], [operation(b"/other", b"not done")], [(b"/compared", b"with")])
    log(request(6, asked)).write(tmp_path)
    assert set(pairs(tmp_path)) == {
        (KEY, b"done"),
        (b"/inner", b"in"),
        (b"/other", b"not done"),
        (b"/compared", b"with"),
    }


def test_deep_nesting_takes_no_stack(tmp_path: Path) -> None:
    asked = txn([operation(KEY, PLAIN)])
    for _ in range(3000):
        asked = txn([nested(4, asked)])
    log(request(6, asked)).write(tmp_path)
    assert pairs(tmp_path) == [(KEY, PLAIN)]


@pytest.mark.parametrize("name", [3, 5, 7, 8, 9, 1000, 1012, 1100])
def test_requests_without_a_value_are_counted_and_not_searched(tmp_path: Path, name: int) -> None:
    log(request(name, nested(1, PLAIN)), b"", put_request(KEY, b"")).write(tmp_path)
    fragments, summary = read(tmp_path)
    assert fragments == []
    assert (summary.entries, summary.without_values, summary.unread) == (3, 3, 0)


def test_a_change_of_members_and_a_state_hold_no_value(tmp_path: Path) -> None:
    log().entry(b"anything", kind=1).add(STATE, number(1, 4)).write(tmp_path)
    fragments, summary = read(tmp_path)
    assert (fragments, summary.without_values) == ([], 1)


@pytest.mark.parametrize("asked", [request(2, b"PUT " + PLAIN), request(50, PLAIN), b"\xff\xff" + PLAIN, *UNKNOWN_TXNS])
def test_a_request_of_an_unknown_kind_is_searched_and_counted(tmp_path: Path, asked: bytes) -> None:
    log(asked).write(tmp_path)
    fragments, summary = read(tmp_path)
    assert [(found.key, found.value, found.whole) for found in fragments] == [(None, PLAIN, False)]
    assert (summary.unread, summary.without_values) == (1, 0)


def test_the_same_put_again_is_told_once_and_another_key_is_another(tmp_path: Path) -> None:
    log(put_request(KEY, PLAIN), put_request(KEY, PLAIN), put_request(b"/else", PLAIN)).write(tmp_path)
    fragments, summary = read(tmp_path)
    assert [found.key for found in fragments] == [KEY, b"/else"]
    assert summary.values == 3


def test_the_sum_runs_on_from_file_to_file(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"one")).begin(1).entry(put_request(KEY, b"two"))
    writer.write(tmp_path)
    assert [value for _, value in pairs(tmp_path)] == [b"one", b"two"]


def test_a_log_whose_oldest_files_etcd_has_removed_is_whole(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"one")).begin(1).entry(put_request(KEY, b"two"))
    del writer.files[FIRST]
    assert pairs(writer.write(tmp_path)) == [(KEY, b"two")]


def test_allocated_space_is_the_end_of_a_file(tmp_path: Path) -> None:
    writer = log(put_request(KEY, PLAIN))
    writer.last += bytes(5000)
    (tmp_path / "1.tmp").write_bytes(bytes(4096))
    fragments, summary = read(writer.write(tmp_path))
    assert (len(fragments), summary.cut, summary.files) == (1, None, 1)


@pytest.mark.parametrize("kept", [4, 8, 12, 200, 700])
def test_a_last_record_that_was_not_written_to_its_end_is_told_and_searched(tmp_path: Path, kept: int) -> None:
    writer = log(put_request(KEY, b"before"))
    offset = len(writer.last)
    writer.entry(put_request(KEY, PLAIN + b"x" * 2000))
    writer.last = writer.last[: offset + kept]
    fragments, summary = read(writer.write(tmp_path))
    assert summary.cut == f"{FIRST} offset {offset}"
    assert [found.value for found in fragments if found.whole] == [b"before"]
    rest = [found.value for found in fragments if not found.whole]
    assert bool(rest) == (kept > 100)
    assert all((PLAIN + b"x" * 2000).startswith(value) for value in rest)


def test_a_last_record_of_which_a_sector_is_still_zero_is_cut(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"before"))
    offset = len(writer.last)
    writer.entry(put_request(KEY, PLAIN + b"x" * 2000))
    writer.last[1024:1536] = bytes(512)
    _, summary = read(writer.write(tmp_path))
    assert summary.cut == f"{FIRST} offset {offset}"
    writer.begin(1).write(tmp_path)
    with pytest.raises(UnusableInputError, match=f"{FIRST} is damaged at offset {offset}"):
        read(tmp_path)


@pytest.mark.parametrize("length", [1 << 55, 1 << 40, 65 << 20])
def test_a_made_up_length_takes_no_memory(tmp_path: Path, length: int) -> None:
    writer = log(put_request(KEY, b"before"))
    offset = len(writer.last)
    writer.last += length.to_bytes(8, "little") + PLAIN
    assert read(writer.write(tmp_path))[1].cut == f"{FIRST} offset {offset}"
    writer.begin(1).write(tmp_path)
    with pytest.raises(UnusableInputError) as caught:
        read(tmp_path)
    assert caught.value.cause == f"a record of {length} bytes does not fit into the file"


def test_the_same_cut_in_a_file_that_is_not_the_last_is_damage(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"before"))
    offset = len(writer.last)
    writer.entry(put_request(KEY, PLAIN + b"x" * 2000))
    del writer.last[offset + 100 :]
    writer.begin(1).write(tmp_path)
    with pytest.raises(UnusableInputError, match=f"{FIRST} is damaged at offset {offset}"):
        read(tmp_path)


def test_zeros_in_a_file_that_is_not_the_last_break_the_chain(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"before"))
    offset = len(writer.last)
    writer.entry(put_request(KEY, PLAIN))
    writer.last[offset:] = bytes(len(writer.last) - offset)
    writer.begin(1).write(tmp_path)
    with pytest.raises(UnusableInputError, match=r"0003\.wal is damaged at offset 0"):
        read(tmp_path)


@pytest.mark.parametrize("files", [1, 2])
def test_a_flipped_bit_is_damage_with_its_place(tmp_path: Path, files: int) -> None:
    writer = log(put_request(KEY, b"before"))
    offset = len(writer.last)
    writer.entry(put_request(KEY, PLAIN))
    writer.last[writer.last.index(b"Secret")] ^= 1
    if files == 2:
        writer.begin(1)
    with pytest.raises(UnusableInputError, match=f"{FIRST} is damaged at offset {offset}") as caught:
        read(writer.write(tmp_path))
    assert caught.value.cause == "the CRC of a record is not that of its bytes and of those before it"


def test_what_came_before_the_damage_was_delivered_and_there_is_no_summary(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"before")).add(STATE, b"\x08\x01", checksum=1)
    reader = LogReader(writer.write(tmp_path))
    fragments = reader.fragments()
    assert next(fragments).value == b"before"
    with pytest.raises(UnusableInputError):
        next(fragments)
    with pytest.raises(RuntimeError):
        reader.summary()


@pytest.mark.parametrize(
    ("kind", "data", "cause"),
    [
        (9, b"", "a record has the unknown type 9"),
        (0, b"", "a record has the unknown type 0"),
        (ENTRY, b"\xff", "its bytes are no entry"),
        (SNAPSHOT, b"\xff", "its bytes name no snapshot"),
    ],
)
def test_a_record_that_is_none_is_damage(tmp_path: Path, kind: int, data: bytes, cause: str) -> None:
    log().add(kind, data).write(tmp_path)
    with pytest.raises(UnusableInputError) as caught:
        read(tmp_path)
    assert caught.value.cause == cause


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    writer = log().begin(1).begin(2)
    del writer.files["0000000000000001-0000000000000001.wal"]
    with pytest.raises(UnusableInputError, match="is not whole") as caught:
        read(writer.write(tmp_path))
    assert caught.value.cause == "file 2 of the log (0000000000000002-0000000000000001.wal) follows file 0"


def test_a_missing_entry_is_damage(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"one"))
    writer.index += 1
    writer.entry(put_request(KEY, b"three"))
    with pytest.raises(UnusableInputError) as caught:
        read(writer.write(tmp_path))
    assert caught.value.cause == "entry 3 follows entry 1"


def test_entries_that_a_new_leader_replaced_are_told_too(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"one"), put_request(KEY, b"two"))
    writer.add(ENTRY, entry(1, put_request(KEY, b"new one"))).add(ENTRY, entry(2, put_request(KEY, b"new two")))
    assert [value for _, value in pairs(writer.write(tmp_path))] == [b"one", b"two", b"new one", b"new two"]


def test_entries_go_on_after_a_received_snapshot(tmp_path: Path) -> None:
    writer = log(put_request(KEY, b"one")).add(SNAPSHOT, number(1, 1000) + number(2, 3))
    writer.add(ENTRY, entry(1001, put_request(KEY, b"two")))
    assert len(pairs(writer.write(tmp_path))) == 2


def test_files_that_etcd_put_aside_are_searched(tmp_path: Path) -> None:
    log().write(tmp_path)
    (tmp_path / f"{FIRST}.broken").write_bytes(b"\x12\x05" + b"junk" + put_request(KEY, PLAIN) + b"rest")
    fragments, _ = read(tmp_path)
    assert [(found.value, found.whole) for found in fragments] == [(PLAIN, False)]
    assert fragments[0].place.startswith(f"{FIRST}.broken offset ")


def test_a_file_in_which_something_looks_compressed_is_named(tmp_path: Path) -> None:
    log().write(tmp_path)
    packed = zlib.compress(random.Random(1).randbytes(3000))  # noqa: S311 — no secret is made of it
    (tmp_path / "x").write_bytes(put_request(KEY, PLAIN) + packed)
    (tmp_path / "y").write_bytes(put_request(KEY, PLAIN) + b"text " * 300)
    _, summary = read(tmp_path)
    assert (summary.opaque, summary.compressed) == (("x",), ())


def test_a_file_that_is_removed_while_the_folder_is_opened_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(put_request(KEY, PLAIN)).write(tmp_path)
    listings = iter([[tmp_path / "gone.wal", *regular_files(tmp_path)], regular_files(tmp_path)])
    monkeypatch.setattr(wal, "regular_files", lambda _: next(listings))
    assert pairs(tmp_path) == [(KEY, PLAIN)]


def test_a_folder_that_never_holds_still_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "regular_files", lambda folder: [folder / "gone.wal"])
    with pytest.raises(UnusableInputError, match="changes while it is read"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="wal cannot be read"):
        read(tmp_path / "wal")


def test_no_value_shows_in_a_repr(tmp_path: Path) -> None:
    log(put_request(KEY, PLAIN)).write(tmp_path)
    assert "Secret" not in repr(read(tmp_path))


def test_an_open_file_is_sliced_as_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with OpenFile(path) as file:
        assert (file.size, file[2:4], file[8:20], file[5:3], file[20:30]) == (10, b"23", b"89", b"", b"")
