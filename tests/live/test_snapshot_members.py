"""From which of three real members a snapshot is taken: never one that is cut off, hangs, or is called corrupt."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme

from keyctl.errors import RefusedError
from keyctl.etcd import rpc
from keyctl.etcd.client import EtcdClient
from tests.support.etcd_cluster import EtcdCluster, running_cluster

# NOTE: behind keyctl's own, which tells gRPC to be quiet before it is loaded.
import grpc  # isort: skip

pytestmark = pytest.mark.live

CORRUPT = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[EtcdCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), trustme.CA()) as running:
        running.one(0).etcdctl("put", "/registry/a", "1")
        yield running


@contextlib.contextmanager
def connected(cluster: EtcdCluster) -> Generator[EtcdClient]:
    with contextlib.closing(EtcdClient(cluster.urls, cluster.tls, timeout=2.0)) as client:
        yield client


def alarm(cluster: EtcdCluster, action: int, member: int) -> None:
    """Raise (1) or take back (2) the alarm CORRUPT, as a member does that finds others to differ."""
    credentials = grpc.ssl_channel_credentials(
        cluster.tls.ca.read_bytes(), cluster.tls.key.read_bytes(), cluster.tls.cert.read_bytes()
    )
    with grpc.secure_channel(cluster.urls[0].removeprefix("https://"), credentials) as channel:
        request = rpc._api.AlarmRequest(action=action, memberID=member, alarm=CORRUPT)
        channel.unary_unary("/etcdserverpb.Maintenance/Alarm")(request.SerializeToString(), timeout=5)


def test_a_member_that_is_called_corrupt_is_not_copied(cluster: EtcdCluster, tmp_path: Path) -> None:
    with connected(cluster) as client:
        first = int(client.status()[0].member_id, 16)
        alarm(cluster, 1, first)
        try:
            saved = client.save_snapshot(tmp_path / "s.db")
        finally:
            alarm(cluster, 2, first)
        assert saved.member is not None
        assert saved.member.endpoint == cluster.urls[1]
        alarm(cluster, 1, 0)
        try:
            with pytest.raises(RefusedError, match="no snapshot is taken") as caught:
                client.save_snapshot(tmp_path / "none.db")
        finally:
            alarm(cluster, 2, 0)
        assert (caught.value.cause or "").count("alarm CORRUPT stands against it") == 3
        assert not (tmp_path / "none.db").exists()


def test_a_member_without_the_others_is_not_copied_and_one_that_hangs_is_passed_over(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    others = cluster.members[:2]
    with connected(cluster) as client:
        others[0].process.send_signal(signal.SIGSTOP)
        try:
            saved = client.save_snapshot(tmp_path / "s.db")
            assert saved.member is not None
            assert saved.member.endpoint in cluster.urls[1:]
            others[1].process.send_signal(signal.SIGSTOP)
            with pytest.raises(RefusedError, match="no snapshot is taken"):
                client.save_snapshot(tmp_path / "at-once.db")
            time.sleep(2)
            with pytest.raises(RefusedError, match="no snapshot is taken") as caught:
                client.save_snapshot(tmp_path / "later.db")
        finally:
            for member in others:
                member.process.send_signal(signal.SIGCONT)
    assert "it follows no leader" in (caught.value.cause or "")
    assert cluster.urls[2].removeprefix("https://") in (caught.value.cause or "")
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]
