"""The machine as a table: the way forward, what blocks every edge, and the states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyctl.rotation import machine
from keyctl.rotation.machine import next_step, stage_after, state_of
from keyctl.rotation.observation import Observation, Proofs
from keyctl.rotation.plan import Stage, State
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
        pytest.param(seen(A, B), machine.WriteFile("a", ADDED), State.GENERATED, id="begin with the first file"),
        pytest.param(
            seen(unflagged(between(ADDED, BASE)), B),
            machine.EditManifest("a"),
            State.ADDING,
            id="a file that no flag names needs the flag before the restart",
        ),
        pytest.param(
            seen(unflagged(between(ADDED, BASE), missing=False), B),
            machine.Restart("a", ADDED),
            State.ADDING,
            id="then restart",
        ),
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
            machine.AwaitLoaded(("a", "b")),
            State.ADDING,
            id="then all are waited for",
        ),
        pytest.param(
            seen(RELOADING, B), machine.WriteFile("b", ADDED), State.ADDING, id="restarts do not wait for reloads"
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
            seen(at(ADDED, floor=ADDED), at(ADDED, "b", floor=ADDED)),
            machine.ProveReadable(),
            State.GENERATED,
            id="what can be read from the start needs no file, but the proof",
        ),
        pytest.param(
            seen(at(ADDED, floor=ADDED, proven=False)),
            machine.ProveServer("a"),
            State.GENERATED,
            id="and each server is proven",
        ),
        pytest.param(
            seen(at(PROMOTED), at(ADDED, "b")),
            machine.ProveReadable(),
            State.PROMOTING,
            id="a restart takes the proof away, and it is made again",
        ),
        pytest.param(seen(*ALL_WRITE), machine.Switch(), State.PROMOTING, id="all write"),
        pytest.param(seen(*ALL_WRITE, proofs=SWITCHED), machine.Rewrite(), State.SWITCHED, id="rewrite"),
        pytest.param(
            seen(*ALL_WRITE, proofs=replace(SWITCHED, left=7)), machine.Rewrite(), State.REWRITING, id="more is left"
        ),
        pytest.param(seen(*ALL_WRITE, proofs=REWRITTEN), machine.Settle(), State.REWRITING, id="settle"),
        pytest.param(seen(*ALL_WRITE, proofs=SETTLED), machine.ProveVerified(), State.REWRITING, id="scan again"),
        pytest.param(
            seen(*ALL_WRITE, proofs=VERIFIED, leaves=False),
            machine.Done(),
            State.VERIFIED,
            id="where nothing leaves that is the end",
        ),
        pytest.param(
            seen(*ALL_WRITE, proofs=SETTLED, leaves=False, resecured=True),
            machine.ProveVerified(),
            State.REWRITING,
            id="which takes the scan there too",
        ),
        pytest.param(seen(*ALL_WRITE, proofs=VERIFIED), machine.ClearHistory(), State.VERIFIED, id="history"),
        pytest.param(
            seen(*ALL_WRITE, proofs=VERIFIED, resecured=True),
            machine.ClearHistory(),
            State.VERIFIED,
            id="an archive of an earlier run does not stand for history",
        ),
        pytest.param(seen(*ALL_WRITE, proofs=HISTORY), machine.Resecure(), State.VERIFIED, id="the archive"),
        pytest.param(
            seen(*ALL_WRITE, resecured=True),
            machine.Switch(),
            State.PROMOTING,
            id="an archive of an earlier run does not stand for the scan",
        ),
        pytest.param(
            seen(*ALL_WRITE, proofs=HISTORY, resecured=True),
            machine.WriteFile("a", RETIRED),
            State.RESECURED,
            id="only then the old keys leave",
        ),
        pytest.param(
            seen(between(RETIRED, PROMOTED), at(PROMOTED, "b"), proofs=HISTORY, resecured=True),
            machine.Restart("a", RETIRED),
            State.RETIRING,
            id="one at a time",
        ),
        pytest.param(
            seen(at(RETIRED, proven=False), at(PROMOTED, "b"), proofs=HISTORY, resecured=True),
            machine.ProveServer("a"),
            State.RETIRING,
            id="proven before the next here too",
        ),
        pytest.param(
            seen(at(RETIRED), at(PROMOTED, "b"), proofs=HISTORY, resecured=True),
            machine.WriteFile("b", RETIRED),
            State.RETIRING,
            id="the next one retires",
        ),
        pytest.param(
            seen(at(RETIRED), at(PROMOTED, "b"), resecured=True),
            machine.Switch(),
            State.RETIRING,
            id="half retired and nothing proven in this run: all is proven again",
        ),
        pytest.param(
            seen(at(RETIRED), between(RETIRED, PROMOTED, "b"), resecured=True),
            machine.Restart("b", RETIRED),
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
            machine.AwaitLoaded(("a",)),
            State.RETIRING,
            id="half placed: what is placed is waited for before anything is proven",
        ),
        pytest.param(seen(*ALL_GONE), machine.SettleAgain(), State.RETIRING, id="settle after the last"),
        pytest.param(
            seen(at(RETIRED), at(RETIRED, "b", proven=False)), machine.ProveServer("b"), State.RETIRING, id="each lists"
        ),
        pytest.param(
            seen(*ALL_GONE, proofs=SETTLED_AGAIN), machine.ProveGone(), State.RETIRING, id="scan with the keys in hand"
        ),
        pytest.param(seen(*ALL_GONE, proofs=GONE), machine.Done(), State.RETIRED, id="done"),
    ],
)
def test_the_next_step(observation: Observation, step: machine.Step, state: State) -> None:
    assert next_step(observation) == step
    assert state_of(observation) is state


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(
            seen(at(ADDED), down(ADDED, "b")),
            machine.Restart("b", ADDED),
            id="one that was killed in mid-restart is started before anything else",
        ),
        pytest.param(
            seen(between(PROMOTED, ADDED), down(ADDED, "b")),
            machine.Restart("b", ADDED),
            id="never two down: the one that is down first",
        ),
        pytest.param(
            seen(at(PROMOTED), down(RETIRED, "b"), resecured=True),
            machine.Restart("b", RETIRED),
            id="also with the last file",
        ),
        pytest.param(
            seen(unflagged(down(ADDED)), at(BASE, "b")),
            machine.Restart("a", BASE),
            id="without the flag it comes back without the file",
        ),
        pytest.param(
            seen(A, down(BASE, "b", seen_ready=True)),
            machine.AwaitLoaded(("b",)),
            id="one that went down by itself is waited for, and nothing else is touched",
        ),
        pytest.param(
            seen(*ALL_WRITE[:1], down(PROMOTED, "b", seen_ready=True), proofs=HISTORY, resecured=True),
            machine.AwaitLoaded(("b",)),
            id="no key leaves while a server is down",
        ),
        pytest.param(
            seen(down(ADDED, reloads=True, seen_ready=True), B),
            machine.AwaitLoaded(("a",)),
            id="a reloading server comes back with the file on its disk",
        ),
        pytest.param(
            replace(seen(A, down(BASE, "b", seen_ready=True)), late=2),
            machine.AwaitLoaded(("b",)),
            id="it is waited for whatever else is known",
        ),
    ],
)
def test_a_server_that_is_down_comes_first(observation: Observation, step: machine.Step) -> None:
    assert next_step(observation) == step


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(seen(*ALL_GONE, late=3), machine.WriteFile("a", PROMOTED), id="put back"),
        pytest.param(seen(between(PROMOTED, RETIRED), at(RETIRED, "b"), late=3), machine.Restart("a", PROMOTED)),
        pytest.param(seen(at(PROMOTED, proven=False), at(RETIRED, "b"), late=3), machine.ProveServer("a")),
        pytest.param(seen(at(PROMOTED), at(RETIRED, "b"), late=3), machine.WriteFile("b", PROMOTED), id="everywhere"),
        pytest.param(
            seen(between(PROMOTED, RETIRED, reloads=True), at(RETIRED, "b", reloads=True), late=3),
            machine.WriteFile("b", PROMOTED),
            id="where servers reload all files are placed first",
        ),
        pytest.param(
            seen(between(PROMOTED, RETIRED, reloads=True), between(PROMOTED, RETIRED, "b", reloads=True), late=3),
            machine.AwaitLoaded(("a", "b")),
            id="then waited for",
        ),
        pytest.param(seen(*ALL_WRITE, late=3), machine.Rewrite(), id="then what turned up is rewritten"),
        pytest.param(seen(*ALL_WRITE, late=3, proofs=Proofs(left=2)), machine.Rewrite(), id="all of it"),
        pytest.param(seen(*ALL_WRITE, late=3, proofs=Proofs(left=0)), machine.TurnedUp(), id="then stop and say so"),
    ],
)
def test_what_turns_up_late_puts_the_old_keys_back(observation: Observation, step: machine.Step) -> None:
    assert next_step(observation) == step


def test_a_server_that_cannot_start_for_what_turned_up_gets_the_old_keys_first() -> None:
    """R10: with the last file on its disk, and a value under an old key, it never becomes ready."""
    observation = seen(down(RETIRED), at(PROMOTED, "b"), late=1)
    assert next_step(observation) == machine.WriteFile("a", PROMOTED)


def test_old_keys_that_somebody_put_back_are_loaded_rather_than_refused() -> None:
    assert next_step(seen(between(PROMOTED, RETIRED), at(PROMOTED, "b"))) == machine.Restart("a", PROMOTED)


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
    assert isinstance(step, machine.Blocked)
    assert step.rule == rule
    assert message in step.message
    assert step.hint


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
        *((machine.WriteFile("a", stage), stage) for stage in Stage),
        *((machine.Restart("a", stage), stage) for stage in Stage),
        (machine.RestoreManifest("a"), BASE),
        (machine.EditManifest("a"), None),
        (machine.AwaitLoaded(("a",)), None),
        (machine.ProveServer("a"), None),
        (machine.Rewrite(), None),
        (machine.ProveGone(), None),
        (machine.Done(), None),
    ],
)
def test_the_stage_that_a_step_brings_its_server_to(step: machine.Step, stage: Stage | None) -> None:
    assert stage_after(step) is stage
