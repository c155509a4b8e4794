"""Runs of records that are read by columns: what is read is the same as record by record, whatever is among them."""

from __future__ import annotations

import struct

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files import records as records_module
from keyctl.etcd_files.bbolt import BoltFile
from keyctl.etcd_files.delivery import Database, live_values, past_values
from keyctl.etcd_files.mvcc import read_standing
from keyctl.etcd_files.usual_run import Sizes, usual_run
from tests.support.bolt_writer import BoltBuilder, branch, key_value, leaf, revision

Record = tuple[bytes, bytes]
Seen = list[list[tuple[bytes, bytes, int]] | str]

PAGES = (3, 5)
NEWEST = 40


def put(at: int, key: bytes, *, created: int | None = None, lease: int = 0) -> Record:
    created = at if created is None else created
    record = key_value(key, b"value %d" % at, created=created, modified=at, version=1 + at - created, lease=lease)
    return revision(at), record


def usual(first: int, end: int) -> list[Record]:
    return [put(at, b"/a/%03d" % at) for at in range(first, end)]


def opened(older: list[Record], newer: list[Record], compacted: int = 0) -> Database:
    """Two leaves that are not one behind the other, and so two runs."""
    builder = BoltBuilder().root({b"key": struct.pack("<QQ", 6, 0), b"meta": struct.pack("<QQ", 7, 0)})
    for number, records in zip(PAGES, (older, newer), strict=True):
        builder.pages[number] = leaf(number, [(0, *record) for record in records])
    builder.pages[6] = branch(6, [(part[0][0], number) for number, part in zip(PAGES, (older, newer), strict=True)])
    builder.pages[7] = leaf(7, [(0, b"finishedCompactRev", revision(compacted))] if compacted else [])
    data = builder.data()
    bolt = BoltFile(data, len(data), "test.db")
    return Database(bolt, data, "test.db", read_standing(bolt, "test.db"))


def read_everything(database: Database) -> Seen:
    """What is live and past at each revision under each prefix, or why it cannot be read."""
    seen: Seen = []
    for at in range(max(database.standing.compacted, 1), database.standing.current + 1):
        for prefix in (b"", b"/a/", b"/a/00", b"/b"):
            for deliver in (live_values, past_values):
                try:
                    seen.append([value for batch in deliver(database, prefix, at) for value in batch])
                except UnusableInputError as error:
                    seen.append(f"{error}: {error.cause}")
    return seen


DELETION = (revision(10, deleted=True), b"\x0a\x06/a/003")
ODD = {
    "none": put(10, b"/a/010"),
    "a lease": put(10, b"/a/010", lease=1 << 40),
    "a deletion": DELETION,
    "a key that is rewritten": put(10, b"/a/003", created=3),
    "a key that is there twice": put(10, b"/a/003"),
    "a key of another prefix": put(10, b"/b"),
    "a key before the prefix": put(10, b"/A"),
    "a long key": put(10, b"/a/" + b"k" * 300),
    "a key with the byte that follows on keys": put(10, b"/a/\x10"),
    "a record of a bumped restore": (revision(10), b""),
    "a revision that is older than the one before": put(8, b"/a/010"),
    "bytes behind the value": (revision(10), put(10, b"/a/010")[1] + b"\x3a\x01x"),
    "a cut value": (revision(10), put(10, b"/a/010")[1][:-1]),
    "a key shorter than it says": (revision(10), b"\x0a\x07" + put(10, b"/a/010")[1][2:]),
    "a key longer than it says": (revision(10), b"\x0a\x05" + put(10, b"/a/010")[1][2:]),
    "a revision that is told to end early": (revision(10)[:5], revision(10)[5:] + put(10, b"/a/010")[1]),
    "a short revision": (b"short", put(10, b"/a/010")[1]),
}


@pytest.mark.parametrize("compacted", [0, 10, NEWEST - 1])
@pytest.mark.parametrize("what", ODD)
def test_what_is_read_by_columns_is_the_same_as_record_by_record(
    what: str, compacted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = [*usual(2, 10), ODD[what], *usual(11, 20)]
    scenes = [opened(older, usual(20, NEWEST), compacted), opened(usual(2, 10), [ODD[what], *usual(11, NEWEST)])]
    by_columns = [read_everything(scene) for scene in scenes]
    monkeypatch.setattr(records_module, "usual_run", lambda *_: None)
    assert [read_everything(scene) for scene in scenes] == by_columns


@pytest.mark.parametrize(
    "newer",
    [
        pytest.param([put(20, b"/a/005", created=5)], id="a later run rewrites a key"),
        pytest.param([(revision(20, deleted=True), b"\x0a\x06/a/005")], id="a later run deletes a key"),
        pytest.param(usual(19, 22), id="runs overlap"),
    ],
)
def test_what_a_newer_run_says_of_an_older_one_holds(newer: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = opened(usual(2, 20), newer)
    by_columns = read_everything(scene)
    monkeypatch.setattr(records_module, "usual_run", lambda *_: None)
    assert read_everything(scene) == by_columns


@pytest.mark.parametrize(
    ("what", "is_usual"), [(what, what in ("none", "a lease", "a key that is there twice")) for what in ODD]
)
def test_only_what_is_as_usual_is_read_by_columns(what: str, is_usual: bool) -> None:
    name = ("a key of another prefix", "a key before the prefix", "a key that is rewritten")
    bolt = opened([*usual(2, 10), ODD[what]], usual(20, 22)).bolt
    _, older = bolt.runs_backwards(b"key")
    assert (usual_run(older, Sizes()) is not None) is (is_usual or what in name)


def test_a_record_that_reaches_beyond_its_leaf_is_not_as_usual() -> None:
    database = opened(usual(2, 10), usual(20, 22))
    (_, older), end = database.bolt.runs_backwards(b"key"), 4096
    number, start, _, held = older.leaves[0]
    assert usual_run(older, Sizes()) is not None
    assert usual_run(older._replace(leaves=[(number, start, end // 16, held)]), Sizes()) is None


def test_a_run_without_records_is_not_as_usual() -> None:
    _, older = opened(usual(2, 10), usual(20, 22)).bolt.runs_backwards(b"key")
    assert usual_run(older._replace(leaves=[]), Sizes()) is None
