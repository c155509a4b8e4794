"""Every etcd of an override is the servers' own: another one, or an empty one, is not taken for clean (R3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import StoppedError, UnreachableError
from keyctl.rotation.journal import LocalLock
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from keyctl.rotation.session import Session
from keyctl.rotation.world import World
from tests.support.sim_etcd import SimEtcd
from tests.support.sim_parts import Watcher
from tests.support.sim_texts import KEY_1, configuration
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ROTATE, Agree, begin, head, plans, skip_slow_parts

BOTH = configuration((("secrets", "configmaps"), KEY_1))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def cluster_of(directory: Path) -> SimCluster:
    return SimCluster(directory, config=BOTH, overrides=("configmaps",))


def with_another_etcd(cluster: SimCluster, etcd: SimEtcd) -> World:
    """The world of a cluster file with the right host of the override, and a wrong port."""
    world = cluster.world()
    return replace(world, etcds=(world.etcds[0], replace(world.etcds[1], etcd=etcd)))


def empty(cluster: SimCluster) -> SimEtcd:
    return SimEtcd("other", between_pages=lambda: None, alive=cluster.alive, effect=cluster.effect)


def of_another_cluster(cluster: SimCluster) -> SimEtcd:
    """The same names, stored by somebody else."""
    found = empty(cluster)
    stranger = SimCluster(cluster.directory / "stranger", config=BOTH, overrides=("configmaps",))
    for key, value in stranger.etcd_of("configmaps").all().items():
        found.put(key, value)
    return found


def session_in(cluster: SimCluster, world: World) -> Session:
    lock = LocalLock(cluster.directory / "state" / "here")
    return Session(world, cluster.journal(), lock, Watcher(), pause=lambda: None)


@pytest.mark.parametrize("other", [empty, of_another_cluster, lambda cluster: cluster.etcd_of("secrets")])
def test_another_etcd_than_that_of_the_override_is_refused_before_anything_is_touched(
    other: object, tmp_path: Path
) -> None:
    cluster = cluster_of(tmp_path)
    assert callable(other)
    world = with_another_etcd(cluster, other(cluster))
    with pytest.raises(UnreachableError, match="is not the one that holds configmaps") as caught:
        session_in(cluster, world).start(ROTATE, confirm=Agree())
    assert caught.value.rule == "preflight"
    assert cluster.switch.labels == []


def test_nor_is_a_rotation_gone_on_with_in_one(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path)
    with pytest.raises(StoppedError, match="paused"):
        begin(cluster.session(pause_after=State.SWITCHED), ROTATE)
    files = [dict(server.host.files) for server in cluster.servers]
    with pytest.raises(UnreachableError, match="is not the one that holds configmaps"):
        session_in(cluster, with_another_etcd(cluster, empty(cluster))).resume()
    assert [dict(server.host.files) for server in cluster.servers] == files
    cluster.session().resume()
    assert cluster.under("configmaps") == {head(plans(cluster)[0].new)}


def test_an_object_that_changes_all_the_time_binds_as_well(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path)
    (found,) = [one for one in cluster.objects.values() if one.resource == "configmaps"]
    get = cluster.etcd_of("configmaps").get

    def changed_meanwhile(key: bytes) -> tuple[bytes, int] | None:
        cluster.servers[1].write(found)
        return get(key)

    cluster.etcd_of("configmaps").get = changed_meanwhile  # type: ignore[method-assign]
    cluster.session().agree(ROTATE)


def test_where_there_is_no_object_nothing_can_be_bound(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path)
    (key,) = [key for key, one in cluster.objects.items() if one.resource == "configmaps"]
    cluster.forget(key)
    session_in(cluster, with_another_etcd(cluster, empty(cluster))).agree(Wish(Goal.ROTATE))
