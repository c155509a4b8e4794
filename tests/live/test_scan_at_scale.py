"""A scan of three members while they are restarted, hang, or forget: every value of one revision, each of them once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator

import pytest
import trustme

from keyctl.errors import RevisionLostError
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.rpc import CallError, RangeAnswer, Session
from keyctl.etcd.scan import prefix_range
from keyctl.rotation.scan import scan
from keyctl.stored.source import Batch, SourceInfo, Value, ValueSource
from tests.support.etcd_cluster import EtcdCluster, running_cluster
from tests.support.etcd_writer import EtcdWriter

pytestmark = pytest.mark.live

PREFIX = b"/registry/configmaps/ns/"
COUNT = 20_000
VALUES = {PREFIX + b"%06d" % number: (b"%06d" % number) * 680 for number in range(COUNT)}
# Where others write meanwhile, all over the range.
PLACES = range(0, COUNT, COUNT // 20)
NEW = [PREFIX + b"%06d-new" % place for place in PLACES]
TIMEOUT = 3.0
# Seconds for each value, so that a scan is still under way when the members are restarted.
PACE = 0.00025


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[EtcdCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), trustme.CA()) as running:
        with EtcdWriter(running.one(0)) as writer:
            writer.put(VALUES.items())
        yield running


@pytest.fixture(autouse=True)
def put_back(cluster: EtcdCluster) -> Generator[None]:
    """Let `VALUES`, and nothing else, stand when the next test begins."""
    yield
    keys = [PREFIX + b"%06d" % (place + step) for place in PLACES for step in (0, 1, 2, 100, 101, 102)]
    with EtcdWriter(cluster.one(0)) as writer:
        writer.put((key, VALUES[key]) for key in keys)
        for key in NEW:
            writer.delete(key)


@pytest.fixture
def client(cluster: EtcdCluster) -> Generator[EtcdClient]:
    with contextlib.closing(EtcdClient(cluster.urls, cluster.tls, timeout=TIMEOUT)) as connected:
        yield connected


@pytest.fixture(params=["stream", "pages"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pages":
        monkeypatch.setattr(Session, "range_stream", no_streams)
    return str(request.param)


def no_streams(self: Session, key: bytes, range_end: bytes, *, revision: int) -> Generator[RangeAnswer]:
    raise CallError("UNIMPLEMENTED", "unknown method RangeStream")
    yield


def change(cluster: EtcdCluster, number: int) -> None:
    """Overwrite, add and delete all over the range, as others do meanwhile."""
    with EtcdWriter(cluster.one(number)) as writer:
        writer.put((PREFIX + b"%06d" % (place + number), b"changed") for place in PLACES)
        writer.put((key, b"new") for key in NEW)
        for place in PLACES:
            writer.delete(PREFIX + b"%06d" % (place + 100 + number))


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_rolling_restart_changes_nothing_of_what_a_scan_reads(
    cluster: EtcdCluster, client: EtcdClient, reading: str, stop: signal.Signals
) -> None:
    # A member that is asked to stop ends its streams first, and so cannot be waited for with a stream.
    waits = (reading, stop) != ("stream", signal.SIGTERM)
    restarted = threading.Event()

    def roll() -> None:
        for number in range(3):
            cluster.restart(number, stop)
            change(cluster, number)
        restarted.set()

    thread = threading.Thread(target=roll)
    source = client.source()
    try:
        found = list(slowly(source.batches(PREFIX), thread, restarted if waits else None))
    finally:
        thread.join()
    assert restarted.is_set()
    assert {key: value for key, value, _ in found} == VALUES
    info = source.info()
    assert (len(found), info.count) == (COUNT, COUNT)
    assert max(revision for _, _, revision in found) <= info.revision
    # Pages may find a member that is back already; a stream of one that was killed is broken.
    assert len(info.location.split(", ")) > ((reading, stop) == ("stream", signal.SIGKILL))


def slowly(batches: Iterator[Batch], thread: threading.Thread, until: threading.Event | None) -> Iterator[Value]:
    """Start `thread` with the first batch, and keep the last tenth of the values back until the event."""
    delivered = 0
    for batch in batches:
        if not delivered:
            thread.start()
        delivered += len(batch)
        yield from batch
        if until is not None and delivered > COUNT * 0.9:
            assert until.wait(60)
        elif until is None or not until.is_set():
            time.sleep(PACE * len(batch))


def test_a_member_that_hangs_is_left_for_another(cluster: EtcdCluster, client: EtcdClient) -> None:
    source = client.source()
    batches = source.batches(PREFIX)
    found = next(batches)
    hung = cluster.members[0].process.pid
    os.kill(hung, signal.SIGSTOP)
    try:
        found += [value for batch in batches for value in batch]
    finally:
        os.kill(hung, signal.SIGCONT)
    assert {key: value for key, value, _ in found} == VALUES
    assert len(found) == COUNT
    assert source.info().location == ", ".join(cluster.urls[:2])


def test_what_stands_at_a_revision_is_streamed_without_the_agreement_of_the_others(cluster: EtcdCluster) -> None:
    others = [member.process.pid for member in cluster.members[1:]]
    session = Session("127.0.0.1", cluster.members[0].port, cluster.tls, timeout=TIMEOUT)
    with contextlib.closing(session):
        revision = session.range(b"any").header.revision
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(CallError):
                session.range(b"any")
            chunks = list(session.range_stream(*prefix_range(PREFIX), revision=revision))
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)
    assert sum(len(chunk.kvs) for chunk in chunks) == COUNT


class Disturbed:
    """A source under which others write and compact after its very first batch. `lost` counts the broken runs."""

    def __init__(self, source: ValueSource, cluster: EtcdCluster) -> None:
        self._source, self._cluster = source, cluster
        self._disturbed = False
        self.lost: list[int] = []

    def batches(self, prefix: bytes) -> Iterator[Batch]:
        delivered = 0
        try:
            for batch in self._source.batches(prefix):
                delivered += len(batch)
                yield batch
                if not self._disturbed:
                    self._disturbed = True
                    with EtcdWriter(self._cluster.one(1)) as writer:
                        writer.compact(writer.put((key, b"new") for key in NEW))
        except RevisionLostError:
            self.lost.append(delivered)
            raise

    def info(self) -> SourceInfo:
        return self._source.info()


def test_a_compaction_in_the_middle_begins_the_count_anew_at_one_later_revision(
    cluster: EtcdCluster, client: EtcdClient, reading: str
) -> None:
    before = client.status()[0].revision
    source = Disturbed(client.source(), cluster)
    found = scan(source, prefix="/registry", config=None)
    assert len(source.lost) == 1
    assert 0 < source.lost[0] < COUNT
    assert found.values == COUNT + len(NEW)
    assert found.revision > before
