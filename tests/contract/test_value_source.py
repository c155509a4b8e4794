"""What every `ValueSource` promises, kept by the fake of the tests and by the real ones over a real etcd."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from keyctl.errors import KeyctlError, StoppedError
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.rpc import CallError, RangeAnswer, Session
from keyctl.etcd_files.data_dir import DataDirSource
from keyctl.etcd_files.source import SnapshotSource
from keyctl.stored.source import Batch, Value, ValueSource
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.support.memory_source import MemorySource

PREFIX = b"/registry/secrets/"
# More than one batch of each source, an empty value, and neighbours that begin almost like the prefix.
VALUES = {
    **{PREFIX + b"ns/%05d" % number: b"value %d" % number for number in range(1500)},
    PREFIX + b"empty": b"",
    PREFIX + b"\xff\xff": b"last",
    PREFIX: b"the prefix itself",
    b"/registry/secrets": b"before",
    b"/registry/secrets0": b"after",
}
EXPECTED = [(key, value) for key, value in sorted(VALUES.items()) if key.startswith(PREFIX)]


@dataclass(frozen=True)
class Kind:
    """How to get a source over `VALUES`, and one that fails before its end."""

    sound: Callable[[], ValueSource]
    failing: Callable[[], ValueSource]
    in_key_order: bool = True


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), trustme.CA()) as running:
        with EtcdWriter(running) as writer:
            writer.put(VALUES.items())
        yield running


class BetweenBatches:
    """A source that does something after each batch it delivers."""

    def __init__(self, source: ValueSource, act: Callable[[], object]) -> None:
        self._source, self._act = source, act
        self.info = source.info

    def batches(self, prefix: bytes) -> Generator[Batch]:
        for batch in self._source.batches(prefix):
            yield batch
            self._act()


def memory() -> Kind:
    fails = StoppedError("the revision was compacted away", cause="a test")
    return Kind(lambda: MemorySource(VALUES, revision=9000), lambda: MemorySource(VALUES, fails=fails))


def stream(client: EtcdClient, monkeypatch: pytest.MonkeyPatch) -> Kind:
    whole = Session.range_stream

    def cut(self: Session, key: bytes, range_end: bytes, *, revision: int = 0) -> Generator[RangeAnswer]:
        yield next(whole(self, key, range_end, revision=revision))

    def truncated() -> ValueSource:
        monkeypatch.setattr(Session, "range_stream", cut)
        return client.source()

    return Kind(client.source, truncated)


def pages(etcd: RunningEtcd, client: EtcdClient, monkeypatch: pytest.MonkeyPatch) -> Kind:
    def unknown(self: Session, key: bytes, range_end: bytes, *, revision: int = 0) -> Generator[RangeAnswer]:
        raise CallError("UNIMPLEMENTED", "unknown method RangeStream")
        yield

    def compact() -> None:
        with EtcdWriter(etcd) as writer:
            writer.compact(writer.put([(b"/other", b"x")]))

    monkeypatch.setattr(Session, "range_stream", unknown)
    return Kind(client.source, lambda: BetweenBatches(client.source(), compact))


def snapshot(client: EtcdClient, folder: Path) -> Kind:
    def damaged() -> ValueSource:
        whole = bytearray((folder / "s.db").read_bytes())
        whole[len(whole) // 2] ^= 1
        (folder / "damaged.db").write_bytes(whole)
        return SnapshotSource(folder / "damaged.db")

    client.save_snapshot(folder / "s.db")
    return Kind(lambda: SnapshotSource(folder / "s.db"), damaged, in_key_order=False)


def data_dir(etcd: RunningEtcd, client: EtcdClient, folder: Path) -> Kind:
    """The directory of a member that goes on: it is written to before the last batch, or is not."""

    def write() -> None:
        with EtcdWriter(etcd) as writer:
            writer.put([(b"/other", b"x")])
        # etcd commits ten times a second.
        time.sleep(0.3)

    time.sleep(0.3)
    return Kind(
        lambda: DataDirSource(etcd.data),
        lambda: BetweenBatches(DataDirSource(etcd.data), write),
        in_key_order=False,
    )


@pytest.fixture(
    params=[
        "memory",
        pytest.param("stream", marks=pytest.mark.live),
        pytest.param("pages", marks=pytest.mark.live),
        pytest.param("snapshot", marks=pytest.mark.live),
        pytest.param("data_dir", marks=pytest.mark.live),
    ]
)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Kind]:
    if request.param == "memory":
        yield memory()
        return
    etcd: RunningEtcd = request.getfixturevalue("etcd")
    with contextlib.closing(EtcdClient((etcd.url,), etcd.tls)) as client:
        kinds = {
            "stream": lambda: stream(client, monkeypatch),
            "pages": lambda: pages(etcd, client, monkeypatch),
            "snapshot": lambda: snapshot(client, tmp_path),
            "data_dir": lambda: data_dir(etcd, client, tmp_path),
        }
        yield kinds[request.param]()


def read(source: ValueSource, prefix: bytes = PREFIX) -> list[Value]:
    return [value for batch in source.batches(prefix) for value in batch]


def test_every_value_under_the_prefix_comes_once_and_from_a_live_source_in_key_order(kind: Kind) -> None:
    found = [(key, value) for key, value, _ in read(kind.sound())]
    assert (found if kind.in_key_order else sorted(found)) == EXPECTED


def test_the_whole_keyspace_is_under_the_empty_prefix(kind: Kind) -> None:
    assert sorted(key for key, _, _ in read(kind.sound(), b"/registry/")) == sorted(VALUES)
    assert set(VALUES) <= {key for key, _, _ in read(kind.sound(), b"")}


def test_values_come_in_several_batches_and_none_is_empty(kind: Kind) -> None:
    sizes = [len(batch) for batch in kind.sound().batches(PREFIX)]
    assert len(sizes) > 1
    assert min(sizes) > 0


def test_the_count_is_that_of_the_values_and_no_value_is_newer_than_the_revision(kind: Kind) -> None:
    source = kind.sound()
    values = read(source)
    info = source.info()
    assert info.count == len(values) == len(EXPECTED)
    assert all(0 < revision <= info.revision for _, _, revision in values)
    assert info.type
    assert info.location


def test_a_prefix_without_values_ends_with_a_count_of_zero(kind: Kind) -> None:
    source = kind.sound()
    assert list(source.batches(b"/nothing/")) == []
    assert source.info().count == 0


def test_nothing_is_known_before_the_end_of_a_run(kind: Kind) -> None:
    source = kind.sound()
    with pytest.raises(RuntimeError):
        source.info()
    read(source)
    source.info()
    next(iter(source.batches(PREFIX)))
    with pytest.raises(RuntimeError):
        source.info()


def test_a_source_can_be_read_again_under_another_prefix(kind: Kind) -> None:
    source = kind.sound()
    assert len(read(source)) == len(EXPECTED)
    assert [key for key, _, _ in read(source, b"/registry/secrets0")] == [b"/registry/secrets0"]
    assert source.info().count == 1


def test_a_source_that_fails_on_its_way_never_ends_normally(kind: Kind) -> None:
    source = kind.failing()
    with pytest.raises(KeyctlError) as caught:
        read(source)
    assert caught.value.cause
    with pytest.raises(RuntimeError):
        source.info()
