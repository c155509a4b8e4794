"""Hosts that do not tell everything, and servers that a kubelet restarts: what a rotation makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyctl.errors import RefusedError
from keyctl.hosts.pod_edits import RESTART_MARK, with_restart_mark
from keyctl.rotation.plan import State
from tests.support.sim_server import CONFIG_PATH, MANIFEST_PATH
from tests.support.simulator import SimCluster
from tests.unit.rotation.scenes import ENABLE, ROTATE, SCENES, Agree, stops

ENABLE_WITHOUT_FLAG = SCENES[0]


def _mark(cluster: SimCluster, mark: str) -> None:
    for server in cluster.servers:
        host = server.host
        host.place(MANIFEST_PATH, with_restart_mark(host.files[MANIFEST_PATH].content, mark, name="manifest"))


def test_what_a_host_does_not_tell_stands_in_the_plan_and_stops_nothing(tmp_path: Path) -> None:
    cluster, agree = SimCluster(tmp_path), Agree()
    host = cluster.server("cp2").host
    host.files[CONFIG_PATH] = replace(host.files[CONFIG_PATH], mode=None)
    host.free = None
    done = cluster.session().start(ROTATE, confirm=agree)
    assert done.state is State.RETIRED
    gaps = [line for line in agree.shown[0] if line.startswith("  ! ")]
    assert len(gaps) == 2
    assert f"who may read {CONFIG_PATH} on cp2 is not known" in gaps[0]
    assert "free space on cp2 is not known" in gaps[1]


def test_hosts_that_tell_everything_leave_no_gap_in_the_plan(tmp_path: Path) -> None:
    cluster, agree = SimCluster(tmp_path), Agree()
    cluster.session().start(ROTATE, confirm=agree)
    assert not [line for line in agree.shown[0] if "not known" in line]


def test_r13_an_unknown_mode_is_no_excuse_for_one_that_is_known(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    for name, mode in (("cp1", None), ("cp2", 0o644)):
        host = cluster.server(name).host
        host.files[CONFIG_PATH] = replace(host.files[CONFIG_PATH], mode=mode)
    error = stops(cluster)
    assert isinstance(error, RefusedError)
    assert error.rule == "R13"


@pytest.mark.parametrize("before", [False, True])
def test_the_marks_of_restarts_do_not_keep_a_manifest_from_being_given_back(tmp_path: Path, before: bool) -> None:
    cluster = ENABLE_WITHOUT_FLAG.cluster(tmp_path)
    if before:
        _mark(cluster, "of another rotation")
    was = [server.host.files[MANIFEST_PATH].content for server in cluster.servers]
    with pytest.raises(Exception, match="paused"):
        cluster.session(pause_after=State.REWRITING).start(ENABLE, confirm=Agree())
    _mark(cluster, "of this one")
    assert cluster.session().abort(confirm=Agree()).state is State.ABORTED
    assert [server.host.files[MANIFEST_PATH].content for server in cluster.servers] == was
    assert all((RESTART_MARK.encode() in content) is before for content in was)
