"""The window closes while a rotation runs: it rests where it may, everything is up then, and it goes on later."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from keyctl.errors import ExitCode, StoppedError
from keyctl.rotation import steps
from keyctl.rotation.closing import CLOSED, WindowClosedError, can_rest_in, rests
from keyctl.rotation.plan import Stage, State
from tests.support.sim_server import Spec
from tests.support.simulator import MIXED, THREE_RELOADING, THREE_RESTARTED, SimCluster
from tests.unit.rotation.scenes import (
    ROTATE,
    SCENES,
    assert_done,
    begin,
    go_on,
    have_old_key,
    plans,
    skip_slow_parts,
)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_slow_parts(monkeypatch)


class Closes:
    """A window that closes at the `at`-th chance to stop, and stays shut."""

    def __init__(self, at: int) -> None:
        self.left, self.chances = at, 0

    def __call__(self) -> None:
        self.chances += 1
        if 0 < self.left <= self.chances:
            raise WindowClosedError("the maintenance window closed", hint="it opens again")


def chances(directory: Path, specs: tuple[Spec, ...]) -> int:
    """How many chances to stop a whole rotation gives."""
    whole = Closes(0)
    begin(SimCluster(directory, specs).session(pause=whole), ROTATE)
    return whole.chances


SETS = {"restart": THREE_RESTARTED, "reload": THREE_RELOADING, "mixed": MIXED}


@pytest.mark.parametrize("specs", SETS.values(), ids=SETS)
def test_whenever_it_closes_every_server_is_up_and_the_next_window_goes_on_to_the_end(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    rested: set[object] = set()
    told: list[WindowClosedError] = []
    carried_through = 0
    for at in range(1, chances(tmp_path / "whole", specs), 19):
        cluster = SimCluster(tmp_path / str(at), specs)
        try:
            begin(cluster.session(pause=Closes(at)), ROTATE)
        except WindowClosedError as closed:
            told.append(closed)
            assert all(server.ready for server in cluster.servers), f"at chance {at}"
            assert cluster.lease_record.place is None
            records = cluster.journal().unfinished()
            assert rests(records) is bool(records)
            # One that lets go of the old key does not rest before the last proof.
            assert have_old_key(cluster) == [True] * 3
            rested.update(record["state"] for record in records if record["kind"] == "state")
            cluster.clock.advance(86_400)
            go_on(cluster, ROTATE)
        else:
            carried_through += 1
        assert_done(cluster, SCENES[2])
    assert {error.exit_code for error in told} == {ExitCode.STOPPED}
    assert {error.hints[0] for error in told} == {"it opens again"}
    assert {"adding", "promoting", "rewriting"} <= rested
    assert carried_through > 0, "what began to let go of the old key before it closed"


@pytest.mark.parametrize("specs", SETS.values(), ids=SETS)
def test_short_windows_one_after_the_other_end_in_one_finished_rotation(
    specs: tuple[Spec, ...], tmp_path: Path
) -> None:
    cluster = SimCluster(tmp_path, specs)
    for windows in itertools.count(1):
        assert windows < 30, "it gets nowhere"
        session = cluster.session(pause=Closes(80))
        try:
            session.resume() if cluster.journal().unfinished() else begin(session, ROTATE)
        except WindowClosedError:
            cluster.clock.advance(86_400)
        else:
            break
    assert windows > 1
    assert_done(cluster, SCENES[2])


def test_a_restart_that_was_begun_is_waited_for(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    shut = False

    def pause() -> None:
        if shut:
            raise WindowClosedError("the maintenance window closed")

    def close() -> None:
        nonlocal shut
        shut = True

    host = cluster.server("cp1").host
    do_restart = host.do_restart

    def restart() -> None:
        close()
        do_restart()

    host.do_restart = restart
    with pytest.raises(WindowClosedError):
        begin(cluster.session(pause=pause), ROTATE)
    assert [server.host.restarts for server in cluster.servers] == [1, 0, 0]
    assert cluster.server("cp1").ready
    (plan,) = plans(cluster)
    assert plan.server("cp1").stage_of(cluster.server("cp1").config.sha256) is Stage.ADDED


def test_how_things_stand_is_told_with_the_way_on_and_the_way_back(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(WindowClosedError) as caught:
        begin(cluster.session(pause=Closes(30)), ROTATE)
    assert caught.value.hints == (
        "it opens again",
        "every server reads every value: this state is safe for as long as you like",
        "go on with: keyctl rotate --resume",
        "or go back: keyctl rotate --abort",
    )


def test_before_anything_is_begun_the_close_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    with pytest.raises(WindowClosedError):
        begin(cluster.session(pause=Closes(1)), ROTATE)
    assert cluster.switch.labels == []
    assert cluster.journal().records() == ()


def test_only_what_stopped_with_its_window_and_was_left_alone_since_counts_as_resting(tmp_path: Path) -> None:
    cluster = SimCluster(tmp_path)
    assert not rests(cluster.journal().unfinished())
    with pytest.raises(WindowClosedError):
        begin(cluster.session(pause=Closes(30)), ROTATE)
    assert rests(cluster.journal().unfinished())
    assert cluster.journal().unfinished()[-1]["kind"] == CLOSED
    with pytest.raises(StoppedError, match="paused"):
        cluster.session(pause_after=State.ADDING).resume()
    assert not rests(cluster.journal().unfinished()), "somebody went on by hand, and stopped it by hand"


def test_on_the_way_back_too_nobody_rests_once_the_new_key_leaves(tmp_path: Path) -> None:
    whole = Closes(0)
    cluster = SimCluster(tmp_path / "whole")
    with pytest.raises(StoppedError):
        begin(cluster.session(pause_after=State.VERIFIED), ROTATE)
    cluster.session(pause=whole).abort(confirm=lambda _: True)
    for at in range(1, whole.chances, 23):
        cluster = SimCluster(tmp_path / str(at))
        with pytest.raises(StoppedError):
            begin(cluster.session(pause_after=State.VERIFIED), ROTATE)
        try:
            cluster.session(pause=Closes(at)).abort(confirm=lambda _: True)
        except WindowClosedError:
            (plan,) = plans(cluster)
            assert all(b"name: " + plan.new.name.encode() in text for text in texts(cluster))
            assert all(server.ready for server in cluster.servers)
            cluster.session().resume()
        assert cluster.journal().unfinished() == ()


def texts(cluster: SimCluster) -> list[bytes]:
    return [server.host.files["/etc/kubernetes/enc/enc.yaml"].content for server in cluster.servers]


@pytest.mark.parametrize(
    ("step", "rest"),
    [
        (None, True),
        (steps.Rewrite(), True),
        (steps.Settle(), True),
        (steps.ClearHistory(), True),
        (steps.Restart("cp1", Stage.ADDED), False),
        (steps.AwaitLoaded(("cp1",)), False),
        (steps.WriteFile("cp1", Stage.ADDED), False),
        (steps.ProveServer("cp1"), False),
        (steps.Resecure(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_work_in_small_parts_can_be_left_and_an_act_on_a_server_cannot(step: steps.Step | None, rest: bool) -> None:
    assert can_rest_in(step) is rest
