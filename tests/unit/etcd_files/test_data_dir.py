"""A data directory: what of it is read, and how a member that writes meanwhile is told from one that stands still."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.data_dir import DataDirSource, database_of
from keyctl.stored.source import Area, Coverage, Value
from tests.support.bolt_writer import BoltBuilder, key_value, meta_page, revision
from tests.support.wal_writer import LogWriter, put_request, request

LEFT = b'{"kind":"Secret","apiVersion":"v1"}'


def directory(root: Path, count: int = 1500) -> Path:
    """A data directory with `count` values, something in a free page, and a database that was received once."""
    records = [(0, revision(2 + number), key_value(b"/r/%04d" % number, b"v")) for number in range(count)]
    builder = BoltBuilder().bucket_leaf(records)
    builder.pages[max(builder.pages) + 200] = LEFT
    snap = root / "member/snap"
    snap.mkdir(parents=True)
    log = root / "member/wal"
    log.mkdir()
    LogWriter().begin(0).entry(put_request(b"/r/0000", b"v")).write(log)
    (snap / "db").write_bytes(builder.data(txids=(10, 9)))
    (snap / "0000000000000007.snap.db").write_bytes(b"-" * 9000 + LEFT.replace(b"v1", b"v2"))
    return root


def read(one: DataDirSource) -> list[Value]:
    return [value for batch in one.batches(b"/r/") for value in batch]


def commit(database: Path, txid: int) -> None:
    """What bbolt does at the end of a transaction: the meta page whose turn it is gets a new number."""
    with database.open("r+b") as file:
        page = file.read(4096)
        root, high_water = (int.from_bytes(page[16 + at : 24 + at], "little") for at in (16, 40))
        file.seek(txid % 2 * 4096)
        file.write(meta_page(4096, txid % 2, root=root, high_water=high_water, txid=txid))


@pytest.mark.parametrize("below", ["", "member"])
def test_the_values_of_a_data_directory_are_read(tmp_path: Path, below: str) -> None:
    one = DataDirSource(directory(tmp_path / "etcd") / below)
    assert len(read(one)) == 1500
    info = one.info()
    assert (info.type, info.location, info.integrity) == ("data-dir", str(tmp_path / "etcd" / below), "sha256-absent")
    assert (info.revision, info.count) == (1501, 1500)


def test_all_of_a_data_directory_is_covered(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    assert set(one.coverage().values()) == {Coverage.NOT_SCANNED}
    found = [fragment for batch in one.fragments() for fragment in batch]
    assert {(fragment.area, fragment.value[: len(LEFT)]) for fragment in found} == {
        (Area.FREE_PAGES, LEFT),
        (Area.SNAP_DIR, LEFT.replace(b"v1", b"v2")),
        (Area.WAL, b"v"),
    }
    assert [area for area, seen in one.coverage().items() if seen is not Coverage.SCANNED] == [Area.LIVE, Area.HISTORY]


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a file of zeros"])
def test_a_log_that_is_kept_elsewhere_or_holds_nothing_was_not_scanned(tmp_path: Path, left: str) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    log = tmp_path / "etcd/member/wal"
    shutil.rmtree(log)
    if left != "nothing":
        log.mkdir()
    if left == "a file of zeros":
        (log / "0000000000000000-0000000000000000.wal").write_bytes(bytes(4096))
    list(one.fragments())
    assert one.coverage()[Area.WAL] is Coverage.NOT_SCANNED
    assert one.coverage()[Area.FREE_PAGES] is Coverage.SCANNED
    assert [remark.area for remark in one.remarks()] == [Area.WAL]


@pytest.mark.parametrize(
    ("path", "area"),
    [("member/snap/db.gz", Area.SNAP_DIR), ("backup.zip", Area.SNAP_DIR), ("member/wal/old.wal.gz", Area.WAL)],
)
def test_an_area_with_a_file_that_nobody_looked_into_was_not_scanned(tmp_path: Path, path: str, area: Area) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    list(one.fragments())
    assert (one.coverage()[area], one.remarks()) == (Coverage.SCANNED, ())
    (tmp_path / "etcd" / path).write_bytes(LEFT)
    list(one.fragments())
    assert one.coverage()[area] is Coverage.NOT_SCANNED
    ((where, text),) = [(remark.area, remark.text) for remark in one.remarks()]
    assert (where, text.rpartition("/")[2]) == (area, f"{Path(path).name} is compressed: not looked at")


@pytest.mark.parametrize("path", ["backup.db", "member/snap/old/db", "member/wal/old/x", "member/snap/db.tmp.1"])
def test_whatever_else_lies_in_a_data_directory_is_looked_at(tmp_path: Path, path: str) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    (tmp_path / "etcd" / path).parent.mkdir(exist_ok=True)
    (tmp_path / "etcd" / path).write_bytes(b"-" * 100 + LEFT.replace(b"v1", b"v3"))
    found = [fragment.place for batch in one.fragments() for fragment in batch if b"v3" in fragment.value]
    assert found == [f"{path} offset 100"]


def test_a_log_that_ends_in_the_middle_or_holds_unknown_entries_is_said(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    log = tmp_path / "etcd/member/wal"
    shutil.rmtree(log)
    log.mkdir()
    writer = LogWriter().begin(0).entry(put_request(b"/r/0000", b"v")).entry(request(77, b"unknown"))
    writer.entry(put_request(b"/r/0001", b"v")).write(log)
    (path,) = log.iterdir()
    os.truncate(path, len(path.read_bytes().rstrip(b"\0")) - 3)
    list(one.fragments())
    cut, unknown = (remark.text for remark in one.remarks())
    assert cut.startswith(f"its last record, at {path.name} offset ")
    assert unknown == "1 of 2 entries are of an unknown kind: only searched"
    assert one.coverage()[Area.WAL] is Coverage.SCANNED


def test_a_damaged_meta_page_is_said(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    with (tmp_path / "etcd/member/snap/db").open("r+b") as file:
        file.seek(60)
        file.write(b"xxxx")
    list(one.fragments())
    assert [(remark.area, remark.text.partition(":")[0]) for remark in one.remarks()] == [
        (Area.LIVE, "one of the two meta pages is damaged")
    ]


def test_a_member_that_commits_while_it_is_read_is_refused(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    batches = one.batches(b"/r/")
    next(batches)
    commit(tmp_path / "etcd/member/snap/db", 11)
    with pytest.raises(UnusableInputError, match=r"etcd writes to .*/member/snap/db while it is read") as caught:
        list(batches)
    assert caught.value.cause == "its transaction 10 became 11"
    with pytest.raises(RuntimeError):
        one.info()


def test_pages_that_are_not_committed_yet_do_not_matter(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    batches = one.batches(b"/r/")
    count = len(next(batches))
    with (tmp_path / "etcd/member/snap/db").open("ab") as file:
        file.write(bytes(16384))
    assert count + sum(len(batch) for batch in batches) == 1500


def test_a_meta_page_that_is_being_written_does_not_matter(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    batches = one.batches(b"/r/")
    count = len(next(batches))
    with (tmp_path / "etcd/member/snap/db").open("r+b") as file:
        file.seek(4096 + 60)
        file.write(b"half")
    assert count + sum(len(batch) for batch in batches) == 1500


def test_damage_that_a_commit_explains_is_no_damage(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    database = tmp_path / "etcd/member/snap/db"
    batches = one.batches(b"/r/")
    next(batches)
    os.truncate(database, 8192)
    commit(database, 11)
    with pytest.raises(UnusableInputError, match="etcd writes to"):
        list(batches)


def test_a_database_that_a_defragmentation_replaced_is_not_the_members_any_more(tmp_path: Path) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    database = tmp_path / "etcd/member/snap/db"
    batches = one.batches(b"/r/")
    next(batches)
    (tmp_path / "new").write_bytes(database.read_bytes())
    (tmp_path / "new").replace(database)
    with pytest.raises(UnusableInputError, match="etcd writes to") as caught:
        list(batches)
    assert caught.value.cause == "another file took its name"


@pytest.mark.parametrize("later", ["history", "fragments"])
def test_what_was_committed_after_the_live_values_were_read_is_not_counted_with_them(
    tmp_path: Path, later: str
) -> None:
    one = DataDirSource(directory(tmp_path / "etcd"))
    read(one)
    commit(tmp_path / "etcd/member/snap/db", 11)
    with pytest.raises(UnusableInputError, match=r"/member/snap/db changed while it was read") as caught:
        list(one.fragments() if later == "fragments" else one.history(b""))
    assert caught.value.hints == ("stop this member first, or take a snapshot from it and read that",)
    assert {one.coverage()[area] for area in Area} == {Coverage.SCANNED, Coverage.NOT_SCANNED}


def test_the_lock_of_a_running_etcd_is_not_waited_for_and_nothing_is_written(tmp_path: Path) -> None:
    root = directory(tmp_path / "etcd")
    for path in (*root.rglob("*"), root):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    one = DataDirSource(root)
    with (root / "member/snap/db").open("rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        assert len(read(one)) == 1500
        list(one.fragments())
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, words in (("absent", "cannot be read"), ("file", "no directory"), ("empty", "no data directory of etcd")):
        with pytest.raises(UnusableInputError, match=words):
            database_of(tmp_path / name)


def test_a_directory_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(UnusableInputError, match="cannot be read") as caught:
        database_of(directory(tmp_path / "etcd"))
    assert caught.value.cause == "Permission denied"
