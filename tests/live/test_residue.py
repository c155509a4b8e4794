"""What keyctl finds in the files of a real etcd, beside a plain search of their bytes."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.delivery import Database
from keyctl.etcd_files.mvcc import read_standing
from keyctl.etcd_files.other_files import other_fragments
from keyctl.etcd_files.remarks import Remarks
from keyctl.etcd_files.residue import free_page_fragments
from keyctl.etcd_files.wal import LogReader
from keyctl.stored.source import Area, Fragment
from tests.support import seal
from tests.support.etcd_process import running_etcd
from tests.support.etcd_writer import EtcdWriter

pytestmark = pytest.mark.live

COUNT = 400
# The marker follows the beginning at once: a byte search and keyctl must see the same bytes, or neither.
PLANTED = re.compile(rb"(?:k8s\0|k8s:enc:aescbc:v1:key1:|\{\"kind\":)\"?<(\d{4} \w+)>")
OLD, NEW = "plain", "sealed"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Copies of one member's database, by the name of the moment, and its data directory at the end."""

    databases: dict[str, Path]
    data: Path


def key(number: int) -> bytes:
    return b"/registry/secrets/ns/%04d" % number


def plain(number: int) -> bytes:
    beginning = b'{"kind":"' if number % 10 == 0 else b"k8s\0"
    # Some fill several pages of the file: the pages behind the first carry no header.
    return beginning + b"<%04d plain>" % number + bytes([number % 251]) * (60 if number % 8 else 9000)


def sealed(number: int, what: str = NEW) -> bytes:
    return b"k8s:enc:aescbc:v1:key1:<%04d %s>" % (number, what.encode()) + bytes([number % 241]) * (
        300 if number % 8 else 9000
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("residue")
    databases: dict[str, Path] = {}
    # Committed at every other change, pages are freed and used again all the time.
    with running_etcd(folder, trustme.CA(), "--backend-batch-limit=2") as etcd, EtcdWriter(etcd) as writer:

        def record(moment: str) -> None:
            databases[moment] = folder / f"{moment}.db"
            etcd.etcdctl("snapshot", "save", str(databases[moment]))

        for number in range(COUNT):
            writer.put([(key(number), plain(number))])
        record("written")
        for number in range(COUNT):
            writer.put([(key(number), sealed(number))])
        writer.delete(key(0))
        record("overwritten")
        writer.compact(writer.put([(b"/registry/other", b"now")]))
        record("compacted")
        for number in range(1, COUNT // 4):
            writer.put([(key(number), sealed(number, "again") + bytes(number * 97))])
        record("used again")
        etcd.etcdctl("defrag")
        record("defragmented")
    return Recorded(databases, etcd.data)


def planted(data: bytes) -> set[str]:
    return {found.decode() for found in PLANTED.findall(data)}


def found_in(fragments: Iterable[Fragment]) -> set[str]:
    return {marker for fragment in fragments for marker in planted(fragment.value)}


def reachable(data: bytes) -> set[str]:
    bolt = BoltFile(data, len(data), "db")
    return {marker for _, offset, size in bolt.entries(b"key") for marker in planted(bolt.value(offset, size))}


def free(data: bytes) -> list[Fragment]:
    bolt = BoltFile(data, len(data), "db")
    database, remarks = Database(bolt, data, "db", read_standing(bolt, "db")), Remarks()
    found = list(free_page_fragments(database, len(data), remarks, proven=False))
    assert not [remark for remark in remarks.said if remark.area is Area.LIVE]
    return found


def others(folder: Path) -> list[Fragment]:
    return list(other_fragments(folder, folder / "db", folder / "wal", Remarks()))


def pages(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: len(data) // 512 * 512]


@pytest.mark.parametrize("moment", ["written", "overwritten", "compacted", "used again", "defragmented"])
def test_records_and_free_pages_together_hold_what_a_byte_search_finds(recorded: Recorded, moment: str) -> None:
    data = pages(recorded.databases[moment])
    assert reachable(data) | found_in(free(data)) == planted(data)


def test_a_stale_copy_of_a_record_that_is_still_there_is_nothing_left_behind(recorded: Recorded) -> None:
    data = pages(recorded.databases["overwritten"])
    assert len(reachable(data)) == 2 * COUNT
    assert [found for found in free(data) if found.whole] == []


def test_after_a_compaction_the_plaintext_lies_in_free_pages_with_its_names(recorded: Recorded) -> None:
    data = pages(recorded.databases["compacted"])
    assert not {marker for marker in reachable(data) if OLD in marker}
    whole = {found.key: found for found in free(data) if found.whole and OLD.encode() in found.value[:30]}
    assert len(whole) > COUNT // 2
    for number in range(COUNT):
        if found := whole.get(key(number)):
            assert found.value == plain(number)
            assert (found.area, found.revision) == (Area.FREE_PAGES, 2 + number)


def test_each_content_is_told_once(recorded: Recorded) -> None:
    fragments = free(pages(recorded.databases["compacted"]))
    whole = [(found.key, found.revision) for found in fragments if found.whole]
    assert len(whole) == len(set(whole))
    assert len({found.value for found in fragments}) == len(fragments)


def test_after_a_defragmentation_nothing_is_left_in_the_database(recorded: Recorded) -> None:
    data = pages(recorded.databases["defragmented"])
    assert not {marker for marker in planted(data) if OLD in marker}
    assert found_in(free(data)) <= reachable(data)


def test_the_log_still_holds_every_value_of_a_clean_database(recorded: Recorded) -> None:
    folder = recorded.data / "member" / "wal"
    reader = LogReader(folder)
    fragments = list(reader.fragments())
    searched = set().union(*(planted(path.read_bytes()) for path in folder.iterdir()))
    assert found_in(fragments) == searched
    assert {marker for marker in searched if NEW in marker} == {f"{number:04d} {NEW}" for number in range(COUNT)}
    assert {found.key: found.value for found in fragments if OLD.encode() in found.value[:30]} == {
        key(number): plain(number) for number in range(COUNT)
    }
    summary = reader.summary()
    assert (summary.values, summary.unread, summary.cut) == (len(fragments), 0, None)
    assert summary.entries == summary.values + summary.without_values


def test_the_database_of_a_stopped_member_has_nothing_that_a_byte_search_does_not_find(recorded: Recorded) -> None:
    data = (recorded.data / "member" / "snap" / "db").read_bytes()
    assert reachable(data) | found_in(free(data)) == planted(data)


def test_databases_beside_the_real_one_are_read_whole(recorded: Recorded, tmp_path: Path) -> None:
    for name, moment in {"db": "written", "0000000000000009.snap.db": "compacted", "tmp123": "overwritten"}.items():
        shutil.copy(recorded.databases[moment], tmp_path / name)
    (tmp_path / "db.tmp.7").write_bytes(pages(recorded.databases["written"])[:-9000])
    for name in ("0000000000000009.snap.db", "tmp123", "db.tmp.7"):
        found = [item for item in others(tmp_path) if item.place.startswith(f"{name} page ")]
        assert found_in(found) == planted((tmp_path / name).read_bytes())
        assert any(item.whole for item in found)
    assert not [item for item in others(tmp_path) if item.place.startswith("db page")]


def test_no_page_with_plaintext_of_a_large_secret_is_passed_over(tmp_path: Path) -> None:
    """Their first pages are used again, and what follows has nothing at its beginning to be known by."""
    text = re.compile(rb"(\d{4}) planted! ")

    def ciphertext(number: int, size: int) -> bytes:
        return b"k8s:enc:aescbc:v1:key1:" + random.Random(number).randbytes(size)  # noqa: S311 — of no secret

    with running_etcd(tmp_path, trustme.CA(), "--backend-batch-limit=2") as etcd, EtcdWriter(etcd) as writer:
        for number in range(100):
            writer.put([(key(number), seal.secret("one", size=700 + number * 9, filler=b"%04d planted! " % number))])
        for number in range(100):
            writer.put([(key(number), ciphertext(number, 3000))])
        writer.compact(writer.put([(b"/registry/other", b"now")]))
        for number in range(60):
            writer.put([(key(number), ciphertext(number, 500 + number * 97))])
        etcd.etcdctl("snapshot", "save", str(tmp_path / "s.db"))
    data = pages(tmp_path / "s.db")
    bolt = BoltFile(data, len(data), "db")
    database, remarks = Database(bolt, data, "db", read_standing(bolt, "db")), Remarks()
    found = list(free_page_fragments(database, len(data), remarks, proven=True))
    told = {number for one in found for number in text.findall(one.value)}
    # A copy of what was told is not told again, so what counts is of which Secret something is there.
    silent = {
        page for page in range(len(data) // 4096) if set(text.findall(data, page * 4096, (page + 1) * 4096)) - told
    }
    assert silent == set() or Area.FREE_PAGES in remarks.unread
    assert {one.tail_of for one in found} == {"", "secrets"}
    tails = {number for one in found if one.tail_of for number in text.findall(one.value)}
    assert tails - {number for one in found if not one.tail_of for number in text.findall(one.value)}
