"""Times in words, and words as times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_DAY = timedelta(days=1)


def moment(text: str) -> datetime | None:
    """The time that ISO 8601 `text` tells, in UTC where it names no zone; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def days(span: timedelta) -> str:
    """`span` in whole days: "1 day", "365 days"."""
    number = span // _DAY
    return f"{number} {'day' if number == 1 else 'days'}"


def long(span: timedelta) -> str:
    """How long `span` is, for a reader: in hours below two days, in days from then on. Of less than nothing, nought."""
    if span >= 2 * _DAY:
        return days(span)
    hours = max(span // timedelta(hours=1), 0)
    return f"{hours} {'hour' if hours == 1 else 'hours'}"
