"""When the maintenance window is open: midnight, the end of the week, and the nights when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from keyctl.rotation.window import DAYS, Window

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
ALL = " ".join(DAYS)


def window(days: str, opens: str, closes: str, zone: str = "UTC") -> Window:
    def minute(text: str) -> int:
        hours, minutes = text.split(":")
        return int(hours) * 60 + int(minutes)

    numbers = frozenset(DAYS.index(day) for day in days.split())
    return Window(numbers, minute(opens), minute(closes), ZoneInfo(zone), zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Days and times of the window and its zone; a moment in UTC; when the window closes then, in UTC, or None.
CASES = [
    pytest.param("Sat Sun", "02:00", "05:00", "UTC", "2026-11-21T01:59:59", None, id="a second before it opens"),
    pytest.param("Sat Sun", "02:00", "05:00", "UTC", "2026-11-21T02:00", "2026-11-21T05:00", id="as it opens"),
    pytest.param(
        "Sat Sun", "02:00", "05:00", "UTC", "2026-11-21T04:59:59", "2026-11-21T05:00", id="a second before it closes"
    ),
    pytest.param("Sat Sun", "02:00", "05:00", "UTC", "2026-11-21T05:00", None, id="as it closes"),
    pytest.param("Sat Sun", "02:00", "05:00", "UTC", "2026-11-23T03:00", None, id="on another day"),
    pytest.param("Sat", "22:00", "04:00", "UTC", "2026-11-21T23:00", "2026-11-22T04:00", id="before midnight"),
    pytest.param("Sat", "22:00", "04:00", "UTC", "2026-11-22T03:59", "2026-11-22T04:00", id="after midnight"),
    pytest.param("Sat", "22:00", "04:00", "UTC", "2026-11-21T03:00", None, id="the night before its day"),
    pytest.param("Sun", "22:00", "04:00", "UTC", "2026-11-23T01:00", "2026-11-23T04:00", id="into the next week"),
    pytest.param("Sat", "20:00", "24:00", "UTC", "2026-11-21T23:59", "2026-11-22T00:00", id="to the end of the day"),
    pytest.param("Sat", "20:00", "00:00", "UTC", "2026-11-21T23:59", "2026-11-22T00:00", id="to midnight"),
    pytest.param(
        "Sat Sun", "00:00", "24:00", "UTC", "2026-11-21T12:00", "2026-11-23T00:00", id="two whole days are one window"
    ),
    pytest.param("Sat", "00:00", "24:00", "UTC", "2026-11-22T00:00", None, id="the end of the day is not in it"),
    pytest.param("Sat", "02:00", "05:00", BERLIN, "2026-11-21T01:00", "2026-11-21T04:00", id="winter in Berlin"),
    pytest.param("Sat", "02:00", "05:00", BERLIN, "2026-07-18T00:00", "2026-07-18T03:00", id="summer in Berlin"),
    pytest.param(
        "Sat", "01:00", "03:00", NEW_YORK, "2026-11-21T07:00", "2026-11-21T08:00", id="Saturday in New York in UTC"
    ),
    pytest.param(
        "Fri", "22:00", "23:30", NEW_YORK, "2026-11-21T03:30", "2026-11-21T04:30", id="Friday there, Saturday in UTC"
    ),
    # Forward, in Berlin: at 01:00 UTC on 2026-03-29 02:00 becomes 03:00.
    pytest.param(ALL, "02:00", "05:00", BERLIN, "2026-03-29T00:59", None, id="forward: not open before the change"),
    pytest.param(
        ALL, "02:00", "05:00", BERLIN, "2026-03-29T01:00", "2026-03-29T03:00", id="forward: two hours of three"
    ),
    pytest.param(ALL, "02:30", "02:45", BERLIN, "2026-03-29T01:30", "2026-03-29T01:45", id="forward: moved by an hour"),
    pytest.param(ALL, "02:30", "03:15", BERLIN, "2026-03-29T01:30", None, id="forward: nothing is left of it"),
    pytest.param(
        ALL, "02:30", "03:15", BERLIN, "2026-03-29T01:10", None, id="forward: nothing is left before it either"
    ),
    pytest.param(ALL, "02:30", "03:15", BERLIN, "2026-03-30T01:00", "2026-03-30T01:15", id="forward: the day after"),
    pytest.param(
        "Sat", "23:00", "02:30", BERLIN, "2026-03-29T01:15", "2026-03-29T01:30", id="forward: it ends in the gap"
    ),
    # Back, in Berlin: at 01:00 UTC on 2026-10-25 03:00 becomes 02:00.
    pytest.param(
        ALL, "02:00", "05:00", BERLIN, "2026-10-25T00:00", "2026-10-25T04:00", id="back: four hours, not three"
    ),
    pytest.param(ALL, "02:15", "02:45", BERLIN, "2026-10-25T00:30", "2026-10-25T00:45", id="back: the first time"),
    pytest.param(ALL, "02:15", "02:45", BERLIN, "2026-10-25T01:30", None, id="back: not the second time"),
    pytest.param("Sat", "23:00", "02:30", BERLIN, "2026-10-25T00:29", "2026-10-25T00:30", id="back: it ends once"),
    # Half an hour, on Lord Howe: at 15:00 UTC on 2026-04-04 02:00 becomes 01:30.
    pytest.param(ALL, "01:00", "03:00", LORD_HOWE, "2026-04-04T14:00", "2026-04-04T16:30", id="back by half an hour"),
]


@pytest.mark.parametrize(("days", "opens", "closes", "zone", "at", "until"), CASES)
def test_a_window_is_open_until(days: str, opens: str, closes: str, zone: str, at: str, until: str | None) -> None:
    assert window(days, opens, closes, zone).open_until(utc(at)) == (None if until is None else utc(until))


@pytest.mark.parametrize(
    ("days", "opens", "closes", "zone", "at", "then"),
    [
        pytest.param("Sat Sun", "02:00", "05:00", "UTC", "2026-11-21T01:00", "2026-11-21T02:00", id="later today"),
        pytest.param("Sat Sun", "02:00", "05:00", "UTC", "2026-11-22T05:00", "2026-11-28T02:00", id="next week"),
        pytest.param("Sat", "02:00", "05:00", "UTC", "2026-11-21T02:00", "2026-11-28T02:00", id="it opens right now"),
        pytest.param(
            ALL, "02:30", "03:15", BERLIN, "2026-03-28T12:00", "2026-03-30T00:30", id="not on the short night"
        ),
        pytest.param("Sun", "02:30", "03:15", BERLIN, "2026-03-28T12:00", "2026-04-05T00:30", id="nor a week on"),
        pytest.param("Fri", "22:00", "23:30", NEW_YORK, "2026-11-21T02:00", "2026-11-21T03:00", id="by its own days"),
    ],
)
def test_it_opens_next(days: str, opens: str, closes: str, zone: str, at: str, then: str) -> None:
    found = window(days, opens, closes, zone)
    assert found.next_opening(utc(at)) == utc(then)
    assert found.open_until(utc(then)) is not None


def test_a_window_that_never_shuts_is_open_for_days_to_come() -> None:
    until = window(ALL, "00:00", "24:00").open_until(utc("2026-11-21T12:00"))
    assert until is not None
    assert (until - utc("2026-11-21T12:00")).days > 7


@pytest.mark.parametrize(("days", "closes"), [("Sat", "02:00"), ("", "05:00")])
def test_a_window_without_a_length_or_a_day_is_a_mistake(days: str, closes: str) -> None:
    with pytest.raises(ValueError, match="never or always open"):
        window(days, "02:00", closes)


def test_it_is_told_as_it_is_written_and_moments_by_its_own_clocks() -> None:
    found = window("Sun Sat", "02:00", "05:00", BERLIN)
    assert str(found) == "Sat, Sun 02:00-05:00 Europe/Berlin"
    assert found.local(utc("2026-11-28T01:00")) == "Sat 2026-11-28 02:00 Europe/Berlin"
    assert str(window(ALL, "20:00", "24:00")) == "every day 20:00-24:00 UTC"
