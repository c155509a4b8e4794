"""The laws of the machine: over observations that nobody thought of, and over walks through a tiny cluster."""

from __future__ import annotations

import copy
from dataclasses import replace
from enum import Enum, auto
from typing import assert_never

from hypothesis import given
from hypothesis import strategies as st

from keyctl.rotation import steps
from keyctl.rotation.machine import next_step, state_of
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, State, Way
from keyctl.rotation.steps import stage_after
from tests.unit.rotation.machine_model import GOAL, ModelServer, ModelWorld
from tests.unit.rotation.machine_views import ADDED, BASE, PROMOTED, RETIRED

floors = st.sampled_from([BASE, BASE, ADDED])
revisions = st.none() | st.integers(1, 9)


@st.composite
def views(draw: st.DrawFn, stages: st.SearchStrategy[Stage | None]) -> ServerView:
    ready = draw(st.integers(0, 4)) > 0
    unsure = ready and draw(st.integers(0, 4)) == 0
    loaded = draw(stages) if ready and not unsure else None
    reloads = draw(st.booleans())
    had_flag = reloads or draw(st.booleans())
    return ServerView(
        name="",
        reloads=reloads,
        ready=ready,
        disk=draw(stages),
        loaded=loaded,
        floor=draw(floors) if had_flag else BASE,
        had_flag=had_flag,
        flag_missing=not had_flag and draw(st.booleans()),
        proven=loaded if draw(st.integers(0, 3)) else None,
        seen_ready=ready or draw(st.booleans()),
        unsure=unsure,
    )


proofs = st.builds(
    Proofs,
    readable=st.integers(0, 3),
    switched=revisions,
    left=st.none() | st.integers(0, 2),
    settled=st.booleans(),
    verified=revisions,
    history=st.booleans(),
    settled_again=st.booleans(),
    gone=revisions,
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything; mostly of two neighbouring stages, for anything else is refused at once."""
    low = draw(st.integers(0, 2))
    near: st.SearchStrategy[Stage | None] = st.sampled_from([Stage(low), Stage(low + 1)])
    stages = near if draw(st.integers(0, 5)) else st.none() | st.sampled_from(Stage)
    servers = draw(st.lists(views(stages), min_size=1, max_size=4))
    return Observation(
        tuple(replace(server, name=f"s{number}") for number, server in enumerate(servers)),
        draw(st.sampled_from(["", "", "", "", "cp9 is not listed"])),
        draw(proofs),
        draw(st.sampled_from(Way)),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([0, 0, 0, 2])),
    )


def spread(servers: tuple[ServerView, ...]) -> int:
    """How many stages apart the servers are, on disk or loaded."""
    stages = [stage for server in servers for stage in (server.disk, server.loaded) if stage is not None]
    return max(stages) - min(stages) if stages else 0


def proven(observation: Observation, *stages: Stage) -> bool:
    """Whether every server was seen ready, listing everything, with one of these files."""
    return all(server.ready and server.proven in stages for server in observation.servers)


def unused(observation: Observation) -> bool:
    """Whether all is proven that there must be before a key leaves (R3, R6, R7)."""
    found = observation.proofs
    clean = found.switched is not None and found.left == 0 and found.settled and found.verified is not None
    return clean and found.history and observation.resecured and observation.leaves and not observation.late


def let_go(observation: Observation) -> bool:
    """Whether every server is without the leaving key already."""
    return all(server.disk is server.loaded is GOAL[observation.way] for server in observation.servers)


def check_file(observation: Observation, name: str, stage: Stage) -> None:
    """What must have been seen before this file is written."""
    servers = observation.servers
    have = next(server.disk for server in servers if server.name == name)
    assert have is not None
    assert abs(have - stage) == 1
    assert spread(tuple(replace(s, disk=stage) if s.name == name else s for s in servers)) <= 1, "R2"
    if not observation.late and not (observation.way is Way.BACK and have is RETIRED):
        assert all(server.ready for server in servers), "R9"
        assert (stage > have) is (observation.way is Way.FORWARD) or have is RETIRED or observation.way is Way.BACK
    if stage is RETIRED:
        assert observation.way is Way.FORWARD
        assert unused(observation), "R3"
        assert proven(observation, PROMOTED, RETIRED)
    if stage is BASE:
        assert observation.way is Way.BACK
        assert unused(observation), "R7"
        assert proven(observation, ADDED, BASE)
    if stage is PROMOTED and have is ADDED:
        assert observation.proofs.readable >= 2, "R2"
        assert proven(observation, ADDED, PROMOTED, RETIRED), "R2"
    if stage is ADDED and have is PROMOTED:
        assert proven(observation, BASE, ADDED, PROMOTED), "R2"


def check_server(observation: Observation, step: steps.Step, name: str) -> None:
    """What must have been seen before this server is touched."""
    server = next(server for server in observation.servers if server.name == name)
    match step:
        case steps.Restart(_, stage):
            assert not server.reloads
            assert stage is (BASE if server.flag_missing else server.disk)
        case steps.EditManifest():
            assert server.flag_missing
            assert server.disk is not BASE
        case steps.RestoreManifest():
            assert not server.had_flag
            assert observation.way is Way.BACK
            assert unused(observation) or let_go(observation), "R7"
            assert proven(observation, ADDED, BASE)
        case steps.ProveServer():
            assert server.ready
            assert server.proven is None or observation.late or observation.way is Way.BACK


def check_proof(observation: Observation, step: steps.Step) -> None:
    """What must have been seen before this is proven of all servers."""
    assert all(server.ready for server in observation.servers)
    forward, found = observation.way is Way.FORWARD, observation.proofs
    match step:
        case steps.ProveReadable():
            assert forward
            assert proven(observation, ADDED, PROMOTED, RETIRED), "R2"
            return
        case steps.Rewrite() | steps.TurnedUp() if observation.late:
            assert proven(observation, ADDED, PROMOTED, *((BASE, ADDED) if forward else (RETIRED,)))
            return
    assert not observation.late
    assert proven(observation, *((PROMOTED, RETIRED) if forward else (ADDED, BASE))), "R1"
    match step:
        case steps.Rewrite() | steps.Settle() | steps.ProveVerified() | steps.ClearHistory():
            assert found.switched is not None
        case steps.SettleAgain() | steps.ProveGone():
            assert observation.leaves
        case steps.Done():
            assert found.gone is not None if observation.leaves else found.verified is not None
    if isinstance(step, steps.ProveVerified | steps.ClearHistory | steps.Resecure):
        assert found.left == 0
        assert found.settled
    if isinstance(step, steps.Resecure):
        assert found.verified is not None
        assert found.history
    if isinstance(step, steps.ProveGone):
        assert found.settled_again
    if isinstance(step, steps.SettleAgain | steps.ProveGone):
        assert all(
            s.disk is GOAL[observation.way] or (s.disk is not None and not forward and s.disk <= s.floor)
            for s in observation.servers
        )


@given(observations())
def test_there_is_always_a_next_step_and_it_keeps_the_rules(observation: Observation) -> None:
    step = next_step(observation)
    match step:
        case steps.WriteFile(name, stage):
            check_file(observation, name, stage)
        case steps.Restart(name) | steps.EditManifest(name) | steps.RestoreManifest(name):
            check_server(observation, step, name)
        case steps.ProveServer(name):
            check_server(observation, step, name)
        case steps.AwaitLoaded(names):
            assert names
            for server in observation.servers:
                assert server.name not in names or server.reloads or not server.ready
        case steps.Blocked():
            assert step.rule in {"R2", "R8", "R11"}
        case (
            steps.ProveReadable()
            | steps.Switch()
            | steps.Rewrite()
            | steps.Settle()
            | steps.ProveVerified()
            | steps.ClearHistory()
            | steps.Resecure()
            | steps.SettleAgain()
            | steps.ProveGone()
            | steps.TurnedUp()
            | steps.Done()
        ):
            check_proof(observation, step)
        case _:
            assert_never(step)


@given(observations())
def test_servers_that_are_two_stages_apart_are_never_touched(observation: Observation) -> None:
    step = next_step(observation)
    if spread(observation.servers) > 1:
        assert isinstance(step, steps.Blocked)
    if stage_after(step) is not None:
        assert spread(observation.servers) <= 1


@given(observations())
def test_no_server_is_restarted_while_another_is_down(observation: Observation) -> None:
    step = next_step(observation)
    if isinstance(step, steps.Restart):
        down = {server.name for server in observation.servers if not server.ready}
        assert not down or step.server in down, "R9"


@given(observations())
def test_a_census_that_disagrees_blocks_every_edge_while_all_are_up(observation: Observation) -> None:
    up = tuple(replace(server, ready=True, seen_ready=True) for server in observation.servers)
    assert isinstance(next_step(replace(observation, servers=up, census_problem="cp9")), steps.Blocked)


@given(observations())
def test_a_state_is_told_for_everything_that_can_be_seen(observation: Observation) -> None:
    state = state_of(observation)
    assert state.position >= State.GENERATED.position
    assert (state in {State.ABORTING, State.ABORTED}) is (observation.way is Way.BACK)


class Turn(Enum):
    """What happens next in a walk."""

    STEP = auto()
    KILLED_AFTER = auto()
    KILLED_IN_RESTART = auto()
    POLL = auto()
    STOPPED_BY_ITSELF = auto()
    LATE = auto()
    ABORT = auto()


# So many steps undisturbed, then that.
walks = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(Turn)), max_size=6)


@st.composite
def worlds(draw: st.DrawFn) -> ModelWorld:
    servers = []
    for number in range(draw(st.integers(1, 3))):
        reloads = draw(st.booleans())
        had_flag = reloads or draw(st.booleans())
        floor = draw(floors) if had_flag else BASE
        servers.append(ModelServer(f"s{number}", reloads, had_flag, floor, silent=draw(st.booleans())))
    return ModelWorld(servers, retires=draw(st.booleans()))


def take(world: ModelWorld, turn: Turn) -> None:
    """One turn of a walk; nobody but the run and the servers themselves does anything."""
    step = next_step(world.look())
    if isinstance(step, steps.Blocked) and world.kubelet():
        step = next_step(world.look())
    assert not isinstance(step, steps.Blocked), step
    match turn:
        case Turn.STEP:
            obey(world, step)
        case Turn.KILLED_AFTER:
            obey(world, step)
            world.new_process()
        case Turn.KILLED_IN_RESTART:
            if isinstance(step, steps.Restart):
                world.server(step.server).loaded = None
            world.new_process()
        case Turn.POLL:
            world.poll()
        case Turn.STOPPED_BY_ITSELF:
            # It comes back by itself, with what is on its disk: this run has seen it ready.
            if all(server.loaded is not None for server in world.servers):
                world.servers[0].loaded = None
                obey(world, next_step(world.look()))
        case Turn.LATE:
            world.land()
        case Turn.ABORT:
            world.turn_round()


def obey(world: ModelWorld, step: steps.Step) -> None:
    """Take the step, unless it takes away a key without what must be proven first."""
    seen = world.look()
    if isinstance(step, steps.WriteFile):
        check_file(seen, step.server, step.stage)
    world.act(step)


def finish(world: ModelWorld) -> None:
    """Undisturbed, the machine ends: each server takes at most four steps a stage, and the proofs are few."""
    for _ in range(2 * (16 * len(world.servers) + 16)):
        step = next_step(world.look())
        if isinstance(step, steps.Blocked) and world.kubelet():
            continue
        assert not isinstance(step, steps.Blocked), step
        if isinstance(step, steps.Done):
            return
        obey(world, step)
    raise AssertionError("no end in sight")


@given(worlds(), walks)
def test_wherever_it_was_killed_or_turned_round_it_comes_to_its_end(
    world: ModelWorld, walk: list[tuple[int, Turn]]
) -> None:
    for undisturbed, turn in walk:
        for _ in range(undisturbed):
            take(world, Turn.STEP)
        take(world, turn)
    for way in {world.way, Way.BACK}:
        ending = copy.deepcopy(world)
        ending.way = way
        ending.new_process()
        finish(ending)
        stages = {(server.disk, server.loaded) for server in ending.servers}
        if way is Way.FORWARD:
            last = RETIRED if world.retires else PROMOTED
            assert stages == {(last, last)}
        else:
            assert all(server.disk is server.loaded is server.floor for server in ending.servers)
            assert all(server.flag is server.had_flag for server in ending.servers)
