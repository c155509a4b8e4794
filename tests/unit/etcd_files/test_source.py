from __future__ import annotations

import gzip
import hashlib
import os
import random
import struct
import zipfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, UnusableInputError, WrongUsageError
from keyctl.etcd_files import forked, snapshot_file, source
from keyctl.etcd_files.records import Find, Reader
from keyctl.etcd_files.source import SnapshotSource
from keyctl.stored.source import Area, Coverage, Value
from tests.support.bolt_writer import BoltBuilder, branch, inline_bucket, key_value, leaf, revision

LEFT = b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"left-behind"}}'


def database(count: int = 3, *, compacted: int = 0) -> bytes:
    records = [
        (0, revision(2 + number), key_value(b"/registry/secrets/%04d" % number, b"v")) for number in range(count)
    ]
    builder = BoltBuilder().bucket_leaf([*records, (0, revision(9000), key_value(b"/other", b"x"))])
    if compacted:
        builder.pages[2] = leaf(
            2, [*_root(builder), (1, b"meta", inline_bucket([(0, b"finishedCompactRev", revision(compacted))]))]
        )
    return builder.data()


def _root(builder: BoltBuilder) -> list[tuple[int, bytes, bytes]]:
    return [(1, b"key", builder.pages[2][-16:])]


def write(path: Path, data: bytes, *, digest: bool = True, at: int = 0) -> SnapshotSource:
    path.write_bytes(data + (hashlib.sha256(data).digest() if digest else b""))
    return SnapshotSource(path, at)


def read(one: SnapshotSource, prefix: bytes = b"/registry/") -> list[Value]:
    return [value for batch in one.batches(prefix) for value in batch]


def refused(one: SnapshotSource) -> KeyctlError:
    with pytest.raises(KeyctlError) as caught:
        read(one)
    with pytest.raises(RuntimeError):
        one.info()
    assert one.coverage()[Area.LIVE] is Coverage.NOT_SCANNED
    return caught.value


def test_the_values_under_the_prefix_come_once_and_are_counted(tmp_path: Path) -> None:
    one = write(tmp_path / "s.db", database())
    assert read(one) == [(b"/registry/secrets/%04d" % number, b"v", 2 + number) for number in (2, 1, 0)]
    info = one.info()
    assert (info.type, info.location, info.revision) == ("snapshot", str(tmp_path / "s.db"), 9000)
    assert (info.cluster_id, info.count, info.integrity) == ("", 3, "sha256-ok")


@pytest.mark.parametrize("later", ["history", "fragments"])
@pytest.mark.parametrize("how", ["replaced", "written to"])
def test_a_file_that_changes_between_two_readings_is_refused(tmp_path: Path, how: str, later: str) -> None:
    one = write(tmp_path / "s.db", database())
    read(one)
    if how == "replaced":
        write(tmp_path / "new", database())
        (tmp_path / "new").replace(tmp_path / "s.db")
    else:
        os.utime(tmp_path / "s.db", ns=(1, 1))
    with pytest.raises(UnusableInputError, match=r"s\.db changed while it was read"):
        list(one.fragments() if later == "fragments" else one.history(b""))
    assert one.coverage()[Area.HISTORY] is one.coverage()[Area.FREE_PAGES] is Coverage.NOT_SCANNED
    read(one)
    list(one.fragments() if later == "fragments" else one.history(b""))


def test_many_values_come_in_several_batches(tmp_path: Path) -> None:
    sizes = [len(batch) for batch in write(tmp_path / "s.db", database(2500)).batches(b"/registry/")]
    assert sum(sizes) == 2500
    assert max(sizes) <= 1000


def test_few_values_a_page_come_in_few_batches(tmp_path: Path) -> None:
    numbers = range(10, 210, 2)
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 4, 0)})
    builder.pages |= {
        number: leaf(number, [(0, revision(number), key_value(b"/%d" % number, b"v"))]) for number in numbers
    }
    builder.pages[4] = branch(4, [(revision(number), number) for number in numbers])
    one = write(tmp_path / "s.db", builder.data())
    batches = list(one.batches(b""))
    assert sum(len(batch) for batch in batches) == len(numbers)
    assert 1 < len(batches) < 10


def test_a_copied_database_has_no_digest_and_says_so(tmp_path: Path) -> None:
    one = write(tmp_path / "db", database(), digest=False)
    assert len(read(one)) == 3
    assert one.info().integrity == "sha256-absent"


def test_one_flipped_bit_is_an_error_even_where_no_page_shows_it(tmp_path: Path) -> None:
    data = database()
    (tmp_path / "s.db").write_bytes(data[:-1] + bytes([data[-1] ^ 1]) + hashlib.sha256(data).digest())
    error = refused(SnapshotSource(tmp_path / "s.db"))
    assert (str(error), error.cause) == (
        f"{tmp_path / 's.db'} is damaged",
        "the SHA-256 at its end is not that of the data",
    )


@pytest.mark.parametrize("missing", [1, 100, 4096, 4096 + 32])
def test_a_cut_snapshot_is_refused(tmp_path: Path, missing: int) -> None:
    data = database()
    whole = data + hashlib.sha256(data).digest()
    (tmp_path / "s.db").write_bytes(whole[:-missing])
    assert "not a whole" in str(refused(SnapshotSource(tmp_path / "s.db")))


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_and_no_flipped_bit_of_a_snapshot_reads_as_sound(tmp_path: Path, seed: int) -> None:
    chance, data = random.Random(seed), database(40)  # noqa: S311
    whole = data + hashlib.sha256(data).digest()
    for number in range(100):
        spoilt = bytearray(whole)
        if number % 2:
            spoilt[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        else:
            # The last cut leaves a whole database without a digest, which is none of a snapshot any more.
            del spoilt[chance.choice([cut for cut in range(len(whole)) if cut != len(data)]) :]
        (tmp_path / "s.db").write_bytes(spoilt)
        assert isinstance(refused(SnapshotSource(tmp_path / "s.db")), UnusableInputError)


def test_nothing_is_known_before_the_first_run_and_after_an_unfinished_one(tmp_path: Path) -> None:
    one = write(tmp_path / "s.db", database(1500))
    with pytest.raises(RuntimeError):
        one.info()
    read(one)
    batches = one.batches(b"/registry/")
    next(batches)
    with pytest.raises(RuntimeError):
        one.info()


def test_compressed_snapshots_say_how_to_unpack_them(tmp_path: Path) -> None:
    write(tmp_path / "s.db", database())
    (tmp_path / "s.gz").write_bytes(gzip.compress((tmp_path / "s.db").read_bytes()))
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "s.db")
    for name, tool in (("s.gz", "gunzip"), ("s.zip", "unzip")):
        error = refused(SnapshotSource(tmp_path / name))
        assert "is compressed" in str(error)
        assert tool in error.hints[0]


def test_an_encrypted_snapshot_says_that_it_is_one_and_how_it_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "s.db.age").write_bytes(b"age-encryption.org/v1\n" + bytes(1000))
    error = refused(SnapshotSource(tmp_path / "s.db.age"))
    assert "is encrypted" in str(error)
    assert "--identity" in error.hints[0]


# At a revision


def test_a_pinned_revision_is_the_one_that_is_read(tmp_path: Path) -> None:
    one = write(tmp_path / "s.db", database(), at=3)
    assert [key for key, _, _ in read(one)] == [b"/registry/secrets/0001", b"/registry/secrets/0000"]
    assert one.info().revision == 3
    past = [value for batch in one.history(b"/registry/") for value in batch]
    assert past == [(b"/registry/secrets/0002", b"v", 4)]


@pytest.mark.parametrize(("at", "words"), [(4, "compacted away"), (9001, "newer than the newest")])
def test_a_revision_that_the_file_does_not_hold_is_wrong_usage(tmp_path: Path, at: int, words: str) -> None:
    error = refused(write(tmp_path / "s.db", database(compacted=5), at=at))
    assert isinstance(error, WrongUsageError)
    assert words in str(error)
    assert error.cause == "it holds revisions 5 to 9000"


def test_the_revision_of_the_compaction_itself_is_there(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "s.db", database(compacted=5), at=5))) == 3


# Coverage


def test_what_was_read_to_its_end_is_scanned_and_what_a_snapshot_lacks_is_absent(tmp_path: Path) -> None:
    one = write(tmp_path / "s.db", database(1500))
    absent = {Area.WAL: Coverage.ABSENT, Area.SNAP_DIR: Coverage.ABSENT}
    not_yet = dict.fromkeys((Area.LIVE, Area.HISTORY, Area.FREE_PAGES), Coverage.NOT_SCANNED)
    assert one.coverage() == not_yet | absent
    next(one.batches(b""))
    assert one.coverage() == not_yet | absent
    read(one)
    assert one.coverage() == not_yet | absent | {Area.LIVE: Coverage.SCANNED}
    list(one.history(b""))
    list(one.fragments())
    assert set(one.coverage().values()) == {Coverage.SCANNED, Coverage.ABSENT}


def test_fragments_are_what_free_pages_hold(tmp_path: Path) -> None:
    builder = BoltBuilder().bucket_leaf([(0, revision(2), key_value(b"/a", b"1"))])
    builder.pages |= {7: LEFT}
    (found,) = [one for batch in write(tmp_path / "s.db", builder.data()).fragments() for one in batch]
    assert (found.area, found.place, found.whole) == (Area.FREE_PAGES, "page 7", False)
    assert found.value.startswith(LEFT)
    assert "left-behind" not in repr(found)


# A file that changes


def appended(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def replaced(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


@pytest.mark.parametrize(
    "change",
    [
        appended,
        replaced,
        Path.unlink,
        lambda path: os.truncate(path, 8192),
        lambda path: os.truncate(path, 0),
        lambda path: os.utime(path, ns=(1, 1)),
    ],
    ids=["appended", "replaced", "removed", "cut", "emptied", "touched"],
)
@pytest.mark.parametrize("digest", [True, False])
def test_a_file_that_changes_while_it_is_read_is_refused_as_such(
    tmp_path: Path, change: Callable[[Path], object], digest: bool
) -> None:
    path = tmp_path / "s.db"
    one = write(path, database(2500), digest=digest)
    batches = one.batches(b"/registry/")
    next(batches)
    change(path)
    with pytest.raises(UnusableInputError, match="changed while it was read") as caught:
        list(batches)
    assert caught.value.cause
    with pytest.raises(RuntimeError):
        one.info()


# With the help of a child process


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fork whatever the size and the threads of this process; the children that were started."""
    children: list[int] = []
    fork = os.fork

    def counted() -> int:
        child = fork()
        if child:
            children.append(child)
        return child

    for module in (source, snapshot_file):
        monkeypatch.setattr(module, "is_worth_it", lambda size: True)
    monkeypatch.setattr(os, "fork", counted)
    return children


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_tells_the_same(tmp_path: Path, helped: list[int]) -> None:
    path = tmp_path / "s.db"
    one = write(path, database(2500))
    values = read(one)
    assert sorted(values) == [(b"/registry/secrets/%04d" % number, b"v", 2 + number) for number in range(2500)]
    assert (one.info().count, one.info().integrity) == (2500, "sha256-ok")
    assert len(helped) == 2
    assert gone(helped)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_damage_that_a_child_finds_is_told_in_full(tmp_path: Path, helped: list[int]) -> None:
    records = [(0, revision(3), key_value(b"/a", b"1")), (0, revision(2), key_value(b"/b", b"1"))]
    error = refused(write(tmp_path / "s.db", BoltBuilder().bucket_leaf(records).data()))
    assert "damaged at page 3 (offset 12304)" in str(error)
    assert error.cause == "its revisions are out of order"
    assert error.hints
    assert len(helped) == 2
    assert gone(helped)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_a_child_finds_twice_is_not_counted(tmp_path: Path, helped: list[int]) -> None:
    records = [(0, revision(at), key_value(b"/registry/a", b"1", created=at, modified=at)) for at in (2, 3)]
    assert "not consistent" in str(refused(write(tmp_path / "s.db", BoltBuilder().bucket_leaf(records).data())))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_wrong_digest_that_a_child_computes_is_damage(tmp_path: Path, helped: list[int]) -> None:
    data = database()
    (tmp_path / "s.db").write_bytes(data + bytes(32))
    assert "SHA-256" in str(refused(SnapshotSource(tmp_path / "s.db")).cause)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_dies_is_no_end_of_the_values(
    tmp_path: Path, helped: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    finds = Reader.finds

    def dies(reader: Reader) -> Iterator[Find]:
        yield from finds(reader)
        os._exit(9)

    monkeypatch.setattr(Reader, "finds", dies)
    assert "not read to its end" in str(refused(write(tmp_path / "s.db", database(2500))))
    assert gone(helped)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_children_end_with_whoever_stops_reading(tmp_path: Path, helped: list[int]) -> None:
    batches = write(tmp_path / "s.db", database(2500)).batches(b"")
    next(batches)
    assert len(helped) == 2
    assert isinstance(batches, Generator)
    batches.close()
    assert gone(helped)


def gone(children: list[int]) -> bool:
    return not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_small_file_and_a_process_with_threads_get_no_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    threads = tmp_path / "task"
    threads.mkdir()
    (threads / "1").touch()
    monkeypatch.setattr(forked, "_THREADS", threads)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert forked.is_worth_it(1 << 30)
    assert not forked.is_worth_it(1 << 20)
    (threads / "2").touch()
    assert not forked.is_worth_it(1 << 30)
    (threads / "2").unlink()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert not forked.is_worth_it(1 << 30)


def test_a_large_hole_is_not_read_and_what_lies_behind_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, read_at = write(tmp_path / "s.db", database(), digest=False), os.pread
    end = (tmp_path / "s.db").stat().st_size + (1 << 30)
    with (tmp_path / "s.db").open("r+b") as file:
        file.seek(end)
        file.write(LEFT.ljust(4096, b"\0"))
    calls: list[int] = []

    def counted(descriptor: int, size: int, at: int) -> bytes:
        calls.append(size)
        return read_at(descriptor, size, at)

    monkeypatch.setattr(os, "pread", counted)
    assert [found.place for batch in one.fragments() for found in batch] == [f"page {end // 4096}"]
    assert sum(calls) < 1 << 24
