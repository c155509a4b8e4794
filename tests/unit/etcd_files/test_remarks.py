"""What a source says beside its values: what damage may hide, and where nothing vouches for the tree."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keyctl.etcd_files.data_dir import DataDirSource
from keyctl.etcd_files.source import DatabaseSource, SnapshotSource
from keyctl.stored.source import Area, FileSource
from tests.support.bolt_writer import BoltBuilder, key_value, leaf, revision


def database() -> bytes:
    """Record 9 in the tree, and record 7, which no compaction removed, in a free page."""
    builder = BoltBuilder().bucket_leaf([(0, revision(9), key_value(b"/r/a", b"v"))])
    builder.pages |= {5: leaf(5, [(0, revision(7), key_value(b"/r/b", b"v"))])}
    return builder.data()


def said(one: DatabaseSource) -> list[tuple[Area, str]]:
    assert isinstance(one, FileSource)
    assert one.remarks() == ()
    list(one.fragments())
    return [(remark.area, remark.text) for remark in one.remarks()]


@pytest.mark.parametrize("has_digest", [True, False])
def test_a_record_that_is_in_no_tree_is_a_remark_where_no_digest_vouches_for_the_tree(
    tmp_path: Path, has_digest: bool
) -> None:
    data = database()
    path = tmp_path / "s.db"
    path.write_bytes(data + (hashlib.sha256(data).digest() if has_digest else b""))
    found = said(SnapshotSource(path))
    assert [(area, text.partition(" lie")[0]) for area, text in found] == (
        [] if has_digest else [(Area.LIVE, "1 record that no compaction removed")]
    )


def test_nothing_vouches_for_the_database_of_a_data_directory(tmp_path: Path) -> None:
    (tmp_path / "snap").mkdir()
    (tmp_path / "snap/db").write_bytes(database())
    found = said(DataDirSource(tmp_path))
    assert [area for area, _ in found] == [Area.LIVE, Area.WAL]
    assert found[1][1] == "the log is not in this directory (etcd's --wal-dir)"


def test_a_damaged_meta_page_of_a_snapshot_is_a_remark_although_its_digest_is_right(tmp_path: Path) -> None:
    data = bytearray(database())
    data[60] ^= 1
    path = tmp_path / "s.db"
    path.write_bytes(data + hashlib.sha256(data).digest())
    ((area, text),) = said(SnapshotSource(path))
    assert (area, text.partition(":")[0]) == (Area.LIVE, "one of the two meta pages is damaged")
