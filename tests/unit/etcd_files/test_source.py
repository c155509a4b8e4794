from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from keyctl.errors import UnusableInputError
from keyctl.etcd_files.source import SnapshotSource
from keyctl.stored.source import Value
from tests.support.bolt_writer import BoltBuilder, key_value, revision


def database(count: int = 3) -> bytes:
    records = [
        (0, revision(2 + number), key_value(b"/registry/secrets/%04d" % number, b"v")) for number in range(count)
    ]
    return BoltBuilder().bucket_leaf([*records, (0, revision(9000), key_value(b"/other", b"x"))]).data()


def write(path: Path, data: bytes, *, digest: bool = True) -> SnapshotSource:
    path.write_bytes(data + (hashlib.sha256(data).digest() if digest else b""))
    return SnapshotSource(path)


def read(source: SnapshotSource, prefix: bytes = b"/registry/") -> list[Value]:
    return [value for batch in source.batches(prefix) for value in batch]


def test_the_values_under_the_prefix_come_in_key_order_and_are_counted(tmp_path: Path) -> None:
    source = write(tmp_path / "s.db", database())
    assert read(source) == [(b"/registry/secrets/%04d" % number, b"v", 2 + number) for number in range(3)]
    info = source.info()
    assert (info.type, info.location, info.revision) == ("snapshot", str(tmp_path / "s.db"), 9000)
    assert (info.cluster_id, info.count, info.integrity) == ("", 3, "sha256-ok")


def test_many_values_come_in_several_batches(tmp_path: Path) -> None:
    sizes = [len(batch) for batch in write(tmp_path / "s.db", database(2500)).batches(b"/registry/")]
    assert sum(sizes) == 2500
    assert max(sizes) <= 1000


def test_a_copied_database_has_no_digest_and_says_so(tmp_path: Path) -> None:
    source = write(tmp_path / "db", database(), digest=False)
    assert len(read(source)) == 3
    assert source.info().integrity == "sha256-absent"


def test_one_flipped_bit_is_found_before_the_first_value(tmp_path: Path) -> None:
    data = database()
    flipped = bytes([data[-1] ^ 1])
    (tmp_path / "s.db").write_bytes(data[:-1] + flipped + hashlib.sha256(data).digest())
    with pytest.raises(UnusableInputError, match="is damaged"):
        next(iter(SnapshotSource(tmp_path / "s.db").batches(b"")))


@pytest.mark.parametrize("missing", [1, 100, 4096, 4096 + 32])
def test_a_cut_snapshot_is_refused(tmp_path: Path, missing: int) -> None:
    data = database()
    whole = data + hashlib.sha256(data).digest()
    (tmp_path / "s.db").write_bytes(whole[:-missing])
    source = SnapshotSource(tmp_path / "s.db")
    with pytest.raises(UnusableInputError):
        read(source)
    with pytest.raises(RuntimeError):
        source.info()


def test_nothing_is_known_before_the_first_run_and_after_an_unfinished_one(tmp_path: Path) -> None:
    source = write(tmp_path / "s.db", database(1500))
    with pytest.raises(RuntimeError):
        source.info()
    read(source)
    batches = source.batches(b"/registry/")
    next(batches)
    with pytest.raises(RuntimeError):
        source.info()
