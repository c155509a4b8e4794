"""A clock that is set makes a process look as if it had just started (R2): of servers that report no hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.sim_server import CONFIG_PATH, Spec
from tests.support.simulator import THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import SCENES, after, assert_done, skip_slow_parts, stops


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


def old(specs: tuple[Spec, ...]) -> tuple[Spec, ...]:
    return tuple(replace(spec, version="v1.33.13") for spec in specs)


def set_clock(cluster: SimCluster, name: str, by: float) -> None:
    """The clock of a server's machine is set: what it says of its start is counted back from there."""
    server = cluster.server(name)
    server.ahead, server.start_time = (server.ahead or 0.0) + by, server.start_time + by
    server.host.files = {
        path: replace(file, ahead=(file.ahead or 0.0) + by) for path, file in server.host.files.items()
    }


@pytest.mark.parametrize("by", [-2.0, 2.0, 600.0])
def test_r2_a_server_that_ignores_its_file_is_not_believed_to_have_it_because_its_clock_was_set(
    by: float, tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RELOADING))
    cluster.server("cp2").lagging = True
    later = lambda: cluster.clock.at(20.0, lambda: set_clock(cluster, "cp2", by))  # noqa: E731 - one line reads best
    after(cluster, f"cp2: write {CONFIG_PATH}", later)
    error = stops(cluster)
    assert "cp2 has not loaded the new configuration" in str(error)
    assert "its clock was set" in (error.cause or "")
    assert not [record for record in cluster.journal().records() if record.get("of") == "readable"]
    cluster.server("cp2").lagging = False
    cluster.server("cp2").restart()
    cluster.clock.advance(30)
    cluster.session().resume()
    assert_done(cluster, SCENES[3])


def test_where_servers_are_restarted_the_restart_settles_it(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path, old(THREE_RESTARTED))
    after(cluster, f"cp2: write {CONFIG_PATH}", lambda: set_clock(cluster, "cp2", 2.0))
    cluster.session().start(SCENES[2].wish, confirm=lambda _: True)
    assert_done(cluster, SCENES[2])
