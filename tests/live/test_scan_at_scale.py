"""A scan of three members while they are restarted, hang, or forget: every value of one revision, each of them once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
import trustme

from keyctl.errors import RevisionLostError
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.rpc import CallError, RangeAnswer, Session
from keyctl.rotation.scan import scan
from keyctl.stored.source import Value
from tests.support.etcd_cluster import EtcdCluster, running_cluster
from tests.support.etcd_writer import EtcdWriter

pytestmark = pytest.mark.live

PREFIX = b"/registry/configmaps/"
COUNT = 20_000
SIZE = 4096
TIMEOUT = 3.0
# Seconds after each batch, so that a scan takes as long as three members take to restart.
PACE = 0.1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[EtcdCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), trustme.CA()) as running:
        yield running


@pytest.fixture
def client(cluster: EtcdCluster) -> Generator[EtcdClient]:
    with contextlib.closing(EtcdClient(cluster.urls, cluster.tls, timeout=TIMEOUT)) as connected:
        yield connected


@pytest.fixture
def stored(cluster: EtcdCluster) -> dict[bytes, bytes]:
    """What stands under the prefix when the test begins: many values, each unlike the others, and newly written."""
    values = {PREFIX + b"ns/%06d" % number: (b"%06d" % number) * (SIZE // 6) for number in range(COUNT)}
    with EtcdWriter(cluster.one(0)) as writer:
        writer.put(values.items())
    return values


@pytest.fixture(params=["stream", "pages"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pages":
        monkeypatch.setattr(Session, "range_stream", no_streams)
    return str(request.param)


def no_streams(self: Session, key: bytes, range_end: bytes, *, revision: int) -> Generator[RangeAnswer]:
    raise CallError("UNIMPLEMENTED", "unknown method RangeStream")
    yield


def change(cluster: EtcdCluster, number: int) -> None:
    """Overwrite, add and delete at the beginning, in the middle and at the end, as others do meanwhile."""
    with EtcdWriter(cluster.one(number)) as writer:
        for place in range(0, COUNT, COUNT // 20):
            writer.put(
                [(PREFIX + b"ns/%06d" % (place + number), b"changed"), (PREFIX + b"ns/%06d-new" % place, b"new")]
            )
            writer.delete(PREFIX + b"ns/%06d" % (place + 100 + number))


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_rolling_restart_changes_nothing_of_what_a_scan_reads(
    cluster: EtcdCluster, client: EtcdClient, stored: dict[bytes, bytes], reading: str, stop: signal.Signals
) -> None:
    # A member that is asked to stop ends its streams first; all else breaks the scan off.
    breaks = (reading, stop) != ("stream", signal.SIGTERM)
    restarted = threading.Event()

    def roll() -> None:
        for number in range(3):
            cluster.restart(number, stop)
            change(cluster, number)
        restarted.set()

    thread = threading.Thread(target=roll)
    source = client.source()
    try:
        found = list(slowly(source.batches(PREFIX), thread, restarted if breaks else None))
    finally:
        thread.join()
    assert restarted.is_set()
    assert {key: value for key, value, _ in found} == stored
    info = source.info()
    assert (len(found), info.count) == (COUNT, COUNT)
    assert max(revision for _, _, revision in found) <= info.revision
    assert len(info.location.split(", ")) > breaks


def slowly(batches: Iterator[list[Value]], thread: threading.Thread, until: threading.Event | None) -> Iterator[Value]:
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
            time.sleep(PACE * len(batch) / 400)


def test_a_member_that_hangs_is_left_for_another(
    cluster: EtcdCluster, client: EtcdClient, stored: dict[bytes, bytes]
) -> None:
    source = client.source()
    batches = source.batches(PREFIX)
    found = next(batches)
    hung = cluster.members[0].process.pid
    os.kill(hung, signal.SIGSTOP)
    try:
        found += [value for batch in batches for value in batch]
    finally:
        os.kill(hung, signal.SIGCONT)
    assert {key: value for key, value, _ in found} == stored
    assert len(found) == COUNT
    assert source.info().location == ", ".join(cluster.urls[:2])


def test_a_compaction_in_the_middle_begins_the_count_anew_at_one_later_revision(
    cluster: EtcdCluster, client: EtcdClient, stored: dict[bytes, bytes], reading: str
) -> None:
    source = client.source()
    runs: Counter[str] = Counter()

    class Disturbed:
        """The same source, under which others write and compact once, after its first batch."""

        info = staticmethod(source.info)

        def batches(self, prefix: bytes) -> Iterator[list[Value]]:
            runs["begun"] += 1
            try:
                for batch in source.batches(prefix):
                    yield batch
                    if runs["begun"] == 1 and not runs["compacted"]:
                        runs["compacted"] += 1
                        with EtcdWriter(cluster.one(1)) as writer:
                            writer.compact(writer.put([(PREFIX + b"ns/zz-%d" % time.time_ns(), b"k8s\0")]))
            except RevisionLostError:
                runs["lost"] += 1
                raise

    before = client.status()[0].revision
    found = scan(Disturbed(), prefix="/registry", config=None)
    assert runs == {"begun": 2, "compacted": 1, "lost": 1}
    assert found.revision > before
    assert found.values == client.count(PREFIX)
