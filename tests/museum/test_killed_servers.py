"""Servers and members of etcd are killed and paused at every state of a rotation, under 50 changes a second."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from keyctl.rotation.plan import State
from tests.museum.load import Load
from tests.museum.site import MOST_STEPS, RunningKeyctl, Site
from tests.support.raw_etcd import heads_of

pytestmark = pytest.mark.live

STATES = frozenset(State) - {State.RETIRED, State.ABORTING, State.ABORTED}
DOWN_SECONDS = 3.0
# Longer than the servers' --request-timeout and keyctl's own for etcd.
PAUSED_SECONDS = 12.0
_POLL = 0.02

# Strikes at once, and returns how it comes to its end.
Accident = Callable[[], Callable[[], None]]


@pytest.fixture
def in_turn(place: Site) -> Iterator[str]:
    """The API servers, one after the other, for ever."""
    return itertools.cycle(place.apiservers)


def test_api_servers_are_killed_at_every_state(place: Site, in_turn: Iterator[str]) -> None:
    carry_through(place, lambda: killed(place, next(in_turn)))


def test_api_servers_are_paused_at_every_state(place: Site, in_turn: Iterator[str]) -> None:
    carry_through(place, lambda: paused(place, next(in_turn)))


def test_the_etcd_leader_is_killed_at_every_state(place: Site) -> None:
    carry_through(place, lambda: killed(place, place.leader()))


def test_the_etcd_leader_is_paused_at_every_state(place: Site) -> None:
    carry_through(place, lambda: paused(place, place.leader()))


def killed(place: Site, name: str) -> Callable[[], None]:
    place.kill(name)

    def end() -> None:
        time.sleep(DOWN_SECONDS)
        place.bring_up(name)

    return end


def paused(place: Site, name: str) -> Callable[[], None]:
    place.pause(name)

    def end() -> None:
        time.sleep(PAUSED_SECONDS)
        place.unpause(name)
        # NOTE: keyctl may have been restarting it meanwhile.
        place.bring_up(name)

    return end


def carry_through(place: Site, accident: Accident) -> None:
    """A rotation under changes with the accident at every state, ended as keyctl says; then nothing is lost."""
    assert place.seeded.keyctl("enable", "--yes").code == 0
    left = set(STATES)
    with Load(place) as load:
        run_with_accidents(place, accident, left)
    assert left == set()
    place.nothing_lost(load)
    verified = place.seeded.keyctl("verify-secrets")
    assert verified.code == 0, verified
    assert len(heads_of(place.seeded.lab, "secrets")) == 1
    assert len(load.by_server) == len(place.apiservers)


def run_with_accidents(place: Site, accident: Accident, left: set[State]) -> None:
    """One rotation to its end, with an accident at each state of `left`."""
    arguments: tuple[str, ...] = ("rotate", "--yes")
    for _ in range(MOST_STEPS + len(STATES)):
        running = place.start(*arguments)
        _have_accidents(running, accident, left)
        ended = running.wait()
        if ended.code == 0:
            return
        arguments = place.next_command(ended, *arguments)
    raise AssertionError(f"what keyctl said led nowhere: {ended}")


def _have_accidents(running: RunningKeyctl, accident: Accident, left: set[State]) -> None:
    """Have one whenever a state of `left` is entered; keyctl is held there until the one before it is over."""
    seen = 0
    before: Future[None] | None = None
    with ThreadPoolExecutor(1) as pool:
        while not running.ended():
            entered = running.states()[seen:]
            seen += len(entered)
            for state in [state for state in entered if state in left]:
                running.hold()
                if before is not None:
                    before.result()
                end = accident()
                running.go_on()
                before = pool.submit(end)
                left.discard(state)
            time.sleep(_POLL)
    if before is not None:
        before.result()
