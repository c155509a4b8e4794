"""The pace of rewriting, against models of servers: quick where they bear it, never a flood, never slow for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyctl.rotation.pacing import FEWEST, FIRST, LARGEST_BATCH, LONGEST_PAUSE, MOST, SMALLEST_BATCH, Pace, Seen

CALM = Seen(answers=200, seconds=0.25, latency=0.01)
THROTTLED = Seen(answers=200, seconds=1.0, latency=0.01, throttled=3, retry_after=2.0)
FAILING = Seen(answers=100, seconds=1.0, latency=0.01, failed=50)


@dataclass
class Server:
    """Serves `parallel` requests at a time, `service` seconds each; refuses with 429 beyond `queue` at a time."""

    parallel: int
    service: float
    queue: int = 10**6

    def batch(self, pace: Pace) -> Seen:
        rounds = max(1.0, pace.workers / self.parallel)
        latency = self.service * rounds
        throttled = max(0, pace.workers - self.queue) * pace.size // pace.workers
        return Seen(pace.size, latency * pace.size / pace.workers, latency, throttled=throttled, retry_after=1.0)


def walk(server: Server, batches: int, pace: Pace | None = None) -> list[Pace]:
    paces = [pace or Pace()]
    for _ in range(batches):
        paces.append(paces[-1].after(server.batch(paces[-1])))
    return paces


def rate(server: Server, pace: Pace) -> float:
    seen = server.batch(pace)
    return (seen.answers - seen.throttled) / (seen.seconds + pace.pause)


seens = st.builds(
    Seen,
    answers=st.integers(1, LARGEST_BATCH),
    seconds=st.floats(0, 600),
    latency=st.floats(0, 60),
    throttled=st.integers(0, 20),
    failed=st.integers(0, 500),
    retry_after=st.floats(0, 1e6),
)


@given(st.lists(seens, max_size=60))
def test_whatever_happens_the_pace_stays_within_its_bounds(history: list[Seen]) -> None:
    pace = Pace()
    for seen in history:
        pace = pace.after(seen)
        assert FEWEST <= pace.workers <= MOST == 32
        assert SMALLEST_BATCH <= pace.size <= LARGEST_BATCH
        assert 0 <= pace.pause <= LONGEST_PAUSE


@given(st.lists(seens, max_size=30), st.sampled_from([THROTTLED, FAILING]))
def test_one_429_or_many_failures_halve_the_workers_and_make_it_wait(history: list[Seen], trouble: Seen) -> None:
    pace = Pace()
    for seen in history:
        pace = pace.after(seen)
    after = pace.after(trouble)
    assert after.workers == max(1, pace.workers // 2)
    assert after.pause >= max(trouble.retry_after, 1.0)


@given(st.lists(seens, max_size=30))
def test_from_any_state_a_server_that_bears_it_is_soon_asked_more(history: list[Seen]) -> None:
    pace = Pace()
    for seen in history:
        pace = pace.after(seen)
    last = walk(Server(parallel=64, service=0.01), 60, pace)[-1]
    assert last.workers >= FIRST
    assert last.pause == 0


def test_a_server_that_was_throttled_once_gets_its_workers_back() -> None:
    server = Server(parallel=64, service=0.01)
    low = Pace().after(THROTTLED).after(THROTTLED).after(THROTTLED)
    assert low.workers == 1
    assert [pace.workers for pace in walk(server, 9, low)] == [1, 1, 1, 1, 3, 5, 7, 9, 11, 13]


def test_the_pause_grows_while_a_server_goes_on_refusing_and_ends_with_its_first_good_batch() -> None:
    pace, pauses = Pace(), []
    for _ in range(6):
        pace = pace.after(FAILING)
        pauses.append(pace.pause)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert pace.after(CALM).pause == 0


@pytest.mark.parametrize("parallel", [1, 2, 4, 8, 16])
def test_it_finds_most_of_what_a_server_can_do_without_a_crowd_before_its_door(parallel: int) -> None:
    server = Server(parallel, service=0.004)
    paces = walk(server, 200)[100:]
    best = parallel / server.service
    assert sum(rate(server, pace) for pace in paces) / len(paces) > 0.9 * best
    assert sum(pace.workers for pace in paces) / len(paces) < 2 * parallel + 8


@pytest.mark.parametrize("queue", [1, 3, 6, 12])
def test_a_server_that_refuses_beyond_a_limit_is_seldom_driven_beyond_it(queue: int) -> None:
    server = Server(parallel=64, service=0.01, queue=queue)
    paces = walk(server, 200)[20:]
    assert sum(server.batch(pace).throttled > 0 for pace in paces) < 0.25 * len(paces)
    assert sum(pace.workers for pace in paces) / len(paces) < queue + 2


def test_answers_that_become_slow_take_workers_away_one_batch_after_the_other() -> None:
    quick = walk(Server(parallel=64, service=0.01), 4)[-1]
    slow = walk(Server(parallel=64, service=0.5), 20, quick)
    workers = [pace.workers for pace in slow]
    assert workers[:3] == [quick.workers, quick.workers * 3 // 4, quick.workers * 3 // 4 * 3 // 4]
    assert min(workers) <= 2


def test_a_far_away_server_is_not_taken_for_a_slow_one() -> None:
    assert walk(Server(parallel=64, service=0.2), 30)[-1].workers > FIRST


def test_a_single_failure_among_many_says_nothing_about_the_server() -> None:
    assert Pace().after(Seen(answers=200, seconds=0.3, latency=0.01, failed=1)).workers > FIRST


def _sizes(service: float) -> int:
    return walk(Server(parallel=4, service=service), 30)[-1].size


SIZES: tuple[tuple[float, Callable[[int], bool]], ...] = (
    (0.004, lambda size: size == LARGEST_BATCH),
    (0.08, lambda size: SMALLEST_BATCH < size < 200),
    (2.0, lambda size: size == SMALLEST_BATCH),
)


@pytest.mark.parametrize(("service", "fits"), SIZES, ids=["quick", "slower", "slow"])
def test_a_batch_is_as_large_as_what_is_over_in_two_seconds(service: float, fits: Callable[[int], bool]) -> None:
    assert fits(_sizes(service))
