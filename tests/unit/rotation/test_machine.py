"""The machine as a table: the way forward, what blocks every edge, and the states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyctl.rotation import steps
from keyctl.rotation.machine import next_step, state_of
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, State
from keyctl.rotation.steps import stage_after
from tests.unit.rotation.machine_views import (
    ADDED,
    BASE,
    GONE,
    HISTORY,
    PROMOTED,
    READABLE,
    RETIRED,
    REWRITTEN,
    SETTLED,
    SETTLED_AGAIN,
    SWITCHED,
    VERIFIED,
    at,
    back,
    between,
    down,
    seen,
    unflagged,
)

A, B = at(BASE), at(BASE, "b")
ALL_WRITE = (at(PROMOTED), at(PROMOTED, "b"))
ALL_GONE = (at(RETIRED), at(RETIRED, "b"))
RELOADING = replace(between(ADDED, BASE, reloads=True), proven=None)


@pytest.mark.parametrize(
    ("observation", "step", "state"),
    [
        pytest.param(seen(A, B), steps.WriteFile("a", ADDED), State.GENERATED, id="begin with the first file"),
        pytest.param(
            seen(unflagged(between(ADDED, BASE)), B),
            steps.EditManifest("a"),
            State.ADDING,
            id="a file that no flag names needs the flag before the restart",
        ),
        pytest.param(
            seen(unflagged(between(ADDED, BASE), missing=False), B),
            steps.Restart("a", ADDED),
            State.ADDING,
            id="then restart",
        ),
        pytest.param(
            seen(at(ADDED, proven=False), B), steps.ProveServer("a"), State.ADDING, id="prove before the next"
        ),
        pytest.param(seen(at(ADDED), B), steps.WriteFile("b", ADDED), State.ADDING, id="the next server"),
        pytest.param(
            seen(RELOADING, at(BASE, "b", reloads=True)),
            steps.WriteFile("b", ADDED),
            State.ADDING,
            id="where servers reload all files are placed first",
        ),
        pytest.param(
            seen(RELOADING, replace(RELOADING, name="b")),
            steps.AwaitLoaded(("a", "b")),
            State.ADDING,
            id="then all are waited for",
        ),
        pytest.param(
            seen(RELOADING, B), steps.WriteFile("b", ADDED), State.ADDING, id="restarts do not wait for reloads"
        ),
        pytest.param(seen(at(ADDED), at(ADDED, "b")), steps.ProveReadable(), State.ADDING, id="prove all"),
        pytest.param(
            seen(at(ADDED), at(ADDED, "b"), proofs=Proofs(readable=1)),
            steps.ProveReadable(),
            State.ADDING,
            id="one proof is not enough",
        ),
        pytest.param(
            seen(at(ADDED), at(ADDED, "b"), proofs=READABLE),
            steps.WriteFile("a", PROMOTED),
            State.READABLE,
            id="read before write is proven twice",
        ),
        pytest.param(
            seen(at(ADDED, floor=ADDED), at(ADDED, "b", floor=ADDED)),
            steps.ProveReadable(),
            State.GENERATED,
            id="what can be read from the start needs no file, but the proof",
        ),
        pytest.param(
            seen(at(ADDED, floor=ADDED, proven=False)),
            steps.ProveServer("a"),
            State.GENERATED,
            id="and each server is proven",
        ),
        pytest.param(
            seen(at(PROMOTED), at(ADDED, "b")),
            steps.ProveReadable(),
            State.PROMOTING,
            id="a restart takes the proof away, and it is made again",
        ),
        pytest.param(seen(*ALL_WRITE), steps.Switch(), State.PROMOTING, id="all write"),
        pytest.param(seen(*ALL_WRITE, proofs=SWITCHED), steps.Rewrite(), State.SWITCHED, id="rewrite"),
        pytest.param(
            seen(*ALL_WRITE, proofs=replace(SWITCHED, left=7)), steps.Rewrite(), State.REWRITING, id="more is left"
        ),
        pytest.param(seen(*ALL_WRITE, proofs=REWRITTEN), steps.Settle(), State.REWRITING, id="settle"),
        pytest.param(seen(*ALL_WRITE, proofs=SETTLED), steps.ProveVerified(), State.REWRITING, id="scan again"),
        pytest.param(
            seen(*ALL_WRITE, proofs=VERIFIED, leaves=False),
            steps.Done(),
            State.VERIFIED,
            id="where nothing leaves that is the end",
        ),
        pytest.param(
            seen(*ALL_WRITE, proofs=SETTLED, leaves=False, resecured=True),
            steps.ProveVerified(),
            State.REWRITING,
            id="which takes the scan there too",
        ),
        pytest.param(seen(*ALL_WRITE, proofs=VERIFIED), steps.ClearHistory(), State.VERIFIED, id="history"),
        pytest.param(
            seen(*ALL_WRITE, proofs=VERIFIED, resecured=True),
            steps.ClearHistory(),
            State.VERIFIED,
            id="an archive of an earlier run does not stand for history",
        ),
        pytest.param(seen(*ALL_WRITE, proofs=HISTORY), steps.Resecure(), State.VERIFIED, id="the archive"),
        pytest.param(
            seen(*ALL_WRITE, resecured=True),
            steps.Switch(),
            State.PROMOTING,
            id="an archive of an earlier run does not stand for the scan",
        ),
        pytest.param(
            seen(*ALL_WRITE, proofs=HISTORY, resecured=True),
            steps.WriteFile("a", RETIRED),
            State.RESECURED,
            id="only then the old keys leave",
        ),
        pytest.param(
            seen(between(RETIRED, PROMOTED), at(PROMOTED, "b"), proofs=HISTORY, resecured=True),
            steps.Restart("a", RETIRED),
            State.RETIRING,
            id="one at a time",
        ),
        pytest.param(
            seen(at(RETIRED, proven=False), at(PROMOTED, "b"), proofs=HISTORY, resecured=True),
            steps.ProveServer("a"),
            State.RETIRING,
            id="proven before the next here too",
        ),
        pytest.param(
            seen(at(RETIRED), at(PROMOTED, "b"), proofs=HISTORY, resecured=True),
            steps.WriteFile("b", RETIRED),
            State.RETIRING,
            id="the next one retires",
        ),
        pytest.param(
            seen(at(RETIRED), at(PROMOTED, "b"), resecured=True),
            steps.Switch(),
            State.RETIRING,
            id="half retired and nothing proven in this run: all is proven again",
        ),
        pytest.param(
            seen(at(RETIRED), between(RETIRED, PROMOTED, "b"), resecured=True),
            steps.Restart("b", RETIRED),
            State.RETIRING,
            id="the last file is written: it is loaded",
        ),
        pytest.param(
            seen(
                between(RETIRED, PROMOTED, reloads=True),
                at(PROMOTED, "b", reloads=True),
                proofs=Proofs(),
                resecured=True,
            ),
            steps.AwaitLoaded(("a",)),
            State.RETIRING,
            id="half placed: what is placed is waited for before anything is proven",
        ),
        pytest.param(seen(*ALL_GONE), steps.SettleAgain(), State.RETIRING, id="settle after the last"),
        pytest.param(
            seen(at(RETIRED), at(RETIRED, "b", proven=False)), steps.ProveServer("b"), State.RETIRING, id="each lists"
        ),
        pytest.param(
            seen(*ALL_GONE, proofs=SETTLED_AGAIN), steps.ProveGone(), State.RETIRING, id="scan with the keys in hand"
        ),
        pytest.param(seen(*ALL_GONE, proofs=GONE), steps.Done(), State.RETIRED, id="done"),
    ],
)
def test_the_next_step(observation: Observation, step: steps.Step, state: State) -> None:
    assert next_step(observation) == step
    assert state_of(observation) is state


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(
            seen(at(ADDED), down(ADDED, "b")),
            steps.Restart("b", ADDED),
            id="one that was killed in mid-restart is started before anything else",
        ),
        pytest.param(
            seen(between(PROMOTED, ADDED), down(ADDED, "b")),
            steps.Restart("b", ADDED),
            id="never two down: the one that is down first",
        ),
        pytest.param(
            seen(at(PROMOTED), down(RETIRED, "b"), resecured=True),
            steps.Restart("b", RETIRED),
            id="also with the last file",
        ),
        pytest.param(
            seen(unflagged(down(ADDED)), at(BASE, "b")),
            steps.EditManifest("a"),
            id="without the flag it gets the flag before it is started",
        ),
        pytest.param(
            seen(A, down(BASE, "b", seen_ready=True)),
            steps.AwaitLoaded(("b",)),
            id="one that went down by itself is waited for, and nothing else is touched",
        ),
        pytest.param(
            seen(*ALL_WRITE[:1], down(PROMOTED, "b", seen_ready=True), proofs=HISTORY, resecured=True),
            steps.AwaitLoaded(("b",)),
            id="no key leaves while a server is down",
        ),
        pytest.param(
            seen(down(ADDED, reloads=True, seen_ready=True), B),
            steps.AwaitLoaded(("a",)),
            id="a reloading server comes back with the file on its disk",
        ),
    ],
)
def test_a_server_that_is_down_comes_first(observation: Observation, step: steps.Step) -> None:
    assert next_step(observation) == step


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(seen(*ALL_GONE, late=3), steps.WriteFile("a", PROMOTED), id="put back"),
        pytest.param(seen(between(PROMOTED, RETIRED), at(RETIRED, "b"), late=3), steps.Restart("a", PROMOTED)),
        pytest.param(seen(at(PROMOTED, proven=False), at(RETIRED, "b"), late=3), steps.ProveServer("a")),
        pytest.param(seen(at(PROMOTED), at(RETIRED, "b"), late=3), steps.WriteFile("b", PROMOTED), id="everywhere"),
        pytest.param(
            seen(between(PROMOTED, RETIRED, reloads=True), at(RETIRED, "b", reloads=True), late=3),
            steps.WriteFile("b", PROMOTED),
            id="where servers reload all files are placed first",
        ),
        pytest.param(
            seen(between(PROMOTED, RETIRED, reloads=True), between(PROMOTED, RETIRED, "b", reloads=True), late=3),
            steps.AwaitLoaded(("a", "b")),
            id="then waited for",
        ),
        pytest.param(seen(*ALL_WRITE, late=3), steps.Rewrite(), id="then what turned up is rewritten"),
        pytest.param(seen(*ALL_WRITE, late=3, proofs=Proofs(left=2)), steps.Rewrite(), id="all of it"),
        pytest.param(seen(*ALL_WRITE, late=3, proofs=Proofs(left=0)), steps.TurnedUp(), id="then stop and say so"),
    ],
)
def test_what_turns_up_late_puts_the_old_keys_back(observation: Observation, step: steps.Step) -> None:
    assert next_step(observation) == step


@pytest.mark.parametrize("seen_ready", [True, False])
@pytest.mark.parametrize("reloads", [True, False])
@pytest.mark.parametrize("other", [at(RETIRED), between(PROMOTED, RETIRED), between(RETIRED, PROMOTED), at(PROMOTED)])
def test_a_server_that_cannot_start_for_what_turned_up_gets_the_old_keys_before_any_other_is_touched(
    other: ServerView, reloads: bool, seen_ready: bool
) -> None:
    """R10: with the last file on its disk, and a value under an old key, it never becomes ready."""
    server = down(RETIRED, "b", reloads=reloads, seen_ready=seen_ready)
    assert next_step(seen(other, server, late=1)) == steps.WriteFile("b", PROMOTED)
    brought = steps.AwaitLoaded(("b",)) if reloads else steps.Restart("b", PROMOTED)
    assert next_step(seen(other, replace(server, disk=PROMOTED), late=1)) == brought


@pytest.mark.parametrize(
    ("disk", "loaded", "proofs"), [(PROMOTED, ADDED, READABLE), (RETIRED, PROMOTED, HISTORY)], ids=["promote", "retire"]
)
def test_where_servers_reload_every_later_file_is_placed_everywhere_first_too(
    disk: Stage, loaded: Stage, proofs: Proofs
) -> None:
    """R9."""
    servers = between(disk, loaded, reloads=True), at(loaded, "b", reloads=True)
    assert next_step(seen(*servers, proofs=proofs, resecured=True)) == steps.WriteFile("b", disk)


def test_old_keys_that_somebody_put_back_are_loaded_rather_than_refused() -> None:
    assert next_step(seen(between(PROMOTED, RETIRED), at(PROMOTED, "b"))) == steps.Restart("a", PROMOTED)


@pytest.mark.parametrize(
    ("observation", "rule", "message"),
    [
        pytest.param(
            seen(A, down(BASE, "b")), "R11", "b is not ready: TCP: connection refused", id="stopped by others"
        ),
        pytest.param(seen(A, replace(down(BASE, "b"), problem="")), "R11", "b is not ready", id="no answer at all"),
        pytest.param(
            seen(at(ADDED, floor=ADDED), replace(down(ADDED, "b"), floor=ADDED)),
            "R11",
            "b is not ready",
            id="stopped by others with the file that it always had",
        ),
        pytest.param(seen(A, down(ADDED, "b", reloads=True)), "R11", "b is not ready", id="reloading and down"),
        pytest.param(
            back(A, down(ADDED, "b", reloads=True)), "R11", "b is not ready", id="reloading and down on the way back"
        ),
        pytest.param(seen(replace(A, disk=None)), "R8", "changed by somebody else", id="foreign file"),
        pytest.param(back(replace(A, disk=None)), "R8", "changed by somebody else", id="foreign file on the way back"),
        pytest.param(seen(replace(at(ADDED), loaded=None)), "R8", "none of this rotation's", id="foreign file loaded"),
        pytest.param(seen(between(ADDED, PROMOTED)), "R8", "older", id="old file put back"),
        pytest.param(seen(between(BASE, ADDED)), "R8", "older", id="first file put back"),
        pytest.param(seen(at(PROMOTED), B), "R2", "a has a file that writes with the new key, but b cannot", id="R2"),
        pytest.param(
            back(A, at(PROMOTED, "b")), "R2", "b has a file that writes with the new key, but a", id="R2 back"
        ),
        pytest.param(
            seen(at(RETIRED), at(ADDED, "b")), "R2", "b has a file that writes with an old key, but a cannot", id="R3"
        ),
        pytest.param(
            back(at(ADDED), at(RETIRED, "b")), "R2", "a has a file that writes with an old key, but b", id="R3 back"
        ),
        pytest.param(seen(between(PROMOTED, BASE)), "R2", "cannot read that key", id="two stages to load"),
        pytest.param(back(between(ADDED, RETIRED)), "R2", "cannot read that key", id="two stages to load back"),
        pytest.param(
            seen(at(ADDED), between(PROMOTED, ADDED, "b"), B), "R2", "b has a file", id="it counts before it is loaded"
        ),
        pytest.param(
            seen(at(RETIRED), replace(down(ADDED, "b"), seen_ready=True)),
            "R2",
            "b has a file",
            id="and while it is down",
        ),
        pytest.param(
            replace(seen(A, B), census_problem="cp9 is not in the cluster file"), "R11", "cp9", id="census disagrees"
        ),
        pytest.param(
            replace(back(*ALL_WRITE), census_problem="cp9 is not in the cluster file"), "R11", "cp9", id="census back"
        ),
        pytest.param(
            replace(seen(*ALL_GONE, late=1), census_problem="cp9 is not in the cluster file"),
            "R11",
            "cp9",
            id="census late",
        ),
    ],
)
def test_what_blocks_every_edge(observation: Observation, rule: str, message: str) -> None:
    step = next_step(observation)
    assert isinstance(step, steps.Blocked)
    assert step.rule == rule
    assert message in step.message
    last = step.hint if isinstance(step.hint, str) else step.hint[-1]
    assert last.endswith("then: keyctl rotate --resume"), "the rotation was begun, so it cannot be begun again"


@pytest.mark.parametrize(
    ("observation", "state"),
    [
        pytest.param(seen(A, down(BASE, "b", seen_ready=True)), State.GENERATED, id="down with the file it had"),
        pytest.param(seen(A, down(ADDED, "b")), State.ADDING, id="down with ours"),
        pytest.param(seen(A, between(PROMOTED, ADDED, "b")), State.PROMOTING, id="on disk"),
        pytest.param(seen(*ALL_WRITE, between(RETIRED, PROMOTED, "c"), proofs=HISTORY), State.RETIRING, id="one disk"),
        pytest.param(seen(*ALL_WRITE, between(PROMOTED, RETIRED, "c"), late=1), State.RETIRING, id="put back, loaded"),
        pytest.param(seen(*ALL_WRITE, proofs=VERIFIED, resecured=True), State.VERIFIED, id="history is missing"),
        pytest.param(seen(*ALL_GONE, proofs=GONE, resecured=True), State.RETIRED, id="the end"),
    ],
)
def test_the_state_that_an_observation_proves(observation: Observation, state: State) -> None:
    assert state_of(observation) is state


@pytest.mark.parametrize(
    ("step", "stage"),
    [
        *((steps.WriteFile("a", stage), stage) for stage in Stage),
        *((steps.Restart("a", stage), stage) for stage in Stage),
        (steps.RestoreManifest("a"), BASE),
        (steps.EditManifest("a"), None),
        (steps.AwaitLoaded(("a",)), None),
        (steps.ProveServer("a"), None),
        (steps.Rewrite(), None),
        (steps.ProveGone(), None),
        (steps.Done(), None),
    ],
)
def test_the_stage_that_a_step_brings_its_server_to(step: steps.Step, stage: Stage | None) -> None:
    assert stage_after(step) is stage
