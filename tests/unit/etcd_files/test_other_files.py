from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import other_files
from keyctl.etcd_files.other_files import other_fragments
from keyctl.etcd_files.remarks import Remarks
from keyctl.stored.source import Area, Fragment
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


def read(folder: Path, remarks: Remarks | None = None) -> list[Fragment]:
    return list(other_fragments(folder, folder / "db", folder / "wal", remarks or Remarks()))


def told(folder: Path) -> list[tuple[str, bytes | None, int | None, bytes]]:
    return [(found.place, found.key, found.revision, found.value) for found in read(folder)]


@pytest.mark.parametrize("name", ["0000000000000009.snap.db", "db.tmp.123", "tmp77", "0000000000000009.snap.db.broken"])
@pytest.mark.parametrize("page_size", [4096, 16384])
def test_everything_in_another_database_is_left_behind(tmp_path: Path, name: str, page_size: int) -> None:
    (tmp_path / name).write_bytes(database(page_size))
    assert told(tmp_path) == [
        (f"{name} page 3", KEY, 6, b"superseded"),
        (f"{name} page 3", KEY, 7, PLAIN),
        (f"{name} page 5", KEY, 5, b"stale"),
    ]
    assert {found.area for found in read(tmp_path)} == {Area.SNAP_DIR}


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
    monkeypatch.setattr(other_files, "all_files", lambda folder, _: ([folder / "db.tmp.1", folder / "tmp1"], []))
    assert len(told(tmp_path)) == 1


def test_a_file_that_cannot_be_read_is_an_error_not_a_clean_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(other_files, "all_files", lambda folder, _: ([folder / "folder"], []))
    with pytest.raises(UnusableInputError, match="folder cannot be read"):
        told(tmp_path)


def test_files_in_folders_below_are_read_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "old" / "older").mkdir(parents=True)
    (tmp_path / "old" / "db").write_bytes(database())
    (tmp_path / "old" / "older" / "notes").write_bytes(PLAIN)
    assert [(place, key) for place, key, *_ in told(tmp_path)] == [
        ("old/db page 3", KEY),
        ("old/db page 3", KEY),
        ("old/db page 5", KEY),
        ("old/older/notes offset 0", None),
    ]


def test_folders_of_the_log_are_part_of_it_and_its_own_files_are_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "wal" / "old").mkdir(parents=True)
    (tmp_path / "wal" / "0.tmp").write_bytes(PLAIN)
    (tmp_path / "wal" / "old" / "x.wal").write_bytes(PLAIN)
    assert [(found.area, found.place) for found in read(tmp_path)] == [(Area.WAL, "wal/old/x.wal offset 0")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("db", b"\x1f\x8b\x08 anything"),
        ("db", b"PK\x03\x04"),
        ("db", b"\x28\xb5\x2f\xfd"),
        ("db", b"\xfd7zXZ\x00"),
        ("db", b"BZh91AY"),
        ("db", b"LZIP\1"),
        ("db", b"Rar!\x1a\x07\1"),
        ("db", b"\x5d\0\0\x80\0"),
        ("db", b"\xff\x06\0\0sNaPpY"),
        ("db", b"age-encryption.org/v1"),
        ("db", b"-----BEGIN PGP MESSAGE-----"),
        ("db.gpg", b"anything"),
        ("db.LZ4", b"anything"),
        ("db.gz", b""),
    ],
)
@pytest.mark.parametrize(("folder", "area"), [("old", Area.SNAP_DIR), ("wal/old", Area.WAL)])
def test_a_compressed_file_is_named_and_its_area_was_not_looked_at(
    tmp_path: Path, name: str, content: bytes, folder: str, area: Area
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / name).write_bytes(content + PLAIN)
    remarks = Remarks()
    assert read(tmp_path, remarks) == []
    assert [one.text for one in remarks.said] == [f"{folder}/{name} is compressed: not looked at"]
    assert remarks.unread == {area}


def test_a_link_to_a_folder_is_named_and_not_followed_and_one_to_a_file_is(tmp_path: Path) -> None:
    root = tmp_path / "etcd"
    (root / "wal").mkdir(parents=True)
    (tmp_path / "file").write_bytes(PLAIN)
    (root / "around").symlink_to(tmp_path)
    (root / "file").symlink_to(tmp_path / "file")
    (root / "nowhere").symlink_to(tmp_path / "absent")
    os.mkfifo(root / "pipe")
    remarks = Remarks()
    assert [found.place for found in read(root, remarks)] == ["file offset 0"]
    assert [one.text for one in remarks.said] == ["around leads elsewhere: not looked at"]
    assert remarks.unread == {Area.SNAP_DIR}


def test_links_that_etcd_itself_follows_are_followed_and_what_lies_below_them_is_looked_at(tmp_path: Path) -> None:
    for name in ("member", "log/old", "snap", "etcd", "else"):
        (tmp_path / name).mkdir(parents=True)
    root = tmp_path / "etcd"
    (root / "member").symlink_to(tmp_path / "member")
    (root / "member/wal").symlink_to(tmp_path / "log")
    (root / "member/snap").symlink_to(tmp_path / "snap")
    (root / "member/back").symlink_to(root)
    (tmp_path / "log/old/x.wal").write_bytes(PLAIN)
    (tmp_path / "log/else").symlink_to(tmp_path / "else")
    (tmp_path / "snap/tmp1").write_bytes(PLAIN)
    (tmp_path / "snap/db").write_bytes(database())
    remarks = Remarks()
    found = list(other_fragments(root, root / "member/snap/db", root / "member/wal", remarks))
    assert [(one.area, one.place) for one in found] == [
        (Area.SNAP_DIR, "member/snap/tmp1 offset 0"),
        (Area.WAL, "member/wal/old/x.wal offset 0"),
    ]
    named = [(one.area, one.text.partition(" leads")[0]) for one in remarks.said]
    assert named == [(Area.SNAP_DIR, "member/back"), (Area.WAL, "member/wal/else")]


def compressed() -> bytes:
    return zlib.compress(random.Random(1).randbytes(3000))  # noqa: S311 — no secret is made of it


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(compressed(), id="zlib"),
        pytest.param(b"name.gz" + bytes(505) + compressed() + bytes(1000), id="tar"),
        pytest.param(PLAIN + b"." * 5000 + PLAIN[:8] + bytes(9000) + compressed(), id="behind a value"),
        pytest.param(PLAIN + b"text " * 2000 + b"\x2a\x05k8s\0x" + compressed(), id="between values"),
    ],
)
@pytest.mark.parametrize(("folder", "area"), [("old", Area.SNAP_DIR), ("wal/old", Area.WAL)])
def test_a_file_that_looks_compressed_beside_its_values_is_named_as_not_understood(
    tmp_path: Path, content: bytes, folder: str, area: Area
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "x").write_bytes(content)
    remarks = Remarks()
    read(tmp_path, remarks)
    assert [one.text.partition(",")[0] for one in remarks.said] == [f"{folder}/x is not understood"]
    assert remarks.unread == {area}


def test_text_numbers_and_encrypted_values_are_understood(tmp_path: Path) -> None:
    value = b"k8s:enc:aescbc:v1:key1:" + compressed()
    (tmp_path / "x").write_bytes(b"text " * 999 + bytes(range(40)) * 99 + item(7, value)[1] + item(7, value)[2])
    remarks = Remarks()
    assert [found.value for found in read(tmp_path, remarks)] == [value]
    assert remarks.said == []


def test_a_log_on_another_disk_is_no_link_that_nobody_follows(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "etcd").mkdir()
    (tmp_path / "etcd" / "wal").symlink_to(tmp_path / "log")
    remarks = Remarks()
    assert (read(tmp_path / "etcd", remarks), remarks.said) == ([], [])


def test_plaintext_that_nothing_explains_in_another_database_is_said_with_its_name(tmp_path: Path) -> None:
    builder = BoltBuilder().bucket_leaf([item(6, b"superseded")])
    builder.pages |= {5: b"some text " * 300}
    (tmp_path / "db.tmp.1").write_bytes(builder.data() + b"a SHA-256, which is of no record")
    remarks = Remarks()
    read(tmp_path, remarks)
    assert [one.text.partition(" with")[0] for one in remarks.said] == ["1 free page of db.tmp.1 (5)"]
    assert remarks.unread == {Area.SNAP_DIR}


def test_a_folder_that_is_gone_meanwhile_has_nothing_and_one_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(tmp_path / "absent") == []

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UnusableInputError, match="snap cannot be read"):
        told(tmp_path / "snap")
