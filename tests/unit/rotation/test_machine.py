"""The machine as a table, and its laws over observations that nobody thought of."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.rotation import machine
from keyctl.rotation.machine import next_step, state_of
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, State

BASE, ADDED, PROMOTED = Stage.BASE, Stage.ADDED, Stage.PROMOTED
READABLE = Proofs(readable=2)
SWITCHED = Proofs(readable=2, switched=100)
REWRITTEN = replace(SWITCHED, left=0)
SETTLED = replace(REWRITTEN, settled=True)
VERIFIED = replace(SETTLED, verified=120)


def at(stage: Stage, name: str = "a", *, reloads: bool = False, proven: bool = True) -> ServerView:
    """A server that is ready with the file of `stage` on its disk and loaded."""
    return ServerView(name, reloads, True, stage, stage, proven=stage if proven else None, seen_ready=True)


def seen(*servers: ServerView, proofs: Proofs | None = None) -> Observation:
    return Observation(servers, proofs=proofs or Proofs())


def down(stage: Stage, name: str = "a", *, reloads: bool = False, seen_ready: bool = False) -> ServerView:
    return ServerView(name, reloads, False, stage, None, seen_ready=seen_ready, problem="TCP: connection refused")


A, B = at(BASE), at(BASE, "b")
RELOADING = replace(at(ADDED, "a", reloads=True), loaded=BASE, proven=None)


@pytest.mark.parametrize(
    ("observation", "step", "state"),
    [
        pytest.param(seen(A, B), machine.WriteFile("a", ADDED), State.GENERATED, id="begin with the first file"),
        pytest.param(
            seen(replace(A, disk=ADDED, flag_missing=True), B),
            machine.EditManifest("a"),
            State.ADDING,
            id="a file that no flag names needs the flag before the restart",
        ),
        pytest.param(seen(replace(A, disk=ADDED), B), machine.Restart("a", ADDED), State.ADDING, id="then restart"),
        pytest.param(
            seen(at(ADDED, proven=False), B), machine.ProveServer("a"), State.ADDING, id="prove before the next"
        ),
        pytest.param(seen(at(ADDED), B), machine.WriteFile("b", ADDED), State.ADDING, id="the next server"),
        pytest.param(
            seen(RELOADING, at(BASE, "b", reloads=True)),
            machine.WriteFile("b", ADDED),
            State.ADDING,
            id="where servers reload all files are placed first",
        ),
        pytest.param(
            seen(RELOADING, replace(RELOADING, name="b")),
            machine.AwaitLoaded(("a", "b"), ADDED),
            State.ADDING,
            id="then all are waited for",
        ),
        pytest.param(seen(at(ADDED), at(ADDED, "b")), machine.ProveReadable(), State.ADDING, id="prove all"),
        pytest.param(
            seen(at(ADDED), at(ADDED, "b"), proofs=Proofs(readable=1)),
            machine.ProveReadable(),
            State.ADDING,
            id="one proof is not enough",
        ),
        pytest.param(
            seen(at(ADDED), at(ADDED, "b"), proofs=READABLE),
            machine.WriteFile("a", PROMOTED),
            State.READABLE,
            id="read before write is proven twice",
        ),
        pytest.param(
            seen(at(PROMOTED), at(ADDED, "b")),
            machine.ProveReadable(),
            State.PROMOTING,
            id="a restart takes the proof away, and it is made again",
        ),
        pytest.param(seen(at(PROMOTED), at(PROMOTED, "b")), machine.Switch(), State.PROMOTING, id="all write"),
        pytest.param(
            seen(at(PROMOTED), at(PROMOTED, "b"), proofs=SWITCHED), machine.Rewrite(), State.SWITCHED, id="rewrite"
        ),
        pytest.param(
            seen(at(PROMOTED), proofs=replace(SWITCHED, left=7)), machine.Rewrite(), State.REWRITING, id="more is left"
        ),
        pytest.param(seen(at(PROMOTED), proofs=REWRITTEN), machine.Settle(), State.REWRITING, id="settle"),
        pytest.param(seen(at(PROMOTED), proofs=SETTLED), machine.ProveVerified(), State.REWRITING, id="scan again"),
        pytest.param(seen(at(PROMOTED), proofs=VERIFIED), machine.Done(), State.VERIFIED, id="done"),
        pytest.param(
            seen(at(ADDED), down(ADDED, "b")),
            machine.Restart("b", ADDED),
            State.ADDING,
            id="one that was killed in mid-restart is started before anything else",
        ),
        pytest.param(
            seen(replace(at(ADDED), disk=PROMOTED), down(ADDED, "b")),
            machine.Restart("b", ADDED),
            State.PROMOTING,
            id="never two down: the one that is down first",
        ),
        pytest.param(
            seen(A, down(BASE, "b", seen_ready=True)),
            machine.AwaitLoaded(("b",), BASE),
            State.GENERATED,
            id="one that went down by itself is waited for, and nothing else is touched",
        ),
        pytest.param(
            seen(down(ADDED, reloads=True, seen_ready=True), B),
            machine.AwaitLoaded(("a",), ADDED),
            State.ADDING,
            id="a reloading server comes back with the file on its disk",
        ),
    ],
)
def test_the_next_step(observation: Observation, step: machine.Step, state: State) -> None:
    assert next_step(observation) == step
    assert state_of(observation) is state


@pytest.mark.parametrize(
    ("observation", "rule", "message"),
    [
        pytest.param(
            seen(A, down(BASE, "b")), "R11", "b is not ready: TCP: connection refused", id="stopped by others"
        ),
        pytest.param(seen(A, down(ADDED, "b", reloads=True)), "R11", "b is not ready", id="reloading and down"),
        pytest.param(seen(replace(A, disk=None)), "R8", "changed by somebody else", id="foreign file"),
        pytest.param(seen(replace(at(ADDED), loaded=None)), "R8", "none of this rotation's", id="foreign file loaded"),
        pytest.param(seen(replace(at(PROMOTED), disk=ADDED)), "R8", "older", id="old file put back"),
        pytest.param(seen(at(PROMOTED), B), "R2", "a has a file that writes", id="one cannot read what another writes"),
        pytest.param(
            replace(seen(A, B), census_problem="cp9 is not in the cluster file"), "R11", "cp9", id="census disagrees"
        ),
    ],
)
def test_what_blocks_every_edge(observation: Observation, rule: str, message: str) -> None:
    step = next_step(observation)
    assert isinstance(step, machine.Blocked)
    assert step.rule == rule
    assert message in step.message
    assert step.hint


stages = st.sampled_from(Stage)
maybe = st.none() | stages


@st.composite
def views(draw: st.DrawFn) -> ServerView:
    ready = draw(st.booleans())
    loaded = draw(maybe) if ready else None
    return ServerView(
        name="",
        reloads=draw(st.booleans()),
        ready=ready,
        disk=draw(maybe),
        loaded=loaded,
        flag_missing=draw(st.booleans()),
        proven=loaded if draw(st.booleans()) else None,
        seen_ready=ready or draw(st.booleans()),
    )


proofs = st.builds(
    Proofs,
    readable=st.integers(0, 3),
    switched=st.none() | st.integers(1, 9),
    left=st.none() | st.integers(0, 3),
    settled=st.booleans(),
    verified=st.none() | st.integers(1, 9),
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    servers = draw(st.lists(views(), min_size=1, max_size=4))
    named = tuple(replace(server, name=f"s{number}") for number, server in enumerate(servers))
    return Observation(named, draw(st.sampled_from(["", "", "", "cp9 is not listed"])), draw(proofs))


def reads(server: ServerView) -> bool:
    """Seen to read the new key, now."""
    return server.ready and server.proven is not None and server.proven >= ADDED


@given(observations())
def test_there_is_always_a_next_step_and_it_keeps_the_rules(observation: Observation) -> None:
    step, servers = next_step(observation), observation.servers
    named = {server.name: server for server in servers}
    match step:
        case machine.WriteFile(name, stage):
            assert named[name].disk == stage - 1
            assert all(server.ready for server in servers)
            if stage is PROMOTED:
                assert all(reads(server) for server in servers), "R2"
                assert observation.proofs.readable >= 2, "R2"
        case machine.Restart(name, stage):
            assert not named[name].reloads
            assert named[name].disk is stage
            assert stage is not BASE
            others_down = [other.name for other in servers if other.name != name and not other.ready]
            assert not (named[name].ready and others_down), "R9"
        case machine.EditManifest(name):
            assert named[name].flag_missing
            assert named[name].disk is not BASE
        case machine.AwaitLoaded(names, stage):
            disks = [named[name].disk for name in names]
            assert all(disk is not None and disk >= stage for disk in disks)
        case machine.ProveServer(name):
            assert named[name].ready
            assert named[name].proven is None
        case machine.ProveReadable():
            assert all(reads(server) for server in servers)
        case machine.Switch() | machine.Rewrite() | machine.Settle() | machine.ProveVerified() | machine.Done():
            assert all(server.ready and server.loaded is server.disk is PROMOTED for server in servers)
            if not isinstance(step, machine.Switch):
                assert observation.proofs.switched is not None
            if isinstance(step, machine.ProveVerified | machine.Done):
                assert observation.proofs.left == 0
                assert observation.proofs.settled
            if isinstance(step, machine.Done):
                assert observation.proofs.verified is not None
        case machine.Blocked():
            assert step.rule in {"R2", "R8", "R11"}
        case _:
            assert_never(step)


@given(observations())
def test_a_census_that_disagrees_blocks_every_edge_while_all_are_up(observation: Observation) -> None:
    up = tuple(replace(server, ready=True, seen_ready=True) for server in observation.servers)
    assert isinstance(next_step(replace(observation, servers=up, census_problem="cp9")), machine.Blocked)


@given(observations())
def test_a_state_is_told_for_everything_that_can_be_seen(observation: Observation) -> None:
    assert state_of(observation).position >= State.GENERATED.position
