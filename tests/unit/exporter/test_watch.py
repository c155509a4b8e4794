"""The looks themselves: what fails is told and does not end anything, what nobody expected ends everything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from keyctl.errors import KeyctlError, UnreachableError
from keyctl.exporter.board import Board
from keyctl.exporter.catalogue import Source
from keyctl.exporter.facts import Facts, RotationSeen
from keyctl.exporter.watch import Watch, Watched

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOURCE = Source.ROTATION
_DEADLINE = 60.0


@dataclass
class StillClock:
    """A clock on which a look takes as long as it says."""

    passed: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


@dataclass
class Heard:
    """What was told, in order; `enough` is set after so many."""

    lines: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    after: int = 1

    def away(self, source: Source, error: KeyctlError | OSError) -> None:
        self._hear(f"{source} away: {error}")

    def back(self, source: Source) -> None:
        self._hear(f"{source} back")

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) >= self.after:
            self.enough.set()


def watch(look: Callable[[], Facts], clock: StillClock, heard: Heard, interval: float = 30.0) -> Watch:
    watched = Watched(SOURCE, look, interval)
    return Watch((watched,), Board((SOURCE,), cluster="c", version="1"), clock, heard, 0.1)


def values(on: Watch) -> dict[str, float]:
    return {sample.family.name: sample.value for sample in on.board.samples()}


def test_a_look_is_noted_with_both_clocks() -> None:
    clock, heard = StillClock(), Heard()

    def look() -> Facts:
        clock.passed += 12
        return RotationSeen()

    on = watch(look, clock, heard)
    on.once()
    seen = values(on)
    assert seen["keyctl_rotation_under_way"] == 0
    assert seen["keyctl_source_last_success_timestamp_seconds"] == NOON.timestamp()
    assert seen["keyctl_source_last_attempt_timestamp_seconds"] == NOON.timestamp() + 12
    assert seen["keyctl_source_period_seconds"] == pytest.approx(120)
    assert heard.lines == ["rotation back"]


@pytest.mark.parametrize("error", [UnreachableError("etcd is away"), OSError(5, "input/output error")])
def test_a_look_that_fails_is_told_and_keeps_what_was_seen(error: Exception) -> None:
    clock, heard = StillClock(), Heard()
    answers: list[Facts | Exception] = [RotationSeen("2026-11-22T10:00:00+00:00"), error]

    def look() -> Facts:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    on = watch(look, clock, heard)
    on.once()
    on.once()
    seen = values(on)
    assert (seen["keyctl_rotation_under_way"], seen["keyctl_source_up"]) == (1, 0)
    assert heard.lines == ["rotation back", f"rotation away: {error}"]


def test_looks_go_on_until_somebody_asks_to_stop_and_then_there_is_no_other_one() -> None:
    heard = Heard(after=2)
    on = watch(RotationSeen, StillClock(), heard, interval=1.0)
    on.start()
    assert heard.enough.wait(_DEADLINE)
    on.ask_to_stop()
    assert on.wait(_DEADLINE)
    on.finish(_DEADLINE)
    told = len(heard.lines)
    assert not any(thread.name.startswith("look at") for thread in threading.enumerate())
    assert len(heard.lines) == told


def test_what_nobody_expected_ends_everything_instead_of_being_served_as_fresh() -> None:
    def look() -> Facts:
        raise ZeroDivisionError("a bug")

    on = watch(look, StillClock(), Heard())
    on.start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        on.wait(_DEADLINE)
    on.finish(_DEADLINE)


def test_a_source_that_hangs_holds_up_no_other_one() -> None:
    free, heard = threading.Event(), Heard()

    def hanging() -> Facts:
        free.wait(_DEADLINE)
        return RotationSeen()

    sources = (Watched(Source.KEYS, hanging, 1.0), Watched(SOURCE, RotationSeen, 1.0))
    on = Watch(sources, Board((Source.KEYS, SOURCE), cluster="c", version="1"), StillClock(), heard, 0.1)
    on.start()
    assert heard.enough.wait(_DEADLINE)
    assert heard.lines[0] == "rotation back"
    assert not on.board.is_up(Source.KEYS)
    on.ask_to_stop()
    free.set()
    on.finish(_DEADLINE)
