"""No API server is up, so no Lease can be held: a run gets one up first, whichever way it goes (R9, R10, R11)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.errors import StoppedError, UnreachableError
from keyctl.rotation.plan import Goal, State
from keyctl.rotation.preflight import Wish
from tests.support.hints import wrong_commands
from tests.support.sim_objects import key_of, new_object
from tests.support.sim_server import CONFIG_PATH, Spec
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    Agree,
    Was,
    after,
    assert_back,
    assert_done,
    begin,
    files_of,
    have_old_key,
    head,
    kill,
    plans,
    proofs_of,
    skip_slow_parts,
)

ALONE = Wish(Goal.ROTATE, allow_downtime=True)
ONE_RESTARTED, ONE_RELOADING = (Spec("cp1"),), (Spec("cp1", reloads=True),)
BY_RESTART = SCENES[2]
LATE = key_of("secrets", "default", "late")

EACH_SETUP = pytest.mark.parametrize(
    "specs",
    [
        pytest.param(ONE_RESTARTED, id="one restarted"),
        pytest.param(THREE_RESTARTED, id="three restarted"),
        pytest.param(ONE_RELOADING, id="one reloading"),
        pytest.param(THREE_RELOADING, id="three reloading"),
        pytest.param(MIXED, id="mixed"),
    ],
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def interrupted_when_all_let_go(cluster: SimCluster) -> Callable[[], None]:
    """Rotate until no server has the old key any more; returns what lands a value under it."""
    land, at_rest = cluster.hold_until_told(cluster.servers[-1].name, "secrets", "default", "late"), []
    after(cluster, "journal proof server", lambda: at_rest.append(True), nth=3 * len(cluster.servers))

    def pause() -> None:
        if at_rest:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted"):
        begin(cluster.session(pause=pause), ALONE if len(cluster.servers) == 1 else ROTATE)
    assert have_old_key(cluster) == [False] * len(cluster.servers)
    return land


def lose_power(cluster: SimCluster) -> None:
    """Every server is started again by whatever runs it, long enough ago to be ready, if it ever will be."""
    for server in cluster.servers:
        server.restart()
    cluster.clock.advance(30)


def down_over_a_late_value(specs: tuple[Spec, ...], directory: Path) -> tuple[SimCluster, Was]:
    """No server has the old key, and none comes up, for a value under it has landed."""
    cluster = SimCluster(directory, specs)
    was = Was.of(cluster)
    interrupted_when_all_let_go(cluster)()
    lose_power(cluster)
    assert not any(server.ready for server in cluster.servers)
    return cluster, was


@EACH_SETUP
def test_r10_with_no_server_up_over_a_late_value_all_get_the_old_key_back_and_come_up(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster, _ = down_over_a_late_value(specs, tmp_path)
    with pytest.raises(StoppedError) as caught:
        cluster.session().resume()
    assert caught.value.rule == "R3"
    assert have_old_key(cluster) == [True] * len(specs)
    assert all(server.ready for server in cluster.servers)
    assert not cluster.still_excused()
    assert cluster.under("secrets") == {head(plans(cluster)[0].new)}
    assert proofs_of(cluster)[-1] == "late"
    assert cluster.session().resume().state is State.RETIRED
    assert_done(cluster, BY_RESTART)


@EACH_SETUP
def test_r7_with_no_server_up_over_a_late_value_the_way_back_is_open(specs: tuple[Spec, ...], tmp_path: Path) -> None:
    cluster, was = down_over_a_late_value(specs, tmp_path)
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert not cluster.still_excused()
    assert LATE in cluster.objects
    assert_back(cluster, was)


def test_r7_a_single_server_that_was_killed_while_it_came_up_is_brought_back_by_an_abort(tmp_path: Path) -> None:
    cluster, whole = SimCluster(tmp_path / "killed", ONE_RESTARTED), SimCluster(tmp_path / "whole", ONE_RESTARTED)
    begin(whole.session(), ALONE)
    restarts = [number for number, label in enumerate(whole.switch.labels, 1) if label == "cp1: restart"]
    was = Was.of(cluster)
    after(cluster, "cp1: restart", cluster.hold_until_told("cp1", "secrets", "default", "late"), nth=3)
    assert kill(cluster, lambda: begin(cluster.session(), ALONE), restarts[2], before=False)
    cluster.clock.advance(30)
    assert not cluster.server("cp1").ready
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert_back(cluster, was)


@pytest.mark.parametrize("specs", [THREE_RESTARTED, THREE_RELOADING], ids=["restart", "reload"])
def test_interrupted_while_a_server_is_brought_up_it_says_so(specs: tuple[Spec, ...], tmp_path: Path) -> None:
    cluster, _ = down_over_a_late_value(specs, tmp_path)
    given: list[bool] = []
    after(cluster, f"cp1: write {CONFIG_PATH}", lambda: given.append(True))

    def pause() -> None:
        if given:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="interrupted") as caught:
        cluster.session(pause=pause).resume()
    text = "\n".join(caught.value.hints)
    assert "no API server was up" in text
    assert "safe" not in text
    assert wrong_commands(text) == []


def test_r9_reloading_servers_come_up_by_themselves_with_the_file_they_were_given(tmp_path: Path) -> None:
    cluster, _ = down_over_a_late_value(THREE_RELOADING, tmp_path)
    with pytest.raises(StoppedError):
        cluster.session().resume()
    assert [server.host.restarts for server in cluster.servers] == [0, 0, 0]


def test_r9_with_no_server_up_the_others_wait_for_the_first_and_are_started_one_by_one(tmp_path: Path) -> None:
    cluster, _ = down_over_a_late_value(THREE_RESTARTED, tmp_path)
    begun, ready_then = len(cluster.switch.labels), []
    for server in cluster.servers:
        after(cluster, f"{server.name}: restart", lambda: ready_then.append(sum(s.ready for s in cluster.servers)))
    with pytest.raises(StoppedError):
        cluster.session().resume()
    restarts = [label for label in cluster.switch.labels[begun:] if label.endswith(": restart")]
    assert restarts == ["cp1: restart", "cp2: restart", "cp3: restart"]
    assert ready_then == [0, 1, 2]


def test_with_no_server_up_an_etcd_of_another_cluster_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    cluster, _ = down_over_a_late_value(THREE_RESTARTED, tmp_path)
    other = new_object("namespaces", None, "kube-system")
    cluster.store(other, other.plain)
    files, restarts = files_of(cluster), [server.host.restarts for server in cluster.servers]
    with pytest.raises(UnreachableError, match="not the etcd of the cluster"):
        cluster.session().resume()
    assert files_of(cluster) == files
    assert [server.host.restarts for server in cluster.servers] == restarts
