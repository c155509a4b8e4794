"""`keyctl sanitize` on three real members: what was overwritten is gone from every fresh snapshot, and nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme

from keyctl.etcd.client import EtcdClient
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.etcd_cluster import EtcdCluster, running_cluster
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.support.hints import wrong_hints
from tests.support.shell import Shell

pytestmark = pytest.mark.live

COUNT = 200
KEY = seal.key("key1")
PLANTED = b"planted-in-plaintext"


def etcd_key(number: int) -> bytes:
    return b"/registry/secrets/default/s%03d" % number


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[EtcdCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), trustme.CA()) as running:
        yield running


@pytest.fixture
def shell(cluster: EtcdCluster, tmp_path: Path) -> Shell:
    tls = cluster.tls
    access = {"ENDPOINTS": ",".join(cluster.urls), "CACERT": tls.ca, "CERT": tls.cert, "KEY": tls.key}
    shell = Shell(tmp_path, {f"ETCDCTL_{name}": str(value) for name, value in access.items()})
    (tmp_path / "scratch").mkdir()
    shell.variables["TMPDIR"] = str(tmp_path / "scratch")
    write_config(tmp_path / "enc.yaml", KEY)
    return shell


def overwrite_plaintext(cluster: EtcdCluster) -> dict[bytes, bytes]:
    """Every value stood in plaintext, and is sealed now: what stands now."""
    plain = {etcd_key(n): seal.secret(f"s{n:03}", filler=PLANTED, size=20) for n in range(COUNT)}
    sealed = {key: seal.seal(KEY, key, value) for key, value in plain.items()}
    with EtcdWriter(cluster.one(0)) as writer:
        writer.put(plain.items())
        writer.put(sealed.items())
    return sealed


def planted_in_snapshots(cluster: EtcdCluster, folder: Path, tag: str) -> list[int]:
    """How often a fresh snapshot of each member holds the planted bytes, by a plain search."""
    found = []
    for number in range(len(cluster.members)):
        path = folder / f"{tag}-{number}.db"
        cluster.one(number).etcdctl("snapshot", "save", str(path))
        found.append(path.read_bytes().count(PLANTED))
    return found


def stored(cluster: EtcdCluster) -> dict[bytes, bytes]:
    """What every client reads now."""
    with contextlib.closing(EtcdClient(cluster.urls, cluster.tls)) as client:
        return {key: value for batch in client.source().batches(b"/registry/") for key, value, _ in batch}


def test_no_fresh_snapshot_of_any_member_holds_what_was_overwritten_and_every_live_value_stays(
    cluster: EtcdCluster, shell: Shell, tmp_path: Path
) -> None:
    sealed = overwrite_plaintext(cluster)
    assert min(planted_in_snapshots(cluster, tmp_path, "before")) >= COUNT

    planned = shell.keyctl("sanitize", "--encryption-config", "enc.yaml", "--dry-run")
    assert (planned.code, planned.stderr) == (0, "")
    assert min(planted_in_snapshots(cluster, tmp_path, "planned")) >= COUNT

    refused = shell.keyctl("sanitize", "--encryption-config", "enc.yaml")
    assert refused.code == 5
    assert "say --yes" in refused.stderr
    assert min(planted_in_snapshots(cluster, tmp_path, "refused")) >= COUNT

    ran = shell.keyctl("sanitize", "--encryption-config", "enc.yaml", "--yes", "-o", "json", "--report", "json=r.json")
    assert (ran.code, planted_in_snapshots(cluster, tmp_path, "after")) == (0, [0, 0, 0])
    assert stored(cluster) == sealed
    report = json.loads(ran.stdout)
    assert report == json.loads((tmp_path / "r.json").read_text())
    (done,) = report["clusters"]
    assert [proof["verdict"] for proof in done["proofs"]] == ["pass"] * 3
    assert all(proof["coverage"]["freePages"] == "scanned" for proof in done["proofs"])
    assert all(member["dbSizeAfter"] < member["dbSizeBefore"] for member in done["members"])

    # The plan named the same members in the same order, the leader last.
    order = re.findall(r"https://127\.0\.0\.1:\d+", planned.stdout)
    assert order == [member["endpoint"] for member in done["members"]]
    assert re.search(re.escape(order[-1]) + r".*the leader, last", planned.stdout)
    # What it does not reach is said, and is so.
    assert any(line.startswith("the WAL of each member") for line in report["remains"])
    logs = [path.read_bytes() for member in cluster.members for path in (member.data / "member" / "wal").glob("*.wal")]
    assert sum(log.count(PLANTED) for log in logs) >= COUNT
    assert list((tmp_path / "scratch").iterdir()) == []
    assert wrong_hints(shell.said) == []


def test_what_still_stands_in_plaintext_is_not_called_clean(cluster: EtcdCluster, shell: Shell) -> None:
    with EtcdWriter(cluster.one(0)) as writer:
        writer.put([(etcd_key(0), seal.secret("s000"))])
    ran = shell.keyctl("sanitize", "--encryption-config", "enc.yaml", "--yes")
    assert ran.code == 13
    assert "KC-DAT-001" in ran.stdout
    assert wrong_hints(shell.said) == []


def test_a_cluster_with_a_member_that_is_not_named_is_refused_before_anything_is_done(
    cluster: EtcdCluster, shell: Shell
) -> None:
    with EtcdWriter(cluster.one(0)) as writer:
        revision = writer.put([(etcd_key(1), b"x"), (etcd_key(2), b"y")])
    ran = shell.keyctl("sanitize", "--endpoints", ",".join(cluster.urls[:2]), "--yes")
    assert ran.code == 5
    assert "is none of the endpoints" in ran.stderr
    assert cluster.urls[2] in ran.stderr
    cluster.one(0).etcdctl("get", "/registry/", "--prefix", f"--rev={revision - 1}")


def test_a_cluster_with_a_member_that_is_down_is_not_touched(cluster: EtcdCluster, shell: Shell) -> None:
    member = cluster.members[2]
    member.process.kill()
    member.process.wait(10)
    try:
        ran = shell.keyctl("sanitize", "--yes")
        assert ran.code == 4
        assert "compacting" not in ran.stderr
    finally:
        cluster.restart(2)


@pytest.mark.parametrize("room", [True, False], ids=["enough room after it", "no room after it"])
def test_an_etcd_that_takes_no_writes_for_want_of_space_takes_them_again_if_there_is_room(
    tmp_path: Path, room: bool
) -> None:
    quota = 4 << 20
    with running_etcd(tmp_path, trustme.CA(), f"--quota-backend-bytes={quota}") as etcd:
        fill(etcd, again=room)
        with pytest.raises(subprocess.CalledProcessError):
            etcd.etcdctl("put", "a", "b")
        access = {"ENDPOINTS": etcd.url, "CACERT": etcd.tls.ca, "CERT": etcd.tls.cert, "KEY": etcd.tls.key}
        shell = Shell(tmp_path, {f"ETCDCTL_{name}": str(value) for name, value in access.items()})
        write_config(tmp_path / "enc.yaml", KEY)
        planned = shell.keyctl("sanitize", "--encryption-config", "enc.yaml", "--dry-run")
        assert (planned.code, "take back alarm NOSPACE" in planned.stdout) == (0, True)
        assert b"NOSPACE" in etcd.etcdctl("alarm", "list").stdout
        ran = shell.keyctl("sanitize", "--encryption-config", "enc.yaml", "--yes")
        assert ran.code == (0 if room else 6), ran.stdout
        if room:
            assert "alarm NOSPACE of etcd taken back, every member takes writes" in ran.stdout
            assert etcd.etcdctl("alarm", "list").stdout.strip() == b""
            etcd.etcdctl("put", "a", "b")
            assert etcd.etcdctl("lease", "list").stdout.split()[:2] == [b"found", b"0"]
        else:
            assert "still takes NO WRITES for want of space" in ran.stdout
            assert b"NOSPACE" in etcd.etcdctl("alarm", "list").stdout
        assert wrong_hints(shell.said) == []


def fill(etcd: RunningEtcd, *, again: bool) -> None:
    """Write sealed values until etcd takes no more: `again` and again the same keys, or new ones."""

    def write(writer: EtcdWriter) -> None:
        for number in range(10_000):
            key = etcd_key(number % 5 if again else number)
            writer.put(
                [(key, seal.seal(KEY, key, seal.secret(key.rpartition(b"/")[2].decode(), filler=b"x" * 1000, size=20)))]
            )

    with EtcdWriter(etcd) as writer, pytest.raises(Exception, match="space exceeded"):
        write(writer)
