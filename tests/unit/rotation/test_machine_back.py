"""The machine as a table: the way back from every stage (R7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyctl.rotation import steps
from keyctl.rotation.machine import next_step, state_of
from keyctl.rotation.observation import Observation, Proofs, ServerView
from keyctl.rotation.plan import Stage, State
from tests.unit.rotation.machine_views import (
    ADDED,
    BASE,
    GONE,
    HISTORY,
    PROMOTED,
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

ALL_READ = (at(ADDED), at(ADDED, "b"))
NEVER = (at(BASE), at(BASE, "b"))
FLAGGED = unflagged(at(ADDED), missing=False)
UNFLAGGED = unflagged(between(ADDED, BASE))
LEFT = unflagged(at(BASE))


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(back(at(RETIRED), at(RETIRED, "b")), steps.WriteFile("a", PROMOTED), id="put the old keys back"),
        pytest.param(
            back(at(PROMOTED), at(RETIRED, "b")),
            steps.WriteFile("b", PROMOTED),
            id="everywhere, before any server writes with one again",
        ),
        pytest.param(back(at(PROMOTED), between(PROMOTED, RETIRED, "b")), steps.Restart("b", PROMOTED), id="loaded"),
        pytest.param(
            back(at(PROMOTED), at(PROMOTED, "b", proven=False)),
            steps.ProveServer("b"),
            id="and proven to be read everywhere (R2)",
        ),
        pytest.param(
            back(at(PROMOTED, reloads=True), between(PROMOTED, RETIRED, "b", reloads=True)),
            steps.AwaitLoaded(("b",)),
            id="where servers reload, waited for everywhere",
        ),
        pytest.param(
            back(at(PROMOTED), between(RETIRED, PROMOTED, "b")),
            steps.WriteFile("b", PROMOTED),
            id="a last file that was never loaded is replaced",
        ),
        pytest.param(back(at(PROMOTED), at(PROMOTED, "b")), steps.WriteFile("a", ADDED), id="demote"),
        pytest.param(back(between(ADDED, PROMOTED), at(PROMOTED, "b")), steps.Restart("a", ADDED), id="one at a time"),
        pytest.param(
            back(at(ADDED, proven=False), at(PROMOTED, "b")), steps.ProveServer("a"), id="proven before the next"
        ),
        pytest.param(back(at(ADDED), at(PROMOTED, "b")), steps.WriteFile("b", ADDED), id="the next"),
        pytest.param(
            back(between(ADDED, PROMOTED, reloads=True), at(PROMOTED, "b", reloads=True)),
            steps.WriteFile("b", ADDED),
            id="where servers reload all files are placed first",
        ),
        pytest.param(
            back(between(ADDED, PROMOTED, reloads=True), between(ADDED, PROMOTED, "b", reloads=True)),
            steps.AwaitLoaded(("a", "b")),
            id="then waited for",
        ),
        pytest.param(back(*ALL_READ), steps.Switch(), id="nothing is proven: every server writes with the old key"),
        pytest.param(back(*ALL_READ, proofs=SWITCHED), steps.Rewrite(), id="rewrite back"),
        pytest.param(back(*ALL_READ, proofs=replace(SWITCHED, left=4)), steps.Rewrite(), id="all of it"),
        pytest.param(back(*ALL_READ, proofs=REWRITTEN), steps.Settle(), id="settle"),
        pytest.param(back(*ALL_READ, proofs=SETTLED), steps.ProveVerified(), id="nothing under the new key"),
        pytest.param(back(*ALL_READ, proofs=VERIFIED), steps.ClearHistory(), id="nor in history"),
        pytest.param(
            replace(back(*ALL_READ, proofs=HISTORY), resecured=False), steps.Resecure(), id="nor is the archive left"
        ),
        pytest.param(back(*ALL_READ, proofs=HISTORY), steps.WriteFile("a", BASE), id="only then it leaves"),
        pytest.param(back(between(BASE, ADDED), at(ADDED, "b"), proofs=HISTORY), steps.Restart("a", BASE)),
        pytest.param(back(at(BASE, proven=False), at(ADDED, "b"), proofs=HISTORY), steps.ProveServer("a")),
        pytest.param(back(at(BASE), at(ADDED, "b"), proofs=HISTORY), steps.WriteFile("b", BASE), id="the last file"),
        pytest.param(back(at(BASE), at(ADDED, "b")), steps.Switch(), id="half gone, nothing proven in this run"),
        pytest.param(back(between(ADDED, BASE), at(BASE, "b")), steps.Restart("a", ADDED), id="from adding: load it"),
        pytest.param(back(*NEVER), steps.SettleAgain(), id="settle after the last"),
        pytest.param(back(at(BASE, proven=False), at(BASE, "b")), steps.ProveServer("a"), id="each lists"),
        pytest.param(back(*NEVER, proofs=SETTLED_AGAIN), steps.ProveGone(), id="scan with the new key in hand"),
        pytest.param(back(between(ADDED, PROMOTED), at(ADDED, "b")), steps.Restart("a", ADDED), id="older is ours"),
    ],
)
def test_the_next_step_on_the_way_back(observation: Observation, step: steps.Step) -> None:
    assert next_step(observation) == step
    assert state_of(observation) is State.ABORTING


def test_the_way_back_ends_with_the_files_as_they_were() -> None:
    observation = back(*NEVER, proofs=GONE)
    assert next_step(observation) == steps.Done()
    assert state_of(observation) is State.ABORTED


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(back(FLAGGED), steps.Switch(), id="nothing is taken away before it is proven unused"),
        pytest.param(back(FLAGGED, proofs=VERIFIED), steps.ClearHistory(), id="also in history"),
        pytest.param(back(FLAGGED, proofs=HISTORY), steps.RestoreManifest("a"), id="first the flag"),
        pytest.param(back(unflagged(at(ADDED)), proofs=HISTORY), steps.Restart("a", BASE), id="then a start without"),
        pytest.param(back(replace(UNFLAGGED, proven=None), proofs=HISTORY), steps.ProveServer("a"), id="then a proof"),
        pytest.param(back(UNFLAGGED, proofs=HISTORY), steps.WriteFile("a", BASE), id="the file goes last"),
        pytest.param(
            back(LEFT, replace(FLAGGED, name="b"), proofs=HISTORY), steps.RestoreManifest("b"), id="then the next"
        ),
        pytest.param(back(LEFT, unflagged(at(BASE, "b"))), steps.SettleAgain(), id="all are as they were"),
        pytest.param(back(UNFLAGGED), steps.Switch(), id="a file that no flag ever named is not loaded on this way"),
        pytest.param(back(unflagged(down(ADDED))), steps.EditManifest("a"), id="down after the flag went"),
        pytest.param(back(unflagged(down(ADDED), missing=False)), steps.Restart("a", ADDED), id="down before"),
        pytest.param(
            back(unflagged(at(PROMOTED), missing=False)), steps.WriteFile("a", ADDED), id="demoted like any other"
        ),
    ],
)
def test_a_server_that_had_no_flag_gets_its_manifest_back_before_its_file_goes(
    observation: Observation, step: steps.Step
) -> None:
    assert next_step(observation) == step


def test_a_server_whose_flag_went_before_the_run_died_is_not_restarted_before_all_is_proven_again() -> None:
    """R7: what the dead run had proven is forgotten, and what was sealed earlier may have landed since."""
    assert next_step(back(unflagged(at(ADDED)), at(ADDED, "b"))) == steps.Switch()


@pytest.mark.parametrize(
    ("observation", "step", "state"),
    [
        pytest.param(back(at(PROMOTED, floor=ADDED), leaves=False), steps.WriteFile("a", ADDED), State.ABORTING),
        pytest.param(back(at(ADDED, floor=ADDED), leaves=False), steps.Switch(), State.ABORTING),
        pytest.param(back(at(ADDED, floor=ADDED), leaves=False, proofs=SETTLED), steps.ProveVerified(), State.ABORTING),
        pytest.param(
            back(at(ADDED, floor=ADDED), leaves=False, proofs=VERIFIED),
            steps.Done(),
            State.ABORTED,
            id="what could be read from the start goes on being read",
        ),
        pytest.param(
            back(at(ADDED, floor=ADDED), at(ADDED, "b"), proofs=HISTORY),
            steps.WriteFile("b", BASE),
            State.ABORTING,
            id="it goes only where it was not",
        ),
        pytest.param(
            back(at(ADDED, floor=ADDED), at(BASE, "b"), proofs=HISTORY),
            steps.SettleAgain(),
            State.ABORTING,
            id="and that is the last one",
        ),
        pytest.param(
            back(at(ADDED, floor=ADDED), at(BASE, "b"), proofs=replace(HISTORY, settled_again=True, gone=9)),
            steps.Done(),
            State.ABORTED,
            id="proven",
        ),
    ],
)
def test_a_file_that_read_the_new_key_from_the_start_keeps_it(
    observation: Observation, step: steps.Step, state: State
) -> None:
    assert next_step(observation) == step
    assert state_of(observation) is state


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        pytest.param(back(*NEVER, late=2), steps.WriteFile("a", ADDED), id="put back"),
        pytest.param(back(between(ADDED, BASE), at(BASE, "b"), late=2), steps.Restart("a", ADDED)),
        pytest.param(back(at(ADDED, proven=False), at(BASE, "b"), late=2), steps.ProveServer("a")),
        pytest.param(back(at(ADDED), at(BASE, "b"), late=2), steps.WriteFile("b", ADDED), id="everywhere"),
        pytest.param(back(LEFT, late=2), steps.WriteFile("a", ADDED), id="first the file"),
        pytest.param(back(UNFLAGGED, late=2), steps.EditManifest("a"), id="then the flag again"),
        pytest.param(
            back(unflagged(at(ADDED)), late=2), steps.EditManifest("a"), id="also before it was started without"
        ),
        pytest.param(back(*ALL_READ, late=2), steps.Rewrite(), id="then what turned up is rewritten"),
        pytest.param(back(*ALL_READ, late=2, proofs=Proofs(left=0)), steps.TurnedUp(), id="then stop and say so"),
    ],
)
def test_what_turns_up_late_puts_the_new_key_back(observation: Observation, step: steps.Step) -> None:
    assert next_step(observation) == step


@pytest.mark.parametrize("server", [down(BASE), unflagged(down(ADDED))], ids=["with a flag", "without"])
def test_a_server_that_cannot_start_for_what_turned_up_gets_the_new_key_first(server: ServerView) -> None:
    """R10: without the key, and with a value under it, it never becomes ready."""
    step = next_step(back(server, at(ADDED, "b"), late=1))
    assert step == (steps.EditManifest("a") if server.flag_missing else steps.WriteFile("a", ADDED))


@pytest.mark.parametrize("reloads", [True, False])
def test_on_the_way_back_a_server_that_is_down_with_the_last_file_gets_the_old_keys_before_it_is_started(
    reloads: bool,
) -> None:
    """R10: a value that has turned up under an old key may be why it is down, and they come back anyway."""
    step = next_step(back(down(RETIRED, reloads=reloads), at(PROMOTED, "b")))
    assert step == steps.WriteFile("a", PROMOTED)


@pytest.mark.parametrize("stage", [BASE, ADDED, PROMOTED])
def test_a_server_that_is_down_comes_first_on_the_way_back_too(stage: Stage) -> None:
    other = at(stage, "b")
    assert next_step(back(down(stage), other)) == steps.Restart("a", stage)
    assert next_step(back(down(stage, seen_ready=True), other)) == steps.AwaitLoaded(("a",))
    assert next_step(back(down(stage, reloads=True, seen_ready=True), other)) == steps.AwaitLoaded(("a",))


def test_a_server_that_its_kubelet_restarts_without_the_flag_at_once_is_waited_for() -> None:
    server = unflagged(down(ADDED, seen_ready=True))
    assert next_step(back(server, at(ADDED, "b"), proofs=HISTORY)) == steps.AwaitLoaded(("a",))


def test_a_server_that_is_down_and_lost_its_flag_on_the_way_forward_gets_it_again() -> None:
    server = unflagged(down(ADDED, seen_ready=True))
    assert next_step(seen(server, at(ADDED, "b"))) == steps.EditManifest("a")
