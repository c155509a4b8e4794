from __future__ import annotations

import struct
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import snap_dir
from keyctl.etcd_files.snap_dir import snap_dir_fragments
from keyctl.stored.source import Area
from tests.support.bolt_writer import BoltBuilder, Item, key_value, leaf, revision

KEY = b"/registry/secrets/ns/one"
PLAIN = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret <one>"


def item(main: int, value: bytes) -> Item:
    return 0, revision(main), key_value(KEY, value)


def database(page_size: int = 4096) -> bytes:
    """Live record 7 in page 3, stale record 5 in the free page 5."""
    builder = BoltBuilder(page_size).bucket_leaf([item(6, b"superseded"), item(7, PLAIN)])
    builder.pages |= {5: leaf(5, [item(5, b"stale")])}
    return builder.data()


def told(folder: Path) -> list[tuple[str, bytes | None, int | None, bytes]]:
    return [(found.place, found.key, found.revision, found.value) for found in snap_dir_fragments(folder)]


@pytest.mark.parametrize("name", ["0000000000000009.snap.db", "db.tmp.123", "tmp77", "0000000000000009.snap.db.broken"])
@pytest.mark.parametrize("page_size", [4096, 16384])
def test_everything_in_another_database_is_left_behind(tmp_path: Path, name: str, page_size: int) -> None:
    (tmp_path / name).write_bytes(database(page_size))
    assert told(tmp_path) == [
        (f"{name} page 3", KEY, 6, b"superseded"),
        (f"{name} page 3", KEY, 7, PLAIN),
        (f"{name} page 5", KEY, 5, b"stale"),
    ]
    assert {found.area for found in snap_dir_fragments(tmp_path)} == {Area.SNAP_DIR}


def test_the_database_itself_is_not_told_here(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(database())
    assert told(tmp_path) == []


def test_one_that_is_cut_and_one_that_lost_its_first_page_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    (tmp_path / "db.tmp.1").write_bytes(database()[: 4 * 4096])
    (tmp_path / "db.tmp.2").write_bytes(bytes(4096) + database()[4096 : 4 * 4096 + 100])
    records = [(KEY, 6, b"superseded"), (KEY, 7, PLAIN)]
    assert told(tmp_path) == [(f"db.tmp.{number} page 3", *record) for number in (1, 2) for record in records]


def test_what_is_no_database_is_searched(tmp_path: Path) -> None:
    (tmp_path / "0000000000000002-0000000000000009.snap").write_bytes(b"\x08\x01{}" + b"\0" * 90 + PLAIN)
    (tmp_path / "0000000000000001-0000000000000002.snap").write_bytes(b'{"Root":{"kinds":1}}')
    (tmp_path / "tmp1").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    assert told(tmp_path) == [("0000000000000002-0000000000000009.snap offset 94", None, None, PLAIN)]


@pytest.mark.parametrize("page_size", [0, 3000, 4097])
def test_a_page_size_that_no_database_has_is_not_believed(tmp_path: Path, page_size: int) -> None:
    head = bytes(16) + struct.pack("<III", 0xED0CDAED, 2, page_size)
    (tmp_path / "tmp1").write_bytes(head + bytes(100) + PLAIN)
    assert told(tmp_path) == [("tmp1 offset 128", None, None, PLAIN)]


def test_the_same_record_in_two_files_is_told_for_each(tmp_path: Path) -> None:
    for name in ("tmp1", "tmp2"):
        (tmp_path / name).write_bytes(database())
    assert [place.split()[0] for place, *_ in told(tmp_path)] == ["tmp1"] * 3 + ["tmp2"] * 3


def test_a_file_that_is_gone_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp1").write_bytes(PLAIN)
    monkeypatch.setattr(snap_dir, "regular_files", lambda folder: [folder / "db.tmp.1", folder / "tmp1"])
    assert len(told(tmp_path)) == 1


def test_a_file_that_cannot_be_read_is_an_error_not_a_clean_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(snap_dir, "regular_files", lambda folder: [folder / "folder"])
    with pytest.raises(UnusableInputError, match="folder cannot be read"):
        told(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="snap cannot be read"):
        told(tmp_path / "snap")
